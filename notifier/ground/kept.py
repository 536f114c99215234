"""Rarely changed rows, read from the database once and kept in the process for LIFE_S.

Called for event types, ids of published templates and the revision of the people cache, which every batch needs. A
change is seen everywhere within LIFE_S, and a new row at once: only rows that were found are kept.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from flask import current_app

LIFE_S = 2.0
_MOST = 10_000  # of a kind; names come from producers

V = TypeVar("V")


def kept(kind: str, keys: Iterable[str], read: Callable[[set[str]], dict[str, V]]) -> dict[str, V]:
    """The existing ones among `keys`. `read` is called once for all that are not cached, if there are any."""
    known: dict[str, tuple[float, V]] = current_app.extensions.setdefault("kept", {}).setdefault(kind, {})
    wanted, now = set(keys), time.monotonic()
    found = {key: entry[1] for key in wanted if (entry := known.get(key)) and now < entry[0] + LIFE_S}
    missing = wanted - found.keys()
    if not missing:
        return found
    fresh = read(missing)
    if len(known) > _MOST:
        known.clear()
    known.update({key: (now, value) for key, value in fresh.items()})
    return found | fresh


def forget() -> None:
    """For the process that has changed something itself, after its commit."""
    memory: dict[str, Any] = current_app.extensions.setdefault("kept", {})
    memory.clear()
