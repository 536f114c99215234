"""Whom a broadcast means: the four ways to say it, and no other."""

from typing import Any

import pytest

from notifier.core.audience import MOST_USERS, Everybody, Named, Selected, Uploaded, parse
from notifier.core.conditions import Comparison, Field
from notifier.core.errors import Rejected


@pytest.mark.parametrize(
    ("document", "audience"),
    [
        ({"all": True}, Everybody()),
        ({"users": ["b", "a", 7, "b"]}, Named(("b", "a", "7"))),
        ({"upload": "upl_1"}, Uploaded("upl_1")),
        ({"where": {"locale": "de"}}, Selected(Comparison(Field("text", "locale"), "eq", ("de",)))),
    ],
)
def test_an_audience_is_read(document: Any, audience: Any) -> None:
    assert parse(document) == audience


@pytest.mark.parametrize(
    ("document", "faults"),
    [
        (None, [("", "invalid_audience")]),
        ("all", [("", "invalid_audience")]),
        ({}, [("", "invalid_audience")]),
        ({"everybody": True}, [("", "invalid_audience")]),
        ({"all": True, "users": ["a"]}, [("", "invalid_audience")]),
        ({"all": False}, [("/all", "wrong_type")]),
        ({"all": 1}, [("/all", "wrong_type")]),
        ({"users": []}, [("/users", "wrong_type")]),
        ({"users": "a"}, [("/users", "wrong_type")]),
        ({"users": ["a", "~b", None]}, [("/users/1", "invalid_user_id"), ("/users/2", "invalid_user_id")]),
        ({"users": ["a"] * (MOST_USERS + 1)}, [("/users", "too_long")]),
        ({"upload": 1}, [("/upload", "wrong_type")]),
        ({"where": {"x": 1}}, [("/where/x", "unknown_field")]),
    ],
)
def test_anything_else_is_refused_by_its_place(document: Any, faults: list[tuple[str, str]]) -> None:
    with pytest.raises(Rejected) as refused:
        parse(document)
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [
        ("/audience" + pointer, code) for pointer, code in faults
    ]
