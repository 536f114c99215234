"""Caps: how many notifications of a category a person gets in any hour and any day, in all and per channel.

A day is any 24 hours, not a calendar day. A notification counts for the time it is due. The installation sets the caps
(CAPS), and a person may lower them. This module says which caps apply; `ledgers.caps` counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from notifier.core.preferences import CATEGORIES, EVERY_CHANNEL

WINDOWS_S = {"day": 86_400, "hour": 3_600}  # the longest first: of two caps that are used up it is named
LIMITED = tuple(category for category in CATEGORIES if category != "transactional")
MOST = 1_000_000
NO_CAPS = "none"

Caps = Mapping[str, Mapping[str, int]]  # category → hour or day → how many

DEFAULT_CAPS: Caps = {
    "social": {"hour": 10, "day": 50},
    "marketing": {"hour": 2, "day": 5},
    "system": {"hour": 3, "day": 10},
}


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `maximum` notifications in any hour or day (`per`), by one channel (`scope`) or by whichever
    (EVERY_CHANNEL).
    """

    scope: str
    per: str
    maximum: int

    @property
    def window_s(self) -> int:
        return WINDOWS_S[self.per]

    @property
    def detail(self) -> dict[str, Any]:
        """As a delivery shows it, with the category besides."""
        by = {} if self.scope == EVERY_CHANNEL else {"channel": self.scope}
        return {"per": self.per, "max": self.maximum, **by}


def limits_of(category: str, chosen: Mapping[str, Any], caps: Caps) -> tuple[Limit, ...]:
    """The caps for a person who chose `chosen` for the category (API.md, Preferences, caps): of two numbers the lower
    one.
    """
    own = caps.get(category, {})
    found = [
        Limit(EVERY_CHANNEL, per, most)
        for per in WINDOWS_S
        if (most := _lower(own.get(per), chosen.get(per))) is not None
    ]
    for channel, by_channel in chosen.get("channels", {}).items():
        found += [
            Limit(channel, per, min(own.get(per, MOST), by_channel[per])) for per in WINDOWS_S if per in by_channel
        ]
    return tuple(found)


def _lower(first: int | None, second: int | None) -> int | None:
    return min((most for most in (first, second) if most is not None), default=None)


def parse_caps(text: str) -> tuple[Caps, list[str]]:
    """`social 10/hour 50/day, marketing none` → the caps, and all that is wrong. A category that is not named keeps its
    own.
    """
    caps, faults, named = dict(DEFAULT_CAPS), list[str](), set[str]()
    for part in filter(None, (part.strip() for part in text.split(","))):
        category, *words = part.split()
        if category not in LIMITED:
            faults.append(f"{category!r} is not one of {', '.join(LIMITED)}")
        elif category in named:
            faults.append(f"{category} is named twice")
        named.add(category)
        caps[category], wrong = _parse_windows(category, words)
        faults += wrong
    return caps, faults


def _parse_windows(category: str, words: list[str]) -> tuple[dict[str, int], list[str]]:
    if words == [NO_CAPS]:
        return {}, []
    found: dict[str, int] = {}
    faults = [] if words else [f"{category} has no caps; say none if that is meant"]
    for word in words:
        number, _, per = word.partition("/")
        if (
            per not in WINDOWS_S
            or not (number.isascii() and number.isdecimal())
            or len(number) > 7
            or int(number) > MOST
        ):
            faults.append(f"{word!r} must look like 10/hour or 50/day, with at most {MOST}")
        elif per in found:
            faults.append(f"{category} has two caps per {per}")
        else:
            found[per] = int(number)
    return found, faults
