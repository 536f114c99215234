"""When two JSON values are the same. To Python, true equals 1 and false equals 0; to JSON they differ.

Called by what stores JSON and has to know whether it changes.
"""

from collections.abc import Mapping
from typing import Any


def is_same(one: Any, other: Any) -> bool:
    """1 and 1.0 are the same number, wherever they stand; the order of keys does not count."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)
