"""Caps, counted in a real Redis: what goes out, what is over, and what is never counted."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from apiflask import APIFlask
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier import accounts
from notifier.clock import now
from notifier.core.limits import DEFAULT_CAPS
from notifier.database import transaction
from notifier.extensions import db, redis_store
from notifier.ids import new_id
from notifier.models import InboxItem, Notification, Submission
from notifier.pipeline import caps, people
from notifier.pipeline import preferences as choosing
from notifier.pipeline.accept import accept
from notifier.pipeline.dry_run import dry_run
from notifier.pipeline.expand import expand
from notifier.pipeline.judge import Accepted, Caller, Item
from tests.pipeline.conftest import rows, statements, submission, traces

Submit = Callable[..., Any]
HOUR, DAY = 3_600, 86_400
TITLES = count()
ON_ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")  # what Redis does is the same on both


def offer(*recipients: Any, **fields: Any) -> Any:
    """A marketing submission that repeats nothing: at most 2 an hour and 5 a day."""
    return submission(*recipients, **{"type": "promotional_offer", "data": {"title": f"Offer {next(TITLES)}"}, **fields})


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
    for key in client.scan_iter("notifier:caps:*:*"):
        for member, at in client.zrange(key, 0, -1, withscores=True):
            if member:
                client.zadd(key, {member: at - seconds * 1000})


def counted(user_id: str = "alice", category: str = "marketing") -> int:
    return sum(1 for member in redis_store.client.zrange(f"notifier:caps:{category}:{user_id}", 0, -1) if member)


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
@given(st.lists(st.sampled_from([0, 60, HOUR // 2, HOUR, 5 * HOUR]), min_size=1, max_size=20))
@settings(max_examples=15)
def test_no_hour_and_no_day_ever_sees_more_than_the_caps(app: APIFlask, caller: Caller, cast: dict[str, str], pauses: list[int]) -> None:
    redis_store.client.set(caps.SINCE, 1)
    redis_store.client.delete("notifier:caps:marketing:dave")
    at, sent = 0, list[int]()
    for pause in pauses:
        pass_time(pause)
        at += pause
        [answer] = accept([Item(caller, offer("dave"))])
        sent += [at] if went(answer) else []
    for start in sent:
        assert sum(start <= at < start + HOUR for at in sent) <= DEFAULT_CAPS["marketing"]["hour"]
        assert sum(start <= at < start + DAY for at in sent) <= DEFAULT_CAPS["marketing"]["day"]


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
    choosing.change("alice", {"caps": {category: {"day": 0} for category in ("transactional", "system")}}, replace=False, source="test")
    assert all(send("alice", **fields) for _ in range(12))
    assert redis_store.client.keys("notifier:caps:*") == []


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
        ({"day": 0}, {"per": "day", "max": 0}),
        ({"hour": 0}, {"per": "hour", "max": 0}),
        ({"channels": {"email": {"day": 0}}}, {"per": "day", "max": 0, "channel": "email"}),
    ],
)
def test_it_is_said_which_cap_it_was(cast: dict[str, str], submit: Submit, chosen: dict[str, Any], detail: dict[str, Any]) -> None:
    choosing.change("alice", {"caps": {"marketing": chosen}}, replace=False, source="test")
    assert last_skip(submit("alice", type="promotional_offer", data={"title": "t"})) == ("frequency_cap", detail)


def test_what_is_over_is_kept_for_the_summary_where_that_is_wanted(cast: dict[str, str], submit: Submit) -> None:
    choosing.change("alice", {"caps": {"marketing": {"day": 0}}, "held": "summary"}, replace=False, source="test")
    [notification] = submit("alice", type="promotional_offer", data={"title": "t"}, channels=("email",))["notifications"]
    assert [(d["reason"], d["detail"]["held"]) for d in notification["deliveries"]] == [("digested", "frequency_cap")]


# ---- batches


def test_the_order_inside_a_batch_counts(cast: dict[str, str], caller: Caller) -> None:
    answers = accept([Item(caller, offer("alice")) for _ in range(4)])
    assert [bool(went(answer)) for answer in answers] == [True, True, False, False]
    assert len(rows(InboxItem)) == 2


def test_a_large_submission_is_counted_when_it_is_expanded(send: Submit, caller: Caller) -> None:
    with transaction():
        people.upsert([people.InlineRecipient(f"u{i}", {"name": "U"}) for i in range(101)])
    send("u7")
    send("u7")
    accept([Item(caller, offer(*(f"u{i}" for i in range(101))))])
    [large] = [row for row in rows(Submission) if row.recipients == 101]
    assert expand(large.id) == 101
    assert [counted("u6"), counted("u7")] == [1, 2]


@contextmanager
def questions() -> Iterator[list[str]]:
    """Collects what Redis is asked inside about caps; what a script does by itself is no question."""
    asked: list[str] = []
    with redis_store.client.monitor() as monitor:
        yield asked
        redis_store.client.echo("that is all")
        for heard in monitor.listen():
            if heard["command"] == "ECHO that is all":
                break
            if heard["client_type"] != "lua" and caps.SINCE in heard["command"]:
                asked.append(heard["command"])


def test_a_batch_costs_one_round_trip_and_no_statement(cast: dict[str, str], caller: Caller) -> None:
    def cost(size: int) -> tuple[int, int]:
        with transaction():
            people.upsert([people.InlineRecipient(f"n{size}-{i}", {"name": "N"}) for i in range(size)])
        batch = [Item(caller, offer(f"n{size}-{i}", "alice")) for i in range(size)]
        with questions() as asked, statements() as sent:
            accept(batch)
        return len(asked), len(sent)

    redis_store.client.set(caps.SINCE, 1)
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
    redis_store.client.delete("notifier:caps:since", "notifier:caps:marketing:alice")
    before = traces()
    second = dry_run([item])[0]["notifications"]
    assert traces() == before
    shown = [[{d["reason"] for d in n["deliveries"] if d["channel"] == "inapp"} for n in answer] for answer in (first, second)]
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
    choosing.change("alice", {"caps": {"marketing": {"channels": {"email": {"day": 1}, "inapp": {"day": 1}}}}}, replace=False, source="test")
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
def test_rebuilt_counts_leave_out_what_is_not_counted(send: Submit, caller: Caller, case: str, fields: dict[str, Any], caller_changes: dict[str, Any]) -> None:
    for _ in range(3):
        send("alice", caller=replace(caller, **caller_changes), **fields)
    redis_store.client.flushall()
    assert [bool(send("alice", type="account_activity", data={"event": "e"})) for _ in range(4)] == [True, True, True, False]


def test_what_is_older_than_a_day_is_not_asked_for(send: Submit) -> None:
    send("alice")
    send("alice")
    with transaction() as session:
        session.execute(sa.update(Notification).values(created_at=now() - timedelta(days=1, seconds=1)))
    redis_store.client.flushall()
    assert send("alice")


def test_the_database_is_asked_once_for_each_person(send: Submit) -> None:
    asked: list[int] = []
    for _ in range(2):
        with statements() as sent:
            send("alice")
        asked.append(sum("JOIN event_type" in statement for statement in sent))
    assert asked == [1, 0]


def test_once_redis_has_counted_for_a_day_the_database_is_not_asked(send: Submit) -> None:
    send("alice")
    redis_store.client.decrby(caps.SINCE, DAY * 1000 + 1)
    redis_store.client.delete("notifier:caps:marketing:bob")
    with statements() as sent:
        send("bob")
    assert not any("JOIN event_type" in statement for statement in sent)


def test_what_is_counted_is_forgotten_after_a_day(send: Submit) -> None:
    send("alice")
    assert DAY - 60 < redis_store.client.ttl("notifier:caps:marketing:alice") <= DAY
