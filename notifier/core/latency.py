"""Time from trigger to recipient: what each priority is promised, since when it counts, in buckets that can be added
up, and percentiles of those.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

# How soon a message of each priority is to be sent
TARGETS = {
    "urgent": timedelta(seconds=1),
    "high": timedelta(seconds=5),
    "medium": timedelta(seconds=30),
    "low": timedelta(minutes=30),
}

BUDGET = 0.01  # the share of the messages of a priority that may be late or fail: its error budget
KEPT, MISSED = "kept:", "missed:"  # and a priority: whether a message was sent as soon as promised; failed is missed

LATENCY = "latency:"  # and the index of a bucket: the name under which it is counted

# The upper ends, in ms: 1-2-5, from 10 ms to a day and a bit. What takes longer falls into one bucket more.
BOUNDS_MS: tuple[int, ...] = (*(step * 10**power for power in range(1, 8) for step in (1, 2, 5)), 10**8)


def seconds_since(created_at: datetime, due_at: datetime | None, failures: int, at: datetime) -> float:
    """From the request, or the later time it was wanted for, until `at`. After a failure `due_at` is the time of the
    next try, and the request counts.
    """
    since = max(due_at, created_at) if due_at and not failures else created_at
    return max((at - since).total_seconds(), 0.0)


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


def promise(priority: str, took_s: float | None) -> str:
    """The event of a promise that was kept, or not. `took_s` None: it has failed."""
    is_kept = took_s is not None and took_s <= TARGETS[priority].total_seconds()
    return f"{KEPT if is_kept else MISSED}{priority}"


@dataclass(frozen=True, slots=True)
class Promise:
    """What became of the messages of a priority that were promised to be sent within `target`."""

    priority: str
    target: timedelta
    kept: int
    missed: int

    @property
    def total(self) -> int:
        return self.kept + self.missed

    @property
    def in_time(self) -> float | None:
        """The share that was sent in time; None of no messages."""
        return self.kept / self.total if self.total else None

    @property
    def budget_used(self) -> float | None:
        """Which share of those that may be late were; above 1: too many."""
        return self.missed / (self.total * BUDGET) if self.total else None
