"""What JSON tells apart, and what it does not."""

from typing import Any

import pytest

from notifier.core.json_values import is_same


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, True),
        (True, True, True),
        (None, None, True),
        ("a", "a", True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ([1, {"a": [None]}], [1, {"a": [None]}], True),
        (True, 1, False),
        (False, 0, False),
        (False, None, False),
        ("1", 1, False),
        ("ab", ["a", "b"], False),
        ([], {}, False),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ({"a": 1}, {"a": True}, False),
        ({"a": {"b": [0]}}, {"a": {"b": [False]}}, False),
        ({"a": None}, {}, False),
    ],
)
def test_values_are_the_same_where_json_says_so(one: Any, other: Any, expected: bool) -> None:
    assert (is_same(one, other), is_same(other, one)) == (expected, expected)
