"""The small language in which audiences are described: a JSON document in, typed nodes out.

    CONDITION = {"attributes.plan": "pro"} | {"attributes.age": {"gte": 18}} | {"all": […]} | {"any": […]} | {"not": …}

An object with several entries asks for all of them. `people.audiences` makes SQL of the nodes; the rules it keeps are
those written here:

- `attributes.NAME` is the value under that very name, dots included; values inside an object cannot be asked for.
- A value that is null is missing, and so is a profile's field that is not set. A missing value meets no operator but
  `{"exists": false}`.
- Values of another type never meet a comparison, and are no error: "18" is not 18, and true is not 1. So a value that
  exists meets either `eq` or `ne`, never both; `{"not": {"attributes.plan": "pro"}}` also takes those without a plan.
- Texts are compared by their code points, case and all. `contains`: a part of a text, or an entry of a list.
- `time_zone` is the profile's; what people choose themselves in their preferences does not count here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeVar

from notifier.core.errors import Fault, Rejected
from notifier.core.people import UNSTORABLE
from notifier.core.pointers import pointer_to
from notifier.core.timestamps import parse_time

MAX_DEPTH = 10  # of all, any and not
MOST_COMPARISONS = 100
MOST_VALUES = 1_000  # in all the comparisons together
LONGEST_TEXT = 1_000
MOST_FAULTS = 100
LARGEST_NUMBER = 2**53  # beyond it, two languages may read two numbers

Kind = Literal["attribute", "text", "time", "address"]
Value = str | int | float | bool | datetime
OPERATORS = ("eq", "ne", "in", "gt", "gte", "lt", "lte", "exists", "contains")
EQ, NE, IN, GT, GTE, LT, LTE, EXISTS, CONTAINS = OPERATORS
GROUPS = ("all", "any", "not")
ALL, ANY, NOT = GROUPS
FIELDS: Mapping[str, Kind] = {
    "locale": "text",
    "time_zone": "text",
    "home_region": "text",
    "created_at": "time",
    "email": "address",
    "phone": "address",
}
OF_ATTRIBUTES = "attributes."
_ALLOWED: Mapping[Kind, Sequence[str]] = {
    "attribute": OPERATORS,
    "text": OPERATORS,
    "time": [operator for operator in OPERATORS if operator != CONTAINS],
    "address": [EXISTS],
}


@dataclass(frozen=True, slots=True)
class Field:
    """`name`: of the attribute, or of the profile's field."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`values`: one, but for `in`. Of `exists`: True or False."""

    field: Field
    operator: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class All:
    parts: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    part: "Condition"


Condition = Comparison | All | AnyOf | Not
Path = tuple[str | int, ...]
T = TypeVar("T")


class _Refused(Exception):
    def __init__(self, path: Path, code: str, message: str) -> None:
        super().__init__(message)
        self.path, self.code, self.message = path, code, message


def parse(document: Any, pointer: str = "") -> Condition:
    """`pointer`: where the condition stands in the request. Raises Rejected with every fault."""
    reader = _Reader()
    condition = reader.attempt(lambda: reader.condition(document, (), 0))
    if condition is not None and not reader.refused:
        return condition
    faults = tuple(Fault(pointer + pointer_to(*one.path), one.code, one.message) for one in reader.refused)
    told = "; ".join(f"{fault.pointer or 'condition'}: {fault.message}" for fault in faults[:3])
    raise Rejected("validation_failed", f"the condition is not valid: {told}", faults)


class _Reader:
    """Collects what is wrong with one document, and counts what it asks for."""

    def __init__(self) -> None:
        self.refused: list[_Refused] = []
        self.comparisons = self.values = 0

    def attempt(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except _Refused as refused:
            if len(self.refused) < MOST_FAULTS:
                self.refused.append(refused)
            return None

    def condition(self, document: Any, path: Path, depth: int) -> Condition:
        if not isinstance(document, dict):
            raise _Refused(path, "wrong_type", "a condition is an object")
        if not document:
            raise _Refused(path, "too_short", "a condition names at least one field")
        return self._all_of(partial(self._entry, name, asked, (*path, name), depth) for name, asked in document.items())

    def _all_of(self, reads: Iterable[Callable[[], Condition]]) -> Condition:
        parts = self._each(reads)
        return parts[0] if len(parts) == 1 else All(parts)

    def _each(self, reads: Iterable[Callable[[], Condition]]) -> tuple[Condition, ...]:
        return tuple(part for read in reads if (part := self.attempt(read)) is not None)

    def _entry(self, name: str, asked: Any, path: Path, depth: int) -> Condition:
        if name not in GROUPS:
            return self._of_field(_field(name, path), asked, path)
        if depth >= MAX_DEPTH:
            raise _Refused(path, "nested_too_deeply", f"all, any and not are nested at most {MAX_DEPTH} deep")
        if name == NOT:
            return Not(self.condition(asked, path, depth + 1))
        conditions = _list(asked, path, MOST_COMPARISONS)
        parts = self._each(
            partial(self.condition, each, (*path, index), depth + 1) for index, each in enumerate(conditions)
        )
        return All(parts) if name == ALL else AnyOf(parts)

    def _of_field(self, field: Field, asked: Any, path: Path) -> Condition:
        if not isinstance(asked, dict):
            return self._comparison(field, EQ, asked, path)
        if not asked:
            raise _Refused(path, "too_short", f"name an operator: {', '.join(_ALLOWED[field.kind])}")
        return self._all_of(
            partial(self._comparison, field, operator, value, (*path, operator)) for operator, value in asked.items()
        )

    def _comparison(self, field: Field, operator: str, asked: Any, path: Path) -> Comparison:
        allowed = _ALLOWED[field.kind]
        if operator not in OPERATORS:
            raise _Refused(path, "unknown_operator", f"these are known: {', '.join(allowed)}")
        if operator not in allowed:
            raise _Refused(path, "operator_refused", f"{field.name} can be asked for by {', '.join(allowed)} only")
        self.comparisons += 1
        if self.comparisons > MOST_COMPARISONS:
            raise _Refused(path, "too_long", f"too many comparisons: the maximum is {MOST_COMPARISONS}")
        if operator != IN:
            return Comparison(field, operator, (_value(field, operator, asked, path),))
        given = _list(asked, path, MOST_VALUES)
        self.values += len(given)
        if self.values > MOST_VALUES:
            raise _Refused(path, "too_long", f"too many values: the maximum is {MOST_VALUES:,}")
        values = (
            self.attempt(partial(_value, field, operator, value, (*path, index))) for index, value in enumerate(given)
        )
        return Comparison(field, operator, tuple(value for value in values if value is not None))


def _field(name: str, path: Path) -> Field:
    if name in FIELDS:
        return Field(FIELDS[name], name)
    key = name.removeprefix(OF_ATTRIBUTES)
    if key == name or not key:
        known = ", ".join((f"{OF_ATTRIBUTES}NAME", *FIELDS))
        raise _Refused(path, "unknown_field", f"there is no such field; these are known: {known}")
    return Field("attribute", _text(key, path))


def _list(asked: Any, path: Path, most: int) -> Sequence[Any]:
    if not isinstance(asked, list) or not asked:
        raise _Refused(path, "wrong_type", "this must be a list with at least one entry")
    if len(asked) > most:
        raise _Refused(path, "too_long", f"this has too many entries: the maximum is {most:,}")
    return asked


def _value(field: Field, operator: str, value: Any, path: Path) -> Value:
    if operator == EXISTS:
        if isinstance(value, bool):
            return value
        raise _Refused(path, "wrong_type", "this must be true or false")
    if value is None:
        raise _Refused(path, "wrong_type", 'null is no value; {"exists": false} asks for those who have none')
    if field.kind == "time":
        try:
            return parse_time(value)
        except ValueError as error:
            raise _Refused(path, "invalid_time", str(error)) from None
    takes_numbers = field.kind == "attribute"
    takes_truth = takes_numbers and operator in (EQ, NE, IN, CONTAINS)
    if isinstance(value, bool):
        if takes_truth:
            return value
    elif isinstance(value, int | float):
        if takes_numbers:
            return _number(value, path)
    elif isinstance(value, str):
        if operator == CONTAINS and not value:
            raise _Refused(path, "too_short", "every text contains the empty one")
        return _text(value, path)
    kinds = ("text", *(["a number"] if takes_numbers else ()), *(["true or false"] if takes_truth else ()))
    raise _Refused(path, "wrong_type", f"this must be {' or '.join(kinds)}")


def _number(value: float, path: Path) -> float:
    if -LARGEST_NUMBER <= value <= LARGEST_NUMBER:  # neither infinity nor NaN
        return value
    raise _Refused(path, "number_too_large", "the number is too large; write such values as text, and ask for text")


def _text(text: str, path: Path) -> str:
    if len(text) > LONGEST_TEXT:
        raise _Refused(path, "too_long", f"this is too long: the maximum length is {LONGEST_TEXT:,}")
    if UNSTORABLE.search(text):
        raise _Refused(path, "unstorable_text", "text must not contain NUL or half a surrogate pair")
    return text
