"""When a digest is made: by the hour, the day or the week of the person's own time zone."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

AT = time(8)  # local, of a daily or weekly one
WEEKDAY = 1  # Monday


def due_at(frequency: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The end of the window around `now`, in UTC: the next full hour, morning, or Monday morning."""
    local = now.astimezone(zone)
    if frequency == "hourly":
        return now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    days = 0 if frequency == "daily" else (WEEKDAY - local.isoweekday()) % 7
    due = _at(local, days, zone)
    return due if due > now else _at(local, days + (1 if frequency == "daily" else 7), zone)


def _at(local: datetime, days: int, zone: ZoneInfo) -> datetime:
    return datetime.combine(local.date() + timedelta(days=days), AT, zone).astimezone(UTC)
