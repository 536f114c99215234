"""What follows when a message was opened or clicked on its own channel, by the provider's word or by our own links."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.core.submission import InlineRecipient
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.inbox import marks
from notifier.inbox.marks import Chosen
from notifier.models import ChannelScore, Delivery, Event, InboxItem, InboxState, Receipt, Tally
from notifier.people import addresses, preferences, profiles
from notifier.pipeline.delivery.deliver import begin, deliver
from tests.acme import Server, event, tell
from tests.conftest import subject_of
from tests.stored import deliveries, rows, sent_statements

Submit = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("cast", "acme")
BOTH = ("inapp", "email")


def mailed(submit: Submit, *people: Any, channels: tuple[str, ...] = BOTH, **fields: Any) -> list[Delivery]:
    """The mails of a new notification for each, sent."""
    known = {row.id for row in deliveries()}
    submit(*(people or ("alice",)), channels=channels, **fields)
    deliver([row.id for row in deliveries(status="queued") if row.id not in known])
    return [row for row in deliveries(channel="email") if row.id not in known]


def opened(mail: Delivery, kind: str = "opened", by: str = "person", **fields: Any) -> dict[str, Any]:
    return event(kind, delivery_id=show("dlv", mail.id), by=by, **fields)


def kinds() -> list[str]:
    return [row.kind for row in rows(Event) if row.kind.startswith("inbox.")]


def counts(user_id: str = "alice") -> tuple[int, int, int]:
    [state] = rows(InboxState, user_id=user_id)
    return state.unread, state.unseen, state.seq


# ---- the inbox


@pytest.mark.parametrize(
    ("kind", "by", "is_read"),
    [
        ("opened", "person", True),
        ("clicked", "person", True),
        ("opened", "unknown", False),
        ("clicked", "unknown", False),
        ("opened", "machine", False),
        ("clicked", "machine", False),
        ("delivered", "person", False),
    ],
)
def test_only_what_a_person_has_opened_is_read_in_the_inbox(
    submit: Submit, client: FlaskClient, kind: str, by: str, is_read: bool
) -> None:
    [mail] = mailed(submit)
    tell(client, opened(mail, kind, by))
    assert [(i.read_at is not None, i.seen_at is not None) for i in rows(InboxItem)] == [(is_read, is_read)]
    assert counts() == ((0, 0, 2) if is_read else (1, 1, 1))
    assert kinds() == (["inbox.read"] if is_read else [])


def test_every_open_page_is_told_at_once_and_what_is_read_is_told_once(
    submit: Submit, client: FlaskClient, ear: Any
) -> None:
    [mail] = mailed(submit)
    ear.heard()
    for told in (opened(mail), opened(mail, ago=1), opened(mail, "clicked")):
        tell(client, told, told)
    [(user_id, name, state)] = ear.heard()
    [item] = rows(InboxItem)
    assert (user_id, name) == ("alice", "state")
    assert {key: state[key] for key in ("unread", "unseen", "seq")} == {"unread": 0, "unseen": 0, "seq": 2}
    assert [(one["id"], one["read_at"] is not None) for one in state["changed"]] == [(show("dlv", item.id), True)]
    assert kinds() == ["inbox.read"]


def test_a_person_after_a_mail_client_that_nobody_knows(submit: Submit, client: FlaskClient) -> None:
    """The status was `opened` before."""
    [mail] = mailed(submit)
    tell(client, opened(mail, by="unknown"))
    assert kinds() == []
    tell(client, opened(mail, ago=1))
    assert ([row.status for row in deliveries(channel="email")], kinds()) == (["opened"], ["inbox.read"])


def test_the_item_itself_was_not_opened_by_that(submit: Submit, client: FlaskClient) -> None:
    """Else the figures, and `best`, would take one open for two."""
    [mail] = mailed(submit)
    tell(client, opened(mail))
    assert {row.channel: row.status for row in deliveries()} == {"inapp": "delivered", "email": "opened"}
    assert [(t.channel, t.count) for t in rows(Tally, event="opened")] == [("email", 1)]


def test_what_the_person_has_read_archived_or_put_away_stays_there(submit: Submit, client: FlaskClient) -> None:
    first, second, third = (mailed(submit)[0] for _ in range(3))
    ids = [item.id for item in rows(InboxItem)]
    marks.read("alice", Chosen((ids[0],)))
    marks.archive("alice", Chosen((ids[1],)))
    marks.snooze("alice", Chosen((ids[2],)), now() + timedelta(days=1))
    [read_at, _, _] = [item.read_at for item in rows(InboxItem)]
    tell(client, *map(opened, (first, second, third)))
    items = rows(InboxItem)
    assert [item.read_at is not None for item in items] == [True] * 3
    assert items[0].read_at == read_at
    assert items[1].archived_at is not None
    assert items[2].snoozed_until is not None
    assert counts() == (0, 0, 8)
    assert sorted(kinds()) == ["inbox.archived", "inbox.read", "inbox.read", "inbox.read"]


def test_an_open_that_was_kept_until_its_mail_was_recorded_counts_too(
    submit: Submit, client: FlaskClient, acme: Server, ear: Any
) -> None:
    acme.when_sent = lambda _to, reference, _id: tell(client, event("opened", delivery_id=reference, by="person"))
    mailed(submit)
    assert kinds() == ["inbox.read"]
    assert [name for _, name, _ in ear.heard()] == ["item", "state"]


def test_a_batch_of_many_people_takes_as_many_statements_as_one(submit: Submit, client: FlaskClient, ear: Any) -> None:
    people = [InlineRecipient(f"p{n}", {"email": f"p{n}@x.test"}) for n in range(21)]
    mails = mailed(submit, *people)
    more = mailed(submit, *people[1:])

    def asked(some: list[Delivery]) -> list[str]:
        with sent_statements() as statements:
            assert tell(client, *map(opened, some)).status_code == 200
        return [statement.split("FROM")[0] for statement in statements]

    few, many = asked(mails[:1]), asked([*mails[1:], *more])
    assert [statement.split()[0] for statement in few] == [statement.split()[0] for statement in many]
    assert {(s.user_id, s.unread, s.unseen, s.seq) for s in rows(InboxState)} == {
        ("p0", 0, 0, 2),
        *((f"p{n}", 0, 0, 4) for n in range(1, 21)),
    }
    assert [len(state["changed"]) for _, name, state in ear.heard() if name == "state"] == [1] + [2] * 20


def test_no_table_is_read_from_end_to_end(submit: Submit, client: FlaskClient, database_url: str) -> None:
    if not database_url.startswith("sqlite"):
        pytest.skip("asked of SQLite")
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            asked.append((statement, parameters[0] if isinstance(parameters, list) else parameters))

    [mail] = mailed(submit)
    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        tell(client, opened(mail))
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)
    with db.engine.connect() as connection:
        plans = [
            line[-1]
            for statement, parameters in asked
            for line in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    growing = ("inbox_item", "inbox_state", "receipt", "delivery", "notification", "preference")
    assert any("inbox_item" in plan for plan in plans)
    assert [plan for plan in plans if plan.startswith(tuple(f"SCAN {name}" for name in growing))] == []


def test_a_person_marking_at_the_same_moment_and_new_items_wait_for_each_other_in_one_order(
    app: APIFlask, submit: Submit, database_url: str
) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time")
    people = [InlineRecipient(user_id, {"email": f"{user_id}@x.test"}) for user_id in ("Zoe", "adam", "Ben", "cleo")]
    names = [one.id for one in people]
    mails = mailed(submit, *people, *people)

    def deadlocks() -> int:
        with db.engine.connect() as connection:
            return int(
                connection.exec_driver_sql(
                    "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
                ).scalar_one()
            )

    def read_all() -> None:
        for name in names:
            marks.read(name, Chosen())
            marks.unread(name, Chosen())

    def open_all() -> None:
        for turn in range(3):
            tell(app.test_client(), *(opened(mail, ago=turn) for mail in mails[turn:] + mails[:turn]))

    def arrive() -> None:
        for _ in range(3):
            submit(*reversed(people), channels=("inapp",))

    def run(work: Callable[[], None]) -> None:
        with app.app_context():
            work()

    db.session.close()
    before = deadlocks()
    # Held until all of them wait for it
    with db.engine.begin() as holder:
        holder.execute(sa.select(InboxState.user_id).where(InboxState.user_id == "cleo").with_for_update())
        with ThreadPoolExecutor(6) as pool:
            running = [pool.submit(run, work) for work in (read_all, open_all, arrive, open_all, read_all, arrive)]
            holder.commit()
            for one in running:
                one.result()
    assert deadlocks() == before
    for name in names:
        [state] = rows(InboxState, user_id=name)
        unread = [item for item in rows(InboxItem, user_id=name) if item.read_at is None]
        assert state.unread == len(unread)


# ---- what was only to remind


@pytest.mark.parametrize(
    ("kind", "by", "rest"),
    [
        ("opened", "person", ("skipped", "read_elsewhere")),
        ("clicked", "person", ("skipped", "read_elsewhere")),
        ("opened", "unknown", ("waiting", "escalation")),
        ("clicked", "unknown", ("waiting", "escalation")),
        ("opened", "machine", ("waiting", "escalation")),
    ],
)
@pytest.mark.parametrize("channels", [("email", "sms"), ("email", "inapp", "sms")], ids=["mail", "mail and inbox"])
def test_only_a_person_ends_an_escalation(
    submit: Submit, client: FlaskClient, channels: tuple[str, ...], kind: str, by: str, rest: tuple[str, str]
) -> None:
    [mail] = mailed(submit, channels=channels, routing="escalate")
    tell(client, opened(mail, kind, by))
    assert {(row.status, row.reason) for row in deliveries() if row.channel != "email"} == {rest}


def test_a_person_ends_it_after_a_mail_client_that_nobody_knows(submit: Submit, client: FlaskClient) -> None:
    [mail] = mailed(submit, channels=("email", "sms"), routing="escalate")
    tell(client, opened(mail, by="unknown"))
    tell(client, opened(mail, ago=1))
    assert {row.channel: row.reason for row in deliveries()} == {"email": None, "sms": "read_elsewhere"}


@pytest.mark.parametrize(("by", "fate"), [("person", "skipped"), ("unknown", "sent")])
def test_a_step_that_a_worker_holds_at_that_moment_is_asked_about_again(
    submit: Submit, client: FlaskClient, by: str, fate: str
) -> None:
    [mail] = mailed(submit, channels=("email", "sms"), routing="escalate")
    [step] = deliveries(channel="sms")
    with transaction() as session:
        session.execute(sa.text("UPDATE delivery SET status = 'queued', reason = NULL WHERE channel = 'sms'"))
    tell(client, opened(mail, by=by))
    deliver([step.id])
    assert [row.status for row in deliveries(channel="sms")] == [fate]


def test_what_quiet_hours_hold_back_is_dropped(submit: Submit, client: FlaskClient) -> None:
    [mail] = mailed(submit, channels=("email", "sms"))
    with transaction() as session:
        session.execute(sa.text("UPDATE delivery SET status = 'waiting', reason = 'quiet_hours' WHERE channel = 'sms'"))
    tell(client, opened(mail))
    assert [(row.status, row.reason) for row in deliveries(channel="sms")] == [("skipped", "read_elsewhere")]


# ---- people who refuse to be tracked


def refuse(user_id: str = "alice", *, refused: bool = True) -> None:
    preferences.change(user_id, {"do_not_track": refused}, replace=False, source="page")


@pytest.mark.parametrize("by", ["person", "unknown", "machine"])
def test_what_a_person_opens_who_refuses_to_be_tracked_is_not_recorded(
    submit: Submit, client: FlaskClient, by: str
) -> None:
    refuse()
    mine, his = mailed(submit, "alice", InlineRecipient("fritz", {"email": "fritz@x.test"}), routing="all")
    since = len(rows(Event))
    for kind in ("opened", "clicked"):
        assert tell(client, opened(mine, kind, by), opened(his, kind, by), opened(mine, "delivered")).status_code == 200
    assert [(d.status, d.opened_at, d.clicked_at) for d in rows(Delivery, id=mine.id)] == [("delivered", None, None)]
    assert {r.status for r in rows(Receipt, delivery_id=mine.id)} == {"delivered"}
    assert {r.status for r in rows(Receipt, delivery_id=his.id)} == {"opened", "clicked"}
    assert {e.kind for e in rows(Event)[since:] if e.user_id == "alice"} == {"delivery.delivered"}
    assert [item.read_at for item in rows(InboxItem, user_id="alice")] == [None]
    refuse(refused=False)
    tell(client, opened(mine, "opened", "person", ago=1))
    assert [d.status for d in rows(Delivery, id=mine.id)] == ["opened"]


def test_nor_is_what_was_kept_until_its_mail_was_recorded(submit: Submit, client: FlaskClient, acme: Server) -> None:
    refuse()
    acme.when_sent = lambda _to, reference, _id: tell(
        client, *(event(kind, delivery_id=reference, by="person") for kind in ("delivered", "opened", "clicked"))
    )
    mailed(submit)
    assert [d.status for d in deliveries(channel="email")] == ["delivered"]
    assert [r.status for r in rows(Receipt)] == ["delivered"]


def test_a_call_that_tells_of_nothing_else_is_answered_as_ever(submit: Submit, client: FlaskClient) -> None:
    refuse()
    [mail] = mailed(submit)
    assert tell(client, opened(mail)).status_code == 200
    assert rows(Receipt) == []


def test_the_provider_is_told_not_to_track_them(submit: Submit) -> None:
    refuse("bob")
    submit("alice", "bob", channels=("email",))
    tasks, _ = begin([row.id for row in deliveries(status="queued")])
    said = {task.message.user_id: task.message.do_not_track for task in tasks if not isinstance(task.message, str)}
    assert said == {"alice": False, "bob": True}


# ---- what `best` learns


@pytest.mark.parametrize(
    ("words", "learnt"),
    [
        ([("opened", "person")], 1),
        ([("clicked", "person")], 1),
        ([("opened", "unknown")], 1),
        ([("clicked", "unknown")], 1),
        ([("opened", "machine")], 0),
        ([("clicked", "machine")], 0),
        ([("delivered", "person")], 0),
        ([("opened", "machine"), ("opened", "person")], 1),
        ([("opened", "unknown"), ("opened", "person"), ("clicked", "person")], 1),
    ],
)
def test_best_learns_from_mails_that_people_open(
    submit: Submit, client: FlaskClient, words: list[tuple[str, str]], learnt: int
) -> None:
    [mail] = mailed(submit, channels=("email",), routing="best")
    for kind, by in words:
        tell(client, opened(mail, kind, by))
    assert [(s.channel, s.sent, s.opened) for s in rows(ChannelScore)] == [("email", 1, learnt)]


def test_best_learns_from_pushes_that_people_tap(submit: Submit, client: FlaskClient) -> None:
    addresses.add_given("alice", "push", "device-token-of-alice", label=None)
    submit("alice", channels=("push",), routing="best")
    [row] = deliveries(channel="push")
    deliver([row.id])
    for _ in range(2):
        by_token(client, "alice", show("dlv", row.id))
    assert [(s.channel, s.sent, s.opened) for s in rows(ChannelScore)] == [("push", 1, 1)]


# ---- what was pushed


def pushed(submit: Submit, user_id: str = "alice", **fields: Any) -> Delivery:
    addresses.add_given(user_id, "push", f"device-token-of-{user_id}", label=None)
    known = {row.id for row in deliveries()}
    submit(user_id, channels=("inapp", "push"), **fields)
    deliver([row.id for row in deliveries(status="queued") if row.id not in known])
    [row] = [row for row in deliveries(channel="push") if row.id not in known]
    return row


def by_token(client: FlaskClient, user_id: str, *ids: str) -> Any:
    token, _ = tokens.sign_user_token(subject_of(user_id), 60)
    return client.post("/api/v1/inbox/opened", json={"ids": ids}, headers={"Authorization": f"Bearer {token}"})


def test_a_push_that_was_tapped_was_opened_by_a_person(submit: Submit, client: FlaskClient) -> None:
    row = pushed(submit)
    for _ in range(2):
        answer = by_token(client, "alice", show("dlv", row.id), show("dlv", row.id))
        assert (answer.status_code, answer.json) == (200, {"unread": 0, "unseen": 0, "seq": 2})
    assert {d.channel: d.status for d in deliveries()} == {"inapp": "delivered", "push": "opened"}
    assert [(r.delivery_id, r.status, r.by) for r in rows(Receipt)] == [(row.id, "opened", "person")]
    assert [e.kind for e in rows(Event) if e.kind in ("delivery.opened", "inbox.read")] == [
        "delivery.opened",
        "inbox.read",
    ]
    assert [(t.channel, t.count) for t in rows(Tally, event="opened")] == [("push", 1)]


def test_only_what_was_pushed_to_oneself_can_be_told_as_opened(submit: Submit, client: FlaskClient) -> None:
    his = pushed(submit, "bob")
    [mail] = mailed(submit)
    [item] = deliveries(channel="inapp", notification_id=mail.notification_id)
    ids = [show("dlv", row.id) for row in (his, mail, item)]
    assert by_token(client, "alice", *ids, "dlv_" + "0" * 32, "ntf_x", "nonsense").status_code == 200
    assert rows(Receipt) == []
    assert {row.status for row in deliveries()} <= {"delivered", "sent"}


def test_a_producers_key_cannot_open_anything(submit: Submit, api: Any) -> None:
    row = pushed(submit)
    assert api.post("/api/v1/inbox/opened", {"ids": [show("dlv", row.id)]}).status_code == 403
    assert rows(Receipt) == []


@pytest.mark.parametrize("body", [{}, {"ids": None}, {"ids": ["x"] * 1001}, {"ids": [1]}, {"all": True}])
def test_what_names_nothing_is_refused(app: APIFlask, client: FlaskClient, body: dict[str, Any]) -> None:
    token, _ = tokens.sign_user_token(subject_of("alice"), 60)
    answer = client.post("/api/v1/inbox/opened", json=body, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 422


def test_nor_is_a_tap_recorded_of_whoever_refuses(submit: Submit, client: FlaskClient) -> None:
    row = pushed(submit)
    refuse()
    assert by_token(client, "alice", show("dlv", row.id)).json["unread"] == 1
    assert rows(Receipt) == []


# ---- erasing


def test_erasing_leaves_that_something_was_opened_and_not_by_whom(submit: Submit, client: FlaskClient) -> None:
    [mail] = mailed(submit)
    tell(client, opened(mail, detail={"agent": "Thunderbird on Alice's laptop"}))
    tell(client, event("complained", delivery_id=show("dlv", mail.id), address="alice@example.test"))
    before = [e.kind for e in rows(Event)]
    assert {r.digest is not None for r in rows(Receipt)} == {True, False}
    assert profiles.erase("alice")
    assert [e.kind for e in rows(Event)][: len(before)] == before
    assert {(e.user_id, e.address_masked) for e in rows(Event)} == {(None, None)}
    assert [(r.status, r.by, r.detail, r.digest) for r in rows(Receipt)] == [
        ("opened", "person", {}, None),
        ("complained", "unknown", {}, None),
    ]
    assert rows(ChannelScore, user_id="alice") == []
