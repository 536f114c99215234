"""Repeats: what is the same, what is nearly the same, and when that matters."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.repeats import content, is_left_out, plain_text, window_s


@pytest.mark.parametrize(
    ("asked", "of_the_type", "is_mandatory", "seconds", "is_left_out_"),
    [
        (None, None, False, 3_600, False),
        (None, 0, False, None, False),
        (None, 600, False, 600, True),
        (None, 600, True, 600, False),
        (True, None, False, 3_600, True),
        (True, 0, False, 3_600, True),
        (True, 600, False, 600, True),
        (True, 600, True, 600, True),
        (True, None, True, 3_600, True),
        (False, 600, False, 600, False),
        (False, None, False, 3_600, False),
        (False, 0, False, None, False),
    ],
)
def test_for_how_long_it_is_remembered_and_whether_it_may_be_left_out(
    asked: bool | None, of_the_type: int | None, is_mandatory: bool, seconds: int | None, is_left_out_: bool
) -> None:
    assert window_s(asked, of_the_type) == seconds
    assert is_left_out(asked, of_the_type, is_mandatory=is_mandatory) is is_left_out_


def said(data: Any, *, near: bool = False, channels: tuple[str, ...] = (), **changes: str) -> str:
    fields = {"scope": "shop", "type": "like", "template": "1", "send_at": ""} | changes
    return content(fields["scope"], fields["type"], fields["template"], channels, fields["send_at"], data, near=near)


def to(*addresses: str) -> str:
    return content("shop", "like", "1", (), "", {"a": 1}, near=False, addresses=addresses)


def test_without_addresses_the_text_is_that_of_marks_left_before_they_were_compared() -> None:
    assert to() == '["shop","like","1",[],"",{"a":1}]'


def test_addresses_are_compared_in_any_order() -> None:
    assert to("a", "b") == to("b", "a", "b")
    assert len({to(), to("a"), to("b"), to("a", "b")}) == 4


DATA = {"actor": "Mira", "count": 1, "tags": ["a", "b"]}


@pytest.mark.parametrize(
    ("case", "other", "is_same"),
    [
        ("the same", said(DATA), True),
        ("in another order of keys", said(dict(reversed(DATA.items()))), True),
        ("in another order of items", said({**DATA, "tags": ["b", "a"]}), False),
        ("in capitals", said({**DATA, "actor": "MIRA"}), False),
        ("a number as text", said({**DATA, "count": "1"}), False),
        ("yes for 1", said({**DATA, "count": True}), False),
        ("with one key more", said({**DATA, "url": None}), False),
        ("another type", said(DATA, type="follow"), False),
        ("another version of the template", said(DATA, template="2"), False),
        ("by channels of its own", said(DATA, channels=("sms",)), False),
        ("for another time", said(DATA, send_at="2026-12-01T09:00:00+00:00"), False),
        ("by another producer", said(DATA, scope="club"), False),
    ],
)
def test_what_is_the_same(case: str, other: str, is_same: bool) -> None:
    assert (said(DATA) == other) is is_same


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ({"text": "Nice  mug\n"}, {"text": "nice MUG"}, True),
        ({"text": "Straße"}, {"text": "STRASSE"}, True),
        ({"text": "ﬁne"}, {"text": "fine"}, True),
        ({"text": "1,000.00 EUR"}, {"text": "1000 eur"}, True),
        ({"text": "1.000,00"}, {"text": "1000"}, True),
        ({"n": 1000}, {"n": "1,000.00"}, True),
        ({"n": 10.50}, {"n": "10,5"}, True),
        ({"items": [{"name": "Mug "}]}, {"items": [{"name": "mug"}]}, True),
        ({"text": "1000"}, {"text": "1001"}, False),
        ({"text": "nicemug"}, {"text": "nice mug"}, False),
        ({"Text": "a"}, {"text": "a"}, False),
        ({"n": 1.125}, {"n": 1125}, False),
        ({"n": True}, {"n": 1}, False),
        ({"n": None}, {"n": ""}, False),
    ],
)
def test_what_is_nearly_the_same(first: Any, second: Any, is_same: bool) -> None:
    assert (said(first, near=True) == said(second, near=True)) is is_same


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1,000", "1000"),
        ("1.000", "1000"),
        ("1'000.50", "1000.5"),
        ("1\u202f000,50", "1000.5"),
        ("1,000,000.00", "1000000"),
        ("0.125", "0.125"),
        ("3,5", "3.5"),
        ("1234.567", "1234.567"),
        ("007", "007"),
        ("01.02.2026", "01.02.2026"),
        ("10.0.0.1", "10.0.0.1"),
        ("12,34,567", "12,34,567"),
        ("2026-12-01 09:30", "2026-12-01 09:30"),
    ],
)
def test_how_numbers_are_read(written: str, read: str) -> None:
    assert plain_text(written) == read


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(json)
def test_anything_can_be_compared_and_is_the_same_as_itself(data: Any) -> None:
    assert said(data, near=True) == said(data, near=True)
    assert said(data) == said(data)


@given(st.integers(0, 10**12), st.integers(0, 99))
def test_a_sum_is_the_same_in_every_writing(whole: int, cents: int) -> None:
    english = f"{whole:,}.{cents:02}"
    german = english.translate(str.maketrans(",.", ".,"))
    assert plain_text(english) == plain_text(german) == plain_text(f"{whole}.{cents:02}")


@pytest.mark.parametrize(
    "text", ["1" * 100_000, "1." * 50_000 + "x", "1,000" * 20_000], ids=["digits", "digits and points", "groups"]
)
def test_a_long_number_is_read_in_time_with_its_length(text: str) -> None:
    begun = time.process_time()
    plain_text(text)
    assert time.process_time() - begun < 5
