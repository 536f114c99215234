"""A schema of an object as a table of its fields, and changes in that table put back into the schema. Pure.

Called by the console. The table shows of each field what it can; whatever else the schema says stays as it is.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

KINDS = ("string", "integer", "number", "boolean", "array", "object")
OTHER = ""  # several types, none, a reference: as the schema says


@dataclass(frozen=True, slots=True)
class Row:
    """A field. `example`: as text, JSON but for strings. `was`: its name in the schema; empty for a new one."""

    name: str
    kind: str = OTHER
    is_required: bool = False
    description: str = ""
    example: str = ""
    was: str = ""


def rows_of(schema: Mapping[str, Any]) -> list[Row]:
    """Its fields in their order, and those that are required without being described."""
    required, properties = _required(schema), _properties(schema)
    return [_row(name, properties.get(name), name in required) for name in dict.fromkeys([*properties, *required])]


def changed(schema: Mapping[str, Any], before: Sequence[Row], after: Sequence[Row]) -> dict[str, Any]:
    """The schema with the differences between two states of its table. A row without a name is a field that goes; rows
    of `before` that are missing stay. Raises ValueError with a sentence for people.
    """
    known = {row.name: row for row in before}
    names = [row.name for row in after if row.name]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"There are two fields {twice!r}.")
    found = dict(schema)
    for row in after:
        old = known.get(row.was)
        if old is None and row.name:
            found = _put(found, replace(row, was=""), Row(row.name))
        elif old is not None and replace(row, was="") != replace(old, was=""):
            found = _put(found, row, old) if row.name else _without(found, old.name)
    return found


def _properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    found = schema.get("properties")
    return dict(found) if isinstance(found, Mapping) else {}


def _required(schema: Mapping[str, Any]) -> list[str]:
    found = schema.get("required")
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _row(name: str, rule: Any, is_required: bool) -> Row:
    if not isinstance(rule, Mapping):
        return Row(name, is_required=is_required, was=name)
    kind, description, examples = rule.get("type"), rule.get("description"), rule.get("examples")
    first = examples[0] if isinstance(examples, list) and examples else None
    return Row(
        name,
        kind if isinstance(kind, str) and kind in KINDS else OTHER,
        is_required,
        description if isinstance(description, str) else "",
        "" if first is None else first if isinstance(first, str) else json.dumps(first, ensure_ascii=False),
        was=name,
    )


def _put(schema: dict[str, Any], row: Row, old: Row) -> dict[str, Any]:
    """`row` takes the place of `old`; of the rule, only what differs is touched."""
    properties, required = _properties(schema), _required(schema)
    rule = properties.get(old.name)
    told = (row.kind, row.description, row.example) != (old.kind, old.description, old.example)
    if told or (rule is None and not row.is_required):
        if rule is False:
            raise ValueError(f"{row.name}: the JSON forbids this field, so nothing can be said of it here.")
        rule = _ruled(dict(rule) if isinstance(rule, Mapping) else {}, row, old)
    places = {name: (row.name, rule) if name == old.name else (name, value) for name, value in properties.items()}
    if old.name not in properties and rule is not None:
        places[old.name] = (row.name, rule)
    if row.is_required and old.name not in required:
        required.append(row.name)
    renamed = [row.name if name == old.name else name for name in required if row.is_required or name != old.name]
    return _with(schema, dict(places.values()), list(dict.fromkeys(renamed)))


def _ruled(rule: dict[str, Any], row: Row, old: Row) -> dict[str, Any]:
    if row.kind != old.kind and row.kind != OTHER:
        rule["type"] = row.kind
    if row.description != old.description:
        rule.pop("description", None)
        rule |= {"description": row.description} if row.description else {}
    if row.example != old.example:
        before = rule.pop("examples", None)
        others = before[1:] if isinstance(before, list) else []
        examples = [_example(row), *others] if row.example else others
        rule |= {"examples": examples} if examples else {}
    return rule


def _example(row: Row) -> Any:
    if row.kind == "string":
        return row.example
    try:
        return json.loads(row.example)
    except (ValueError, RecursionError):
        if row.kind == OTHER:
            return row.example
        raise ValueError(f"{row.name}: the example is no JSON of the type {row.kind}.") from None


def _without(schema: dict[str, Any], name: str) -> dict[str, Any]:
    properties, required = _properties(schema), _required(schema)
    properties.pop(name, None)
    return _with(schema, properties, [one for one in required if one != name])


def _with(schema: dict[str, Any], properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """Keywords stay where they stood; empty ones that were not there are not added."""
    found = dict(schema)
    for word, value in (("properties", properties), ("required", required)):
        if value or word in found:
            found[word] = value
    return found
