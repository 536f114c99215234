"""Keys in the order of time."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from notifier.ground.ids import first_at, made_at

NINE = datetime(2026, 12, 1, 9, tzinfo=UTC)


def test_the_first_key_of_a_time_says_that_time() -> None:
    assert made_at(first_at(NINE)) == NINE


@pytest.mark.parametrize("at", [datetime(1969, 12, 31, tzinfo=UTC), datetime(110, 1, 1, tzinfo=UTC)])
def test_no_key_is_older_than_the_count_of_time(at: datetime) -> None:
    """`RETENTION=captures 9999w` is longer than that."""
    assert first_at(at) == UUID(int=0)
