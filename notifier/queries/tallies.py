"""The overview's figures, from the counters: sums, rates, a series over time and latencies, by channel.

No table of deliveries is read.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from notifier.channels import CHANNELS, serving
from notifier.channels.contract import Adapter
from notifier.core.latency import KEPT, LATENCY, MISSED, TARGETS, Promise, percentile
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.replica import may_lag
from notifier.ledgers.tallies import SEGMENT
from notifier.models import Tally


@dataclass(frozen=True, slots=True)
class Window:
    """`step`: the time that a point of the series covers. `before`: the same window before it, in words."""

    name: str
    words: str
    before: str
    span: timedelta
    step: timedelta


WINDOWS = {
    "hour": Window("hour", "Last hour", "hour before", timedelta(hours=1), timedelta(minutes=2)),
    "day": Window("day", "Last 24 hours", "24 hours before", timedelta(days=1), timedelta(hours=1)),
    "month": Window("month", "Last 30 days", "30 days before", timedelta(days=30), timedelta(days=1)),
}


@dataclass(frozen=True, slots=True)
class Rate:
    """The percentage of those that might have, or None and why there is none."""

    percent: int | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A channel's counts by event, and the p50, p95 and p99 of its latency in ms. `rates`: of `delivered` (of those
    sent) and `opened` (of those delivered), as far as providers tell it.
    """

    channel: str
    counts: Mapping[str, int]
    rates: Mapping[str, Rate]
    p50: int | None
    p95: int | None
    p99: int | None


@dataclass(frozen=True, slots=True)
class Counted:
    """`series`: over time, of one channel or all: `at` (where each step begins), `step` (seconds), and how many were
    accepted, arrived, failed, opened. `promises`: by priority. `segments`: of all SMS that providers took.
    """

    window: Window
    lines: Sequence[Line]
    series: Mapping[str, Any]
    promises: Sequence[Promise] = ()
    segments: int = 0


@may_lag
def counted(window: Window, channel: str | None = None) -> Counted:
    """Figures of the window that ends now; `channel` narrows only the series. One query."""
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
    promises: Counter[str] = Counter()
    segments = 0
    for row in rows:
        number = int(row.number)
        if row.event.startswith((KEPT, MISSED)):
            promises[row.event] += number
            continue
        if row.event == SEGMENT:
            segments += number
            continue
        if row.event.startswith(LATENCY):
            of = buckets.setdefault(row.channel, {})
            index = int(row.event.removeprefix(LATENCY))
            of[index] = of.get(index, 0) + number
            continue
        mine = counts.setdefault(row.channel, {})
        mine[row.event] = mine.get(row.event, 0) + number
        bar = bars.setdefault(_floor(row.at, window.step), {}).setdefault(row.channel, {})
        bar[row.event] = bar.get(row.event, 0) + number
    lines = [
        _line(name, counts.get(name, {}), buckets.get(name, {}))
        for name in CHANNELS
        if name in counts or name in buckets
    ]
    steps = [first + window.step * index for index in range(round(window.span / window.step))]
    shown = [{name: counts for name, counts in bars.get(at, {}).items() if channel in (None, name)} for at in steps]
    over_time = {
        event: [_sum(channels, event) for channels in shown] for event in ("accepted", "arrived", "failed", "opened")
    }
    return Counted(
        window,
        lines,
        {"at": [at.isoformat() for at in steps], "step": int(window.step.total_seconds()), **over_time},
        [Promise(name, target, promises[KEPT + name], promises[MISSED + name]) for name, target in TARGETS.items()],
        segments,
    )


def _line(channel: str, counts: Mapping[str, int], buckets: Mapping[int, int]) -> Line:
    rates = {
        event: rate(channel, event, counts.get(event, 0), counts.get(among, 0))
        for event, among in (("delivered", "sent"), ("opened", "delivered"))
    }
    return Line(channel, counts, rates, *(percentile(buckets, share) for share in (0.5, 0.95, 0.99)))


def rate(channel: str, event: str, count: int, among: int) -> Rate:
    """The share of what providers tell: None of it where they cannot."""
    if CHANNELS[channel].address is None:  # we show it ourselves
        return Rate(percent(count, among) if event != "delivered" else None, "It is delivered as soon as it is stored.")
    adapters = [adapter for _, adapter in serving.registry().accounts() if adapter.channel.name == channel]
    silent = [adapter for adapter in adapters if event not in adapter.tells_here]
    if not adapters:
        return Rate(None, "No provider of this channel is in use.")
    if silent:
        return Rate(None, " ".join(_why_silent(adapter, event) for adapter in silent))
    return Rate(percent(count, among), f"None was {'sent' if event == 'delivered' else 'delivered'} in this period.")


def _why_silent(adapter: Adapter, event: str) -> str:
    if event not in adapter.tells:
        return f"{adapter.name} cannot tell what is {event}."
    if adapter.missing_for_receipts:
        return f"{adapter.name} could tell: set {' and '.join(adapter.missing_for_receipts)}."
    return f"{adapter.name} does not track what is {event}."


def percent(count: int, among: int) -> int | None:
    """Rounded down, so that only all of them are 100 %. What was sent before the period may be told within it."""
    return min(100, 100 * count // among) if among else None


def _sum(channels: Mapping[str, Mapping[str, int]], event: str) -> int:
    """`arrived`: what workers send counts when it is sent, what is put into an inbox when it is there; each of them
    once.
    """
    return sum(counts.get(_arrival(name) if event == "arrived" else event, 0) for name, counts in channels.items())


def _arrival(channel: str) -> str:
    return "delivered" if channel in CHANNELS and CHANNELS[channel].address is None else "sent"


def _floor(at: datetime, step: timedelta) -> datetime:
    seconds = int(step.total_seconds())
    return datetime.fromtimestamp(int(at.timestamp()) // seconds * seconds, tz=at.tzinfo)
