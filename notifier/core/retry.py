"""What follows a failed try: retry, fail over, fall back or stop.

Returns a value; `delivery.deliver` and `delivery.record` act on it. Delays are 1, 2, 4 seconds first, then longer,
because real outages last longer than seven seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, RateLimited, Retryable

JITTER = 0.2  # each delay is spread by ± this share, so that an outage does not end in a stampede
DELAYS_S: dict[str, tuple[float, ...]] = {
    "urgent": (0, 1, 2, 4, 15, 60),
    "high": (1, 2, 4, 30, 120, 600),
    "medium": (1, 2, 4, 30, 120, 600),
    "low": (1, 2, 4, 60, 600, 3600),
}


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again then. `uses_attempt` is False when only the provider's pace was exceeded."""

    at: datetime
    uses_attempt: bool = True


@dataclass(frozen=True, slots=True)
class Stop:
    """No further try. `status` is failed, unknown (it may have gone out) or expired.

    `disables_address`: the address itself is dead and is to be switched off.
    """

    status: str
    disables_address: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """The facts about a failed try. `failures` counts this one, but no rate-limited tries.

    `spread` is a random number in [-1, 1], drawn by the caller. `resend_unknown` is the type's policy.
    """

    priority: str
    failures: int
    now: datetime
    expires_at: datetime | None
    safe_to_repeat: bool
    resend_unknown: bool
    spread: float
    delays_s: Mapping[str, tuple[float, ...]]


def fails_over(error: DeliveryError, *, safe_to_repeat: bool) -> bool:
    """Whether the next provider of the channel is tried at once: this one is out of order, and nothing can have gone
    out by it.
    """
    if isinstance(error, Retryable):
        return safe_to_repeat or not error.ambiguous
    return isinstance(error, RateLimited | Misconfigured)


def decide_next(error: DeliveryError, situation: Situation) -> RetryAt | Stop:
    if isinstance(error, RateLimited):
        return _retry_or_expire(situation, max(error.retry_after, 0.0), uses_attempt=False)
    if not isinstance(error, Retryable | Misconfigured):
        return Stop("failed", disables_address=isinstance(error, InvalidRecipient))
    # Wrong credentials are tried again like an outage: the admins have been told, and may mend them.
    if (
        isinstance(error, Retryable)
        and error.ambiguous
        and not situation.safe_to_repeat
        and not situation.resend_unknown
    ):
        return Stop("unknown")
    delays = situation.delays_s[situation.priority]
    if situation.failures > len(delays):
        return Stop("failed")
    delay = delays[situation.failures - 1] * (1 + JITTER * situation.spread)
    return _retry_or_expire(situation, delay, uses_attempt=True)


def _retry_or_expire(situation: Situation, delay_s: float, *, uses_attempt: bool) -> RetryAt | Stop:
    at = situation.now + timedelta(seconds=delay_s)
    if situation.expires_at is not None and at >= situation.expires_at:
        return Stop("failed")
    return RetryAt(at, uses_attempt)
