"""Caps, counted in a real Redis: what goes out, what is over, and what is never counted."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
import redis
import sqlalchemy as sa
from apiflask import APIFlask
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.access import accounts
from notifier.core.limits import DEFAULT_CAPS
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.ground.ids import new_id, parse
from notifier.inbox import marks
from notifier.inbox.marks import Chosen
from notifier.ledgers import caps
from notifier.ledgers.caps_in_redis import ASKED_UNTIL
from notifier.models import CollapseHead, Delivery, InboxItem, Notification, Submission
from notifier.people import addresses, profiles
from notifier.people import preferences as choosing
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.cancel import cancel
from notifier.pipeline.intake.dry_run import dry_run
from notifier.pipeline.intake.expand import expand
from notifier.pipeline.intake.item import Accepted, Caller, Item
from notifier.pipeline.planning.replacing import key_of
from notifier.pipeline.upkeep import due, lost
from tests.channels.pushing import Browser
from tests.running import eventually
from tests.stored import deliveries, rows, traces
from tests.stored import sent_statements as statements
from tests.submitting import submission

Submit = Callable[..., Any]
MINUTE, HOUR, DAY = 60, 3_600, 86_400
TIMES = [0, MINUTE, HOUR // 2, HOUR, 5 * HOUR]
TITLES = count()
# What Redis does is the same on both
ON_ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")


def offer(*recipients: Any, **fields: Any) -> Any:
    """A marketing submission that repeats nothing: at most 2 an hour and 5 a day."""
    return submission(
        *recipients, **{"type": "promotional_offer", "data": {"title": f"Offer {next(TITLES)}"}, **fields}
    )


def went(answer: Any) -> list[str]:
    """The channels by which something went to the one recipient."""
    result = answer.answer if isinstance(answer, Accepted) else answer
    return [d["channel"] for d in result["notifications"][0]["deliveries"] if d["status"] != "skipped"]


@pytest.fixture
def send(caller: Caller, cast: dict[str, str]) -> Submit:
    """`send("alice", type=…)` → the channels by which it went."""

    def _send(*recipients: Any, caller: Caller = caller, **fields: Any) -> list[str]:
        [answer] = accept([Item(caller, offer(*recipients, **fields))])
        return went(answer)

    return _send


def pass_time(seconds: int) -> None:
    """Moves all that was counted into the past: Redis's own clock cannot be turned."""
    client = redis_store.client
    for key in client.scan_iter("notifier:caps2:*:*"):
        for member, at in client.zrange(key, 0, -1, withscores=True):
            if member:
                client.zadd(key, {member: at - seconds * 1000})


def later(seconds: int) -> datetime | None:
    return now() + timedelta(seconds=seconds) if seconds else None


def counted(user_id: str = "alice", category: str = "marketing") -> int:
    """How many notifications, by whichever of their channels."""
    return len(
        {
            member.split()[0]
            for member in redis_store.client.zrange(f"notifier:caps2:{category}:{user_id}", 0, -1)
            if member
        }
    )


# ---- the windows


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("case", "pauses", "goes"),
    [
        ("three at once", [0, 0, 0], "++-"),
        ("after an hour two more", [0, 0, HOUR, 0, 0], "++++-"),
        ("just before the hour has passed", [0, 0, HOUR - 60], "++-"),
        ("windows roll: the first has left it, the second has not", [0, HOUR // 2, HOUR // 2, 0], "+++-"),
        ("five a day", [0, HOUR, HOUR, HOUR, HOUR, HOUR, HOUR], "+++++--"),
        ("after a day they begin to leave", [0, HOUR, HOUR, HOUR, HOUR, DAY - 4 * HOUR, 0], "++++++-"),
        ("what was over is not counted", [0, 0, 0, 0, HOUR, 0], "++--++"),
    ],
)
def test_windows_roll(send: Submit, case: str, pauses: list[int], goes: str) -> None:
    found = ""
    for pause in pauses:
        pass_time(pause)
        found += "+" if send("alice") else "-"
    assert found == goes


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("case", "due", "goes"),
    [
        ("what is due another day uses up nothing of today", [2 * DAY, 2 * DAY, 0, 0, 0], "++++-"),
        ("nor today anything of another day", [0, 0, 2 * DAY, 2 * DAY, 2 * DAY], "++++-"),
        ("another hour of the same day is another hour", [3 * HOUR, 3 * HOUR, 0, 0, 3 * HOUR], "++++-"),
        ("and the day is one", [0, 2 * HOUR, 4 * HOUR, 6 * HOUR, 8 * HOUR, 10 * HOUR], "+++++-"),
        ("what is due later in the same hour counts now", [30 * MINUTE, 40 * MINUTE, 0], "++-"),
        ("one before and one after within an hour", [0, 50 * MINUTE, 30 * MINUTE], "++-"),
        ("one before and one after, and no hour has both", [0, 70 * MINUTE, 40 * MINUTE], "+++"),
        (
            "a day is any 24 hours, whatever the calendar says",
            [0, 6 * HOUR, 12 * HOUR, 18 * HOUR, 23 * HOUR, 22 * HOUR, 25 * HOUR],
            "+++++-+",
        ),
    ],
)
def test_each_counts_for_the_time_it_is_due(send: Submit, case: str, due: list[int], goes: str) -> None:
    found = "".join("+" if send("alice", send_at=later(seconds)) else "-" for seconds in due)
    assert found == goes


@ON_ONE_DATABASE
@given(st.lists(st.tuples(st.sampled_from(TIMES), st.sampled_from([0, 0, *TIMES, DAY])), min_size=1, max_size=20))
@settings(max_examples=15)
def test_no_hour_and_no_day_ever_sees_more_than_the_caps(
    app: APIFlask, caller: Caller, cast: dict[str, str], steps: list[tuple[int, int]]
) -> None:
    """Whatever is submitted when, and for when."""
    redis_store.client.set(ASKED_UNTIL, 1)
    redis_store.client.delete("notifier:caps2:marketing:dave")
    at, sent = 0, list[int]()
    for pause, ahead in steps:
        pass_time(pause)
        at += pause
        [answer] = accept([Item(caller, offer("dave", send_at=later(ahead)))])
        sent += [at + ahead] if went(answer) else []
    for start in sent:
        assert sum(start <= at < start + HOUR for at in sent) <= DEFAULT_CAPS["marketing"]["hour"]
        assert sum(start <= at < start + DAY for at in sent) <= DEFAULT_CAPS["marketing"]["day"]


@ON_ONE_DATABASE
def test_channels_of_one_that_are_due_at_different_times_count_apart(send: Submit) -> None:
    """The item at once, the mail when the escalation has waited for a read."""
    for _ in range(2):
        assert send("alice", routing="escalate", channels=("inapp", "email"), escalate_after=2 * HOUR) == [
            "inapp",
            "email",
        ]
    assert [send("alice", channels=("sms",), send_at=later(hours * HOUR)) for hours in (0, 2, 4)] == [[], [], ["sms"]]


# ---- what does not go out


def passed(*, status: str) -> None:
    """Lets all of this status expire, and the scheduler's turn come."""
    ago = now() - timedelta(seconds=1)
    with transaction() as session:
        session.execute(sa.update(Delivery).where(Delivery.status == status).values(expires_at=ago, wake_at=ago))


def not_wanted_at_the_last_look() -> None:
    choosing.change("alice", {"channels": {"email": False}}, replace=False, source="test")
    deliver([row.id for row in deliveries(status="queued")])
    choosing.change("alice", {"channels": {"email": True}}, replace=False, source="test")


def superseded(submit: Submit) -> None:
    submit("alice", collapse_key="cart", channels=("email",))  # transactional: no cap concerns it


def without_words() -> None:
    with transaction() as session:
        session.execute(sa.update(Notification).values(data={}))
        session.execute(sa.update(Delivery).where(Delivery.status == "waiting").values(wake_at=now()))
    due.ring_due()


SOON = {"send_at": 600}


@pytest.mark.parametrize(
    ("case", "fields", "end", "became"),
    [
        ("cancelled before it was due", SOON, lambda one, _: cancel(one), ("cancelled", "cancelled")),
        ("cancelled in its queue", {}, lambda one, _: cancel(one), ("cancelled", "cancelled")),
        (
            "expired before it was due",
            SOON,
            lambda *_: (passed(status="waiting"), due.ring_due()),
            ("expired", "expired"),
        ),
        ("expired in its queue", {}, lambda *_: (passed(status="queued"), lost.ring_lost()), ("expired", "expired")),
        (
            "expired before its send",
            {},
            lambda *_: (passed(status="queued"), deliver([deliveries()[0].id])),
            ("expired", "expired"),
        ),
        ("superseded", {"collapse_key": "cart"}, lambda _, submit: superseded(submit), ("skipped", "superseded")),
        (
            "not wanted any more at the last look",
            {},
            lambda *_: not_wanted_at_the_last_look(),
            ("skipped", "opted_out"),
        ),
        ("without words", {**SOON, "channels": ("inapp",)}, lambda *_: without_words(), ("skipped", "template_error")),
    ],
)
def test_what_does_not_go_out_gives_its_count_back(
    send: Submit, submit: Submit, case: str, fields: dict[str, Any], end: Callable[..., Any], became: tuple[str, str]
) -> None:
    times = {name: later(value) if name == "send_at" else value for name, value in fields.items()}
    choosing.change("alice", {"caps": {"marketing": {"hour": 1}}}, replace=False, source="test")
    assert send("alice", **{"channels": ("email",), **times})
    assert not send("alice", channels=("sms",))
    one = deliveries()[0]
    end(one.notification_id, submit)
    assert [(row.status, row.reason) for row in deliveries(id=one.id)] == [became]
    assert [bool(send("alice", channels=("sms",))) for _ in range(2)] == [True, False]


ONE_MAIL_A_DAY = {"caps": {"marketing": {"channels": {"email": {"day": 1}}}}}


@pytest.mark.parametrize(
    ("case", "routing", "end"),
    [
        ("the item is there, the mail is cancelled", "all", cancel),
        ("the item is there, so the mail is not needed", "first", None),
        ("the item was read, so the mail need not remind of it", "escalate", lambda _: marks.read("alice", Chosen())),
    ],
)
def test_one_channel_of_two_gives_back_its_own_count(
    send: Submit, case: str, routing: str, end: Callable[[UUID], Any] | None
) -> None:
    choosing.change("alice", ONE_MAIL_A_DAY, replace=False, source="test")
    send("alice", channels=("inapp", "email"), routing=routing)
    if end:
        assert send("alice", channels=("email",)) == []
        end(rows(Notification)[0].id)
    assert (counted(), by_mail()) == (1, 0)
    assert send("alice", channels=("email",)) == ["email"]
    assert send("alice", channels=("inapp",)) == []  # two in this hour


def by_mail(user_id: str = "alice") -> int:
    return sum(
        member.endswith(b" email") for member in redis_store.client.zrange(f"notifier:caps2:marketing:{user_id}", 0, -1)
    )


def test_one_address_of_two_gives_nothing_back(send: Submit) -> None:
    for n in range(2):
        addresses.add_browser("alice", Browser(f"https://push.test/{n}").subscription, label="Firefox")
    send("alice", channels=("webpush",))
    both = [row.id for row in deliveries()]
    passed(status="queued")
    deliver(both[:1])
    assert (len(both), counted()) == (2, 1)
    deliver(both[1:])
    assert counted() == 0


def test_what_comes_back_counts_again(send: Submit, submit: Submit) -> None:
    """The one that had replaced it is cancelled."""
    send("alice", collapse_key="cart", channels=("email",))
    newer = submit("alice", collapse_key="cart", channels=("email",))["notifications"][0]["id"]
    assert counted() == 0
    cancel(parse("ntf", newer))
    assert (deliveries()[0].status, counted()) == ("waiting", 1)


def test_who_is_superseded_while_it_is_stored_is_not_counted(
    app: APIFlask, cast: dict[str, str], caller: Caller
) -> None:
    """It passed the caps before it learned that somebody else was faster."""
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    place = dict(
        zip(("user_id", "scope", "collapse_key"), key_of("alice", caller.producer_id, False, "cart"), strict=True)
    )

    def run() -> None:
        with app.app_context():
            accept([Item(caller, offer("alice", collapse_key="cart", sequence=1))])

    slower = threading.Thread(target=run)
    with db.engine.begin() as faster:
        faster.execute(sa.insert(CollapseHead).values(**place, notification_id=new_id(), sequence=2, updated_at=now()))
        slower.start()
        assert eventually(lambda: counted() == 1)
    slower.join()
    assert {row.reason for row in deliveries()} == {"superseded"}
    assert counted() == 0


def test_a_channel_that_is_not_needed_after_another_is_given_back(send: Submit) -> None:
    send("alice", channels=("sms", "email"), routing="first")
    assert by_mail() == 1
    deliver([row.id for row in deliveries(channel="sms")])
    assert [row.reason for row in deliveries(channel="email")] == ["not_needed"]
    assert (counted(), by_mail()) == (1, 0)


def test_nothing_is_counted_for_somebody_who_was_erased(send: Submit) -> None:
    send("alice")
    send("alice", send_at=later(3 * DAY))
    profiles.erase("alice")
    assert not [key for key in redis_store.client.keys("notifier:caps2:*") if key.endswith(b":alice")]


def test_what_no_cap_concerned_is_not_counted_when_it_ends(cast: dict[str, str], submit: Submit) -> None:
    for fields in (
        {},
        {"type": "account_activity", "data": {"event": "e"}, "priority": "urgent"},
        {"type": "security_alert", "data": {"event": "e"}},
    ):
        submit("alice", channels=("email", "sms"), **fields)
    passed(status="queued")
    deliver([row.id for row in deliveries()])
    assert redis_store.client.keys("notifier:caps2:*") == []


def test_a_batch_gives_back_with_one_statement_and_one_round_trip(cast: dict[str, str], caller: Caller) -> None:
    def cost(size: int) -> tuple[int, int]:
        names = [f"n{size}-{i}" for i in range(size)]
        with transaction():
            profiles.upsert([profiles.InlineRecipient(name, {"email": f"{name}@example.test"}) for name in names])
        accept([Item(caller, offer(name, channels=("email",), send_at=later(DAY))) for name in names])
        passed(status="waiting")
        with questions("notifier:caps2:") as asked, statements() as sent:
            assert due.ring_due() == size
        assert [counted(name) for name in names] == [0] * size
        return len(asked), sum("JOIN event_type" in statement for statement in sent)

    assert cost(2) == cost(30) == (1, 1)


def test_a_transaction_that_comes_to_nothing_gives_nothing_back(send: Submit) -> None:
    send("alice", channels=("email",))
    one = rows(Notification)[0]
    with suppress(RuntimeError), transaction() as session:
        session.execute(sa.update(Delivery).values(status="cancelled"))
        caps.recount([one.id])
        raise RuntimeError
    assert counted() == 1


@pytest.mark.usefixtures("redis_away")
def test_without_redis_what_ends_ends_all_the_same(send: Submit) -> None:
    send("alice", channels=("email",))
    assert cancel(rows(Notification)[0].id) == 1
    profiles.erase("alice")


# ---- what is counted, and for whom


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("case", "fields"),
    [
        ("transactional", {"type": "order_shipped", "data": {"order_id": "A1"}}),
        ("mandatory", {"type": "security_alert", "data": {"event": "e"}}),
        ("mandatory, and not even urgent", {"type": "security_alert", "data": {"event": "e"}, "priority": "low"}),
        ("urgent", {"type": "account_activity", "data": {"event": "e"}, "priority": "urgent"}),
        ("an alert to admins", {"type": "fraud_alert", "data": {"order_id": "A1", "reason": "r"}, "priority": "low"}),
    ],
)
def test_some_are_neither_counted_nor_limited(send: Submit, case: str, fields: dict[str, Any]) -> None:
    accounts.create_account("alice@example.test", "a long password", role="admin", user_id="alice")
    choosing.change(
        "alice",
        {"caps": {category: {"day": 0} for category in ("transactional", "system")}},
        replace=False,
        source="test",
    )
    assert all(send("alice", **fields) for _ in range(12))
    assert redis_store.client.keys("notifier:caps2:*") == []


@ON_ONE_DATABASE
def test_what_goes_out_by_no_channel_is_not_counted(send: Submit) -> None:
    choosing.change("alice", {"categories": {"marketing": False}}, replace=False, source="test")
    assert [send("alice") for _ in range(3)] == [[], [], []]
    choosing.change("alice", {"categories": {"marketing": True}}, replace=False, source="test")
    assert [bool(send("alice")) for _ in range(3)] == [True, True, False]


def test_categories_and_people_are_counted_apart(send: Submit) -> None:
    assert [bool(send(name)) for name in ("alice", "alice", "alice", "bob")] == [True, True, False, True]
    assert send("alice", type="comment", data={"actor": "Eve"})


def test_a_test_key_uses_up_nothing(send: Submit, caller: Caller) -> None:
    rehearsing = replace(caller, is_test=True)
    assert [bool(send("alice", caller=rehearsing)) for _ in range(3)] == [True, True, False]
    assert [bool(send("alice")) for _ in range(3)] == [True, True, False]


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("case", "chosen", "goes"),
    [
        ("fewer a day", {"day": 1}, [["inapp", "email"], [], []]),
        ("more than the installation allows", {"day": 99, "hour": 99}, [["inapp", "email"], ["inapp", "email"], []]),
        ("fewer by mail", {"channels": {"email": {"day": 1}}}, [["inapp", "email"], ["inapp"], []]),
        ("no mail at all", {"channels": {"email": {"hour": 0}}}, [["inapp"], ["inapp"], []]),
        ("none", {"hour": 0}, [[], [], []]),
    ],
)
def test_a_person_may_want_fewer(send: Submit, case: str, chosen: dict[str, Any], goes: list[list[str]]) -> None:
    choosing.change("alice", {"caps": {"marketing": chosen}}, replace=False, source="test")
    assert [send("alice") for _ in range(3)] == goes


def test_a_cap_by_channel_knows_what_came_before_it_was_set(send: Submit) -> None:
    send("alice")
    choosing.change("alice", {"caps": {"marketing": {"channels": {"email": {"day": 1}}}}}, replace=False, source="test")
    assert send("alice") == ["inapp"]


# ---- what the delivery says


def last_skip(answer: dict[str, Any], channel: str = "email") -> tuple[str, Any]:
    [delivery] = [d for d in answer["notifications"][0]["deliveries"] if d["channel"] == channel]
    return delivery["reason"], delivery["detail"].get("cap")


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("chosen", "detail"),
    [
        ({"day": 0}, {"per": "day", "max": 0, "category": "marketing"}),
        ({"hour": 0}, {"per": "hour", "max": 0, "category": "marketing"}),
        (
            {"channels": {"email": {"day": 0}}},
            {"per": "day", "max": 0, "channel": "email", "category": "marketing"},
        ),
    ],
)
def test_it_is_said_which_cap_it_was(
    cast: dict[str, str], submit: Submit, chosen: dict[str, Any], detail: dict[str, Any]
) -> None:
    choosing.change("alice", {"caps": {"marketing": chosen}}, replace=False, source="test")
    assert last_skip(submit("alice", type="promotional_offer", data={"title": "t"})) == ("frequency_cap", detail)


def test_what_is_over_is_kept_for_the_summary_where_that_is_wanted(cast: dict[str, str], submit: Submit) -> None:
    choosing.change("alice", {"caps": {"marketing": {"day": 0}}, "held": "summary"}, replace=False, source="test")
    [notification] = submit("alice", type="promotional_offer", data={"title": "t"}, channels=("email",))[
        "notifications"
    ]
    assert [(d["reason"], d["detail"]["held"]) for d in notification["deliveries"]] == [("digested", "frequency_cap")]


# ---- batches


def test_the_order_inside_a_batch_counts(cast: dict[str, str], caller: Caller) -> None:
    answers = accept([Item(caller, offer("alice")) for _ in range(4)])
    assert [bool(went(answer)) for answer in answers] == [True, True, False, False]
    assert len(rows(InboxItem)) == 2


def test_a_large_submission_is_counted_when_it_is_expanded(send: Submit, caller: Caller) -> None:
    with transaction():
        profiles.upsert([profiles.InlineRecipient(f"u{i}", {"name": "U"}) for i in range(101)])
    send("u7")
    send("u7")
    accept([Item(caller, offer(*(f"u{i}" for i in range(101))))])
    [large] = [row for row in rows(Submission) if row.recipients == 101]
    assert expand(large.id) == 101
    assert [counted("u6"), counted("u7")] == [1, 2]


@contextmanager
def questions(about: str = ASKED_UNTIL) -> Iterator[list[str]]:
    """Collects what Redis is asked inside about caps; what a script does by itself is no question."""
    asked: list[str] = []
    with redis_store.client.monitor() as monitor:
        yield asked
        redis_store.client.echo("that is all")
        for heard in monitor.listen():
            if heard["command"] == "ECHO that is all":
                break
            if heard["client_type"] != "lua" and about in heard["command"]:
                asked.append(heard["command"])


def test_a_batch_costs_one_round_trip_and_no_statement(cast: dict[str, str], caller: Caller) -> None:
    def cost(size: int) -> tuple[int, int]:
        with transaction():
            profiles.upsert([profiles.InlineRecipient(f"n{size}-{i}", {"name": "N"}) for i in range(size)])
        batch = [Item(caller, offer(f"n{size}-{i}", "alice")) for i in range(size)]
        with questions() as asked, statements() as sent:
            accept(batch)
        return len(asked), len(sent)

    redis_store.client.set(ASKED_UNTIL, 1)
    cost(1)
    assert cost(2) == cost(30)
    assert cost(3)[0] == 1


@ON_ONE_DATABASE
def test_what_no_cap_concerns_asks_nobody(cast: dict[str, str], caller: Caller) -> None:
    with questions() as asked:
        accept([Item(caller, submission("alice", "bob"))])
    assert asked == []


def test_two_senders_at_the_limit_never_both_pass(app: APIFlask, cast: dict[str, str], caller: Caller) -> None:
    barrier, answers = threading.Barrier(8), list[Any]()

    def run() -> None:
        with app.app_context():
            barrier.wait()
            for _ in range(3):
                answers.extend(accept([Item(caller, offer("alice", channels=("inapp",)))]))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 24
    assert sum(bool(went(answer)) for answer in answers) == 2
    assert len(rows(InboxItem)) == 2


# ---- when something goes wrong


def test_what_came_to_nothing_is_not_counted(send: Submit, caller: Caller) -> None:
    """A row that cannot be stored ends the transaction, which is tried again as a whole and then item by item."""
    broken = Item(caller, offer("bob", collapse_key="\0"))  # PostgreSQL has no such text
    if db.engine.dialect.name == "sqlite":
        broken = Item(replace(caller, producer_id=new_id()), offer("bob"))  # a producer that there is not
    answers = accept([Item(caller, offer("alice")), broken, Item(caller, offer("alice"))])
    assert [isinstance(answer, Accepted) for answer in answers] == [True, False, True]
    assert [counted("alice"), counted("bob")] == [2, 0]


def test_a_batch_that_is_tried_again_is_counted_once(app: APIFlask, send: Submit, caller: Caller) -> None:
    """Two with one idempotency key at the same time: the slower one is rolled back and decided anew."""
    item = Item(caller, offer("alice", idempotency=("k1", "aa" * 32)))
    barrier = threading.Barrier(6)

    def run() -> None:
        with app.app_context():
            barrier.wait()
            accept([item])

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted() == 1


@pytest.mark.usefixtures("redis_away")
def test_without_redis_everything_passes_uncounted(send: Submit) -> None:
    assert [bool(send("alice")) for _ in range(4)] == [True] * 4


@ON_ONE_DATABASE
def test_where_redis_was_dead_a_moment_ago_nobody_asks_again(send: Submit) -> None:
    outage = redis_store.client.outage  # type: ignore[attr-defined]
    with questions() as asked:
        outage.begin(redis.ConnectionError("dead"))
        assert send("alice")
        outage.end()
    assert (asked, counted()) == ([], 0)


def test_a_dry_run_looks_and_counts_nothing(send: Submit, caller: Caller) -> None:
    item = Item(caller, offer("alice", "bob"))
    first = dry_run([item])[0]["notifications"]
    assert traces() == []
    send("alice")
    send("alice")
    redis_store.client.delete(ASKED_UNTIL, "notifier:caps2:marketing:alice")
    before = traces()
    second = dry_run([item])[0]["notifications"]
    assert traces() == before
    shown = [
        [{d["reason"] for d in n["deliveries"] if d["channel"] == "inapp"} for n in answer]
        for answer in (first, second)
    ]
    assert shown == [[{None}, {None}], [{"frequency_cap"}, {None}]]


# ---- after a FLUSHALL


def test_the_counts_are_rebuilt_from_the_database(send: Submit, caller: Caller) -> None:
    send("alice")
    send("alice", caller=replace(caller, is_test=True))
    send("alice", type="account_activity", data={"event": "e"})
    redis_store.client.flushall()
    assert [bool(send("alice")) for _ in range(2)] == [True, False]
    redis_store.client.flushall()
    assert [bool(send("alice")) for _ in range(2)] == [False, False]


def test_rebuilt_counts_know_by_which_channels_it_went(send: Submit) -> None:
    send("alice", channels=("inapp",))
    choosing.change(
        "alice",
        {"caps": {"marketing": {"channels": {"email": {"day": 1}, "inapp": {"day": 1}}}}},
        replace=False,
        source="test",
    )
    redis_store.client.flushall()
    assert send("alice") == ["email"]


@pytest.mark.parametrize(
    ("case", "fields", "caller_changes"),
    [
        ("urgent ones", {"type": "account_activity", "data": {"event": "e"}, "priority": "urgent"}, {}),
        ("mandatory ones", {"type": "security_alert", "data": {"event": "e"}}, {}),
        ("those of a test key", {"type": "account_activity", "data": {"event": "e"}}, {"is_test": True}),
    ],
)
def test_rebuilt_counts_leave_out_what_is_not_counted(
    send: Submit, caller: Caller, case: str, fields: dict[str, Any], caller_changes: dict[str, Any]
) -> None:
    for _ in range(3):
        send("alice", caller=replace(caller, **caller_changes), **fields)
    redis_store.client.flushall()
    assert [bool(send("alice", type="account_activity", data={"event": "e"})) for _ in range(4)] == [
        True,
        True,
        True,
        False,
    ]


def test_what_is_older_than_a_day_is_not_asked_for(send: Submit) -> None:
    send("alice")
    send("alice")
    with transaction() as session:
        session.execute(sa.update(Notification).values(created_at=now() - timedelta(days=1, seconds=1)))
    redis_store.client.flushall()
    assert send("alice")


@pytest.mark.parametrize(
    ("case", "end", "goes"),
    [
        ("it counts for its day", None, [False, True]),
        ("unless it was cancelled", cancel, [True, True]),
    ],
)
def test_what_was_scheduled_long_ago_is_found_again(
    send: Submit, case: str, end: Callable[[UUID], Any] | None, goes: list[bool]
) -> None:
    choosing.change("alice", {"caps": {"marketing": {"day": 1}}}, replace=False, source="test")
    send("alice", send_at=later(3 * DAY))
    with transaction() as session:
        session.execute(sa.update(Notification).values(created_at=now() - timedelta(days=20)))
        session.execute(sa.update(Delivery).values(created_at=now() - timedelta(days=20)))
    if end:
        end(rows(Notification)[0].id)
    redis_store.client.flushall()
    assert [bool(send("alice", send_at=later(2 * DAY + 5 * HOUR))), bool(send("alice"))] == goes


def test_a_rebuilt_count_gives_back_what_does_not_go_out(send: Submit) -> None:
    send("alice", channels=("email",), send_at=later(600))
    send("alice", channels=("email",), send_at=later(600))
    redis_store.client.flushall()
    assert send("alice") == []
    cancel(rows(Notification)[0].id)
    assert send("alice")


@pytest.mark.slow
def test_of_somebody_who_was_sent_much_only_what_counts_is_read(send: Submit) -> None:
    send("alice", send_at=later(3 * DAY))
    send("alice", channels=("email",))
    known = {
        name: value for name, value in vars(rows(Notification)[0]).items() if name in Notification.__table__.columns
    }
    long_ago = int((now() - timedelta(days=40)).timestamp() * 1000) << 80
    old = [{**known, "id": UUID(int=long_ago + n), "submission_id": UUID(int=n), "send_at": None} for n in range(3_000)]
    with transaction() as session:
        session.execute(
            sa.insert(Submission),
            [{"id": row["submission_id"], "type": "like", "recipients": 1, "expanded": 1} for row in old],
        )
        session.execute(sa.insert(Notification), [{**row, "created_at": now() - timedelta(days=40)} for row in old])
        session.execute(
            sa.insert(Delivery),
            [{"notification_id": row["id"], "channel": "email", "priority": "low", "status": "sent"} for row in old],
        )
        for table in ("notification", "delivery", "event_type"):  # no more, since other tests see what it leaves
            session.execute(sa.text(f"ANALYZE {table}"))
    db.engine.dispose()  # connections that are open know the statistics of before
    redis_store.client.flushall()
    asked: list[tuple[str, Any]] = []
    listener = lambda _c, _cursor, statement, parameters, *_rest: asked.append((statement, parameters))  # noqa: E731
    sa.event.listen(db.engine, "before_cursor_execute", listener)
    send("alice")
    sa.event.remove(db.engine, "before_cursor_execute", listener)
    [(statement, parameters)] = [one for one in asked if "JOIN event_type" in one[0]]
    explain = "EXPLAIN QUERY PLAN " if db.engine.dialect.name == "sqlite" else "EXPLAIN "
    plan = "\n".join(
        str(tuple(row)) for row in db.session.connection().exec_driver_sql(explain + statement, parameters)
    )
    assert "ix_notification_send_at" in plan, plan
    assert "ix_notification_user_id" in plan or "pk_notification" in plan, plan
    assert not re.search(r"SCAN (notification|delivery)|Seq Scan on (notification|delivery)", plan), plan


def test_the_database_is_asked_once_for_each_person(send: Submit) -> None:
    asked: list[int] = []
    for _ in range(2):
        with statements() as sent:
            send("alice")
        asked.append(sum("JOIN event_type" in statement for statement in sent))
    assert asked == [1, 0]


def test_once_redis_has_counted_for_a_day_the_database_is_not_asked(send: Submit) -> None:
    send("alice")
    redis_store.client.decrby(ASKED_UNTIL, DAY * 1000 + 1)
    redis_store.client.delete("notifier:caps2:marketing:bob")
    with statements() as sent:
        send("bob")
    assert not any("JOIN event_type" in statement for statement in sent)


def test_the_database_is_asked_until_all_is_over_that_was_planned_before_a_flush(send: Submit) -> None:
    send("alice", send_at=later(3 * DAY))
    redis_store.client.flushall()
    send("bob")
    assert 4 * DAY - 60 < int(redis_store.client.get(ASKED_UNTIL)) / 1000 - now().timestamp() <= 4 * DAY


@pytest.mark.parametrize("ahead", [0, 3 * DAY])
def test_what_is_counted_is_forgotten_a_day_after_the_last_is_due(send: Submit, ahead: int) -> None:
    send("alice", send_at=later(ahead))
    send("alice")
    assert ahead + DAY - 60 < redis_store.client.ttl("notifier:caps2:marketing:alice") <= ahead + DAY
