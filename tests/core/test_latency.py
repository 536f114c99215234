"""Latencies in buckets."""

import pytest

from notifier.core.latency import BOUNDS_MS, bucket_of, percentile


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
