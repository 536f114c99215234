"""What rises: enough of it, and more than twice as much as before."""

import pytest

from notifier.core.trends import Change, steepest


@pytest.mark.parametrize(
    ("event", "now", "before", "is_rising"),
    [
        ("failed", 5, 2, True),
        ("failed", 5, 0, True),
        ("failed", 4, 0, False),  # too few
        ("failed", 50, 25, False),  # no more than twice
        ("arrived", 100, 49, True),
        ("arrived", 99, 0, False),
    ],
)
def test_it_rises(event: str, now: int, before: int, is_rising: bool) -> None:
    assert Change("type", "like", event, now, before).is_rising == is_rising


def test_failures_come_first_and_the_steepest_before_others() -> None:
    changes = [
        Change("type", "busy", "arrived", 9_000, 0),
        Change("error", "smtp: 550", "failed", 30, 10),
        Change("type", "calm", "failed", 3, 0),
        Change("provider", "smtp", "failed", 30, 5),
    ]
    assert [one.name for one in steepest(changes, 2)] == ["smtp", "smtp: 550"]
    assert [one.name for one in steepest(changes, 9)] == ["smtp", "smtp: 550", "busy"]
