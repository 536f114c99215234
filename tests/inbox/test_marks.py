"""New items and the marks on them: what changes, what does not, and what browsers are told."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.core.reading import READ_ELSEWHERE, REMINDERS
from notifier.core.reasons import REASONS
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, show
from notifier.inbox import marks
from notifier.inbox.items import add
from notifier.inbox.marks import Chosen
from notifier.models import Delivery, InboxItem, InboxState, Notification, Submission, User
from notifier.pipeline.upkeep import due
from tests.stored import deliveries

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOMORROW = NOON + timedelta(days=1)
MARKS: dict[str, Callable[[str, Chosen], dict[str, Any]]] = {
    "seen": marks.seen,
    "read": marks.read,
    "unread": marks.unread,
    "archive": marks.archive,
    "unarchive": marks.unarchive,
    "snooze": lambda user_id, chosen: marks.snooze(user_id, chosen, TOMORROW),
    "wake": lambda user_id, chosen: marks.snooze(user_id, chosen, None),
}


def state_of(user_id: str) -> dict[str, int]:
    row = db.session.execute(
        sa.select(InboxState.unread, InboxState.unseen, InboxState.seq).where(InboxState.user_id == user_id)
    ).one()
    return dict(row._mapping)


def counts_of(answer: dict[str, Any]) -> dict[str, int]:
    return {name: answer[name] for name in ("unread", "unseen", "seq")}


def marks_of(key: UUID) -> dict[str, bool]:
    row = db.session.execute(
        sa.select(InboxItem.seen_at, InboxItem.read_at, InboxItem.archived_at, InboxItem.snoozed_until).where(
            InboxItem.id == key
        )
    ).one()
    return {name.rpartition("_")[0]: value is not None for name, value in row._mapping.items()}


# --- new items


def test_a_new_item_is_unread_and_unseen_and_its_user_is_told(app: APIFlask, arrive: Any, ear: Any) -> None:
    [key] = arrive(
        "alice",
        created_at=NOON,
        action_label="Track it",
        action_url="https://shop.test/a",
        secondary_label="View order",
        secondary_url="https://shop.test/orders/a",
        image="https://shop.test/a.png",
    )
    assert state_of("alice") == {"unread": 1, "unseen": 1, "seq": 1}
    item = {
        "id": show("dlv", key),
        "type": "order_shipped",
        "category": "transactional",
        "title": "Your order is on its way",
        "body": "It left us this morning.",
        "language": None,
        "dir": "auto",
        "action": {"label": "Track it", "url": "https://shop.test/a"},
        "secondary_action": {"label": "View order", "url": "https://shop.test/orders/a"},
        "image": "https://shop.test/a.png",
        "data": {"order_id": "A123"},
        "created_at": "2026-03-01T12:00:00.000Z",
        "seen_at": None,
        "read_at": None,
        "archived_at": None,
        "snoozed_until": None,
        "why": "/preferences#order_shipped-inapp",
    }
    assert ear.heard() == [("alice", "item", {"item": item, "seq": 1, "unread": 1, "unseen": 1})]


def test_several_items_of_one_user_in_a_batch_get_consecutive_numbers_in_their_order(
    app: APIFlask, arrive: Any, ear: Any
) -> None:
    arrive("alice")
    ear.heard()
    keys = arrive("bob", "alice", "bob", "alice", "alice")
    heard = [
        (user_id, payload["item"]["id"], payload["seq"], payload["unread"], payload["unseen"])
        for user_id, _, payload in sorted(ear.heard(), key=itemgetter(0))  # each has their own, in its order
    ]
    shown = [show("dlv", key) for key in keys]
    assert heard == [
        ("alice", shown[1], 2, 2, 2),
        ("alice", shown[3], 3, 3, 3),
        ("alice", shown[4], 4, 4, 4),
        ("bob", shown[0], 1, 1, 1),
        ("bob", shown[2], 2, 2, 2),
    ]
    assert list(
        db.session.scalars(sa.select(InboxItem.seq).where(InboxItem.user_id == "alice").order_by(InboxItem.id))
    ) == [1, 2, 3, 4]


@pytest.mark.parametrize("size", [1, 50, 900])
def test_a_batch_of_any_size_takes_two_statements(app: APIFlask, size: int) -> None:
    with transaction() as session:
        session.add_all(User(id=f"u{number}") for number in range(size // 2 + 1))
        submission = Submission(type="like", recipients=1, expanded=1)
        session.add(submission)
        session.flush()
        rows = [_row(f"u{number // 2}", number) for number in range(size)]
        about = {"submission_id": submission.id, "type": "like", "category": "social", "priority": "low"}
        users = {row["user_id"]: row["notification_id"] for row in rows}
        session.execute(
            sa.insert(Notification), [{**about, "id": key, "user_id": user_id} for user_id, key in users.items()]
        )
        for row in rows:
            row["notification_id"] = users[row["user_id"]]
        deliveries = [
            {
                "id": row["id"],
                "notification_id": row["notification_id"],
                "channel": "inapp",
                "priority": "low",
                "status": "delivered",
            }
            for row in rows
        ]
        session.execute(sa.insert(Delivery), deliveries)
        seen: list[str] = []
        listener = lambda _c, _cursor, statement, *_rest: seen.append(statement)  # noqa: E731
        sa.event.listen(db.engine, "before_cursor_execute", listener)
        add(rows)
        sa.event.remove(db.engine, "before_cursor_execute", listener)
    assert len(seen) == 2
    assert db.session.scalar(sa.select(sa.func.sum(InboxState.unread))) == size


def _row(user_id: str, number: int) -> dict[str, Any]:
    return {
        "id": new_id(),
        "notification_id": new_id(),
        "user_id": user_id,
        "type": "like",
        "category": "social",
        "title": f"{number}",
        "body": "",
    }


def test_no_items_are_no_work(app: APIFlask) -> None:
    with transaction():
        assert add([]) == []


def test_items_of_a_transaction_that_fails_were_never_there(app: APIFlask, arrive: Any) -> None:
    arrive("alice")
    with pytest.raises(sa.exc.IntegrityError), transaction():
        add([_row("alice", 1)])  # there is no such delivery
    assert state_of("alice") == {"unread": 1, "unseen": 1, "seq": 1}


# --- marks: item before → the mark → item after, and what it means for the counts

FRESH = {"seen": False, "read": False, "archived": False, "snoozed": False}


@pytest.mark.parametrize(
    ("history", "mark", "after", "counts"),
    [
        ([], "seen", {"seen": True}, (1, 0)),
        ([], "read", {"seen": True, "read": True}, (0, 0)),
        (["read"], "unread", {"seen": True}, (1, 0)),
        ([], "archive", {"archived": True}, (0, 0)),
        (["archive"], "unarchive", {}, (1, 1)),
        (["read", "archive"], "unarchive", {"seen": True, "read": True}, (0, 0)),
        (["archive"], "read", {"seen": True, "read": True, "archived": True}, (0, 0)),
        (["archive", "read"], "unread", {"seen": True, "archived": True}, (0, 0)),
        ([], "snooze", {"snoozed": True}, (0, 0)),
        (["snooze"], "wake", {}, (1, 1)),
        (["snooze"], "seen", {"seen": True, "snoozed": True}, (0, 0)),
        (["snooze"], "archive", {"snoozed": True, "archived": True}, (0, 0)),
        (["snooze", "archive"], "unarchive", {"snoozed": True}, (0, 0)),
        (["archive", "snooze"], "wake", {"archived": True}, (0, 0)),
    ],
)
def test_a_mark_changes_the_item_and_the_counts_and_everyone_is_told(
    app: APIFlask, arrive: Any, ear: Any, history: list[str], mark: str, after: dict[str, bool], counts: tuple[int, int]
) -> None:
    with time_machine.travel(NOON, tick=False):
        arrive("bob")
        [key, other] = arrive("alice", "alice")
        for earlier in history:
            MARKS[earlier]("alice", Chosen((key,)))
        seq = state_of("alice")["seq"]
        ear.heard()
        answer = MARKS[mark]("alice", Chosen((key,)))
    # The other one is fresh
    assert counts_of(answer) == {"unread": counts[0] + 1, "unseen": counts[1] + 1, "seq": seq + 1}
    assert state_of("alice") == counts_of(answer)
    assert answer.get("changed_ids") == (None if mark == "seen" else [show("dlv", key)])  # what was seen stays seen
    assert marks_of(key) == {**FRESH, **after}
    assert marks_of(other) == FRESH
    assert state_of("bob") == {"unread": 1, "unseen": 1, "seq": 1}
    [(user_id, event, payload)] = ear.heard()
    assert (user_id, event) == ("alice", "state")
    changed = payload.pop("changed")
    assert payload == counts_of(answer)
    assert [item["id"] for item in changed] == [show("dlv", key)]
    assert {name: changed[0][f"{name}_at"] is not None for name in ("seen", "read", "archived")} == {
        name: value for name, value in marks_of(key).items() if name != "snoozed"
    }


@pytest.mark.parametrize(
    ("history", "mark"),
    [
        (["seen"], "seen"),
        (["read"], "read"),
        (["read"], "seen"),
        ([], "unread"),
        (["archive"], "archive"),
        ([], "unarchive"),
        (["snooze"], "snooze"),
        ([], "wake"),
    ],
)
def test_a_mark_that_is_there_already_changes_nothing_and_tells_nobody(
    app: APIFlask, arrive: Any, ear: Any, history: list[str], mark: str
) -> None:
    with time_machine.travel(NOON, tick=True):
        [key] = arrive("alice")
        for earlier in history:
            MARKS[earlier]("alice", Chosen((key,)))
        before = state_of("alice")
        ear.heard()
        answer = MARKS[mark]("alice", Chosen((key,)))
    assert counts_of(answer) == before
    assert not answer.get("changed_ids")
    assert state_of("alice") == before
    assert ear.heard() == []


@pytest.mark.parametrize("mark", MARKS)
def test_other_peoples_items_and_unknown_ones_are_ignored(app: APIFlask, arrive: Any, ear: Any, mark: str) -> None:
    [hers, his] = arrive("alice", "bob")
    before = marks_of(his)
    ear.heard()
    MARKS[mark]("alice", Chosen((his, new_id())))
    assert marks_of(his) == before
    assert state_of("bob") == {"unread": 1, "unseen": 1, "seq": 1}
    assert state_of("alice") == {"unread": 1, "unseen": 1, "seq": 1}
    assert ear.heard() == []
    assert marks_of(hers) == FRESH


@pytest.mark.parametrize("mark", MARKS)
def test_a_person_whom_nothing_has_reached_has_nothing_to_mark(app: APIFlask, mark: str) -> None:
    answer = MARKS[mark]("nobody", Chosen())
    assert counts_of(answer) == {"unread": 0, "unseen": 0, "seq": 0}
    assert answer.get("changed_ids", []) == []


@pytest.mark.parametrize(
    ("chosen", "read"),
    [
        (Chosen(), {"order", "offer", "percent"}),
        (Chosen(category="marketing"), {"offer", "percent"}),
        (Chosen(q="HALF"), {"offer"}),
        (Chosen(q="50%"), {"percent"}),
        (Chosen(filter="archived"), {"old"}),
        (Chosen(filter="unread", category="transactional"), {"order"}),
        (Chosen(()), set()),
    ],
)
def test_all_means_what_the_list_with_the_same_filter_shows(
    app: APIFlask, arrive: Any, chosen: Chosen, read: set[str]
) -> None:
    marketing = {"type": "promotional_offer", "category": "marketing"}
    keys = {
        "order": arrive("alice")[0],
        "offer": arrive("alice", title="Half price", **marketing)[0],
        "percent": arrive("alice", body="Save 50% now", **marketing)[0],
        "old": arrive("alice", **marketing)[0],
        "later": arrive("alice")[0],
    }
    arrive("bob")
    marks.archive("alice", Chosen((keys["old"],)))
    marks.snooze("alice", Chosen((keys["later"],)), now() + timedelta(days=1))
    marks.read("alice", chosen)
    assert {name for name, key in keys.items() if marks_of(key)["read"]} == read
    assert state_of("bob")["unread"] == 1


def test_each_changed_item_gets_a_number_of_its_own_in_the_old_order(app: APIFlask, arrive: Any, ear: Any) -> None:
    keys = arrive("alice", "alice", "alice")
    marks.archive("alice", Chosen((keys[0],)))  # now the latest change
    ear.heard()
    assert marks.seen("alice", Chosen(tuple(keys)))["seq"] == 7
    [(_, _, payload)] = ear.heard()
    assert [item["id"] for item in payload["changed"]] == [show("dlv", key) for key in (keys[1], keys[2], keys[0])]
    assert list(db.session.scalars(sa.select(InboxItem.seq).order_by(InboxItem.seq))) == [5, 6, 7]


def test_a_change_of_very_many_items_is_told_without_them(
    app: APIFlask, arrive: Any, ear: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "MAX_SHOWN", 2)
    keys = arrive(*["alice"] * 3)
    ear.heard()
    assert marks.read("alice", Chosen()) == {
        "unread": 0,
        "unseen": 0,
        "seq": 6,
        "changed_ids": [show("dlv", key) for key in keys],
    }
    assert ear.heard() == [("alice", "state", {"unread": 0, "unseen": 0, "seq": 6, "changed": []})]


def test_five_thousand_unread_are_read_in_a_constant_number_of_statements(app: APIFlask, arrive: Any) -> None:
    [key] = arrive("alice")
    source = db.session.get_one(InboxItem, key)
    delivery = db.session.get_one(Delivery, key)
    with transaction() as session:
        copies = [{**_columns(delivery), "id": new_id()} for _ in range(4999)]
        session.execute(sa.insert(Delivery), copies)
        items = [
            {name: value for name, value in _columns(source).items() if name != "seq"} | {"id": copy["id"]}
            for copy in copies
        ]
        add(items)
    seen: list[str] = []
    listener = lambda _c, _cursor, statement, *_rest: seen.append(statement)  # noqa: E731
    sa.event.listen(db.engine, "before_cursor_execute", listener)
    answer = marks.read("alice", Chosen())
    sa.event.remove(db.engine, "before_cursor_execute", listener)
    assert answer == {"unread": 0, "unseen": 0, "seq": 10_000, "changed_ids": None}  # too many to be named
    assert len([statement for statement in seen if statement != "BEGIN"]) <= 11


def _columns(row: Any) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in sa.inspect(type(row)).columns}


# --- what a read does to the delivery


@pytest.mark.parametrize(
    ("status", "after"), [("delivered", "opened"), ("sent", "opened"), ("clicked", "clicked"), ("failed", "failed")]
)
def test_a_read_opens_the_delivery_where_the_lifecycle_allows(
    app: APIFlask, arrive: Any, status: str, after: str
) -> None:
    [key, untouched] = arrive("alice", "alice")
    with transaction() as session:
        session.execute(sa.update(Delivery).values(status=status))
    with time_machine.travel(NOON, tick=False):
        marks.read("alice", Chosen((key,)))
    delivery = db.session.execute(sa.select(Delivery.status, Delivery.opened_at).where(Delivery.id == key)).one()
    assert tuple(delivery) == (after, NOON if after == "opened" else None)
    assert db.session.scalar(sa.select(Delivery.status).where(Delivery.id == untouched)) == status


def test_reading_again_leaves_the_time_of_the_first_opening(app: APIFlask, arrive: Any) -> None:
    [key] = arrive("alice")
    with time_machine.travel(NOON, tick=False) as clock:
        marks.read("alice", Chosen((key,)))
        clock.shift(3600)
        marks.unread("alice", Chosen((key,)))
        marks.read("alice", Chosen((key,)))
    assert db.session.scalar(sa.select(Delivery.opened_at).where(Delivery.id == key)) == NOON
    assert db.session.scalar(sa.select(InboxItem.read_at).where(InboxItem.id == key)) == NOON + timedelta(hours=1)


# --- what a read makes needless elsewhere


@pytest.mark.parametrize("all_at_once", [False, True], ids=["one", "all"])
@pytest.mark.parametrize(
    ("status", "reason", "after"),
    [
        ("waiting", "escalation", ("skipped", "read_elsewhere")),
        ("waiting", "quiet_hours", ("skipped", "read_elsewhere")),
        ("waiting", "muted", ("skipped", "read_elsewhere")),
        ("waiting", "scheduled", ("waiting", "scheduled")),
        ("waiting", "retry", ("waiting", "retry")),
        ("waiting", "provider_down", ("waiting", "provider_down")),
        ("waiting", "fallback", ("waiting", "fallback")),
        ("queued", "escalation", ("queued", "escalation")),
        ("sending", "quiet_hours", ("sending", "quiet_hours")),
        ("failed", "muted", ("failed", "muted")),
        ("sent", None, ("sent", None)),
    ],
)
def test_a_read_drops_what_waits_elsewhere_to_say_it_again(
    app: APIFlask, arrive: Any, status: str, reason: str | None, after: tuple[str, str | None], all_at_once: bool
) -> None:
    [key, other] = arrive("alice", "alice")
    mail, others_mail = _mail_of(key, status, reason), _mail_of(other, status, reason)
    marks.read("alice", Chosen() if all_at_once else Chosen((key,)))
    assert _state_of_delivery(mail) == (*after, after[0] == "skipped")
    assert _state_of_delivery(others_mail) == (
        (*after, after[0] == "skipped") if all_at_once else (status, reason, False)
    )


@pytest.mark.parametrize("is_read", [True, False], ids=["read", "unread"])
def test_what_was_read_at_night_is_not_mailed_in_the_morning(cast: Any, submit: Any, is_read: bool) -> None:
    with time_machine.travel(datetime(2026, 3, 1, 23, tzinfo=UTC), tick=False) as clock:
        submit("bob", type="comment", data={"actor": "Ann"}, channels=("inapp", "email"))
        [mail] = deliveries(channel="email")
        assert (mail.status, mail.reason) == ("waiting", "quiet_hours")
        if is_read:
            marks.read("bob", Chosen())
        clock.shift(timedelta(hours=10))
        assert due.ring_due() == (0 if is_read else 1)
    [mail] = deliveries(channel="email")
    assert (mail.status, mail.reason) == (("skipped", "read_elsewhere") if is_read else ("queued", None))


@pytest.mark.parametrize("mark", sorted(MARKS.keys() - {"read"}))
def test_only_a_read_drops_anything(app: APIFlask, arrive: Any, mark: str) -> None:
    [key] = arrive("alice")
    mail = _mail_of(key, "waiting", "escalation")
    MARKS[mark]("alice", Chosen((key,)))
    assert _state_of_delivery(mail) == ("waiting", "escalation", False)


def test_what_the_scheduler_holds_at_this_moment_is_on_its_way(app: APIFlask, arrive: Any) -> None:
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    [key] = arrive("alice")
    mail = _mail_of(key, "waiting", "escalation")
    with db.engine.begin() as scheduler:
        scheduler.execute(sa.select(Delivery.id).where(Delivery.id == mail).with_for_update())
        assert marks.read("alice", Chosen((key,)))["unread"] == 0  # nobody waits for anybody
    assert _state_of_delivery(mail) == ("waiting", "escalation", False)


def test_every_reason_to_remind_is_on_the_list_of_reasons() -> None:
    assert {*REMINDERS, READ_ELSEWHERE} <= REASONS.keys()


def _mail_of(key: UUID, status: str, reason: str | None) -> UUID:
    """Another delivery of an item's notification."""
    with transaction() as session:
        notification_id = session.scalar(sa.select(InboxItem.notification_id).where(InboxItem.id == key))
        mail = Delivery(
            notification_id=notification_id,
            channel="email",
            priority="high",
            status=status,
            reason=reason,
            wake_at=TOMORROW,
        )
        session.add(mail)
    return mail.id


def _state_of_delivery(key: UUID) -> tuple[str, str | None, bool]:
    """Status, reason, and whether the scheduler has let go of it."""
    row = db.session.execute(
        sa.select(Delivery.status, Delivery.reason, Delivery.wake_at).where(Delivery.id == key)
    ).one()
    return row.status, row.reason, row.wake_at is None


# --- snoozing


def test_what_is_snoozed_comes_back_by_itself_when_its_time_has_come(app: APIFlask, arrive: Any, ear: Any) -> None:
    [key, later] = arrive("alice", "alice")
    [his] = arrive("bob")
    marks.snooze("alice", Chosen((key,)), NOON)
    marks.snooze("alice", Chosen((later,)), TOMORROW)
    marks.snooze("bob", Chosen((his,)), NOON)
    ear.heard()
    assert marks.wake_snoozed(NOON - timedelta(seconds=1)) == 0
    assert ear.heard() == []
    assert marks.wake_snoozed(NOON) == 2
    assert state_of("alice") == {"unread": 1, "unseen": 1, "seq": 5}
    assert marks_of(key) == FRESH
    assert marks_of(later) == {**FRESH, "snoozed": True}
    heard = ear.heard()
    assert [(user_id, event, [item["id"] for item in payload["changed"]]) for user_id, event, payload in heard] == [
        ("alice", "state", [show("dlv", key)]),
        ("bob", "state", [show("dlv", his)]),
    ]
    assert marks.wake_snoozed(NOON) == 0


def test_snoozing_again_moves_the_time(app: APIFlask, arrive: Any) -> None:
    [key] = arrive("alice")
    marks.snooze("alice", Chosen((key,)), NOON)
    assert marks.snooze("alice", Chosen((key,)), TOMORROW)["seq"] == 3
    assert marks.wake_snoozed(NOON) == 0


# --- at the same time


def test_marks_and_arrivals_at_the_same_time_leave_exact_counts(app: APIFlask, arrive: Any) -> None:
    keys = arrive(*["alice"] * 8)
    faults: list[BaseException] = []

    def do(work: Callable[[], Any]) -> None:
        try:
            with app.app_context():
                for _ in range(5):
                    work()
        except BaseException as error:
            faults.append(error)

    half = Chosen(tuple(keys[:5]))
    works: list[Callable[[], Any]] = [
        lambda: marks.read("alice", half),
        lambda: marks.unread("alice", Chosen()),
        lambda: marks.archive("alice", Chosen(tuple(keys[4:]))),
        lambda: marks.unarchive("alice", Chosen(filter="archived")),
        lambda: arrive("alice"),
        lambda: marks.seen("alice", Chosen()),
    ]
    threads = [threading.Thread(target=do, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    db.session.rollback()
    shown = (InboxItem.archived_at.is_(None), InboxItem.snoozed_until.is_(None))
    count = sa.select(sa.func.count()).select_from(InboxItem)
    assert state_of("alice") == {
        "unread": db.session.scalar(count.where(*shown, InboxItem.read_at.is_(None))),
        "unseen": db.session.scalar(count.where(*shown, InboxItem.seen_at.is_(None))),
        "seq": db.session.scalar(sa.select(sa.func.max(InboxItem.seq))),
    }
    assert db.session.scalar(count) == 13
