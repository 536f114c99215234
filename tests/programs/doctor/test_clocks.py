"""Whose clock is wrong, said of those that differ."""

import pytest

from notifier.programs.doctor.clocks import compare


@pytest.mark.parametrize(
    ("ahead", "found"),
    [
        ({"a": 0.1, "b": -1.9}, [("ok", "the clocks agree: a, b, Redis")]),
        ({"a": 0.1, "b": 5.0}, [("warning", "the clock of b is 5.0 s ahead of Redis'")]),
        ({"a": -40.0, "b": 0.0}, [("fault", "the clock of a is 40.0 s behind Redis'")]),
        ({"a": 61.0, "b": 60.0}, [("fault", "the clock of Redis' machine is 60.0 s behind all the others")]),
        ({"a": 61.0}, [("fault", "the clock of a is 61.0 s ahead of Redis'")]),
        (
            {"a": 60.0, "b": -60.0},
            [
                ("fault", "the clock of a is 60.0 s ahead of Redis'"),
                ("fault", "the clock of b is 60.0 s behind Redis'"),
            ],
        ),
    ],
)
def test_those_that_differ_are_named(ahead: dict[str, float], found: list[tuple[str, str]]) -> None:
    assert [(finding.level, finding.what) for finding in compare(ahead)] == found
