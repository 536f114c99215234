"""The table of a schema's fields: shows what it can, and never loses what it cannot."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.catalogue.schema_table import KINDS, Row, changed, rows_of

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["order_id", "elsewhere"],
    "additionalProperties": False,
    "properties": {
        "order_id": {"type": "string", "maxLength": 64, "description": "Its number", "examples": ["A1", "A2"]},
        "total": {"type": ["number", "null"], "minimum": 0, "examples": [9.5]},
        "items": {"type": "array", "items": {"type": "string"}},
        "anything": True,
        "never": False,
    },
}
ROWS = [
    Row("order_id", "string", True, "Its number", "A1", was="order_id"),
    Row("total", "", False, "", "9.5", was="total"),
    Row("items", "array", was="items"),
    Row("anything", was="anything"),
    Row("never", was="never"),
    Row("elsewhere", "", True, was="elsewhere"),
]
_P = SCHEMA["properties"]


def with_row(index: int, **changes: Any) -> list[Row]:
    return [replace(row, **changes) if place == index else row for place, row in enumerate(ROWS)]


def test_a_table_shows_the_fields_of_a_schema() -> None:
    assert rows_of(SCHEMA) == ROWS
    assert rows_of({"required": ["n", "n"]}) == [Row("n", "", True, was="n")]
    assert rows_of({"type": "object"}) == rows_of({"properties": [], "required": "x"}) == []


CHANGES: dict[str, tuple[list[Row], dict[str, Any]]] = {
    "nothing": (ROWS, {}),
    "only its rows are given": (ROWS[:1], {}),
    "a description": (
        with_row(0, description="The order"),
        {"properties": {**_P, "order_id": {**_P["order_id"], "description": "The order"}}},
    ),
    "an example, the others stay": (
        with_row(0, example="B1"),
        {"properties": {**_P, "order_id": {**_P["order_id"], "examples": ["B1", "A2"]}}},
    ),
    "an example of several types": (
        with_row(1, example=""),
        {"properties": {**_P, "total": {"type": ["number", "null"], "minimum": 0}}},
    ),
    "a type": (
        with_row(1, kind="integer"),
        {"properties": {**_P, "total": {**_P["total"], "type": "integer"}}},
    ),
    "no longer required": (with_row(0, is_required=False), {"required": ["elsewhere"]}),
    "required": (with_row(2, is_required=True), {"required": ["order_id", "elsewhere", "items"]}),
    "another name": (
        with_row(0, name="number"),
        {
            "properties": {"number": _P["order_id"], **{name: _P[name] for name in list(_P)[1:]}},
            "required": ["number", "elsewhere"],
        },
    ),
    "gone": (
        with_row(0, name=""),
        {"properties": {name: _P[name] for name in list(_P)[1:]}, "required": ["elsewhere"]},
    ),
    "one more": (
        [*ROWS, Row("carrier", "string", True, "Who brings it", "DHL")],
        {
            "properties": {**_P, "carrier": {"type": "string", "description": "Who brings it", "examples": ["DHL"]}},
            "required": ["order_id", "elsewhere", "carrier"],
        },
    ),
    "one that may hold anything": ([*ROWS, Row("x")], {"properties": {**_P, "x": {}}}),
    "a word about what was true": (
        with_row(3, description="Free"),
        {"properties": {**_P, "anything": {"description": "Free"}}},
    ),
    "a blank row": ([*ROWS, Row("")], {}),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_in_the_table_changes_that_and_no_more(case: str) -> None:
    after, becomes = CHANGES[case]
    found = changed(SCHEMA, ROWS, after)
    assert found == {**SCHEMA, **becomes}
    assert list(found["properties"]) == list({**SCHEMA, **becomes}["properties"])


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (with_row(0, name="total"), "two fields 'total'"),
        ([*ROWS, Row("n", "integer", example="many")], "n: the example is no JSON"),
        (with_row(4, description="x"), "the JSON forbids this field"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(after: list[Row], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        changed(SCHEMA, ROWS, after)


def test_examples_that_are_no_list_give_way_to_the_tables() -> None:
    schema = {"properties": {"n": {"examples": 5}}}
    row = Row("n", was="n")
    assert rows_of(schema) == [row]
    assert changed(schema, [row], [replace(row, example="1")]) == {"properties": {"n": {"examples": [1]}}}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
_RULES = _VALUES | st.fixed_dictionaries({}, optional={"type": st.sampled_from(KINDS), "description": _VALUES})


@pytest.mark.slow
@given(
    st.fixed_dictionaries(
        {"x-ours": _VALUES},
        optional={
            "properties": st.dictionaries(st.text(), _RULES) | _VALUES,
            "required": st.lists(st.text()) | _VALUES,
        },
    )
)
def test_a_table_that_nobody_touches_leaves_every_schema_as_it_is(schema: dict[str, Any]) -> None:
    rows = rows_of(schema)
    assert changed(schema, rows, rows) == schema
