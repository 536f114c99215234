"""The decisions of the planner, as plain values: routes, skips, waits, and the lines of their explanation."""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Any

from notifier.core.facts import AddressFacts
from notifier.core.record import record

NO_DETAIL: Mapping[str, Any] = {}


@record
class Summary:
    """The digest something goes into: `key` names it among the person's, `due_at` is when it is made."""

    key: str
    due_at: datetime


@record
class Route:
    """A delivery to be made; `due_at` None means at once, otherwise `reason` says why later.

    With any routing but `all`, `step` numbers the remaining channels, in order. Those after the first have the reason
    `fallback` and wait for it to fail; with `escalate` they have the reason `escalation`, and are due when the step
    before was not read in time. `expires_at`: its own, since the expiry of a held delivery may be later.
    """

    channel: str
    address: AddressFacts | None
    due_at: datetime | None = None
    reason: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0
    expires_at: datetime | None = None


@record
class Skip:
    channel: str
    address: AddressFacts | None
    reason: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    summary: Summary | None = None


@record
class Wait:
    """Not now, but then: the person is not to be disturbed. `reason` is `muted` or `quiet_hours`."""

    until: datetime
    reason: str


@record
class Step:
    """One line of the explanation: which rule spoke, about which channel (`*`: all), with what outcome.

    `reason` is one of REASONS or BECAUSE, or names what the rule did; `core.explain` has the sentence for it.
    """

    rule: str
    channel: str
    outcome: str
    reason: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@record
class Plan:
    routes: tuple[Route, ...]
    skips: tuple[Skip, ...]
    trace: tuple[Step, ...]

    @property
    def decisions(self) -> tuple[Route | Skip, ...]:
        return (*self.routes, *self.skips)
