"""How a time is written: in what the API answers, in webhooks, in what is stored as JSON, in pages."""

from datetime import UTC, datetime
from typing import Literal


def timestamp(at: datetime, to: Literal["milliseconds", "seconds"] = "milliseconds") -> str:
    """RFC 3339 in UTC, with Z for its offset: `2026-12-01T09:00:00.000Z`. `at` is aware, in any zone."""
    return at.astimezone(UTC).isoformat(timespec=to).replace("+00:00", "Z")
