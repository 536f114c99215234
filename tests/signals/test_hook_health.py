"""What is remembered of the calls to a hook, by account."""

from datetime import UTC, datetime

import pytest
import time_machine
from apiflask import APIFlask

from notifier.ground.extensions import redis_store
from notifier.signals import hook_health
from notifier.signals.hook_health import HookHealth, NotTaken

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")

AT = datetime(2026, 11, 29, 12, 30, tzinfo=UTC)


def test_of_a_hook_that_nobody_called_nothing_is_known(app: APIFlask) -> None:
    assert hook_health.read(["acme", "spare"]) == {"acme": HookHealth(), "spare": HookHealth()}
    assert hook_health.read([]) == {}


def test_the_last_events_are_remembered_with_their_kinds(app: APIFlask) -> None:
    hook_health.note_events("acme", ["opened", "delivered", "opened"], AT)
    hook_health.note_events("spare", ["bounced"], AT)
    assert hook_health.read(["acme"]) == {"acme": HookHealth(AT, ("delivered", "opened"))}


def test_a_call_that_told_nothing_is_no_event(app: APIFlask) -> None:
    hook_health.note_events("acme", [], AT)
    assert hook_health.read(["acme"])["acme"].event_at is None


def test_a_stream_of_calls_is_written_once_a_second(app: APIFlask) -> None:
    asked = redis_store.client.info("commandstats").get("cmdstat_hset", {"calls": 0})["calls"]
    with time_machine.travel(AT, tick=False):
        for _ in range(50):
            hook_health.note_events("acme", ["delivered"], AT)
    assert redis_store.client.info("commandstats")["cmdstat_hset"]["calls"] == asked + 1


def test_calls_that_were_not_taken_are_counted_with_the_last_reason_of_each_kind(app: APIFlask) -> None:
    with time_machine.travel(AT, tick=False):
        hook_health.note_refused("acme", "it is not signed", "refused")
        hook_health.note_refused("acme", "the signature is wrong", "refused")
        hook_health.note_refused("acme", "events of another account", "misdirected")
        hook_health.note_refused("acme", "the body is not JSON", "unreadable")
        health = hook_health.read(["acme"])["acme"]
    assert health == HookHealth(
        refused=NotTaken(2, AT, "the signature is wrong"),
        unreadable=NotTaken(1, AT, "the body is not JSON"),
        misdirected=NotTaken(1, AT, "events of another account"),
    )
    assert health.not_taken == 4


@pytest.mark.parametrize(
    ("read_at", "count"),
    [
        (datetime(2026, 11, 29, 23, 59, tzinfo=UTC), 1),
        (datetime(2026, 11, 30, 11, 59, tzinfo=UTC), 1),
        (datetime(2026, 11, 30, 13, 0, tzinfo=UTC), 0),
        (datetime(2026, 12, 1, 12, 30, tzinfo=UTC), 0),
    ],
)
def test_they_count_for_a_day_and_the_reason_is_kept_longer(app: APIFlask, read_at: datetime, count: int) -> None:
    with time_machine.travel(AT, tick=False):
        hook_health.note_refused("acme", "it is not signed", "refused")
    with time_machine.travel(read_at, tick=False):
        assert hook_health.read(["acme"])["acme"].refused == NotTaken(count, AT, "it is not signed")


def test_what_is_kept_has_an_end_and_a_sentence_its_limit(app: APIFlask) -> None:
    hook_health.note_refused("acme", "x" * 10_000, "refused")
    hook_health.note_events("acme", ["delivered"], AT)
    assert len(hook_health.read(["acme"])["acme"].refused.why) == 200
    assert all(redis_store.client.ttl(key) > 0 for key in redis_store.client.keys("notifier:hook:*"))


def test_the_next_account_of_a_removed_ones_name_starts_anew(app: APIFlask) -> None:
    hook_health.note_refused("acme", "it is not signed", "refused")
    hook_health.note_events("acme", ["delivered"], AT)
    hook_health.forget("acme")
    assert redis_store.client.keys("notifier:hook:*") == []


def test_without_redis_noting_is_harmless(app: APIFlask, redis_away: None) -> None:
    hook_health.note_events("acme", ["delivered"], AT)
    hook_health.note_refused("acme", "it is not signed", "refused")
    hook_health.forget("acme")
