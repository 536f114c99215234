"""`consume --map FILE`: which field of ours stands where in a message that somebody else has designed.

A TOML file, a line for each of our fields, with the path to theirs: `userId = "customer.id"`. `data` and `metadata` may
be put together one by one: `data.order_id = "order.number"`.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notifier.api.schemas.seeds import TriggerIn
from notifier.api.schemas.submissions import SubmissionIn
from notifier.ground.config import NotReady

KNOWN = frozenset({*SubmissionIn.model_fields, *TriggerIn.model_fields})
_MADE_OF_PARTS = ("data", "metadata")
_MISSING = object()


@dataclass(frozen=True, slots=True)
class FieldMap:
    """`places`: where our field goes → the path to theirs."""

    places: Mapping[tuple[str, ...], tuple[str, ...]]

    def applied(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What the map names, and those of our fields that the message has by their own names. The rest is left
        out.
        """
        found = {name: value for name, value in body.items() if name in KNOWN}
        for (name, *part), path in self.places.items():
            value = _at(body, path)
            if value is _MISSING:
                continue
            if part:
                inner = found.get(name)
                found[name] = {**(inner if isinstance(inner, dict) else {}), ".".join(part): value}
            else:
                found[name] = [value] if name == "recipients" and not isinstance(value, list) else value
        return found


def read_map(path: str) -> FieldMap:
    """Raises NotReady."""
    try:
        found = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise NotReady(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NotReady(f'{path} is not TOML, with lines such as userId = "customer.id": {error}.') from None
    places = {}
    for ours, theirs in _flat(found):
        if ours[0] not in KNOWN or (len(ours) > 1 and ours[0] not in _MADE_OF_PARTS):
            raise NotReady(
                f"{path}: {'.'.join(ours)!r} is no field of ours. On the left stands one of "
                f"{', '.join(sorted(KNOWN))}; on the right, where it is in the message."
            )
        if not isinstance(theirs, str) or not all(theirs.split(".")):
            raise NotReady(f'{path}: {".".join(ours)} must be a path in the message, such as "customer.id".')
        places[ours] = tuple(theirs.split("."))
    return FieldMap(places)


def _flat(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, (*above, name))
        else:
            yield (*above, name), value


def _at(body: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(body, dict) or name not in body:
            return _MISSING
        body = body[name]
    return body
