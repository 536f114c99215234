"""A subscription's turn: what is posted, how it is signed, what follows a failure, and what is never lost."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from standardwebhooks import Webhook

from notifier.access import accounts, keys, producer_limits
from notifier.core.subscriptions import DISABLED_AFTER, TRIED_FOR
from notifier.ground import kept
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import redis_store
from notifier.ground.ids import new_id, parse, show
from notifier.ledgers import events as stream_of
from notifier.models import (
    ApiKey,
    Event,
    EventStream,
    EventType,
    Notification,
    Producer,
    Subscription,
    SubscriptionAttempt,
    SubscriptionRetry,
)
from notifier.people import profiles
from notifier.pipeline.intake import expand
from notifier.pipeline.upkeep import broadcasts as upkeep
from notifier.subscriptions import due, lease, reading, record, registered, sending, turn
from notifier.subscriptions.registered import Rights
from tests import tracing
from tests.conftest import Api
from tests.stored import rows
from tests.subscriptions.conftest import Call, Subscriber, happened, stored

Subscribe = Callable[..., UUID]
SOON = timedelta(seconds=7)  # the first retry is due by then


@pytest.fixture
def later() -> Any:
    """`with later(timedelta(…)):` so much later than now, and standing still."""
    return lambda by: time_machine.travel(now() + by, tick=False)


def outcomes() -> list[tuple[str, str | None]]:
    return [(row.outcome, row.code) for row in rows(SubscriptionAttempt)]


# ---- what is sent ---------------------------------------------------------------------------------------------------


def test_an_event_is_posted_signed_in_the_form_of_the_stream(
    api: Api, cast: Any, subscriber: Subscriber, subscribe: Subscribe
) -> None:
    made = api.post("/api/v1/subscriptions", {"url": subscriber.url(), "events": ["delivery.*"]}).json
    order = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}, "channels": ["inapp"]}
    api.post("/api/v1/notifications", order, headers={"Idempotency-Key": "order-1"})
    assert turn.take(rows(Subscription)[0].id) == 1

    [call] = subscriber.calls
    Webhook(made["secret"]).verify(call.body, call.headers)
    assert call.headers["content-type"] == "application/json"
    assert call.event["type"] == "delivery.delivered"
    assert call.event.keys() == {"type", "timestamp", "data"}
    data = call.event["data"]
    assert (data["user"], data["notification_type"], data["key"]) == ("alice", "order_shipped", "order-1")
    assert data["delivery"]["channel"] == "inapp"
    [line] = api.get("/api/v1/events").text.splitlines()
    assert f'"id":"{call.id}"' in line.replace(": ", ":")


def test_who_is_told_can_go_on_with_the_trace_of_a_request_that_is_recorded(
    api: Api,
    cast: Any,
    subscriber: Subscriber,
    subscribe: Subscribe,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api.post("/api/v1/subscriptions", {"url": subscriber.url(), "events": ["delivery.*"]})
    order = {"type": "order_shipped", "recipients": ["alice"], "channels": ["inapp"], "dedupe": False}
    collector = tracing.Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    with tracing.traced(collector.url, environment):
        for flags in ("01", "00"):
            traceparent = f"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}"
            body = {**order, "data": {"order_id": flags}}
            api.post("/api/v1/notifications", body, headers={"traceparent": traceparent})
        turn.take(rows(Subscription)[0].id)
    collector.close()
    accept = collector.only("accept")
    told = [call.headers.get("traceparent", "").split("-")[1:3] for call in subscriber.calls]
    assert sorted(told) == [[], [accept.trace, accept.id]]


def test_a_broadcasts_own_producer_hears_that_it_was_paused_and_has_finished(
    api: Api, cast: Any, subscriber: Subscriber
) -> None:
    stranger = Api(api.client, keys.create_key(keys.create_producer("Other").id, scopes=["read"])[1])
    for one, path in ((api, "/ours"), (stranger, "/theirs")):
        one.post("/api/v1/subscriptions", {"url": subscriber.url(path), "events": ["broadcast.*"]})
    news = {"type": "newsletter", "audience": {"users": ["carol"]}, "data": {"title": "T", "body": "B"}}
    made = api.post("/api/v1/broadcasts", {"name": "Spring", **news}).json
    for change in ("pause", "resume"):
        api.post(f"/api/v1/broadcasts/{made['id']}/{change}")
    expand.expand(parse("brd", made["id"]))  # Carol has opted out, so that is all
    upkeep.watch()
    for row in rows(Subscription):
        turn.take(row.id)
    assert sorted((call.path, call.event["type"], call.event["data"]["broadcast"]) for call in subscriber.calls) == [
        ("/ours", "broadcast.finished", made["id"]),
        ("/ours", "broadcast.paused", made["id"]),
    ]


def test_while_a_secret_is_rotated_both_sign(
    api: Api, subscriber: Subscriber, subscribe: Subscribe, later: Any
) -> None:
    key = subscribe()
    first = stored(key).secret
    second, _ = registered.rotate_secret(key, Rights(None, sees_people=False, sees_all=False))
    happened("a")
    turn.take(key)
    for secret in (first, second):
        Webhook(secret).verify(subscriber.calls[0].body, subscriber.calls[0].headers)
    with later(registered.OVERLAP + timedelta(seconds=1)):
        happened("b")
        turn.take(key)
    assert len(subscriber.calls[1].headers["webhook-signature"].split()) == 1


def test_who_loses_the_new_secret_and_makes_another_cuts_no_receiver_off(
    subscriber: Subscriber, subscribe: Subscribe
) -> None:
    key = subscribe()
    secrets = [stored(key).secret]
    for _ in range(3):
        secrets.append(registered.rotate_secret(key, Rights(None, sees_people=False, sees_all=False))[0])
        happened("a")
        turn.take(key)
    for call, signing in zip(subscriber.calls, (secrets[:2], secrets[:3], secrets[1:]), strict=True):
        assert len(call.headers["webhook-signature"].split()) == len(signing)
        for secret in signing:
            Webhook(secret).verify(call.body, call.headers)


def test_events_come_once_in_order_and_only_those_that_are_wanted(subscriber: Subscriber, subscribe: Subscribe) -> None:
    happened("before")
    key = subscribe(events=["delivery.sent", "inbox.*"], types=["like", "comment"])
    bank = keys.create_producer("Bank")
    delivery = new_id()
    happened("1", "2", "3", delivery_id=delivery)
    happened("other kind", kind="delivery.skipped")
    happened("other type", type="follow")
    happened("other producer", producer_id=bank.id)
    happened("nobody's", producer_id=None)
    happened("4", kind="inbox.read", type="comment", delivery_id=delivery)
    assert turn.take(key) == 4
    assert subscriber.reasons() == ["1", "2", "3", "4"]
    assert turn.take(key) == 0
    happened("5")
    assert turn.take(key) == 1


def test_a_machine_that_has_no_thread_left_is_no_reason_to_stop(subscriber: Subscriber, subscribe: Subscribe) -> None:
    one = subscribe()
    happened("first")
    assert turn.take(one) == 1  # its connection, and so the subscriber's thread, is there from now on
    happened(*"abcde")
    before = threading.stack_size(1 << 46)  # of which there is no memory for any
    try:
        assert turn.take(one) == 5
    finally:
        threading.stack_size(before)
    assert sorted(subscriber.reasons()) == ["a", "b", "c", "d", "e", "first"]


def test_many_events_take_several_batches(
    subscriber: Subscriber, subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST", 7)
    key = subscribe()
    happened(*map(str, range(25)))
    assert turn.take(key) == 25
    assert Counter(subscriber.reasons()) == Counter(map(str, range(25)))
    assert len(rows(SubscriptionAttempt)) == 25


def test_a_batch_takes_a_constant_number_of_statements(
    app: APIFlask, subscriber: Subscriber, subscribe: Subscribe, statements: Any
) -> None:
    key = subscribe()
    counts = []
    for number in (1, 20):
        happened(*map(str, range(number)))
        with statements() as asked:
            turn.take(key)
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 22


@pytest.mark.parametrize("ends", ["revoked", "expired"])
def test_what_goes_beyond_its_producers_own_ends_with_the_key(
    subscriber: Subscriber, subscribe: Subscribe, ends: str
) -> None:
    key = subscribe(events=["delivery.*", "user.*"], all_producers=True)
    narrow = subscribe("/people", events=["delivery.*", "user.*"])
    bank = keys.create_producer("Bank")
    happened("bank's", producer_id=bank.id)
    happened("people's", kind="user.unsubscribed", producer_id=None)
    happened("the product's", producer_id=None)
    turn.take(key)
    assert sorted(subscriber.reasons()) == ["bank's", "people's", "the product's"]
    turn.take(narrow)
    assert [call.reason for call in subscriber.calls if call.path == "/people"] == ["people's"]
    with transaction() as session:
        column = {"revoked": ApiKey.revoked_at, "expired": ApiKey.expires_at}[ends]
        session.execute(sa.update(ApiKey).values({column: now()}))
    subscriber.calls.clear()
    happened("bank's", producer_id=bank.id)
    happened("own")
    happened("people's", kind="user.unsubscribed", producer_id=None)
    turn.take(key)
    turn.take(narrow)
    assert subscriber.reasons() == ["own", "own"]
    due.advance()
    assert due.ring_due(now() + timedelta(minutes=1)) == 0  # nothing is left that would ring it for ever


def test_a_test_keys_subscription_hears_of_tests_alone(api: Api, subscriber: Subscriber, app: APIFlask) -> None:
    producer = rows(Producer)[0]
    tester = Api(api.client, keys.create_key(producer.id, scopes=["read"], is_test=True)[1])
    tester.post("/api/v1/subscriptions", {"url": subscriber.url(), "events": ["delivery.*"]})
    happened("live", user_id=None)
    happened("test", is_test=True)
    turn.take(rows(Subscription)[0].id)
    assert subscriber.reasons() == ["test"]


def test_nothing_is_sent_for_a_disabled_producer_and_it_goes_on_with_it(
    subscriber: Subscriber, subscribe: Subscribe
) -> None:
    key = subscribe()
    happened("a")
    producer = rows(Producer)[0]
    keys.disable_producer(producer.id)
    assert due.ring_due(now()) == 0
    assert turn.take(key) == 0
    keys.disable_producer(producer.id, disabled=False)
    assert turn.take(key) == 1


def test_an_erased_person_is_erased_from_what_waits_for_another_try(
    cast: Any, subscriber: Subscriber, subscribe: Subscribe, later: Any
) -> None:
    subscriber.answer = lambda _call: 500
    key = subscribe()
    happened("a", user_id="alice", address_masked="a…@example.test")
    turn.take(key)
    profiles.erase("alice")
    subscriber.answer = lambda _call: 204
    with later(SOON):
        turn.take(key)
    first, second = subscriber.calls
    assert (first.id, b"alice" in first.body) == (second.id, True)
    assert b"alice" not in second.body
    assert b"example.test" not in second.body


# ---- failures -------------------------------------------------------------------------------------------------------


def test_what_fails_is_tried_again_later_with_its_id_and_holds_up_nothing(
    subscriber: Subscriber, subscribe: Subscribe, later: Any
) -> None:
    subscriber.answer = lambda call: 500 if call.reason == "bad" else 204
    key = subscribe()
    happened("a", "bad", "b")
    turn.take(key)
    assert sorted(subscriber.reasons()) == ["a", "b", "bad"]
    [waiting] = rows(SubscriptionRetry)
    assert (waiting.tries, stored(key).failing_since) == (1, None)
    assert turn.take(key) == 0  # it is not due yet
    subscriber.answer = lambda _call: 204
    with later(SOON):
        assert due.ring_due(now()) == 1
        assert turn.take(key) == 1
    bad = [call for call in subscriber.calls if call.reason == "bad"]
    assert (len(bad), bad[0].id, bad[0].body) == (2, bad[1].id, bad[1].body)
    assert rows(SubscriptionRetry) == []
    attempts = [row for row in rows(SubscriptionAttempt) if row.webhook_id == bad[0].id]
    assert [(row.number, row.outcome, row.code) for row in attempts] == [(1, "failed", "http_500"), (2, "sent", None)]
    assert (attempts[0].next_at, attempts[1].next_at) == (waiting.due_at, None)


FAILURES: dict[str, Any] = {
    "a redirect": (302, "http_302"),
    "not found": (404, "http_404"),
    "refused": (403, "http_403"),
    "broken": (500, "http_500"),
    "slow down": ((429, {"Retry-After": "40"}), "http_429"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_whatever_is_no_success_is_tried_again(
    subscriber: Subscriber, subscribe: Subscribe, name: str, still_clock: None
) -> None:
    answer, code = FAILURES[name]
    subscriber.answer = lambda _call: answer
    key = subscribe()
    happened("a")
    turn.take(key)
    [waiting] = rows(SubscriptionRetry)
    assert outcomes() == [("failed", code)]
    assert waiting.due_at - now() >= timedelta(seconds=40 if name == "slow down" else 4)
    assert stored(key).failing_since == now()


def test_an_event_is_given_up_after_three_days(subscriber: Subscriber, subscribe: Subscribe, later: Any) -> None:
    subscriber.answer = lambda _call: 500
    key = subscribe()
    happened("a")
    turn.take(key)
    with later(TRIED_FOR):
        turn.take(key)
    assert rows(SubscriptionRetry) == []
    assert [row.next_at is None for row in rows(SubscriptionAttempt)] == [False, True]


def test_410_disables_at_once_and_the_admins_are_told(
    app: APIFlask, subscriber: Subscriber, subscribe: Subscribe
) -> None:
    accounts.create_account("root@example.test", None, "admin", "root")
    subscriber.answer = lambda _call: 410
    key = subscribe("/secret-path")
    happened(*(f"n{number}" for number in range(60)))  # the rest of which is not posted any more
    turn.take(key)
    row = stored(key)
    assert (row.disabled_reason, row.leased_until) == ("gone", None)
    assert {attempt.next_at for attempt in rows(SubscriptionAttempt)} == {None}
    assert rows(SubscriptionRetry) != []  # for when it is switched on again
    assert turn.take(key) == 0
    assert due.tell_of_disabled() == 1
    assert due.tell_of_disabled() == 0
    [alarm] = rows(Notification, type="subscription_disabled")
    assert alarm.user_id == "root"
    assert (alarm.data["reason"], alarm.data["producer"]) == ("gone", "Shop")
    assert "secret-path" not in str(alarm.data)
    assert alarm.data["url"].endswith(f"/admin/subscriptions/{show('sbn', key)}")


def test_one_that_the_admins_cannot_be_told_of_keeps_no_other_from_being_told(
    app: APIFlask, subscriber: Subscriber, subscribe: Subscribe
) -> None:
    accounts.create_account("root@example.test", None, "admin", "root")
    subscriber.answer = lambda _call: 410
    subscribed = [subscribe("/one"), subscribe("/two")]
    happened("a")
    for key in subscribed:
        turn.take(key)
    with transaction() as session:  # by an admin, whose schema takes but one of them
        stored_type = session.get_one(EventType, due.TYPE)
        fits = f"/{show('sbn', subscribed[1])}$"
        stored_type.schema = {"type": "object", "properties": {"url": {"type": "string", "pattern": fits}}}
    kept.forget()
    assert due.tell_of_disabled() == 2
    [alarm] = rows(Notification, type=due.TYPE)
    assert alarm.data["url"].endswith(show("sbn", subscribed[1]))
    assert due.tell_of_disabled() == 0


def test_five_days_without_a_success_disable_it_and_it_goes_on_when_switched_on(
    api: Api, subscriber: Subscriber, subscribe: Subscribe, later: Any
) -> None:
    subscriber.answer = lambda _call: 500
    key = subscribe()
    happened("a")
    turn.take(key)
    happened("b")
    with later(DISABLED_AFTER):
        turn.take(key)
        assert stored(key).disabled_reason == "failing"
        assert {row.next_at for row in rows(SubscriptionAttempt)[-2:]} == {None}
        assert due.tell_of_disabled() == 1
        happened("c")
        subscriber.calls.clear()
        subscriber.answer = lambda _call: 204
        redis_store.client.flushall()  # its breaker
        api.patch(f"/api/v1/subscriptions/{show('sbn', key)}", {"disabled": False})
        turn.take(key)
    assert sorted(subscriber.reasons()) == ["b", "c"]


def test_after_a_long_failure_the_first_success_brings_what_waits(
    subscriber: Subscriber, subscribe: Subscribe, later: Any
) -> None:
    subscriber.answer = lambda _call: 500
    key = subscribe()
    happened(*map(str, range(4)))
    turn.take(key)
    with transaction() as session:
        session.execute(sa.update(SubscriptionRetry).values(due_at=now() + timedelta(hours=6)))
    subscriber.answer = lambda _call: 204
    with later(timedelta(hours=1)):
        happened("new")
        assert [turn.take(key), turn.take(key)] == [1, 4]
    assert rows(SubscriptionRetry) == []


def test_new_events_wait_in_the_stream_while_too_many_wait_for_another_try(
    subscriber: Subscriber, subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch, later: Any
) -> None:
    monkeypatch.setattr(reading, "MOST_WAITING", 3)
    subscriber.answer = lambda _call: 500
    key = subscribe()
    happened(*"abcdef")
    turn.take(key)
    position = stored(key).position
    happened("new")
    before = len(subscriber.calls)
    turn.take(key)
    assert (stored(key).position, len(subscriber.calls)) == (position, before)
    assert stored(key).wake_at == min(row.due_at for row in rows(SubscriptionRetry))


def test_an_event_that_others_have_overtaken_is_told_once(
    app: APIFlask, subscriber: Subscriber, subscribe: Subscribe
) -> None:
    key = subscribe()
    happened("a", "overtaken", "b")
    mine = lease.claim(key)
    assert mine is not None
    batch = reading.read(mine, now())
    posted = [sending.Posted(item, now(), 1, None) for item in (batch.items[0], batch.items[2])]
    record.record(mine, batch, posted, ends=True, wake_at=now())
    assert len(rows(SubscriptionRetry)) == 1
    assert [turn.take(key), turn.take(key)] == [1, 0]
    assert subscriber.reasons() == ["overtaken"]
    assert rows(SubscriptionRetry) == []


# ---- hosts that are away ---------------------------------------------------------------------------------------------


def test_a_dead_host_makes_the_events_wait_where_they_are(
    api: Api, subscriber: Subscriber, subscribe: Subscribe, app: APIFlask
) -> None:
    dead = subscribe()
    with transaction() as session:
        session.get(Subscription, dead).url = "http://127.0.0.1:1/hook"
    alive = subscribe()
    happened(*map(str, range(60)))
    turn.take(dead)
    waiting, row = len(rows(SubscriptionRetry)), stored(dead)
    assert 10 <= waiting < 40
    assert row.wake_at > now()
    assert row.failing_since is not None
    assert turn.take(dead) == 0  # its breaker is open
    assert len(rows(SubscriptionRetry)) == waiting
    assert turn.take(alive) == 60  # nothing of this is another host's business


def test_one_url_that_fails_stops_no_other_of_its_host(subscriber: Subscriber, subscribe: Subscribe) -> None:
    subscriber.answer = lambda call: 500 if call.path == "/broken" else 204
    broken, fine = subscribe("/broken"), subscribe("/fine")
    happened(*map(str, range(40)))
    turn.take(broken)
    assert turn.take(broken) == 0
    assert turn.take(fine) == 40


def test_slow_subscribers_leave_lanes_to_the_others(
    subscriber: Subscriber, subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SLOW_AT_ONCE", 2)
    monkeypatch.setattr(due, "SLOW_AT_ONCE", 2)
    slow = [subscribe(f"/slow/{number}") for number in range(4)]
    fast = subscribe("/fast")
    with transaction() as session:
        session.execute(sa.update(Subscription).where(Subscription.id.in_(slow)).values(is_slow=True))
    happened("a")
    assert due.ring_due(now()) == 3
    assert [lease.claim(key) is not None for key in (*slow, fast)] == [True, True, False, False, True]


def test_a_hanging_subscriber_never_holds_up_another(
    app: APIFlask, subscriber: Subscriber, subscribe: Subscribe
) -> None:
    let_go = threading.Event()

    def answer(call: Call) -> int:
        if call.path == "/hangs":
            let_go.wait(60)
        return 204

    subscriber.answer = answer
    hangs, fine = subscribe("/hangs"), subscribe("/fine")
    happened("a", "b")

    def take() -> None:
        with app.app_context():
            turn.take(hangs)

    thread = threading.Thread(target=take)
    thread.start()
    try:
        while not any(call.path == "/hangs" for call in subscriber.calls):
            time.sleep(0.01)
        assert turn.take(fine) == 2
    finally:
        let_go.set()
        thread.join()


@pytest.mark.parametrize("address", ["10.0.0.7", "169.254.169.254", "::1", "::ffff:10.0.0.7"])
def test_a_name_that_leads_into_a_private_network_is_refused_when_it_is_connected_to(
    app: APIFlask, subscriber: Subscriber, subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    http = app.extensions["channels"].http
    monkeypatch.setattr(http._dialler, "resolve", lambda _host, port: [(address, port)])
    key = subscribe(url="https://rebound.example.com/")
    happened("a")
    turn.take(key)
    assert outcomes() == [("failed", "target_refused")]


# ---- who is pruned, pinged, replayed ---------------------------------------------------------------------------------


def test_a_ping_is_sent_once_and_signed(api: Api, subscriber: Subscriber, subscribe: Subscribe) -> None:
    key = subscribe(events=["inbox.read"])
    asked = registered.ask_for_ping(key)
    happened("a")
    assert due.ring_due(now()) == 1
    turn.take(key)
    [call] = subscriber.calls
    assert (call.id, call.event["type"]) == (asked, "ping")
    Webhook(stored(key).secret).verify(call.body, call.headers)
    assert (stored(key).ping, turn.take(key)) == (None, 0)
    shown = api.get(f"/api/v1/subscriptions/{show('sbn', key)}/attempts").json["data"]
    assert [(one["event"], one["type"], one["outcome"], one["number"]) for one in shown] == [(asked, "ping", "sent", 1)]


def test_a_ping_is_sent_although_the_breaker_is_open(subscriber: Subscriber, subscribe: Subscribe) -> None:
    subscriber.answer = lambda _call: 500
    key = subscribe()
    happened(*map(str, range(20)))
    turn.take(key)
    subscriber.answer = lambda _call: 204
    subscriber.calls.clear()
    registered.ask_for_ping(key)
    turn.take(key)
    assert subscriber.calls[0].event["type"] == "ping"
    assert stored(key).failing_since is None


def test_a_replay_sends_the_events_of_that_time_once_more(
    subscriber: Subscriber, subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST", 4)
    key = subscribe()
    start = now() - timedelta(hours=8)
    for hour in range(8):
        happened(str(hour), at=start + timedelta(hours=hour))
    turn.take(key)
    before = {call.reason: call.id for call in subscriber.calls}
    subscriber.calls.clear()
    registered.replay(key, start + timedelta(hours=2), start + timedelta(hours=5))
    happened("new")
    turn.take(key)
    assert sorted(subscriber.reasons()) == ["2", "3", "4", "new"]
    assert {call.reason: call.id for call in subscriber.calls if call.reason != "new"} == {
        hour: before[hour] for hour in "234"
    }
    row = stored(key)
    assert (row.replay_position, row.replay_since) == (None, None)


def test_what_was_pruned_while_it_was_away_is_told_in_its_attempts(
    subscriber: Subscriber, subscribe: Subscribe
) -> None:
    key = subscribe()
    _, second, _ = happened("a", "b", "c")
    with transaction() as session:
        session.execute(sa.delete(Event).where(Event.id <= second))
        session.execute(sa.update(EventStream).values(pruned=second))
    turn.take(key)
    assert subscriber.reasons() == ["c"]
    assert sorted(outcomes(), key=str) == [("missed", "events_deleted"), ("sent", None)]


def test_what_was_pruned_before_its_replay_came_to_it_is_told_too(subscriber: Subscriber, subscribe: Subscribe) -> None:
    key = subscribe()
    start = now() - timedelta(hours=4)
    *_, third, _ = happened("a", "b", "c", "d", at=start)
    turn.take(key)
    subscriber.calls.clear()
    registered.replay(key, start - timedelta(hours=1), now())
    with transaction() as session:
        session.execute(sa.delete(Event).where(Event.id <= third))
        session.execute(sa.update(EventStream).values(pruned=third))
    turn.take(key)
    assert subscriber.reasons() == ["d"]
    assert sorted(outcomes(), key=str) == [("missed", "events_deleted"), *[("sent", None)] * 5]
    assert stored(key).replay_position is None


def test_a_replay_of_the_oldest_that_are_left_misses_none(subscriber: Subscriber, subscribe: Subscribe) -> None:
    key = subscribe()
    second = happened("a", "b", at=now() - timedelta(days=3))[-1]
    oldest_at = now() - timedelta(hours=4)
    happened("c", at=oldest_at)
    turn.take(key)
    with transaction() as session:
        session.execute(sa.delete(Event).where(Event.id <= second))
        session.execute(sa.update(EventStream).values(pruned=second))
    registered.replay(key, oldest_at, now())
    turn.take(key)
    assert outcomes() == [("sent", None)] * 4


def test_a_retry_whose_event_was_pruned_is_told_and_forgotten(
    subscriber: Subscriber, subscribe: Subscribe, later: Any
) -> None:
    subscriber.answer = lambda _call: 500
    key = subscribe()
    happened("a")
    turn.take(key)
    with transaction() as session:
        session.execute(sa.delete(Event))
    with later(SOON):
        turn.take(key)
    assert rows(SubscriptionRetry) == []
    assert outcomes() == [("failed", "http_500"), ("missed", "events_deleted")]


def test_the_pruning_of_others_events_is_no_loss(subscriber: Subscriber, subscribe: Subscribe) -> None:
    key = subscribe()
    bank = keys.create_producer("Bank")
    happened("bank's", producer_id=bank.id, at=now() - timedelta(days=20))
    due.advance()
    stream_of.prune()
    happened("a")
    turn.take(key)
    assert outcomes() == [("sent", None)]


# ---- one at a time ---------------------------------------------------------------------------------------------------


def test_one_worker_at_a_time_has_it(subscriber: Subscriber, subscribe: Subscribe) -> None:
    key = subscribe()
    assert lease.claim(key) is not None
    assert lease.claim(key) is None
    with transaction() as session:
        session.execute(sa.update(Subscription).values(leased_until=now() - timedelta(seconds=1)))
    assert lease.claim(key) is not None


def test_who_has_lost_its_turn_records_nothing(
    subscriber: Subscriber, subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = subscribe()
    happened("a")
    position = stored(key).position
    send = sending.send

    def send_and_lose(*arguments: Any) -> Any:
        posted = send(*arguments)
        with transaction() as session:
            session.execute(sa.update(Subscription).values(turn=Subscription.turn + 1))
        return posted

    monkeypatch.setattr(sending, "send", send_and_lose)
    turn.take(key)
    assert (stored(key).position, rows(SubscriptionAttempt)) == (position, [])


def test_a_changed_url_gets_what_was_on_its_way_to_the_old_one(
    api: Api, subscriber: Subscriber, subscribe: Subscribe
) -> None:
    key = subscribe("/old")
    happened("a")

    def answer(call: Call) -> int:
        if call.path == "/old":
            change = {"url": subscriber.url("/new")}
            Api(api.client.application.test_client(), api.key).patch(
                f"/api/v1/subscriptions/{show('sbn', key)}", change
            )
            return 500
        return 204

    subscriber.answer = answer
    turn.take(key)
    assert turn.take(key) == 1
    assert [call.path for call in subscriber.calls] == ["/old", "/new"]
    assert subscriber.calls[0].id == subscriber.calls[1].id
    assert stored(key).failing_since is None


def test_one_that_is_deleted_meanwhile_leaves_nothing(api: Api, subscriber: Subscriber, subscribe: Subscribe) -> None:
    key = subscribe()
    happened("a")

    def answer(_call: Call) -> int:
        Api(api.client.application.test_client(), api.key).delete(f"/api/v1/subscriptions/{show('sbn', key)}")
        return 500

    subscriber.answer = answer
    assert turn.take(key) == 1
    assert (rows(Subscription), rows(SubscriptionRetry)) == ([], [])


def test_a_bug_ends_the_turn_and_is_no_failed_job(
    subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch, still_clock: None
) -> None:
    key = subscribe()
    monkeypatch.setattr(reading, "read", lambda *_: 1 / 0)
    assert turn.take(key) == 0
    row = stored(key)
    assert (row.leased_until, row.wake_at) == (None, now() + timedelta(minutes=1))


def test_nothing_is_told_to_a_url_that_a_list_leaves_out(subscriber: Subscriber, subscribe: Subscribe) -> None:
    """It is kept, and says why; what has waited follows when the list names it again."""
    key = subscribe()
    producer_id = stored(key).producer_id
    producer_limits.change(producer_id, {"webhook_targets": ["other.test", "192.0.2.0/24"]})
    happened("a")
    turn.take(key)
    assert (subscriber.calls, outcomes()) == ([], [("failed", "target_not_listed")])
    assert "producer's list" in rows(SubscriptionAttempt)[0].message
    producer_limits.change(producer_id, {"webhook_targets": ["127.0.0.1"]})
    with time_machine.travel(now() + SOON, tick=False):
        turn.take(key)
    assert subscriber.reasons() == ["a"]
