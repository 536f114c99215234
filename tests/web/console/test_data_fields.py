"""The fields for data that a form makes of the JSON Schema of a type."""

import json

import pytest
from werkzeug.datastructures import MultiDict

from notifier.web.console.data_fields import DataFields


@pytest.mark.parametrize(
    ("name", "rule", "label", "hint"),
    [
        ("order_id", {"type": "string"}, "Order id", "Needed."),
        ("tracking_url", {}, "Tracking URL", "Needed."),
        ("orderID", True, "OrderID", "Needed."),
        ("eta", {"title": "Expected on", "description": "A day."}, "Expected on", "Needed. A day."),
        ("eta", {"title": " ", "description": 7}, "Eta", "Needed."),
    ],
)
def test_a_field_says_what_its_schema_says(name: str, rule: object, label: str, hint: str) -> None:
    fields = DataFields({"properties": {name: rule}, "required": [name]})
    assert (fields.named()[name].label.text, fields.hint(name)) == (label, hint)
    assert fields.hint(name) == f"Needed. {DataFields({'properties': {name: rule}}).hint(name)}".strip()


@pytest.mark.parametrize(
    ("kind", "typed", "meant"),
    [
        ("string", "NaN", "NaN"),
        (["string", "number"], "NaN", "NaN"),
        ("integer", "7", 7),
        ("array", '["a"]', ["a"]),
        ("integer", "many", "This must be a whole number."),
        ("number", "NaN", "NaN is not valid JSON."),
        ("number", "1e999", "It contains a number that is too large."),
        ("array", json.dumps(["\0"]), "It contains a character that cannot be stored."),
        ("array", json.dumps(["\ud800"]), "It contains a character that cannot be stored."),
        ("array", "[" * 100 + "]" * 100, "This is nested too deeply."),
    ],
)
def test_what_is_typed_is_read_by_its_type_and_can_be_stored(kind: object, typed: str, meant: object) -> None:
    fields = DataFields({"properties": {"x": {"type": kind}}}, MultiDict({"data-v-x": typed}))
    said = fields.document()["x"] if fields.validate() else fields.named()["x"].errors[0]
    assert said == meant
