"""How a time is written: in what the API takes and answers, in webhooks, in what is stored as JSON, in pages."""

from datetime import UTC, datetime
from typing import Any, Literal

# Nearer to the ends of the calendar, zones and spans lead out of it
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def timestamp(at: datetime, to: Literal["milliseconds", "seconds"] = "milliseconds") -> str:
    """RFC 3339 in UTC, with Z for its offset: `2026-12-01T09:00:00.000Z`. `at` is aware, in any zone."""
    return at.astimezone(UTC).isoformat(timespec=to).replace("+00:00", "Z")


def parse_time(value: Any) -> datetime:
    """An ISO 8601 time with its offset. Raises ValueError."""
    message = "a time is written as 2026-12-01T09:00:00Z"
    if not isinstance(value, str) or len(value) > 40 or "T" not in value.upper():
        raise ValueError(message)
    try:
        at = datetime.fromisoformat(value.upper())
        at = at if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(message) from None
    if at.tzinfo is None:
        raise ValueError("a time needs its offset from UTC: 2026-12-01T09:00:00Z")
    return at


def reckonable(at: datetime) -> datetime:
    """The time, or the nearest that can be reckoned with: 9999-12-31 is written for "never"."""
    return min(max(at, FIRST), LAST)
