"""The fields that shapes declare: how they are read, and what is wrong with them whatever the data are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.shape_fields import Kind, ShapeField, pieces

BUTTONS = ShapeField("buttons", "Buttons", "", "links", longest=20, longest_label=8, most=2)
NAMES = ShapeField(
    "names", "Names", "", "list", longest=5, most=2, check=lambda number, value: None if value != "bad" else f"{number}"
)
SWITCH = ShapeField("plain", "Plain", "", "switch")


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("line", "", []),
        ("line", "a: b", [("a: b",)]),
        ("text", "a\nb", [("a\nb",)]),
        ("list", "a\n\nb", [("a",), ("",), ("b",)]),
        ("pairs", "Order: {{ id }}\nnothing", [("Order", "{{ id }}"), ("nothing",)]),
        ("pairs", "{{ 'a:b' }} : c:d", [("{{ 'a:b' }}", "c:d")]),
        (
            "links",
            "{% if a == 'x:' %}A{% endif %}: https://x.test",
            [("{% if a == 'x:' %}A{% endif %}", "https://x.test")],
        ),
        ("links", "{{ never ends: a", [("{{ never ends: a",)]),
        ("switch", "on", []),
    ],
)
def test_a_line_is_a_value_and_the_colon_behind_a_label_is_the_authors(
    kind: Kind, text: str, expected: list[tuple[str, ...]]
) -> None:
    assert ShapeField("x", "X", "", kind).sources(text) == expected


@pytest.mark.parametrize(
    ("field", "text", "faults"),
    [
        (BUTTONS, "Track it: {{ url }}\n\nMore: https://x.test/", []),
        (BUTTONS, "A: 1\nB: 2\nC: 3", [("too_many", None)]),
        (BUTTONS, "Track it\n: https://x.test\nA:", [("too_many", None), *[("invalid_value", n) for n in (1, 2, 3)]]),
        (BUTTONS, "Track it now: {{ url }}", [("too_long", 1)]),
        (BUTTONS, "{{ a_very_long_name }}: https://x.test/{{ a_very_long_name }}", []),
        (BUTTONS, "A: b\nB: https://shop.example/much/too/long", [("too_long", 2)]),
        (NAMES, "good\nbad", [("invalid_value", 2)]),
        (NAMES, "{{ bad }}\n", []),
        (SWITCH, "on", []),
        (SWITCH, "yes", [("invalid_value", None)]),
    ],
)
def test_what_is_wrong_whatever_the_data_are_is_named_by_its_line(
    field: ShapeField, text: str, faults: list[tuple[str, int | None]]
) -> None:
    found = list(field.faults(text, "/here"))
    assert [(fault.code, fault.line) for fault in found] == faults
    assert {fault.pointer for fault in found} <= {"/here"}


@given(st.text(st.sampled_from("{}%#: ab")))
def test_no_character_of_a_source_is_lost(source: str) -> None:
    assert "".join(piece for piece, _ in pieces(source)) == source
