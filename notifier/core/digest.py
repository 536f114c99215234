"""When a digest is made: by the hour, the day or the week of the person's own time zone."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

FREQUENCIES = ("off", "hourly", "daily", "weekly")
MORNING = time(8)  # local, of a daily or weekly one, unless the person has chosen another hour
WEEKDAY = 1  # Monday

HELD, OVER_CAP = "held", "cap"  # what else a category's digest may be for, beside what the person wants gathered


def type_of(category: str) -> str:
    """The event type of what sums up notifications of a category."""
    return f"{category}_digest"


def key_of(category: str, occasion: str = "") -> str:
    """The key that tells a person's digests apart: `social`, `social:held`, `social:cap`."""
    return f"{category}:{occasion}" if occasion else category


def due_at(frequency: str, zone: ZoneInfo, now: datetime, at: time = MORNING) -> datetime:
    """The end of the window around `now`, in UTC and always later: the next full local hour, morning, or Monday
    morning.

    The same for every moment of a window, which is how two notifications find the same digest.
    """
    local = now.astimezone(zone)
    if frequency == "hourly":
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return now.astimezone(UTC) - past + timedelta(hours=1)
    days = 0 if frequency == "daily" else (WEEKDAY - local.isoweekday()) % 7
    due = _at(local, days, zone, at)
    return due if due > now else _at(local, days + (1 if frequency == "daily" else 7), zone, at)


def _at(local: datetime, days: int, zone: ZoneInfo, at: time) -> datetime:
    return datetime.combine(local.date() + timedelta(days=days), at, zone).astimezone(UTC)
