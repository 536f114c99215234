"""Checks a submission's data against the JSON Schema of its event type.

A validator is built once per version of the type. Called by `intake.schema_check` and `catalogue.types`. Schemas and
data both come from strangers, so no schema and no data may keep a check busy. Patterns run on RE2, which takes time in
proportion to the text, and the work of a check is counted in microseconds of CPU, as for templates
(`words.filters.Budget`). Checks run before the batch's transaction begins; expensive ones run in a child process.
"""

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import attrs
import re2  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.validators import create
from referencing import Registry

from notifier.catalogue.kinds import FORMS
from notifier.catalogue.plain_schemas import Fits, plain_check
from notifier.core.errors import Fault, Rejected
from notifier.core.pointers import pointer_to
from notifier.ground import process_pool

MOST_WORK = 5_000  # for the data of one submission
MOST_WORK_ON_SCHEMAS = (
    1_000_000  # for a schema itself, when it is saved: as its own schema has it, that is dear, and done apart
)
_WORK_AT_ONCE = 500  # what is dearer waits until it is known how much of it there is
_WORK_OF_A_BATCH, _FOR_EACH = 10_000, 400  # on the thread that everybody waits for; what is usual takes 100 to 300
LONGEST_PATTERN = 1_000
_MEMORY_OF_A_PATTERN = 1 << 20  # a larger pattern takes long to compile
# Their cost grows with the square of the data, or they look for patterns with Python's own engine.
UNAVAILABLE = ("patternProperties", "unevaluatedItems", "unevaluatedProperties")

_MOST_FAULTS = 20
_MOST_VALIDATORS = 1_024
# Measured with the dearest schema and data of each kind.
_A_CHECK, _A_KEYWORD, _A_DESCENT, _A_PART = 20, 9, 7, 4
_CHARACTERS_QUOTED = 200  # a unit
_STEPS_MATCHED = 130  # instructions of a pattern times characters
_PARTS_COMPARED = 4  # of an object or a list that is gone through
# Into each of their parts
_DESCENDING = frozenset({"items", "prefixItems", "contains", "properties", "additionalProperties", "propertyNames"})

Keyword = Callable[[Any, Any, Any, Any], Any]  # as jsonschema has them: (validator, value, instance, schema) → errors

_work_left: ContextVar[int] = ContextVar("_work_left")


class TooComplex(Exception):
    """A check that would take too long."""


@dataclass(frozen=True, slots=True)
class Check:
    """The data of a submission and the schema they are checked against; `key` is the event type's, for sentences."""

    key: str
    schema: Mapping[str, Any]
    data: Mapping[str, Any]


def check_all(checks: Sequence[Check]) -> list[list[Fault] | Rejected]:
    """The faults of each, in order. Cheap checks run at once; expensive ones in a child process, or are refused if no
    child is free.
    """
    left = _WORK_OF_A_BATCH + _FOR_EACH * len(checks)
    found: list[list[Fault] | Rejected | None] = []
    for check in checks:
        most = min(left, _WORK_AT_ONCE)
        faults = _faults(check, most) if most > 0 else None
        left -= most - max(_work_left.get(), 0) if most > 0 else 0
        found.append(faults)
    dear = [index for index, faults in enumerate(found) if faults is None]
    if dear:
        for index, result in zip(dear, _check_apart([checks[index] for index in dear]), strict=True):
            found[index] = result
    return [faults or [] for faults in found]


def _check_apart(checks: Sequence[Check]) -> Sequence[list[Fault] | Rejected]:
    try:
        return process_pool.run(process_pool.MESSAGES, _check_each, checks)
    except Rejected as refused:
        return [refused] * len(checks)


def _check_each(checks: Sequence[Check]) -> list[list[Fault]]:
    return [data_faults(check) for check in checks]


def data_faults(check: Check) -> list[Fault]:
    """The faults of the data, by pointer. An empty list when they fit."""
    faults = _faults(check, MOST_WORK)
    return (
        [Fault("/data", "too_complex", f"the data takes too long to check against the schema of {check.key}")]
        if faults is None
        else faults
    )


def _faults(check: Check, most: int) -> list[Fault] | None:
    """None when that takes more work."""
    faults = []
    validator, fits = _validator(check.schema)
    if fits is not None and fits(check.data):
        _work_left.set(most)
        return []
    try:
        for error in errors_of(validator, check.data, most):
            if error.validator == "required":
                missing = sorted(set(error.validator_value) - set(error.instance))
                faults += [
                    Fault(
                        pointer_to("data", *error.absolute_path, name),
                        "missing",
                        f"{name!r} is required by {check.key}",
                    )
                    for name in missing
                ]
            else:
                faults.append(Fault(pointer_to("data", *error.absolute_path), str(error.validator), _sentence(error)))
            if len(faults) >= _MOST_FAULTS:
                break
    except TooComplex:
        return None
    return list(dict.fromkeys(faults))


def errors_of(validator: Any, instance: Any, most: int = MOST_WORK) -> Iterator[Any]:
    """The errors that a `Validator` finds within that much work. Raises TooComplex."""
    _work_left.set(most - _A_CHECK)
    try:
        yield from validator.iter_errors(instance)
    except RecursionError:
        raise TooComplex from None


@functools.lru_cache(maxsize=1024)
def compiled_pattern(pattern: str) -> Any:
    """Raises ValueError for what RE2 cannot match in linear time: look-around, references to groups."""
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"a pattern can have at most {LONGEST_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY_OF_A_PATTERN
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"this pattern is not available: {error}"[:300]) from None


def _spend(work: int) -> None:
    left = _work_left.get() - work
    _work_left.set(left)
    if left < 0:
        raise TooComplex


def _counted(name: str, keyword: Keyword) -> Keyword:
    """Charges every keyword for its own size, the size of its value, and its error message: jsonschema quotes the
    value.
    """
    part = _A_DESCENT if name in _DESCENDING else 0

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        work = _A_KEYWORD
        if isinstance(value, dict | list):
            work += _A_PART * len(value)
        if isinstance(instance, dict | list):
            work += part * len(instance) + len(instance) // _PARTS_COMPARED
        _spend(work)
        for error in keyword(validator, value, instance, schema) or ():
            _spend(_A_DESCENT + len(error.message) // _CHARACTERS_QUOTED)
            yield error

    return check


def _counted_deeply(keyword: Keyword) -> Keyword:
    """For those that compare values to their depth."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        _spend((_parts(value) + _parts(instance)) // _PARTS_COMPARED)
        yield from keyword(validator, value, instance, schema)

    return check


def _parts(value: Any) -> int:
    """How many values are in it, itself included; texts count by their length. Of more than can be paid for, the
    beginning.
    """
    number, waiting, most = 0, [value], (_work_left.get() + 1) * _PARTS_COMPARED
    while waiting and number <= most:
        node = waiting.pop()
        number += 1 + (len(node) // _CHARACTERS_QUOTED if isinstance(node, str) else 0)
        if isinstance(node, dict | list):
            waiting += node.values() if isinstance(node, dict) else node
    return number


def _pattern(validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string"):
        compiled = compiled_pattern(pattern)
        _spend(_A_KEYWORD + len(instance) * compiled.programsize // _STEPS_MATCHED)
        if not compiled.search(instance):
            yield ValidationError("it does not have the required form")


def _unique_items(validator: Any, is_wanted: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if is_wanted is True and validator.is_type(instance, "array"):
        _spend(_A_PART * _parts(instance))
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
_KEYWORDS |= {name: _counted_deeply(_KEYWORDS[name]) for name in ("const", "enum")}

Validator = create(
    meta_schema=Draft202012Validator.META_SCHEMA,
    validators={name: _counted(name, keyword) for name, keyword in _KEYWORDS.items() if name not in UNAVAILABLE},
    type_checker=Draft202012Validator.TYPE_CHECKER,
    format_checker=FormatChecker([name for name in FormatChecker.checkers if name != "regex"]),
)
# Its own would go on with another class wherever a schema names its dialect, and that one counts nothing.
Validator.evolve = lambda validator, **changes: attrs.evolve(validator, **changes)  # type: ignore[method-assign]


_validators: dict[int, tuple[Mapping[str, Any], tuple[Any, Fits | None]]] = {}


def _validator(schema: Mapping[str, Any]) -> tuple[Any, Fits | None]:
    """The validator, and what knows faster of most data that they have no faults.

    Cached by identity: types are cached for a moment, and read again as other objects. The cache keeps its objects
    alive, so their ids stay unique.
    """
    known = _validators.get(id(schema))
    if known is not None:
        return known[1]
    if len(_validators) >= _MOST_VALIDATORS:
        _validators.clear()
    made = validator_of(schema), plain_check(schema, compiled_pattern)
    _validators[id(schema)] = schema, made
    return made


def validator_of(schema: Mapping[str, Any]) -> Any:
    """A validator with a registry of its own, since jsonschema's fetches references that a schema does not contain."""
    return Validator(schema, registry=Registry(), format_checker=Validator.FORMAT_CHECKER)


def _sentence(error: Any) -> str:
    """The validator's own words, without the value itself: it may be long, and secret."""
    name = error.absolute_path[-1] if error.absolute_path else "data"
    if error.validator == "type":
        kinds = error.validator_value
        return f"{name!r} must be of type {kinds if isinstance(kinds, str) else ' or '.join(kinds)}"
    if error.validator == "pattern" and error.validator_value in FORMS:
        return f"{name!r} must be {FORMS[error.validator_value]}"
    return f"{name!r} does not satisfy {error.validator}: {json.dumps(error.validator_value, ensure_ascii=False)}"[:300]
