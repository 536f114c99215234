"""Time from trigger to recipient: buckets that can be added up, and percentiles read from them."""

from bisect import bisect_left
from collections.abc import Mapping

LATENCY = "latency:"  # and the index of a bucket: the name under which it is counted

# The upper ends, in ms: 1-2-5, from 10 ms to a day and a bit. What takes longer falls into one bucket more.
BOUNDS_MS: tuple[int, ...] = (*(step * 10**power for power in range(1, 8) for step in (1, 2, 5)), 10**8)


def bucket_of(ms: float) -> int:
    """The index of its bucket."""
    return bisect_left(BOUNDS_MS, ms)


def percentile(counts: Mapping[int, int], share: float) -> int | None:
    """At most so many ms took `share` (0 to 1) of them: the upper end of the bucket it falls into, or the last there
    is. None for no counts.
    """
    total = sum(counts.values())
    if not total:
        return None
    reached = 0
    for index in sorted(counts):
        reached += counts[index]
        if reached >= share * total:
            return BOUNDS_MS[min(index, len(BOUNDS_MS) - 1)]
    return BOUNDS_MS[-1]
