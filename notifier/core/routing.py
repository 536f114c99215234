"""Routing: in which order channels are tried, and what follows when one of them has ended.

With `first`, `escalate` and `best` the channels are steps, taken one after the other. `next_move` is
called with what became of a notification's deliveries, whenever one of them has ended.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from notifier.core.lifecycle import OPEN, SUCCEEDED, UNKNOWN


@dataclass(frozen=True, slots=True)
class Scores:
    """How many were sent and how many of them opened, by channel: by this person, and by everyone."""

    person: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    everyone: Mapping[str, tuple[int, int]] = field(default_factory=dict)


NO_SCORES = Scores()


@dataclass(frozen=True, slots=True)
class Order:
    """The channels in the order they are tried. `reason` and `detail` explain it, where there is something to explain."""

    channels: tuple[str, ...]
    reason: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


def in_order(mode: str, channels: tuple[str, ...], scores: Scores, seed: int) -> Order:
    return Order(channels, "" if mode == "all" else mode)


@dataclass(frozen=True, slots=True)
class Step:
    """One delivery: the step it belongs to, its status, and whether it is held back for an earlier step to fail."""

    id: Any
    step: int
    status: str
    is_held: bool


@dataclass(frozen=True, slots=True)
class Move:
    """Deliveries that are to go out now, and those that are not needed any more."""

    start: tuple[Any, ...] = ()
    drop: tuple[Any, ...] = ()


def next_move(steps: Iterable[Step]) -> Move:
    """A channel has succeeded when any of its deliveries has. One that may have gone out (unknown) waits for a person."""
    everything = list(steps)
    held = [step for step in everything if step.is_held]
    if not held:
        return Move()
    others = [step for step in everything if not step.is_held]
    if any(step.status in SUCCEEDED for step in others):
        return Move(drop=tuple(step.id for step in held))
    if any(step.status in OPEN or step.status == UNKNOWN for step in others):
        return Move()
    following = min(step.step for step in held)
    return Move(start=tuple(step.id for step in held if step.step == following))
