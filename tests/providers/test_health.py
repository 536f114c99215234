"""Breakers and pace, shared through a real Redis."""

from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.ground.extensions import db, redis_store
from notifier.providers import health
from notifier.providers.health import Grant, Tally, Want, admit, force, report, states


def pass_time(scope: str, ms: int) -> None:
    """Moves everything that is remembered of a scope into the past: Redis's own clock cannot be turned."""
    key = "notifier:health:" + scope
    for field in ("open_until", "probe_until", "rung_until", "blocked_until", "tokens_at", "out_at"):
        if float(redis_store.client.hget(key, field) or 0):
            redis_store.client.hincrbyfloat(key, field, -ms)
    redis_store.client.hincrby(key, "bucket", -(ms // (health.WINDOW_MS // 2)))


def granted(count: int = 100, per_second: float | None = None) -> int:
    return admit([Want("smtp", count, per_second)])["smtp"].count


def told(**tally: int) -> str | None:
    return report({"smtp": Tally(**tally)}).get("smtp")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("good", "bad", "happens"),
    [(0, 9, None), (0, 10, "opened"), (6, 5, None), (5, 5, "opened"), (100, 99, None), (0, 0, None)],
)
def test_a_breaker_opens_at_half_failures_of_ten_calls(app: APIFlask, good: int, bad: int, happens: str | None) -> None:
    assert told(good=good, bad=bad) == happens
    assert granted() == (0 if happens else 100)


def test_failures_add_up_over_workers_and_fade_with_the_window(app: APIFlask) -> None:
    assert told(bad=5) is None
    pass_time("smtp", health.WINDOW_MS)
    assert told(bad=5) is None
    assert told(bad=5) == "opened"


def test_an_open_breaker_lets_one_probe_through_and_closes_when_it_succeeds(app: APIFlask) -> None:
    told(bad=10)
    assert admit([Want("smtp", 5)])["smtp"].wait_ms <= health.OPEN_MS
    pass_time("smtp", health.OPEN_MS)
    assert [granted(5), granted(5)] == [1, 0]
    assert told(good=1) == "closed"
    assert granted(5) == 5


def test_a_probe_that_fails_opens_it_for_twice_as_long(app: APIFlask) -> None:
    told(bad=10)
    waits = []
    for _ in range(7):
        pass_time("smtp", health.LONGEST_OPEN_MS)
        assert granted(5) == 1
        assert told(bad=1) is None
        waits.append(round(admit([Want("smtp", 1)])["smtp"].wait_ms / 1000))
    assert waits == [10, 20, 40, 80, 120, 120, 120]


def test_late_answers_of_earlier_sends_do_not_close_it(app: APIFlask) -> None:
    told(bad=10)
    assert told(good=50) is None
    assert granted() == 0


def test_a_probe_nobody_reports_is_followed_by_another(app: APIFlask) -> None:
    told(bad=10)
    pass_time("smtp", health.OPEN_MS)
    assert [granted(1), granted(1)] == [1, 0]
    pass_time("smtp", health.PROBE_MS)
    assert granted(1) == 1


def test_wrong_credentials_pause_at_once(app: APIFlask) -> None:
    assert told(is_misconfigured=1) == "paused"
    assert admit([Want("smtp", 1)])["smtp"].wait_ms > health.PAUSE_MS - 1_000


@pytest.mark.parametrize(("good", "invalid", "happens"), [(1000, 20, None), (19, 19, None), (20, 20, "paused")])
def test_many_dead_addresses_at_once_are_our_fault(app: APIFlask, good: int, invalid: int, happens: str | None) -> None:
    assert told(good=good, invalid=invalid) == happens


def test_a_provider_that_says_wait_is_left_alone_by_everybody(app: APIFlask) -> None:
    told(good=1, blocked_ms=7_000)
    grant = admit([Want("smtp", 3)])["smtp"]
    assert grant.count == 0
    assert 6_000 < grant.wait_ms <= 7_000
    pass_time("smtp", 7_000)
    assert granted(3) == 3


def test_pace_is_one_bucket_for_all_and_refills(app: APIFlask) -> None:
    slow = 0.001  # a call in 1,000 s: what the test itself takes adds nothing
    assert granted(80, per_second=100) == 80
    assert [granted(5, slow), granted(5, slow)] == [1, 0]
    assert admit([Want("smtp", 10, slow)])["smtp"].wait_ms > 0
    pass_time("smtp", 900_000)
    assert granted(5, slow) == 0
    pass_time("smtp", 100_000)
    assert granted(5, slow) == 1


def test_scopes_are_judged_apart_in_one_round_trip(app: APIFlask) -> None:
    happened = report({"webhook:dead.test": Tally(bad=10), "webhook:fine.test": Tally(good=10)})
    assert happened == {"webhook:dead.test": "opened"}
    grants = admit([Want("webhook:dead.test", 4), Want("webhook:fine.test", 4)])
    assert (grants["webhook:dead.test"].count, grants["webhook:fine.test"]) == (0, Grant(4, 0))


@pytest.mark.parametrize(
    ("state", "is_tripped", "count"), [("open", False, 0), ("closed", True, 5), ("auto", True, 0), ("auto", False, 5)]
)
def test_a_person_has_the_last_word(app: APIFlask, state: str, is_tripped: bool, count: int) -> None:
    told(bad=10 if is_tripped else 0)
    force("smtp", state)
    assert granted(5) == count


def test_who_keeps_a_provider_sending_ends_the_wait_that_it_has_asked_for(app: APIFlask) -> None:
    told(good=1, blocked_ms=60_000)
    force("smtp", "auto")
    assert granted(5) == 0
    force("smtp", "closed")
    assert granted(5) == 5
    told(good=1, blocked_ms=60_000)  # it has been asked since, and asks again
    assert granted(5) == 0


@pytest.mark.parametrize("state", ["open", "closed"])
def test_a_persons_word_holds_until_it_is_taken_back(app: APIFlask, state: str) -> None:
    force("smtp", state)
    granted(5, per_second=10)
    told(good=5)  # of what was being sent meanwhile
    assert redis_store.client.ttl("notifier:health:smtp") == -1
    force("smtp", "auto")
    assert redis_store.client.ttl("notifier:health:smtp") > 0


def test_a_breaker_that_nobody_could_note_is_left_as_it_is(app: APIFlask) -> None:
    def die(_session: Any) -> None:
        raise InterruptedError

    sa.event.listen(db.session, "before_commit", die)
    try:
        with pytest.raises(InterruptedError):
            force("smtp", "open")
    finally:
        sa.event.remove(db.session, "before_commit", die)
    assert states() == {}


def test_states_are_told_apart(app: APIFlask) -> None:
    report({"a": Tally(good=1), "b": Tally(bad=10), "c": Tally(bad=10)})
    pass_time("c", health.OPEN_MS)
    force("d", "open")
    assert states() == {"a": "closed", "b": "open", "c": "half_open", "d": "forced_open"}


@pytest.mark.usefixtures("redis_away")
def test_without_redis_everybody_is_admitted(app: APIFlask) -> None:
    assert granted(5) == 5
    assert told(bad=10) is None
