"""What the counters say, for the overview: sums, bars over time and latencies, by channel. No table of deliveries is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from notifier.channels import CHANNELS
from notifier.clock import now
from notifier.core.latency import percentile
from notifier.extensions import db
from notifier.models import Tally

EVENTS = ("accepted", "sent", "delivered", "failed", "opened", "skipped")
_LATENCY = "latency:"


@dataclass(frozen=True, slots=True)
class Window:
    """`step`: how much time a bar stands for."""

    name: str
    words: str
    span: timedelta
    step: timedelta


WINDOWS = {
    "hour": Window("hour", "Last hour", timedelta(hours=1), timedelta(minutes=2)),
    "day": Window("day", "Last 24 hours", timedelta(days=1), timedelta(hours=1)),
    "month": Window("month", "Last 30 days", timedelta(days=30), timedelta(days=1)),
}


@dataclass(frozen=True, slots=True)
class Bar:
    at: datetime
    accepted: int
    arrived: int
    failed: int


@dataclass(frozen=True, slots=True)
class Line:
    """A channel's counts by event, and within how many ms half, 95 and 99 of 100 had arrived."""

    channel: str
    counts: Mapping[str, int]
    p50: int | None
    p95: int | None
    p99: int | None


@dataclass(frozen=True, slots=True)
class Counted:
    window: Window
    lines: Sequence[Line]
    bars: Sequence[Bar]

    @property
    def highest(self) -> int:
        return max((max(bar.accepted, bar.arrived + bar.failed) for bar in self.bars), default=0)

    @property
    def totals(self) -> dict[str, int]:
        return {event: sum(line.counts.get(event, 0) for line in self.lines) for event in EVENTS}


def counted(window: Window) -> Counted:
    """Of the window that ends now. One query."""
    until = now()
    first = _floor(until, window.step) + window.step - window.span
    rows = db.session.execute(
        sa.select(Tally.at, Tally.channel, Tally.event, sa.func.sum(Tally.count).label("number"))
        .where(Tally.at >= first)
        .group_by(Tally.at, Tally.channel, Tally.event)
    ).all()
    counts: dict[str, dict[str, int]] = {}
    buckets: dict[str, dict[int, int]] = {}
    bars: dict[datetime, dict[str, dict[str, int]]] = {}
    for row in rows:
        number = int(row.number)
        if row.event.startswith(_LATENCY):
            of = buckets.setdefault(row.channel, {})
            index = int(row.event.removeprefix(_LATENCY))
            of[index] = of.get(index, 0) + number
            continue
        mine = counts.setdefault(row.channel, {})
        mine[row.event] = mine.get(row.event, 0) + number
        bar = bars.setdefault(_floor(row.at, window.step), {}).setdefault(row.channel, {})
        bar[row.event] = bar.get(row.event, 0) + number
    lines = [_line(name, counts.get(name, {}), buckets.get(name, {})) for name in CHANNELS if name in counts or name in buckets]
    steps = [first + window.step * index for index in range(round(window.span / window.step))]
    return Counted(window, lines, [_bar(at, bars.get(at, {})) for at in steps])


def _line(channel: str, counts: Mapping[str, int], buckets: Mapping[int, int]) -> Line:
    return Line(channel, counts, *(percentile(buckets, share) for share in (0.5, 0.95, 0.99)))


def _bar(at: datetime, channels: Mapping[str, Mapping[str, int]]) -> Bar:
    """What workers send counts when it is sent, what is put into an inbox when it is there."""
    of = list(channels.values())
    arrived = sum(max(counts.get("sent", 0), counts.get("delivered", 0)) for counts in of)
    return Bar(at, sum(counts.get("accepted", 0) for counts in of), arrived, sum(counts.get("failed", 0) for counts in of))


def _floor(at: datetime, step: timedelta) -> datetime:
    seconds = int(step.total_seconds())
    return datetime.fromtimestamp(int(at.timestamp()) // seconds * seconds, tz=at.tzinfo)
