"""Sample data for event types: to preview a template, and to try a schema before it is published.

Called by `catalogue.types`, `catalogue.templates` and the template editor.
"""

from collections.abc import Mapping
from typing import Any

from notifier import catalogue


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
