"""Status webhooks: which events may be subscribed to, and what follows when a subscriber does not take one."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from notifier.core import events
from notifier.core.retry import JITTER

PING = "ping"  # sent when asked for, and no event of the stream
NAMES = (*events.KINDS, PING)

DELAYS_S = (5, 30, 120, 900, 3_600)  # after the first tries of an event, and from then on:
THEN_EVERY_S = 6 * 3_600
TRIED_FOR = timedelta(days=3)  # then the event is given up
DISABLED_AFTER = timedelta(days=5)  # without one success


def named(pattern: str) -> tuple[str, ...]:
    """The events that a name stands for: itself, or all of a group (`delivery.*`). None: there is no such event."""
    return (PING,) if pattern == PING else events.named(pattern)


def kinds_of(patterns: Iterable[str]) -> frozenset[str]:
    """All events of the stream that the names stand for, by the names there are now."""
    return frozenset(kind for pattern in patterns for kind in events.named(pattern))


def is_of_people(kind: str) -> bool:
    """Whether it may be caused by no notification of any producer's."""
    return kind.startswith("user.")


def next_try(
    tries: int, first_at: datetime, now: datetime, *, spread: float, retry_after_s: float = 0.0
) -> datetime | None:
    """When an event is tried again that has been tried so often; None: it is given up.

    `spread`: a random number in [-1, 1], drawn by the caller. `retry_after_s`: the receiver's word.
    """
    delay_s = DELAYS_S[tries - 1] if tries <= len(DELAYS_S) else THEN_EVERY_S
    at = now + timedelta(seconds=max(delay_s * (1 + JITTER * spread), retry_after_s))
    return at if at <= first_at + TRIED_FOR else None


def has_failed_too_long(failing_since: datetime | None, now: datetime) -> bool:
    return failing_since is not None and now - failing_since >= DISABLED_AFTER
