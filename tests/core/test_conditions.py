"""The language of audiences: what it takes, and what it says about everything else."""

from datetime import UTC, datetime
from typing import Any

import pytest

from notifier.core.conditions import (
    LARGEST_NUMBER,
    LONGEST_TEXT,
    MAX_DEPTH,
    MOST_COMPARISONS,
    MOST_FAULTS,
    MOST_VALUES,
    All,
    AnyOf,
    Comparison,
    Field,
    Not,
    parse,
)
from notifier.core.errors import Rejected

PLAN, AGE = Field("attribute", "plan"), Field("attribute", "age")
IS_PRO = Comparison(PLAN, "eq", ("pro",))
IS_ADULT = Comparison(AGE, "gte", (18,))

TAKEN: dict[str, tuple[Any, Any]] = {
    "a value alone": ({"attributes.plan": "pro"}, IS_PRO),
    "an operator": ({"attributes.age": {"gte": 18}}, IS_ADULT),
    "several operators": (
        {"attributes.age": {"gte": 18, "lt": 65.5}},
        All((IS_ADULT, Comparison(AGE, "lt", (65.5,)))),
    ),
    "several fields": ({"attributes.plan": "pro", "attributes.age": {"gte": 18}}, All((IS_PRO, IS_ADULT))),
    "all": ({"all": [{"attributes.plan": "pro"}]}, All((IS_PRO,))),
    "any": ({"any": [{"attributes.plan": "pro"}, {"attributes.age": {"gte": 18}}]}, AnyOf((IS_PRO, IS_ADULT))),
    "not": ({"not": {"attributes.plan": "pro"}}, Not(IS_PRO)),
    "a name with dots": ({"attributes.a.b": True}, Comparison(Field("attribute", "a.b"), "eq", (True,))),
    "an attribute called all": ({"attributes.all": "x"}, Comparison(Field("attribute", "all"), "eq", ("x",))),
    "one of several": ({"locale": {"in": ["de", "fr"]}}, Comparison(Field("text", "locale"), "in", ("de", "fr"))),
    "false among several": (
        {"attributes.a": {"in": [False, 0]}},
        Comparison(Field("attribute", "a"), "in", (False, 0)),
    ),
    "no value": ({"attributes.plan": {"exists": False}}, Comparison(PLAN, "exists", (False,))),
    "an address": ({"email": {"exists": True}}, Comparison(Field("address", "email"), "exists", (True,))),
    "the largest number": ({"attributes.age": LARGEST_NUMBER}, Comparison(AGE, "eq", (LARGEST_NUMBER,))),
    "a time": (
        {"created_at": {"lt": "2026-12-01T09:00:00+01:00"}},
        Comparison(Field("time", "created_at"), "lt", (datetime(2026, 12, 1, 8, tzinfo=UTC),)),
    ),
}


@pytest.mark.parametrize(("document", "condition"), TAKEN.values(), ids=TAKEN)
def test_a_condition_is_read(document: Any, condition: Any) -> None:
    assert parse(document) == condition


def nested(depth: int) -> dict[str, Any]:
    document: dict[str, Any] = {"locale": "de"}
    for _ in range(depth):
        document = {"not": document}
    return document


# document → pointer and code of each fault
REFUSED: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "no object": ("attributes.plan = pro", [("", "wrong_type")]),
    "nothing": ({}, [("", "too_short")]),
    "null": (None, [("", "wrong_type")]),
    "an unknown field": ({"attribute.plan": "pro"}, [("/attribute.plan", "unknown_field")]),
    "a column that is no field": ({"generation": 1}, [("/generation", "unknown_field")]),
    "an attribute without a name": ({"attributes.": 1}, [("/attributes.", "unknown_field")]),
    "all attributes": ({"attributes": {"plan": "pro"}}, [("/attributes", "unknown_field")]),
    "an unknown operator": ({"attributes.age": {"between": [1, 2]}}, [("/attributes.age/between", "unknown_operator")]),
    "a group as an operator": ({"attributes.age": {"not": 1}}, [("/attributes.age/not", "unknown_operator")]),
    "no operator": ({"attributes.age": {}}, [("/attributes.age", "too_short")]),
    "an address itself": ({"email": "a@x.test"}, [("/email", "operator_refused")]),
    "a part of an address": ({"phone": {"contains": "49"}}, [("/phone/contains", "operator_refused")]),
    "a part of a time": ({"created_at": {"contains": "2026"}}, [("/created_at/contains", "operator_refused")]),
    "null as a value": ({"attributes.plan": None}, [("/attributes.plan", "wrong_type")]),
    "a list as a value": ({"attributes.plan": ["pro"]}, [("/attributes.plan", "wrong_type")]),
    "an object as a value": ({"attributes.plan": {"eq": {}}}, [("/attributes.plan/eq", "wrong_type")]),
    "a number as a locale": ({"locale": 5}, [("/locale", "wrong_type")]),
    "true as a zone": ({"time_zone": {"ne": True}}, [("/time_zone/ne", "wrong_type")]),
    "more than true": ({"attributes.a": {"gt": True}}, [("/attributes.a/gt", "wrong_type")]),
    "an infinite number": ({"attributes.a": float("inf")}, [("/attributes.a", "number_too_large")]),
    "no number": ({"attributes.a": float("nan")}, [("/attributes.a", "number_too_large")]),
    "a large number": ({"attributes.a": -LARGEST_NUMBER - 1}, [("/attributes.a", "number_too_large")]),
    "exists with a text": ({"attributes.a": {"exists": "yes"}}, [("/attributes.a/exists", "wrong_type")]),
    "in without a list": ({"locale": {"in": "de"}}, [("/locale/in", "wrong_type")]),
    "in nothing": ({"locale": {"in": []}}, [("/locale/in", "wrong_type")]),
    "in with faults": (
        {"locale": {"in": ["de", 1, None]}},
        [("/locale/in/1", "wrong_type"), ("/locale/in/2", "wrong_type")],
    ),
    "contains nothing": ({"attributes.a": {"contains": ""}}, [("/attributes.a/contains", "too_short")]),
    "a date alone": ({"created_at": {"gt": "2026-12-01"}}, [("/created_at/gt", "invalid_time")]),
    "a time without an offset": ({"created_at": "2026-12-01T09:00:00"}, [("/created_at", "invalid_time")]),
    "a moment as a number": ({"created_at": {"gt": 1_700_000_000}}, [("/created_at/gt", "invalid_time")]),
    "NUL": ({"attributes.a": "a\0"}, [("/attributes.a", "unstorable_text")]),
    "half a pair": ({"attributes.\ud800": 1}, [("/attributes.\\ud800", "unstorable_text")]),
    "a long text": ({"locale": "x" * (LONGEST_TEXT + 1)}, [("/locale", "too_long")]),
    "all of no list": ({"all": {"locale": "de"}}, [("/all", "wrong_type")]),
    "any of nothing": ({"any": []}, [("/any", "wrong_type")]),
    "not a list": ({"not": [{"locale": "de"}]}, [("/not", "wrong_type")]),
    "fifty deep": (nested(50), [("/not" * (MAX_DEPTH + 1), "nested_too_deeply")]),
    "many comparisons": (
        {"any": [{"locale": "de", "time_zone": "UTC"}] * (MOST_COMPARISONS // 2) + [{"locale": "fr"}]},
        [(f"/any/{MOST_COMPARISONS // 2}/locale", "too_long")],
    ),
    "many parts": ({"any": [{"locale": "de"}] * (MOST_COMPARISONS + 1)}, [("/any", "too_long")]),
    "many values": ({"locale": {"in": ["de"] * (MOST_VALUES + 1)}}, [("/locale/in", "too_long")]),
    "many values in all": (
        {"locale": {"in": ["de"] * MOST_VALUES}, "time_zone": {"in": ["UTC"]}},
        [("/time_zone/in", "too_long")],
    ),
    "several faults": (
        {"any": [{"name": "A"}, {"not": {"locale": 1}}]},
        [("/any/0/name", "unknown_field"), ("/any/1/not/locale", "wrong_type")],
    ),
    "a name to be escaped": ({"a/b~c": 1}, [("/a~1b~0c", "unknown_field")]),
}


@pytest.mark.parametrize(("document", "faults"), REFUSED.values(), ids=REFUSED)
def test_a_fault_is_named_by_its_place(document: Any, faults: list[tuple[str, str]]) -> None:
    with pytest.raises(Rejected) as refused:
        parse(document, "/where")
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [
        ("/where" + pointer, code) for pointer, code in faults
    ]


def test_ten_levels_are_read() -> None:
    parse(nested(MAX_DEPTH))


def test_a_thousand_faults_are_not_all_told() -> None:
    with pytest.raises(Rejected) as refused:
        parse({f"field{n}": 1 for n in range(1_000)})
    assert len(refused.value.faults) == MOST_FAULTS
