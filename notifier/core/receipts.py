"""What a provider's later words do to a delivery: its events, in the order of their times, become moves of the
lifecycle.

They come late, twice, and in any order; none moves a status back. `pipeline.delivery.receipts` asks and acts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from notifier.core.lifecycle import (
    BOUNCED,
    CLICKED,
    DELIVERED,
    FAILED,
    OPENED,
    READ,
    SENT,
    SUCCEEDED,
    may_move,
)

DEVICE = "~device"  # who speaks when a person's own app or browser tells; no account of a provider has that name
PERSON: Final = "person"  # somebody has read it, and need not be reminded: more than counting as opened
MACHINE = "machine"  # a mail scanner, or a phone that fetches images by itself: nobody has read anything
BOUNCE, COMPLAINT, UNSUBSCRIBE, STOP, START = "bounced", "complained", "unsubscribed", "stopped", "started"
BY_ADDRESS = (STOP, START)  # they need no message: the address says whom they are about

# The kinds that are about one message, with the status that each leads to; of two at the same time the first comes
# first.
LEADS_TO: Mapping[str, str] = {
    "sent": SENT,
    "delivered": DELIVERED,
    "opened": OPENED,
    "clicked": CLICKED,
    "failed": FAILED,
    BOUNCE: BOUNCED,
}
_PLACE = {kind: place for place, kind in enumerate(LEADS_TO)}
_TIMES = {"sent": "sent_at", "delivered": "delivered_at", "opened": "opened_at", "clicked": "clicked_at"}
_FURTHER = (SENT, DELIVERED, OPENED, CLICKED)
_ARRIVED = frozenset({DELIVERED, OPENED, CLICKED})
_REFUSED = frozenset({FAILED, BOUNCED})


@dataclass(frozen=True, slots=True)
class Told:
    """One event about a delivery. `is_of_earlier_try`: the delivery has been sent anew since, so that a failure says
    nothing about it any more.
    """

    kind: str
    at: datetime
    by: str = "unknown"
    code: str = ""
    is_of_earlier_try: bool = False


@dataclass(frozen=True, slots=True)
class Folded:
    """`status` after the events, and the statuses `passed` on the way, in order. `times`: by column, when it was sent,
    delivered, opened or clicked, as far as the events say so. `failure`: the event that ended it. `is_read`: a person
    has certainly opened it, or followed a link in it.
    """

    old: str
    status: str
    passed: tuple[str, ...] = ()
    times: Mapping[str, datetime] = field(default_factory=dict)
    failure: Told | None = None
    is_read: bool = False

    @property
    def route(self) -> tuple[str, ...]:
        """From the old status to the new one, in as few moves as the lifecycle has."""
        if not self.passed or may_move(self.old, self.status):
            return (self.old, self.status)
        return (self.old, *self.passed[-2:])

    @property
    def has_gone_out(self) -> bool:
        """It is known now, and was not before, that the provider took it."""
        return self.old not in SUCCEEDED and not SUCCEEDED.isdisjoint(self.passed)

    @property
    def has_arrived(self) -> bool:
        return self.old not in _ARRIVED and not _ARRIVED.isdisjoint(self.passed)

    @property
    def has_been_read(self) -> bool:
        return self.old not in READ and not READ.isdisjoint(self.passed)

    @property
    def has_failed(self) -> bool:
        return not _REFUSED.isdisjoint(self.passed)


def fold(status: str, events: Iterable[Told]) -> Folded:
    """The delivery after these events. What a machine has opened or clicked changes nothing."""
    now, passed, failure, is_read = status, [], None, False
    times: dict[str, datetime] = {}
    about_it = [event for event in events if event.kind in LEADS_TO]
    for event in sorted(about_it, key=lambda event: (event.at, _PLACE[event.kind])):
        target = LEADS_TO[event.kind]
        if (target in READ and event.by == MACHINE) or (target in _REFUSED and event.is_of_earlier_try):
            continue
        if may_move(now, target):
            now = target
            passed.append(target)
            failure = event if target in _REFUSED else failure
        elif now not in _FURTHER or target not in _FURTHER:
            continue
        if event.kind in _TIMES:
            times.setdefault(_TIMES[event.kind], event.at)
        is_read = is_read or (target in READ and event.by == PERSON)
    return Folded(status, now, tuple(passed), times, failure, is_read)
