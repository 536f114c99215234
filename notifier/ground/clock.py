"""The one place that reads the time. Rules get the time as an argument; tests set it with time-machine.

The database's clock decides what is due, lapsed or expired: all hosts share it. A long-running process reads it
(`follow`, called by `ground.database`) and counts the seconds since then itself, so a host's wrong clock, or one that
is set while the process runs, makes nothing early, late or expired. Before the first reading, the host's clock counts.
"""

import time
from datetime import UTC, datetime, timedelta

# Of an answer that was under way for a moment; less is not corrected, or time would jump about
_TOLERANCE = timedelta(seconds=0.25)
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while a machine sleeps

_set_at: tuple[datetime, float] | None = None  # the time, and the steady seconds at which it was that


def now() -> datetime:
    """The time as aware UTC."""
    if _set_at is None:
        return of_this_host()
    then, seconds = _set_at
    return then + timedelta(seconds=time.clock_gettime(_STEADY) - seconds)


def of_this_host() -> datetime:
    """The host's own time: `doctor` checks whether it is right."""
    return datetime.now(UTC)


def host_began_at() -> datetime:
    """When the host was started, by its own clock."""
    return of_this_host() - timedelta(seconds=time.clock_gettime(_STEADY))


def follow(told: datetime, asked_s_ago: float) -> None:
    """Sets the time by a trusted clock that says `told`; the question took `asked_s_ago`, there and back."""
    global _set_at
    at = told + timedelta(seconds=asked_s_ago / 2)
    if _set_at is None or abs(at - now()) > _TOLERANCE:
        _set_at = at, time.clock_gettime(_STEADY)


def follow_nobody() -> None:
    """The host's own clock from now on."""
    global _set_at
    _set_at = None
