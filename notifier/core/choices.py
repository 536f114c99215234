"""Changes to the stored document of preferences: one switch that stands for several, and undoing a change.

Called by `people.preferences` with the document's row locked. `core.preferences.resolve` reads the result: the most
specific choice wins, so a switch for many must remove the more specific choices below it.
"""

from collections.abc import Collection, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from notifier.core.preferences import EVERY_CHANNEL

Document = dict[str, Any]
# Merged key by key; the other fields are whole values
FIELDS_OF_KEYS = ("channels", "categories", "types", "digest", "caps")


@dataclass(frozen=True, slots=True)
class Switch:
    """One switch of the grid: a cell (type and channel), a section on a channel, a whole section (no channel), or a
    channel's column.
    """

    is_on: bool
    type: str | None = None
    category: str | None = None
    channel: str | None = None


def next_state(below: Mapping[str, Collection[bool]], *, may_opt_in: Collection[str]) -> bool | None:
    """What pressing a switch over several does: True is on; None, that it cannot be pressed.

    `below`: channel → the states of the switches below it that are not locked. Whatever is partly on goes off: a press
    never opts in where the person has opted out. `may_opt_in` as in `with_switch`.
    """
    if any(any(states) for states in below.values()):
        return False
    return True if any(states and channel in may_opt_in for channel, states in below.items()) else None


def with_switch(
    document: Mapping[str, Any], switch: Switch, *, categories: Mapping[str, str], may_opt_in: Collection[str]
) -> Document:
    """The document with everything below the switch set as the switch says, and nothing else changed.

    `categories` maps each type to its own. `may_opt_in` are the channels that a switch over several switches on: those
    the person sees that are on by default. The others (SMS), and channels added later, go on one switch at a time.
    Switching a section off covers later channels too.
    """
    after = deepcopy(dict(document))
    if switch.type is None and switch.is_on:
        for channel in may_opt_in if switch.channel is None else {switch.channel} & set(may_opt_in):
            _put_over(after, replace(switch, channel=channel), categories)
        return after
    if switch.type is not None:
        _put(after, "types", switch.type, switch.channel or EVERY_CHANNEL, switch.is_on)
    elif switch.channel is None:
        after.setdefault("categories", {})[switch.category] = {EVERY_CHANNEL: False}
        after["types"] = {
            key: choices for key, choices in after.get("types", {}).items() if categories.get(key) != switch.category
        }
    else:
        _put_over(after, switch, categories)
    return after


def _put_over(document: Document, switch: Switch, categories: Mapping[str, str]) -> None:
    """A switch over a section or over everything, on one channel."""
    channel = str(switch.channel)
    below = [
        choices for key, choices in document.get("types", {}).items() if switch.category in (None, categories.get(key))
    ]
    if switch.category is None:
        document.setdefault("channels", {})[channel] = switch.is_on
        below += document.get("categories", {}).values()
    else:
        _put(document, "categories", switch.category, channel, switch.is_on)
    for choices in below:
        _silence(choices, channel, switch.is_on)


def _put(document: Document, field: str, key: str | None, channel: str, is_on: bool) -> None:
    document.setdefault(field, {}).setdefault(key, {})[channel] = is_on


def _silence(choices: dict[str, bool], channel: str, is_on: bool) -> None:
    """No word of its own about the channel; one for all channels keeps its say about the others."""
    choices.pop(channel, None)
    if choices.get(EVERY_CHANNEL, is_on) != is_on:
        choices[channel] = is_on


def taken_back(document: Mapping[str, Any], changes: Iterable[Mapping[str, Any]]) -> tuple[Document, list[str]]:
    """The document before these changes (newest first), and the choices left alone because they were changed again
    since.
    """
    after, left = deepcopy(dict(document)), []
    for change in changes:
        path = tuple(change["choice"].split(".", 2))
        present = _read(after, path)
        if present == change["to"]:
            _write(after, path, change["from"])
        elif present != change["from"]:
            left.append(change["choice"])
    return after, left


def _read(document: Document, path: tuple[str, ...]) -> Any:
    value: Any = document
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _write(document: Document, path: tuple[str, ...], value: Any) -> None:
    *parents, last = path
    place = document
    for key in parents:
        place = place.setdefault(key, {})
    if value is None:
        place.pop(last, None)
    else:
        place[last] = value


def differences(before: Document, after: Document) -> list[dict[str, Any]]:
    """The changes, a line for each choice: `{"choice": "types.order_shipped.push", "from": …, "to": …}`; None is the
    default.
    """
    old, new = _flat(before), _flat(after)
    return [
        {"choice": path, "from": old.get(path), "to": new.get(path)}
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]


def _flat(document: Document) -> Document:
    flat: Document = {}
    for field, value in document.items():
        if field not in FIELDS_OF_KEYS:
            flat[field] = value
            continue
        for key, item in value.items():
            inner = item.items() if isinstance(item, dict) else [(None, item)]
            flat.update({f"{field}.{key}" + (f".{name}" if name else ""): leaf for name, leaf in inner})
    return flat


def without_empty(document: Document) -> Document:
    """Without None and empty maps, at every level."""
    cleaned = {key: without_empty(value) if isinstance(value, dict) else value for key, value in document.items()}
    return {key: value for key, value in cleaned.items() if value is not None and value != {}}
