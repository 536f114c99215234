"""Whom a broadcast means, as it is written in requests and kept with the broadcast.

    AUDIENCE = {"all": true} | {"users": ["u1", …]} | {"upload": "upl_…"} | {"where": CONDITION}

`people.audiences` finds the people; `core.conditions` is the language of CONDITION.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from notifier.core import conditions
from notifier.core.conditions import Condition
from notifier.core.errors import Fault, Rejected
from notifier.core.people import parse_user_id
from notifier.core.pointers import pointer_to

MOST_USERS = 10_000  # named one by one; an upload takes more
_KINDS = ("all", "users", "upload", "where")


@dataclass(frozen=True, slots=True)
class Everybody:
    pass


@dataclass(frozen=True, slots=True)
class Named:
    """`user_ids`: as the producer knows them, in the order of the request, each once."""

    user_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The people of an upload, by its shown id."""

    upload: str


@dataclass(frozen=True, slots=True)
class Selected:
    condition: Condition


Audience = Everybody | Named | Uploaded | Selected


def parse(document: Any, pointer: str = "/audience") -> Audience:
    """`pointer`: where the audience stands in the request. Raises Rejected with every fault."""
    if not isinstance(document, Mapping) or len(document) != 1 or (kind := next(iter(document))) not in _KINDS:
        message = f"an audience is an object with exactly one of {', '.join(_KINDS)}"
        raise _refused([Fault(pointer, "invalid_audience", message)])
    given, place = document[kind], pointer + pointer_to(kind)
    if kind == "where":
        return Selected(conditions.parse(given, place))
    if kind == "users":
        return _named(given, place)
    if kind == "upload":
        if isinstance(given, str):
            return Uploaded(given)
        raise _refused([Fault(place, "wrong_type", "this must be the id of an upload")])
    if given is True:
        return Everybody()
    raise _refused([Fault(place, "wrong_type", "this must be true")])


def _named(given: Any, pointer: str) -> Named:
    if not isinstance(given, list) or not given:
        raise _refused([Fault(pointer, "wrong_type", "this must be a list with at least one id")])
    if len(given) > MOST_USERS:
        message = f"this has too many entries: the maximum is {MOST_USERS:,}; upload the list instead"
        raise _refused([Fault(pointer, "too_long", message)])
    found: dict[str, None] = {}
    faults = []
    for index, each in enumerate(given):
        try:
            found[parse_user_id(each)] = None
        except ValueError as error:
            faults.append(Fault(f"{pointer}/{index}", "invalid_user_id", str(error)))
    if faults:
        raise _refused(faults[: conditions.MOST_FAULTS])
    return Named(tuple(found))


def _refused(faults: list[Fault]) -> Rejected:
    told = "; ".join(f"{fault.pointer}: {fault.message}" for fault in faults[:3])
    return Rejected("validation_failed", f"the audience is not valid: {told}", tuple(faults))
