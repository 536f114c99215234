"""The fields for data that a form makes of the JSON Schema of a type."""

import pytest

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
