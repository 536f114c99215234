"""Latencies in buckets."""

from datetime import timedelta

import pytest

from notifier.core.latency import BOUNDS_MS, Promise, bucket_of, percentile, promise


@pytest.mark.parametrize(
    ("ms", "bound"),
    [(0, 10), (10, 10), (10.1, 20), (99, 100), (1_001, 2_000), (49_999_999, 50_000_000), (26 * 3_600_000, 100_000_000)],
)
def test_a_latency_falls_into_the_first_bucket_that_holds_it(ms: float, bound: int) -> None:
    assert BOUNDS_MS[bucket_of(ms)] == bound


def test_what_takes_longer_than_all_bounds_has_a_bucket_too() -> None:
    assert bucket_of(10**12) == len(BOUNDS_MS)
    assert percentile({len(BOUNDS_MS): 1}, 0.5) == BOUNDS_MS[-1]


@pytest.mark.parametrize(
    ("counts", "share", "ms"),
    [
        ({}, 0.5, None),
        ({0: 1}, 0.99, 10),
        ({0: 50, 3: 50}, 0.5, 10),
        ({0: 50, 3: 50}, 0.51, 100),
        ({0: 98, 3: 1, 6: 1}, 0.99, 100),
        ({0: 98, 3: 1, 6: 1}, 1.0, 1000),
    ],
)
def test_a_percentile_is_the_upper_end_of_its_bucket(counts: dict[int, int], share: float, ms: int | None) -> None:
    assert percentile(counts, share) == ms


@pytest.mark.parametrize(
    ("priority", "took_s", "event"),
    [
        ("urgent", 1.0, "kept:urgent"),
        ("urgent", 1.1, "missed:urgent"),
        ("low", 1800.0, "kept:low"),
        ("high", None, "missed:high"),
    ],
)
def test_a_promise_is_kept_by_what_was_sent_within_the_target(priority: str, took_s: float | None, event: str) -> None:
    assert promise(priority, took_s) == event


@pytest.mark.parametrize(
    ("kept", "missed", "in_time", "used"),
    [(990, 10, 0.99, 1.0), (995, 5, 0.995, 0.5), (0, 4, 0.0, 100.0), (0, 0, None, None)],
)
def test_one_in_a_hundred_may_be_late(kept: int, missed: int, in_time: float | None, used: float | None) -> None:
    one = Promise("high", timedelta(seconds=5), kept, missed)
    assert (one.in_time, one.budget_used) == (in_time, pytest.approx(used) if used is not None else None)
