"""What the sandbox caught, as the API tells of it."""

from datetime import UTC, datetime

from notifier.ground.ids import new_id
from notifier.models import Capture
from notifier.queries.captures import capture_json


def test_its_time_is_written_like_every_other() -> None:
    at = datetime(2026, 12, 1, 9, 0, 0, 123_456, tzinfo=UTC)
    row = Capture(id=new_id(), delivery_id=new_id(), user_id="alice", channel="email", content={}, at=at)
    assert capture_json(row)["at"] == "2026-12-01T09:00:00.123Z"
