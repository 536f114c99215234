"""When an event is tried again that a subscriber did not take, and when no more."""

from datetime import UTC, datetime, timedelta

import pytest

from notifier.core import events
from notifier.core.subscriptions import DISABLED_AFTER, TRIED_FOR, has_failed_too_long, kinds_of, named, next_try

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)

DELAYS = [(1, 5), (2, 30), (3, 120), (4, 900), (5, 3_600), (6, 21_600), (7, 21_600), (16, 21_600)]


@pytest.mark.parametrize(("tries", "seconds"), DELAYS)
def test_tries_come_after_these_delays(tries: int, seconds: int) -> None:
    assert next_try(tries, NOON, NOON, spread=0) == NOON + timedelta(seconds=seconds)
    assert next_try(tries, NOON, NOON, spread=1) == NOON + timedelta(seconds=seconds * 1.2)
    assert next_try(tries, NOON, NOON, spread=-1) == NOON + timedelta(seconds=seconds * 0.8)


def test_the_receivers_word_counts_if_it_wants_more_time() -> None:
    assert next_try(1, NOON, NOON, spread=0, retry_after_s=60) == NOON + timedelta(seconds=60)
    assert next_try(2, NOON, NOON, spread=0, retry_after_s=1) == NOON + timedelta(seconds=30)


def test_an_event_is_tried_for_three_days() -> None:
    tries, at = 0, NOON
    while (following := next_try(tries + 1, NOON, at, spread=0)) is not None:
        tries, at = tries + 1, following
    assert at <= NOON + TRIED_FOR < at + timedelta(hours=6)
    assert tries == 16


def test_five_days_of_failing_are_too_long() -> None:
    assert not has_failed_too_long(None, NOON)
    assert not has_failed_too_long(NOON - DISABLED_AFTER + timedelta(seconds=1), NOON)
    assert has_failed_too_long(NOON - DISABLED_AFTER, NOON)


def test_names_stand_for_events() -> None:
    assert named("ping") == ("ping",)
    assert named("delivery.sent") == ("delivery.sent",)
    assert [name for name in ("delivery", "*", "delivery.eaten", "", "ping.*") if named(name)] == []
    assert kinds_of(["inbox.*", "ping", "inbox.read"]) == {events.SEEN, events.READ, events.ARCHIVED}
