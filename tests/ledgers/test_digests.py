"""Several notifications become one: gathered by person, key and window, closed once, nothing lost and nothing twice."""

import os
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from apiflask import APIFlask

from notifier.core.errors import Rejected
from notifier.core.message import Message
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, parse, show
from notifier.ledgers import broadcast_counts
from notifier.models import Delivery, Digest, DigestEntry, InboxItem, Notification, Submission
from notifier.people import preferences, profiles
from notifier.pipeline.delivery.claim import claim
from notifier.pipeline.intake import cancel
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.expand import expand
from notifier.pipeline.intake.item import INLINE_LIMIT, Caller, Item
from notifier.pipeline.planning import replacing
from notifier.pipeline.upkeep import due, summaries
from notifier.queries.inbox import page as inbox_page
from tests.commands import Program
from tests.pipeline.intake.test_accept_races import at_once
from tests.stored import rows
from tests.stored import sent_statements as statements
from tests.submitting import submission

Submit = Callable[..., Any]
FRED = InlineRecipient("fred", {"email": "fred@x.test", "name": "Fred", "locale": "en", "time_zone": "Europe/Berlin"})
ONE_AT_NIGHT = {"start": "00:00", "end": "23:59"}


@pytest.fixture
def fred(app: APIFlask) -> str:
    """Wants social things once a day, in the inbox and by mail."""
    with transaction():
        profiles.upsert([FRED], is_vouched=True)
    choose(digest={"social": "daily"})
    return "fred"


def choose(**changes: Any) -> None:
    preferences.change("fred", changes, replace=False, source="test")


def like(submit: Submit, actor: str, **fields: Any) -> Any:
    fields = {
        "type": "like",
        "data": {"actor": actor, "url": f"https://shop.test/{actor}"},
        "channels": ("inapp", "email"),
        "dedupe": False,
    } | fields
    return submit("fred", **fields)


def pass_time() -> None:
    """Lets the windows of all open digests end."""
    with transaction() as session:
        session.execute(sa.update(Digest).values(due_at=now() - timedelta(minutes=1)))


def pass_grace() -> None:
    """Lets the moment pass that is left to those who decided before a window ended."""
    with transaction() as session:
        for digest in session.scalars(sa.select(Digest)):
            digest.due_at -= summaries.GRACE


def close() -> int:
    pass_time()
    return summaries.close_due()


def made() -> list[Notification]:
    """The notifications that came of digests."""
    return [row for row in rows(Notification) if row.type.endswith("_digest")]


def lines(notification: Notification) -> list[str]:
    return [line["title"] for line in notification.data["lines"]]


def stood(notification: Notification) -> dict[str, tuple[str, str | None]]:
    """Channel → status and reason."""
    return {row.channel: (row.status, row.reason) for row in rows(Delivery, notification_id=notification.id)}


# ---- gathering ------------------------------------------------------------------------------------------------------


def test_what_is_to_be_summed_up_is_skipped_and_gathered(fred: str, submit: Submit) -> None:
    answer = like(submit, "mira")
    [first, second] = answer["notifications"][0]["deliveries"]
    assert [(d["channel"], d["status"], d["reason"], d["detail"]["held"]) for d in (first, second)] == [
        ("inapp", "skipped", "digested", "digest"),
        ("email", "skipped", "digested", "digest"),
    ]
    [digest] = rows(Digest)
    assert (digest.user_id, digest.key, digest.category, digest.is_test, digest.due_at) == (
        "fred",
        "social",
        "social",
        False,
        digest.window_at,
    )
    assert {show("dlv", entry.delivery_id) for entry in rows(DigestEntry)} == {first["id"], second["id"]}
    assert rows(InboxItem) == []


def test_one_digest_stands_open_for_each_person_category_and_kind_of_key(
    fred: str, submit: Submit, caller: Caller
) -> None:
    choose(digest={"social": "daily", "marketing": "weekly"})
    tester = Caller(caller.producer_id, is_test=True, may_be_urgent=True, types=None, request_id="r")
    for actor in ("mira", "jonas"):
        like(submit, actor)
        like(submit, actor, caller=tester)
    submit("fred", type="newsletter", data={"title": "T", "body": "B"}, channels=("email",))
    assert [(digest.key, digest.is_test) for digest in rows(Digest)] == [
        ("social", False),
        ("social", True),
        ("marketing", False),
    ]
    assert len(rows(DigestEntry)) == 9


def test_a_digest_may_have_more_lines_than_a_statement_may_have_values(
    fred: str, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite takes so many values in one statement, as it was built: 32,766 by itself."""
    monkeypatch.setattr(broadcast_counts, "_MOST_AT_ONCE", 50)
    monkeypatch.setattr(replacing, "_MOST_AT_ONCE", 50)
    like(submit, "mira", channels=("email",), collapse_key="mira")
    [digest], broadcast_id = rows(Digest), new_id()
    copied = {table: columns(rows(table)[0]) for table in (Submission, Notification, Delivery)}
    with transaction() as session:
        for _ in range(300):
            line = {table: row | {"id": new_id()} for table, row in copied.items()}
            line[Notification] |= {"submission_id": line[Submission]["id"], "collapse_key": new_id().hex}
            line[Delivery] |= {"notification_id": line[Notification]["id"], "broadcast_id": broadcast_id}
            line[DigestEntry] = {"digest_id": digest.id, "delivery_id": line[Delivery]["id"]}
            for table, row in line.items():
                session.execute(sa.insert(table).values(row))
    pass_time()
    values: list[int] = []

    def count(_connection: Any, _cursor: Any, _statement: str, parameters: Any, _context: Any, is_many: bool) -> None:
        values.append(0 if is_many else len(parameters))

    sa.event.listen(db.engine, "before_cursor_execute", count)
    try:
        assert summaries.close_due() == 1
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", count)
    assert max(values) < 300
    [one] = made()
    assert (one.data["count"], rows(Digest), rows(DigestEntry)) == (301, [], [])
    assert {row.reason for row in rows(Delivery) if row.notification_id != one.id} == {"digested"}


def columns(row: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(row).items() if name in row.__table__.columns}


def test_gathering_costs_the_same_statements_however_many_there_are(fred: str, submit: Submit, caller: Caller) -> None:
    people_of = {
        size: tuple(InlineRecipient(f"p{size}-{n}", {"name": "P"}) for n in range(size)) for size in (1, 2, 12)
    }
    costs = []
    for recipients in people_of.values():
        with transaction():
            profiles.upsert(recipients)
        for recipient in recipients:
            preferences.change(recipient.id, {"digest": {"social": "hourly"}}, replace=False, source="test")
        item = Item(caller, submission(*recipients, type="like", data={"actor": "mira"}))
        with statements() as sent:
            accept([item])
        costs.append(len(sent))
    assert costs[1] == costs[2]  # the first one has loaded what is remembered for a while


def test_something_scheduled_for_later_waits_for_the_digest_of_its_own_time(fred: str, submit: Submit) -> None:
    like(submit, "mira")
    like(submit, "jonas", send_at=now() + timedelta(days=30))
    soon, later = rows(Digest)
    assert later.window_at - soon.window_at > timedelta(days=28)


def test_what_was_said_to_expire_is_still_so_after_an_expansion(fred: str, submit: Submit) -> None:
    """Whether the producer has said so travels with a submission that is too large for one request."""
    others = [InlineRecipient(f"p{n}", {"name": "P"}) for n in range(INLINE_LIMIT)]
    answer = submit(
        "fred", *others, type="like", data={"actor": "mira"}, channels=("email",), expires_in=60, is_perishable=True
    )
    expand(parse("sub", answer["id"]))
    [mine] = [d for d in rows(Delivery) if d.reason in ("expired", "digested")]
    assert (mine.reason, mine.detail["held"]) == ("expired", "digest")


# ---- closing --------------------------------------------------------------------------------------------------------


def test_a_digest_is_one_item_and_one_mail_listing_what_came(fred: str, submit: Submit) -> None:
    originals = [like(submit, actor)["notifications"][0]["id"] for actor in ("mira", "jonas")]
    assert close() == 1
    [notification] = made()
    assert (notification.type, notification.category, notification.user_id, notification.producer_id) == (
        "social_digest",
        "social",
        "fred",
        None,
    )
    assert notification.data == {
        "lines": [
            {"title": f"{actor} likes your post", "url": f"https://shop.test/{actor}"} for actor in ("jonas", "mira")
        ],
        "count": 2,
        "more": 0,
    }
    due.ring_due()
    assert stood(notification) == {"inapp": ("delivered", None), "email": ("queued", None)}
    [item] = rows(InboxItem)
    assert (item.title, item.body) == ("2 updates for you", "jonas likes your post\nmira likes your post")
    for original in originals:
        gathered = rows(Delivery, notification_id=parse("ntf", original))
        assert {(d.status, d.reason, d.detail["digest"]) for d in gathered} == {
            ("skipped", "digested", show("ntf", notification.id))
        }
    assert rows(Digest) == rows(DigestEntry) == []
    assert summaries.close_due() == 0


def test_the_mail_leads_to_how_often_and_can_be_unsubscribed_from(fred: str, submit: Submit) -> None:
    like(submit, "mira")
    close()
    due.ring_due()
    [mail] = [d for d in rows(Delivery, notification_id=made()[0].id) if d.channel == "email"]
    [task], _ = claim([mail.id])
    assert isinstance(task.message, Message)
    assert "http://localhost/p/" in task.message.content.body
    assert "#often-panel" in task.message.content.body
    assert str(task.message.unsubscribe_url) in task.message.content.body


def test_the_item_leads_to_how_often(fred: str, submit: Submit) -> None:
    like(submit, "mira")
    close()
    due.ring_due()
    [item] = inbox_page(fred, filter="all", category=None, q=None, after=None, limit=10)["data"]
    assert item["why"] == "/preferences#often-panel"


def test_nothing_is_closed_before_its_time(fred: str, submit: Submit) -> None:
    like(submit, "mira")
    assert summaries.close_due() == 0
    assert (len(rows(Digest)), made()) == (1, [])


def test_a_digest_of_one_is_a_digest(fred: str, submit: Submit) -> None:
    like(submit, "mira")
    close()
    due.ring_due()
    [item] = rows(InboxItem)
    assert (item.title, item.body, item.action_url) == (
        "1 update for you",
        "mira likes your post",
        "https://shop.test/mira",
    )


def test_beyond_twenty_lines_the_rest_is_counted(fred: str, submit: Submit) -> None:
    submit_many = [like(submit, f"a{n}", channels=("inapp",)) for n in range(summaries.MOST_LINES + 3)]
    close()
    [notification] = made()
    assert (len(notification.data["lines"]), notification.data["count"], notification.data["more"]) == (
        summaries.MOST_LINES,
        len(submit_many),
        3,
    )
    due.ring_due()
    assert rows(InboxItem)[0].body.endswith("and 3 more")


def test_a_digest_costs_the_same_statements_however_much_is_in_it(fred: str, submit: Submit) -> None:
    costs = []
    for count in (1, 2, 12):
        for n in range(count):
            like(submit, f"a{n}", channels=("email",))
        pass_time()
        with statements() as sent:
            summaries.close_due()
        costs.append(len(sent))
    assert costs[1] == costs[2]


def test_it_goes_where_its_lines_were_to_go(fred: str, submit: Submit) -> None:
    """The inbox lists what was for the inbox, and the mail what was to be mailed."""
    like(submit, "mira")
    like(submit, "jonas", channels=("email",))
    close()
    assert {tuple(stood(one)): lines(one) for one in made()} == {
        ("inapp",): ["mira likes your post"],
        ("email",): ["jonas likes your post", "mira likes your post"],
    }


def test_a_digest_goes_out_although_one_of_its_channels_is_gone(fred: str, submit: Submit) -> None:
    like(submit, "ann")
    with transaction() as session:
        session.execute(sa.update(Delivery).where(Delivery.channel == "email").values(channel="pigeon"))
    assert close() == 1
    assert [tuple(stood(one)) for one in made()] == [("inapp",)]
    assert [row.reason for row in rows(Delivery) if row.channel == "pigeon"] == ["channel_off"]


def test_whose_template_fails_is_named_by_its_type(fred: str, submit: Submit) -> None:
    like(submit, "mira")
    with transaction() as session:
        session.execute(sa.update(Notification).values(data={}))
    close()
    assert lines(made()[0]) == ["Like"]


def test_a_test_keys_digest_is_captured_and_never_shown(fred: str, submit: Submit, caller: Caller) -> None:
    like(
        submit, "mira", caller=Caller(caller.producer_id, is_test=True, may_be_urgent=True, types=None, request_id="r")
    )
    close()
    [notification] = made()
    due.ring_due()
    assert (notification.is_test, set(stood(notification).values()), rows(InboxItem)) == (True, {("queued", None)}, [])


# ---- what has changed meanwhile -------------------------------------------------------------------------------------


def test_a_type_that_was_switched_off_meanwhile_is_left_out_and_says_why(fred: str, submit: Submit) -> None:
    like(submit, "mira")
    submit("fred", type="follow", data={"actor": "jonas"}, channels=("inapp", "email"))
    choose(types={"like": False})
    close()
    [notification] = made()
    assert len(lines(notification)) == 1
    assert [(d.reason, d.detail) for d in rows(Delivery) if d.reason == "opted_out"] == [
        ("opted_out", {"because": "type"})
    ] * 2


def test_nothing_is_sent_of_a_digest_in_which_nothing_is_left(fred: str, submit: Submit) -> None:
    like(submit, "mira")
    choose(categories={"social": False})
    assert close() == 1
    assert made() == rows(Digest) == []


def test_a_type_chosen_by_name_is_summed_up_although_its_category_is_off(fred: str, submit: Submit) -> None:
    choose(categories={"social": False}, types={"like": True})
    like(submit, "mira")
    close()
    due.ring_due()
    assert stood(made()[0]) == {"inapp": ("delivered", None), "email": ("queued", None)}


def test_what_its_producer_let_expire_is_left_out(fred: str, submit: Submit) -> None:
    choose(digest={"social": "hourly"})
    like(submit, "mira", expires_in=86_400, is_perishable=True)
    like(submit, "jonas")
    with transaction() as session:
        session.execute(sa.update(Delivery).where(Delivery.expires_at.is_not(None)).values(expires_at=now()))
    close()
    assert lines(made()[0]) == ["jonas likes your post"]
    assert [d.reason for d in rows(Delivery) if d.reason == "expired"] == ["expired"] * 2


def test_what_expires_before_its_digest_is_never_gathered(fred: str, submit: Submit) -> None:
    choose(digest={"social": "weekly"})
    answer = like(submit, "mira", expires_in=1, is_perishable=True)
    assert {(d["reason"], d["detail"]["held"]) for d in answer["notifications"][0]["deliveries"]} == {
        ("expired", "digest")
    }
    like(submit, "jonas")  # a day by default, which is not meant for a weekly digest
    assert len(rows(DigestEntry)) == 2


def test_what_is_not_to_be_sent_yet_stays_for_later(fred: str, submit: Submit) -> None:
    like(submit, "mira", send_at=now() + timedelta(hours=3))
    like(submit, "jonas", send_at=now() + timedelta(hours=3))
    with transaction() as session:
        session.execute(sa.update(Notification).where(Notification.id == rows_of_likes()[0].id).values(send_at=now()))
    close()
    assert lines(made()[0]) == ["mira likes your post"]
    [digest] = rows(Digest)
    assert digest.due_at > now()
    with transaction() as session:
        session.execute(sa.update(Notification).values(send_at=now()))
    close()
    assert [lines(one) for one in made()] == [["mira likes your post"], ["jonas likes your post"]]


def rows_of_likes() -> list[Notification]:
    return rows(Notification, type="like")


def test_what_was_replaced_by_a_newer_one_is_left_out(fred: str, submit: Submit) -> None:
    for actor in ("mira", "jonas"):
        like(submit, actor, collapse_key="post-1")
    close()
    assert lines(made()[0]) == ["jonas likes your post"]


def test_a_cancelled_notification_leaves_the_open_digest(fred: str, submit: Submit) -> None:
    cancelled = parse("ntf", like(submit, "mira")["notifications"][0]["id"])
    like(submit, "jonas")
    assert cancel.cancel(cancelled) == 2
    assert [(d.status, d.reason) for d in rows(Delivery, notification_id=cancelled)] == [("skipped", "cancelled")] * 2
    close()
    assert lines(made()[0]) == ["jonas likes your post"]
    with pytest.raises(Rejected, match="there is nothing left to cancel in this notification"):
        cancel.cancel(rows_of_likes()[1].id)


def test_with_a_person_go_their_digests(fred: str, submit: Submit) -> None:
    like(submit, "mira")
    profiles.erase("fred")
    assert rows(Digest) == rows(DigestEntry) == []
    assert close() == 0


# ---- changing one's mind --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "is_closed"),
    [
        ({"digest": {"social": "off"}}, True),
        ({"digest": {"social": "weekly"}}, True),
        ({"digest": {"marketing": "weekly"}}, False),
        ({"mute_until": None, "quiet_hours": None}, False),
        ({"channels": {"sms": True}}, False),
    ],
)
def test_who_changes_the_frequency_gets_at_once_what_has_been_gathered(
    fred: str, submit: Submit, change: dict[str, Any], is_closed: bool
) -> None:
    like(submit, "mira")
    choose(**change)
    pass_grace()
    assert summaries.close_due() == is_closed


def test_the_summary_of_the_quiet_comes_when_it_is_over(fred: str, submit: Submit) -> None:
    until = now() + timedelta(hours=2)
    choose(digest={"social": "off"}, mute_until=until, held="summary")
    like(submit, "mira")
    like(submit, "jonas")
    [digest] = rows(Digest)
    assert (digest.key, digest.window_at) == ("social:held", until.replace(microsecond=0))
    choose(mute_until=None)
    pass_grace()
    assert summaries.close_due() == 1
    due.ring_due()
    assert {tuple(stood(one)): (lines(one), next(iter(stood(one).values()))) for one in made()} == {
        ("email",): (["jonas likes your post", "mira likes your post"], ("queued", None))
    }


def test_what_was_read_in_the_inbox_meanwhile_is_not_summed_up(fred: str, submit: Submit) -> None:
    """In-app items do not wait for the quiet to end; the mail about them did."""
    choose(digest={"social": "off"}, mute_until=now() + timedelta(hours=2), held="summary")
    like(submit, "mira")
    like(submit, "jonas")
    with transaction() as session:
        session.execute(sa.update(InboxItem).where(InboxItem.title.startswith("mira")).values(read_at=now()))
    close()
    assert [lines(one) for one in made()] == [["jonas likes your post"]]
    assert [d.channel for d in rows(Delivery, reason="read_elsewhere")] == ["email"]


def test_a_digest_is_never_gathered_itself_and_waits_for_the_quiet(fred: str, submit: Submit) -> None:
    like(submit, "mira")
    choose(held="summary", mute_until=now() + timedelta(hours=1), caps={"social": {"day": 0}})
    close()
    [notification] = made()
    assert stood(notification) == {"inapp": ("waiting", "scheduled"), "email": ("waiting", "muted")}
    assert rows(DigestEntry) == []


# ---- many at once ---------------------------------------------------------------------------------------------------


def test_a_hundred_events_at_the_same_moment_open_one_digest(fred: str, app: APIFlask, caller: Caller) -> None:
    def repeatedly(thread: int) -> Callable[[], Any]:
        items = [
            Item(caller, submission("fred", type="like", data={"actor": f"a{thread}-{n}"}, channels=("inapp",)))
            for n in range(10)
        ]
        return lambda: [type(accept([item])[0]).__name__ for item in items]

    answers = at_once(app, *(repeatedly(thread) for thread in range(10)))
    assert answers == [["Accepted"] * 10] * 10
    assert (len(rows(Digest)), len(rows(DigestEntry))) == (1, 100)


def test_processes_that_start_at_the_same_moment_open_one_digest(fred: str, environment: dict[str, str]) -> None:
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    given = {**{name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}, **environment}
    processes = [Program([name], given, module="tests.ledgers.gathering", talks=True) for name in ("a", "b")]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.say("go")
    said = [process.rest(60) for process in processes]
    assert [lines.count("Accepted") for lines in said] == [20] * 2
    assert (len(rows(Digest)), len(rows(DigestEntry))) == (1, 40)


@pytest.mark.slow
def test_schedulers_and_events_at_the_same_time_lose_nothing_and_double_nothing(
    fred: str, app: APIFlask, caller: Caller
) -> None:
    """Windows end all the time while things come in, and three schedulers close them."""
    is_over = threading.Event()

    def produce() -> None:
        for n in range(40):
            accept(
                [
                    Item(
                        caller,
                        submission(
                            "fred", type="like", data={"actor": f"a{threading.get_ident()}-{n}"}, channels=("email",)
                        ),
                    )
                ]
            )

    def schedule() -> None:
        while not is_over.is_set():
            close()
            db.session.remove()

    def produce_and_end() -> None:
        produce()
        is_over.set()

    assert at_once(app, produce, produce_and_end, schedule, schedule, schedule) == [None] * 5
    close()
    listed = {show("ntf", one.id): one.data["count"] for one in made()}
    assert sum(listed.values()) == 80
    assert Counter(d.detail["digest"] for d in rows(Delivery, reason="digested")) == listed


def test_a_digest_that_is_closed_whenever_it_is_looked_for_is_joined_all_the_same(fred: str, submit: Submit) -> None:
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    like(submit, "mira")
    gone = "DELETE FROM digest WHERE id IN (SELECT id FROM digest FOR UPDATE SKIP LOCKED) RETURNING *"
    somebody = sa.create_engine(db.engine.url, isolation_level="AUTOCOMMIT")
    closed = []

    def open_and_close(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        with somebody.connect() as other:
            if statement.startswith("INSERT INTO digest (") and closed:
                columns = {name: value for name, value in closed[-1].items() if name != "id"}
                row = sa.insert(Digest.__table__).values(id=new_id(), **columns)
                other.execute(row)
            if statement.startswith("SELECT digest.id, digest.user_id"):
                closed.extend(other.execute(sa.text(gone)).mappings().all())

    with transaction() as session:
        session.execute(sa.delete(DigestEntry))
    sa.event.listen(db.engine, "before_cursor_execute", open_and_close)
    try:
        like(submit, "noor")
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", open_and_close)
        somebody.dispose()
    assert closed
    assert {entry.digest_id for entry in rows(DigestEntry)} == {one.id for one in rows(Digest)} != set()


def test_one_that_cannot_be_closed_keeps_no_other_back(fred: str, submit: Submit) -> None:
    """A fault of ours: of a row as no release has written it, say."""
    choose(digest={"social": "daily", "marketing": "weekly"})
    like(submit, "mira")
    submit("fred", type="newsletter", data={"title": "T", "body": "B"}, channels=("email",))
    with transaction() as session:
        session.execute(sa.update(Digest).where(Digest.key == "marketing").values(category="gone"))
    with structlog.testing.capture_logs() as logs:
        assert close() == 1
    assert [one["event"] for one in logs if one["log_level"] == "error"] == ["digest.not_closed"]
    assert [row.type for row in made()] == ["social_digest"]
    assert [(digest.category, digest.due_at > now()) for digest in rows(Digest)] == [("gone", True)]
    with transaction() as session:
        session.execute(sa.update(Digest).values(category="marketing"))
    assert close() == 1
    assert [row.type for row in made()] == ["social_digest", "marketing_digest"]


def test_who_dies_while_closing_has_done_nothing(fred: str, submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    like(submit, "mira")
    pass_time()
    before = [(row.id, row.detail) for row in rows(Delivery)]

    def die(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE FROM digest"):
            raise KeyboardInterrupt

    sa.event.listen(db.engine, "before_cursor_execute", die)
    with pytest.raises(KeyboardInterrupt):
        summaries.close_due()
    sa.event.remove(db.engine, "before_cursor_execute", die)
    assert (made(), [(row.id, row.detail) for row in rows(Delivery)], len(rows(Submission))) == ([], before, 1)
    assert summaries.close_due() == 1
    assert len(made()) == 1


def test_without_redis_the_inbox_has_it_and_the_mail_waits(
    fred: str, submit: Submit, app: APIFlask, request: pytest.FixtureRequest
) -> None:
    like(submit, "mira")
    request.getfixturevalue("redis_away")
    close()
    due.ring_due()
    assert stood(made()[0]) == {"inapp": ("delivered", None), "email": ("waiting", "scheduled")}
