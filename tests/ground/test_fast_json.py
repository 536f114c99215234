"""JSON that is written fast says what the standard library's says."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from markupsafe import Markup

from notifier.ground.fast_json import decoded, encoded


class _Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        *(
            None,
            True,
            0,
            -(2**64),
            2**70,
            1.0,
            1e16,
            1e-7,
            "",
            'Jürgen 😀 \u2028 \\ " \n\0',
            "\ud800",
            [],
            {},
            [[]] * 3,
        ),
        {"a": {"b": [1, None, False]}, "": "x", "ü": "ö"},
        {"title": Markup("<b>"), "text": _Text("x"), 1: "a number for a name", "pair": (1, 2)},
    ],
    ids=ascii,
)
def test_what_is_written_is_read_as_the_standard_library_has_it(value: Any) -> None:
    expected = json.loads(json.dumps(value))

    assert decoded(encoded(value)) == expected
    assert json.loads(encoded(value)) == expected
    assert decoded(json.dumps(value)) == expected


@dataclass
class _Pair:
    left: int
    right: Any


@pytest.mark.parametrize("beside", ["", Markup("<b>"), "\ud800"], ids=ascii)
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2026, 12, 3, 9, tzinfo=UTC), '"2026-12-03T09:00:00Z"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Decimal("1.20"), '"1.20"'),
        (b"x", '"eA=="'),
        ({1}, "[1]"),
        (_Pair(1, {2}), '{"left":1,"right":[2]}'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_has_no_type_for_is_written_alike_beside_every_text(value: Any, text: str, beside: str) -> None:
    assert json.loads(encoded([value, beside])) == [json.loads(text), beside]


@pytest.mark.parametrize("beside", ["", "\ud800"], ids=ascii)
def test_what_nothing_is_known_of_is_refused(beside: str) -> None:
    with pytest.raises(TypeError):
        encoded([object(), beside])


@pytest.mark.parametrize("text", ["", "{", "nothing"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Expecting"):
        decoded(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_has_no_number_for_is_null(value: float) -> None:
    assert encoded({"x": value}) == b'{"x":null}'


def test_what_an_earlier_release_has_stored_is_read() -> None:
    """It wrote NaN where columns are encrypted, or of SQLite, and all but ASCII escaped."""
    value = {"x": float("inf"), "ü": ["😀", "\ud800"]}

    assert decoded(json.dumps(value).encode()) == value
