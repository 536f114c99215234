"""How a time is written."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Literal

import pytest

from notifier.core.timestamps import timestamp

NINE = datetime(2026, 12, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "to", "text"),
    [
        (NINE, "milliseconds", "2026-12-01T09:00:00.000Z"),
        (NINE.replace(microsecond=123_999), "milliseconds", "2026-12-01T09:00:00.123Z"),
        (NINE.replace(microsecond=123_999), "seconds", "2026-12-01T09:00:00Z"),
        (NINE.astimezone(timezone(timedelta(hours=-5))), "milliseconds", "2026-12-01T09:00:00.000Z"),
    ],
)
def test_a_time_is_written_in_utc_with_z(at: datetime, to: Literal["milliseconds", "seconds"], text: str) -> None:
    assert timestamp(at, to) == text
