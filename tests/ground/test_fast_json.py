"""JSON that is written fast says what the standard library's says."""

import json
from typing import Any

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
