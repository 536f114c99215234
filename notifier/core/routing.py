"""Routing: in which order channels are tried, and what follows when one of them has ended.

With `first`, `escalate` and `best` the channels are steps, taken one after the other. `next_move` gets the state of a
notification's deliveries, whenever one of them has ended or was read.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from notifier.core.lifecycle import OPEN, SENDING, SUCCEEDED, UNKNOWN, WAITING
from notifier.core.reading import READ_ELSEWHERE
from notifier.core.record import record

ALL, FIRST, ESCALATE, BEST = "all", "first", "escalate", "best"
MODES = (ALL, FIRST, ESCALATE, BEST)
FALLBACK, ESCALATION = "fallback", "escalation"  # why a later step waits
NOT_NEEDED = "not_needed"
PROVIDER_DOWN, PAUSED, RETRY = "provider_down", "paused", "retry"  # why one waits that has begun
OUTAGE, BEING_TRIED = "outage", "being_tried"  # why a later step waits, more exactly: in the detail, as `because`

# How long an outage of the channel whose turn it is lasts before `first` and `best` go on to the next one, by priority.
PATIENCE: Mapping[str, timedelta] = {
    "urgent": timedelta(0),
    "high": timedelta(seconds=10),
    "medium": timedelta(minutes=1),
    "low": timedelta(minutes=10),
}
_REFUSALS = ("rate_limited", "misconfigured")  # of a provider that takes nothing, rather than of a try that failed
MANY_FAILURES = (
    3  # tries through all providers: where little is sent no breaker opens, and yet the channel takes nothing
)

# What is known of everyone weighs as much as so many messages that the person got themselves.
PRIOR_WEIGHT = 4.0


@dataclass(frozen=True, slots=True)
class Scores:
    """How many were sent and how many of them opened, by channel: by this person, and by everyone."""

    person: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    everyone: Mapping[str, tuple[int, int]] = field(default_factory=dict)


NO_SCORES = Scores()


@record
class Order:
    """The channels in the order they are tried. `reason` and `detail` explain it,
    where there is something to explain.
    """

    channels: tuple[str, ...]
    reason: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


def in_order(mode: str, channels: tuple[str, ...], scores: Scores, seed: int) -> Order:
    """The channels in the order they are named; with `best`, in the order of what the person is likely to open.

    That order is random (Thompson sampling): a channel's chance to come first is the likelihood that it is the best
    one. So channels with little data are tried, and proven ones win. The same seed gives the same order.
    """
    if mode != BEST:
        return Order(channels, "" if mode == ALL else mode)
    chance = random.Random(seed)
    drawn = {name: chance.betavariate(*_belief(name, scores)) for name in sorted(channels)}
    ranked = tuple(sorted(channels, key=lambda name: drawn[name], reverse=True))
    return Order(ranked, mode, {"scores": {name: counted(name, scores) for name in ranked}})


def counted(channel: str, scores: Scores) -> dict[str, int]:
    """The numbers of messages that the person was sent on the channel and has opened, for people to read."""
    sent, opened = scores.person.get(channel, (0, 0))
    return {"sent": sent, "opened": opened}


def has_proved_itself(channel: str, others: Iterable[str], scores: Scores) -> bool:
    """Whether the person has opened something there, and of no other channel a larger part."""
    sent, opened = scores.person.get(channel, (0, 0))
    rivals = [scores.person.get(name, (0, 0)) for name in others]
    return opened > 0 and all(opened * sent_there >= opened_there * sent for sent_there, opened_there in rivals)


def _belief(channel: str, scores: Scores) -> tuple[float, float]:
    """The parameters of the beta distribution of how often the person opens what comes by this channel."""
    sent, opened = scores.person.get(channel, (0, 0))
    sent_to_all, opened_by_all = scores.everyone.get(channel, (0, 0))
    rate = (min(opened_by_all, sent_to_all) + 1) / (sent_to_all + 2)
    return PRIOR_WEIGHT * rate + opened, PRIOR_WEIGHT * (1 - rate) + max(sent - opened, 0)


def is_held(status: str, reason: str | None) -> bool:
    """Whether a delivery is a later step whose turn has not come."""
    return status == WAITING and reason in (FALLBACK, ESCALATION)


def is_stuck(status: str, reason: str | None, outcome: str | None, failures: int) -> bool:
    """Whether a delivery waits because its channel takes nothing: its providers are down, slow it down or refuse us, or
    it is paused.

    `outcome` is the last try's; `failures` counts those that used up an attempt.
    """
    if status != WAITING:
        return False
    return reason in (PROVIDER_DOWN, PAUSED) or (
        reason == RETRY and (outcome in _REFUSALS or failures >= MANY_FAILURES)
    )


@dataclass(frozen=True, slots=True)
class Step:
    """One delivery: the step it belongs to, its status, and whether it is held back until its turn comes, at `due_at`
    or not by the clock.

    `is_stuck`: it waits for the end of an outage. `is_read`: a person has certainly opened it; the status alone may
    come from a mail client that opens by itself.
    """

    id: Any
    step: int
    status: str
    is_held: bool
    due_at: datetime | None = None
    is_stuck: bool = False
    is_read: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """When the turn of deliveries comes that were held back, and which are not to go out any more, for this reason."""

    turns: Mapping[Any, datetime] = field(default_factory=dict)
    drop: tuple[Any, ...] = ()
    reason: str = NOT_NEEDED


def next_move(mode: str, steps: Iterable[Step], now: datetime, patience: timedelta) -> Move:
    """A channel has succeeded when any of its deliveries has. One that may have gone out (unknown) waits for a person.

    `first`, `best`: a success ends it, for the steps that an outage has left behind too; a failure starts the next
    step, and an outage does when it lasts longer than `patience`. `escalate`: only a read ends it; the next step starts
    by the clock, or at once when the latest has failed. An outage changes nothing in that.
    """
    everything = list(steps)
    held = [step for step in everything if step.is_held]
    others = [step for step in everything if not step.is_held]
    if mode == ESCALATE:
        return _escalated(held, others, now)
    succeeded = {step.step for step in others if step.status in SUCCEEDED}
    if succeeded:
        behind = [step for step in others if step.status == WAITING and step.step not in succeeded]
        return Move(drop=tuple(step.id for step in (*held, *behind)))
    going = [step for step in others if step.status in OPEN or step.status == UNKNOWN]
    if not held or not all(step.is_stuck for step in going):
        return Move()
    following = min(step.step for step in held)
    turns = {
        step.id: now + patience if going else now
        for step in held
        if step.step == following and not (going and step.due_at)
    }
    return Move(turns)


def _escalated(held: Sequence[Step], others: Sequence[Step], now: datetime) -> Move:
    if not held:
        return Move()
    if any(step.is_read for step in others):
        return Move(drop=tuple(step.id for step in held), reason=READ_ELSEWHERE)
    latest = max((step.step for step in others), default=0)
    others = [step for step in others if step.step == latest]
    if any(step.status in SUCCEEDED or step.status in OPEN or step.status == UNKNOWN for step in others):
        return Move()
    following = min(step.step for step in held)
    turns = {step.id: now for step in held if step.step == following}
    # Those after it follow as much earlier.
    gained = max((step.due_at - now for step in held if step.id in turns and step.due_at), default=timedelta(0))
    if gained > timedelta(0):
        turns |= {step.id: max(step.due_at - gained, now) for step in held if step.id not in turns and step.due_at}
    return Move(turns)


def overtaken(mine: int, others: Iterable[tuple[int, str]]) -> str | None:
    """Asked of `first` and `best` before step `mine` goes out, of the (step, status) of the others: NOT_NEEDED,
    BEING_TRIED, or None: it may go.

    After an outage two steps may have begun; only one of them is to arrive.
    """
    statuses = {status for step, status in others if step != mine}
    if statuses & SUCCEEDED:
        return NOT_NEEDED
    return BEING_TRIED if statuses & {SENDING, UNKNOWN} else None
