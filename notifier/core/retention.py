"""How long what may be forgotten is kept (RETENTION): `events 14d, captures 30d, uploads 90d`."""

import re
from collections.abc import Mapping
from datetime import timedelta

Retention = Mapping[str, timedelta]

DEFAULT_RETENTION: Retention = {
    "events": timedelta(days=14),
    "captures": timedelta(days=30),
    "uploads": timedelta(days=90),
    "attempts": timedelta(days=30),  # of status webhooks
}

OPTIONAL = ("notifications", "calls")  # kept for good unless they are named

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_SPAN = re.compile(r"([1-9][0-9]{0,4})([hdw])", re.ASCII)


def parse_retention(text: str) -> tuple[Retention, list[str]]:
    """→ how long, and all that is wrong. What is not named keeps its own time."""
    retention, faults, named = dict(DEFAULT_RETENTION), list[str](), set[str]()
    for part in filter(None, (part.strip() for part in text.split(","))):
        what, _, span = part.partition(" ")
        written = _SPAN.fullmatch(span.strip())
        if what not in (*DEFAULT_RETENTION, *OPTIONAL):
            faults.append(f"{what!r} is not one of {', '.join((*DEFAULT_RETENTION, *OPTIONAL))}")
        elif what in named:
            faults.append(f"{what} is named twice")
        elif written is None:
            faults.append(f"{what} must look like {what} 14d: whole hours (h), days (d) or weeks (w)")
        else:
            retention[what] = int(written[1]) * _UNITS[written[2]]
        named.add(what)
    return retention, faults
