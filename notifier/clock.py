"""The one place that reads the time. Rules get it as an argument; tests turn it with time-machine."""

from datetime import UTC, datetime


def now() -> datetime:
    """The time as aware UTC."""
    return datetime.now(UTC)
