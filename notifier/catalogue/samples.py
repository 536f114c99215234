"""Sample data for event types: to preview a template, and to try a schema before it is published.

Called by `catalogue.types`, `catalogue.templates` and the template editor.
"""

import re
from collections.abc import Mapping
from typing import Any

from notifier import catalogue

_LONG, _LARGE = 100, 999_999
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def sample_of(key: str, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """Data to preview a template with: the catalogue's, or made from the type's schema."""
    for entry in catalogue.load():
        if entry.key == key:
            return dict(entry.sample)
    return sample_by(schema or {})


def sample_by(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Sample data that fit a JSON Schema of an object's properties."""
    properties = schema.get("properties")
    return {name: _example(name, rule) for name, rule in properties.items()} if isinstance(properties, Mapping) else {}


def longest_of(sample: Mapping[str, Any], schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """The sample with texts as long as the schema allows, at most 100 characters each, and with large numbers: what a
    message may become.
    """
    given = (schema or {}).get("properties")
    rules = given if isinstance(given, Mapping) else {}
    return {name: _longest(value, rules.get(name)) for name, value in sample.items()}


def _longest(value: Any, rule: Any) -> Any:
    rule = rule if isinstance(rule, Mapping) else {}
    if isinstance(rule.get("enum"), list) and rule["enum"]:
        return max(rule["enum"], key=lambda choice: len(str(choice)))
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        largest = rule.get("maximum", _LARGE)
        return max(value, min(largest, _LARGE)) if isinstance(largest, int | float) else value
    # What has a form of its own, such as an address or a date, stays as it is
    if not isinstance(value, str) or not value or "pattern" in rule or "format" in rule or _DATE.match(value):
        return value
    longest = rule.get("maxLength", _LONG)
    room = min(longest, _LONG) if isinstance(longest, int) else _LONG
    return value if len(value) >= room else (f"{value} " * room)[:room].strip()


def _example(name: str, rule: Any) -> Any:
    if not isinstance(rule, Mapping):
        return name
    for choices in ("examples", "enum"):
        if isinstance(rule.get(choices), list) and rule[choices]:
            return rule[choices][0]
    for word in ("const", "default"):
        if word in rule:
            return rule[word]
    kinds = {"integer": 1, "number": 9.5, "boolean": True, "array": [], "object": {}, "null": None}
    kind = rule.get("type")
    return kinds.get(kind if isinstance(kind, str) else "", name.replace("_", " "))
