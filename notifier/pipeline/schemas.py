"""Checks a submission's data against the JSON Schema of its event type. Validators are compiled once per version of the type.

Both come from strangers, and a check runs while others wait for the database: so there is no schema and no
data that keeps it busy for long. Patterns are RE2's, which take time in proportion to the text, and the
steps of a check are counted.
"""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import attrs
import re2  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.validators import create
from referencing import Registry

from notifier.core.errors import Fault
from notifier.models import EventType

MOST_STEPS = 60_000
LONGEST_PATTERN = 1_000
# Their cost grows with the square of the data, or they look for patterns with Python's own engine.
UNAVAILABLE = ("patternProperties", "unevaluatedItems", "unevaluatedProperties")

_MOST_FAULTS = 20
_CHARACTERS_A_STEP = 200
_PARTS_A_STEP = 10  # of an object or a list that is gone through

Keyword = Callable[[Any, Any, Any, Any], Any]  # as jsonschema has them: (validator, value, instance, schema) → errors

_steps_left: ContextVar[int] = ContextVar("_steps_left")


class TooComplex(Exception):
    """A check that would take too long."""


def data_faults(type_: EventType, data: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with `data`, by pointer. An empty list when it fits."""
    validator = _validator(type_.key, json.dumps(type_.schema, sort_keys=True))
    faults = []
    try:
        for error in errors_of(validator, data):
            if error.validator == "required":
                missing = sorted(set(error.validator_value) - set(error.instance))
                faults += [Fault(_pointer([*error.absolute_path, name]), "missing", f"{name!r} is required by {type_.key}") for name in missing]
            else:
                faults.append(Fault(_pointer(error.absolute_path), str(error.validator), _sentence(error)))
            if len(faults) >= _MOST_FAULTS:
                break
    except TooComplex:
        return [Fault("/data", "too_complex", f"the data take too long to check against the schema of {type_.key}")]
    return list(dict.fromkeys(faults))


def errors_of(validator: Any, instance: Any) -> Iterator[Any]:
    """What a `Validator` finds. Raises TooComplex."""
    _steps_left.set(MOST_STEPS)
    try:
        yield from validator.iter_errors(instance)
    except RecursionError:
        raise TooComplex from None


@functools.lru_cache(maxsize=1024)
def compiled_pattern(pattern: str) -> Any:
    """Raises ValueError for what RE2 cannot match in linear time: look-around, references to groups."""
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"a pattern has at most {LONGEST_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"this pattern is not available: {error}"[:300]) from None


def _spend(steps: int) -> None:
    left = _steps_left.get() - steps
    _steps_left.set(left)
    if left < 0:
        raise TooComplex


def _counted(keyword: Keyword) -> Keyword:
    """Whatever a keyword does, it costs what it has and what it is given, and what it says of a fault: jsonschema quotes the value."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        _spend(1 + (len(value) if isinstance(value, dict | list) else 0))
        if isinstance(instance, dict | list):
            _spend(len(instance) // _PARTS_A_STEP)
        for error in keyword(validator, value, instance, schema) or ():
            _spend(len(error.message) // _CHARACTERS_A_STEP)
            yield error

    return check


def _counted_deeply(keyword: Keyword) -> Keyword:
    """For those that compare values to their depth."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        _spend((_parts(value) + _parts(instance)) // _PARTS_A_STEP)
        yield from keyword(validator, value, instance, schema)

    return check


def _parts(value: Any) -> int:
    """How many values are in it, itself included; texts count by their length."""
    number, waiting = 0, [value]
    while waiting:
        node = waiting.pop()
        number += 1 + (len(node) // _CHARACTERS_A_STEP if isinstance(node, str) else 0)
        if isinstance(node, dict | list):
            waiting += node.values() if isinstance(node, dict) else node
    return number


def _pattern(validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string"):
        _spend(len(instance) // _CHARACTERS_A_STEP)
        if not compiled_pattern(pattern).search(instance):
            yield ValidationError("it does not have the required form")


def _unique_items(validator: Any, is_wanted: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if is_wanted is True and validator.is_type(instance, "array"):
        _spend(len(instance))
        if len({json.dumps(_comparable(item), sort_keys=True) for item in instance}) < len(instance):
            yield ValidationError("it has items that are equal")


def _comparable(value: Any) -> Any:
    """In JSON Schema 1 and 1.0 are equal; in JSON's text they are not."""
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if isinstance(value, dict):
        return {name: _comparable(item) for name, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


_KEYWORDS: dict[str, Keyword] = {**Draft202012Validator.VALIDATORS, "pattern": _pattern, "uniqueItems": _unique_items}
_KEYWORDS |= {name: _counted_deeply(_KEYWORDS[name]) for name in ("const", "enum", "uniqueItems")}

Validator = create(
    meta_schema=Draft202012Validator.META_SCHEMA,
    validators={name: _counted(keyword) for name, keyword in _KEYWORDS.items() if name not in UNAVAILABLE},
    type_checker=Draft202012Validator.TYPE_CHECKER,
    format_checker=FormatChecker([name for name in FormatChecker.checkers if name != "regex"]),
)
# Its own would go on with another class wherever a schema names its dialect, and that one counts nothing.
Validator.evolve = lambda validator, **changes: attrs.evolve(validator, **changes)  # type: ignore[method-assign]


@functools.lru_cache(maxsize=1024)
def _validator(_key: str, schema: str) -> Any:
    return validator_of(json.loads(schema))


def validator_of(schema: Mapping[str, Any]) -> Any:
    """Its own registry, since jsonschema's fetches what a schema points to and does not hold."""
    return Validator(schema, registry=Registry(), format_checker=Validator.FORMAT_CHECKER)


def _sentence(error: Any) -> str:
    """The validator's own words, without the value itself: it may be long, and secret."""
    name = error.absolute_path[-1] if error.absolute_path else "data"
    if error.validator == "type":
        return f"{name!r} must be of type {error.validator_value}"
    if error.validator == "pattern":
        return f"{name!r} does not have the required form"
    return f"{name!r} does not satisfy {error.validator}: {error.validator_value}"[:300]


def _pointer(path: Any) -> str:
    return "/data" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
