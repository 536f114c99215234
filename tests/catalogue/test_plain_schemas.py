"""The fast look at data agrees with the validator, and decides about the types that are shipped."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.catalogue.kinds import KINDS, schema_of
from notifier.catalogue.plain_schemas import plain_check
from notifier.catalogue.schemas import compiled_pattern, errors_of, validator_of

_BOUNDS = st.integers(0, 3)
_TYPES = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])
_VALUE_SCHEMAS = st.fixed_dictionaries(
    {"type": _TYPES | st.lists(_TYPES, min_size=1, max_size=3, unique=True)},
    optional={
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _BOUNDS),
        **{name: st.integers(-2, 2) | st.floats(-2, 2) for name in ("minimum", "maximum")},
        "pattern": st.sampled_from(["^a", "b$", r"^\d+$", "[^a]"]),
        "description": st.just("says nothing"),
    },
)
_SCHEMAS = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(st.sampled_from("abc"), _VALUE_SCHEMAS)},
    optional={"required": st.lists(st.sampled_from("abcd"), unique=True), "additionalProperties": st.booleans()},
)
_VALUES = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.text("ab1😀", max_size=4)
) | st.sampled_from([[], [1], [1, 2, 3, 4], {}, {"a": 1}, 1.0, 2**63])
_DATA = st.dictionaries(st.sampled_from("abcde"), _VALUES)


@given(_SCHEMAS, _DATA)
def test_data_that_fit_at_a_look_have_no_faults(schema: dict[str, Any], data: dict[str, Any]) -> None:
    check = plain_check(schema, compiled_pattern)

    assert check is not None
    if check(data):
        assert list(errors_of(validator_of(schema), data)) == []


FITTING = {
    "id": "A123",
    "name": "DHL",
    "word": "blue",
    "text": "",
    "long_text": "x",
    "code": "1",
    "url": "https://track.example/A123",
    "moment": "2026-12-03",
    "amount": 84.9,
    "currency": "EUR",
    "items": [{"name": "mug"}],
    "minutes": 1,
    "count": 0,
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_the_catalogue_is_decided_at_a_look(kind: str) -> None:
    check = plain_check(schema_of({"it": kind}, required=["it"]), compiled_pattern)

    assert check is not None
    assert check({"it": FITTING[kind], "more": {"deep": [1]}})
    assert not check({"it": {}})
    assert not check({})


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/x"},
        {"type": "object", "allOf": [{"required": ["a"]}]},
        {"properties": {"a": {"$ref": "#"}}},
        {"properties": {"a": {"type": "string", "format": "date"}}},
        {"properties": {"a": {"type": "array", "items": {"type": "string"}}}},
        {"properties": {"a": {"const": 1}}},
        {"properties": {"a": True}},
        {"properties": {"a": {"type": "string", "pattern": "(?=a)"}}},
        {"additionalProperties": {"type": "string"}},
        {"type": ["object", "null"]},
        {"properties": {f"p{number}": {"type": "string"} for number in range(101)}},
    ],
    ids=str,
)
def test_all_else_is_left_to_the_validator(schema: dict[str, Any]) -> None:
    assert plain_check(schema, compiled_pattern) is None


@pytest.mark.parametrize(
    ("pattern", "patterns", "matched"),
    [("a", 1, 3_000), ("a", 10, 300), ("(a|b){1,500}c?", 1, 10), ("((a|b)?c?){1,900}", 100, 0)],
)
def test_what_takes_long_to_match_is_left_to_the_validator_which_counts_the_work(
    pattern: str, patterns: int, matched: int
) -> None:
    named = {f"p{number}": {"type": "string", "pattern": pattern} for number in range(patterns)}
    check = plain_check({"properties": named}, compiled_pattern)

    assert check is not None
    assert check(dict.fromkeys(named, "a" * matched))
    assert not check({"p0": "a" * 10 * (matched + 1)})
