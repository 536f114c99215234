"""Schemas that a look at each named value decides: an object of texts, numbers, truths and lists, as most types have.

Used by `catalogue.schemas` before its validator, which takes ten times as long, and which alone says what is wrong.
Schemas and data come from strangers. Nothing here goes into the data any deeper, and patterns get little to match, so
no data take longer than a fifth of a millisecond; the validator has a budget for what would.
"""

from collections.abc import Callable, Mapping
from typing import Any

_MOST_VALUES = 100
_MOST_STEPS = 26_000  # of all patterns together, counted as the validator does: instructions times characters
_SAYS_NOTHING = frozenset({"$schema", "$comment", "title", "description", "default", "examples"})
_OF_OBJECTS = _SAYS_NOTHING | {"type", "required", "properties", "additionalProperties"}
_OF_VALUES = _SAYS_NOTHING | {"type", "minLength", "maxLength", "pattern", "minimum", "maximum", "minItems", "maxItems"}
# As JSON is read. That 1.0 is an integer too is left to the validator.
_CLASSES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}
_ABSENT = object()

Fits = Callable[[Any], bool]


def plain_check(schema: Mapping[str, Any], compiled_pattern: Callable[[str], Any]) -> Fits | None:
    """A function that is true only of data without faults, and false where the validator must look. None: the schema is
    not that plain.
    """
    named: Mapping[str, Any] = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    if not schema.keys() <= _OF_OBJECTS or schema.get("type", "object") != "object" or len(named) > _MOST_VALUES:
        return None
    if not isinstance(others, bool):
        return None
    patterns = sum("pattern" in value for value in named.values() if isinstance(value, dict))
    most = _MOST_STEPS // max(1, patterns)
    made = {name: _value_check(value, compiled_pattern, most) for name, value in named.items()}
    checks = [(name, fits) for name, fits in made.items() if fits is not None]
    if len(checks) < len(made):
        return None
    required = frozenset(schema.get("required", ()))

    def check(data: Any) -> bool:
        if data.__class__ is not dict or not required <= data.keys():
            return False
        if not others and (len(data) > len(named) or not data.keys() <= named.keys()):
            return False
        for name, fits in checks:
            value = data.get(name, _ABSENT)
            if value is not _ABSENT and not fits(value):
                return False
        return True

    return check


def _value_check(schema: Any, compiled_pattern: Callable[[str], Any], most_steps: int) -> Fits | None:
    if not isinstance(schema, dict) or "type" not in schema or not schema.keys() <= _OF_VALUES:
        return None
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    classes = frozenset(class_ for name in types for class_ in _CLASSES.get(name, ()))
    sizes = {
        str: (schema.get("minLength", 0), schema.get("maxLength", float("inf"))),
        list: (schema.get("minItems", 0), schema.get("maxItems", float("inf"))),
    }
    least, most = schema.get("minimum", float("-inf")), schema.get("maximum", float("inf"))
    try:
        pattern = compiled_pattern(schema["pattern"]) if "pattern" in schema else None
    except ValueError:  # stored by an earlier release
        return None

    longest_matched = most_steps // pattern.programsize if pattern is not None else 0

    def fits(value: Any) -> bool:
        class_ = value.__class__
        if class_ not in classes:
            return False
        if class_ in sizes:
            shortest, longest = sizes[class_]
            if not shortest <= len(value) <= longest:
                return False
            if pattern is not None and class_ is str:
                return len(value) <= longest_matched and pattern.search(value) is not None
        elif class_ is int or class_ is float:
            return bool(least <= value <= most)
        return True

    return fits
