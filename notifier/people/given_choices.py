"""Checks preferences as they were sent, and brings them into the stored form; every fault is named by its place.

Called by `people.preferences` before anything changes.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, time
from typing import Any

import sqlalchemy as sa

from notifier import channels
from notifier.core.choices import FIELDS_OF_KEYS, Document
from notifier.core.digest import FREQUENCIES
from notifier.core.errors import Fault, Rejected
from notifier.core.limits import MOST
from notifier.core.pointers import pointer_to
from notifier.core.preferences import CATEGORIES, EVERY_CHANNEL
from notifier.core.quiet_hours import EVERY_DAY
from notifier.core.timestamps import reckonable, timestamp
from notifier.ground.extensions import db
from notifier.ground.languages import N_
from notifier.ground.zones import is_zone
from notifier.models import EventType

HELD = ("wait", "summary", "drop")


class _Refused(ValueError):
    """A value that is none; the arguments are code and message, and the rest of the pointer."""

    def __init__(self, code: str, message: str, pointer: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.pointer = code, message, pointer


def clean(change: Mapping[str, Any]) -> Document:
    """The change in its stored form. Raises Rejected naming every fault."""
    faults: list[Fault] = []
    cleaned: Document = {}
    for field, value in change.items():
        if field not in CLEAN:
            faults.append(Fault(pointer_to(field), "unknown_field", f"there is no field {field!r}"))
        elif field in FIELDS_OF_KEYS:
            cleaned[field] = _clean_map(field, value, faults)
        else:
            cleaned[field] = None if value is None else _attempt(CLEAN[field], value, f"/{field}", faults)
    if faults:
        raise Rejected(
            "validation_failed", "; ".join(f"{fault.pointer}: {fault.message}" for fault in faults[:3]), tuple(faults)
        )
    return cleaned


def _clean_map(field: str, value: Any, faults: list[Fault]) -> Document | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        faults.append(Fault(f"/{field}", "wrong_type", "an object is needed"))
        return None
    known = _known_keys(field)
    cleaned: Document = {}
    for key, item in value.items():
        pointer = pointer_to(field, key)
        if key not in known:
            word = {"channels": "channel", "types": "type"}.get(field, "category")
            faults.append(
                Fault(pointer, f"unknown_{word}", f"there is no {word.replace('type', 'event type')} {key!r}")
            )
        else:
            cleaned[key] = None if item is None else _attempt(CLEAN[field], item, pointer, faults)
    return cleaned


def _known_keys(field: str) -> set[str]:
    if field == "channels":
        return set(channels.CHANNELS)
    if field == "types":
        return set(db.session.scalars(sa.select(EventType.key).where(EventType.is_internal.is_(False))))
    return set(CATEGORIES)


def _attempt(clean: Callable[[Any], Any], value: Any, pointer: str, faults: list[Fault]) -> Any:
    try:
        return clean(value)
    except _Refused as refused:
        faults.append(Fault(pointer + refused.pointer, refused.code, refused.message))
        return None


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Refused("wrong_type", "true or false is needed")
    return value


def _switches(value: Any) -> Document:
    if isinstance(value, bool):
        return {EVERY_CHANNEL: value}
    if not isinstance(value, Mapping):
        raise _Refused("wrong_type", "true, false, or an object of channel and true or false is needed")
    for channel, choice in value.items():
        if channel != EVERY_CHANNEL and channel not in channels.CHANNELS:
            raise _Refused("unknown_channel", f"there is no channel {channel!r}", pointer_to(channel))
        if choice is not None and not isinstance(choice, bool):
            raise _Refused("wrong_type", "true or false is needed", pointer_to(channel))
    return dict(value)


def _quiet_hours(value: Any) -> Document:
    if not isinstance(value, Mapping) or not value.keys() <= {"start", "end", "days"}:
        raise _Refused("wrong_type", "start, end and days are needed")
    start, end = (_time_of_day(value.get(name), f"/{name}") for name in ("start", "end"))
    if start == end:
        raise _Refused("zero_length", N_("quiet hours begin and end at different times"), "/end")
    days = value.get("days")
    days = sorted(EVERY_DAY) if days is None else days
    if (
        not isinstance(days, list | tuple | set | frozenset)
        or not days
        or not all(type(day) is int and day in EVERY_DAY for day in days)
    ):
        raise _Refused("invalid_days", N_("days are 1 (Monday) to 7, one at least"), "/days")
    return {"start": start, "end": end, "days": sorted(set(days))}


def _time_of_day(value: Any, pointer: str = "") -> str:
    try:
        at = time.fromisoformat(value).strftime("%H:%M")
        if at != value:  # ISO 8601 has other ways to write it, and zones, which nobody would follow here
            raise ValueError
        return at
    except (ValueError, TypeError):
        raise _Refused("invalid_time", N_("a time of day is written as 22:00"), pointer) from None


def _moment(value: Any) -> str:
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError
        return timestamp(reckonable(at), "seconds")
    except (ValueError, TypeError, OverflowError):
        raise _Refused("invalid_time", "a time is written with its offset: 2026-12-01T09:00:00Z") from None


def _held(value: Any) -> str:
    if value not in HELD:
        raise _Refused("not_one_of", f"one of {', '.join(HELD)}")
    return str(value)


def _frequency(value: Any) -> str:
    if value not in FREQUENCIES:
        raise _Refused("not_one_of", f"one of {', '.join(FREQUENCIES)}")
    return str(value)


def _cap(value: Any, pointer: str = "") -> Document:
    """`{"hour": 2, "day": 5, "channels": {"email": {"day": 1}}}`, each part optional."""
    if not isinstance(value, Mapping):
        raise _Refused("wrong_type", "an object of hour, day and channels is needed", pointer)
    cleaned: Document = {}
    for name, item in value.items():
        place = pointer + pointer_to(name)
        if name == "channels" and not pointer and isinstance(item, Mapping):
            for channel in item:
                if channel not in channels.CHANNELS:
                    raise _Refused("unknown_channel", f"there is no channel {channel!r}", place + pointer_to(channel))
            cleaned[name] = {channel: _cap(inner, place + pointer_to(channel)) for channel, inner in item.items()}
        elif name not in ("hour", "day"):
            raise _Refused("unknown_field", "caps are by hour and day", place)
        elif item is not None and (type(item) is not int or not 0 <= item <= MOST):
            raise _Refused("invalid_cap", f"a whole number from 0 to {MOST}", place)
        else:
            cleaned[name] = item  # None takes it back
    return cleaned


def _zone(value: Any) -> str:
    if not isinstance(value, str) or not is_zone(value):
        raise _Refused("unknown_time_zone", N_("this is not a time zone in the IANA database"))
    return value


CLEAN: dict[str, Callable[[Any], Any]] = {
    "channels": _switch,
    "categories": _switches,
    "types": _switches,
    "digest": _frequency,
    "digest_at": _time_of_day,
    "caps": _cap,
    "quiet_hours": _quiet_hours,
    "mute_until": _moment,
    "held": _held,
    "do_not_track": _switch,
    "time_zone": _zone,
}
