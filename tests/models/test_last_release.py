"""Processes of the last release go on while this one migrates the database: what they write and read is there, and is
taken as before.

`last_release.txt` is how PostgreSQL described the tables when that was released, and the words that stood in them and
in Redis (CONTRIBUTING.md, "Commits and releases"): `PIN_SCHEMA=1` writes it. `last_release.py` names the release, whose
processes tests/faults/test_last_release.py starts.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.core import broadcasts, lifecycle, routing
from notifier.core.submission import PRIORITIES
from notifier.ground.extensions import db
from notifier.models import upload
from notifier.signals import queueing

PINNED = Path(__file__).with_name("last_release.txt")
# What old processes cannot bear, each told in the change log under "Before you upgrade": stop them first
STOP_FIRST: set[str] = set()

# What processes of two releases say to one another: an old one would not know a new word, and would go on saying one
# that is gone
WORDS: dict[str, Iterable[str]] = {
    "delivery.status": lifecycle.STATUSES,
    "broadcast.status": broadcasts.STATUSES,
    "upload.status": (upload.RECEIVING, upload.RUNNING, upload.FINISHED),
    "routing": routing.MODES,
    "priority": PRIORITIES,
    "job": (queueing.DELIVER, queueing.EXPAND, queueing.TELL, queueing.READ_UPLOAD),
    "queue": queueing.all_queues(),
}
_WORD = "word "

NULL, OPTIONAL = "may be null", "may be left out"


def described() -> list[str]:
    """A line for each column, `table.column: type, …`, and for each rule, `table: its name`."""
    looker, lines = sa.inspect(db.engine), []
    for name in sorted(db.metadata.tables):  # without partitions
        for column in looker.get_columns(name):
            is_optional = column["nullable"] or column["default"] or column.get("identity")
            words = [str(column["type"]), *([NULL] if column["nullable"] else []), *([OPTIONAL] if is_optional else [])]
            lines.append(f"{name}.{column['name']}: {', '.join(words)}")
        indexes = [index for index in looker.get_indexes(name) if index["unique"]]
        rules = (looker.get_unique_constraints, looker.get_check_constraints, looker.get_foreign_keys)
        found = [*indexes, *(rule for of in rules for rule in of(name))]
        lines += sorted({f"{name}: {rule['name']}" for rule in found})
    return lines + [f"{_WORD}{of}: {word}" for of, words in sorted(WORDS.items()) for word in sorted(words)]


def not_borne(before: Iterable[str], after: Iterable[str]) -> set[str]:
    """What a process that knows `before` could do no longer, or would not understand."""
    (said, before), (says, after) = _apart(before), _apart(after)
    old, new = (dict(line.split(": ", 1) for line in lines if "." in line.split(": ")[0]) for lines in (before, after))
    known, faults = {place.split(".")[0] for place in old}, set()
    for place, was in old.items():
        kind, *rights = was.split(", ")
        now, *left = new.get(place, "gone").split(", ")
        if now != kind:
            faults.add(f"{place} was {kind}, and is {now}")
        else:
            faults |= {f"{place} {right} no longer" for right in set(rights) - set(left)}
    faults |= {
        f"{place} is new, and cannot be left out"
        for place in new.keys() - old.keys()
        if place.split(".")[0] in known and OPTIONAL not in new[place]
    }
    rules = {line for line in after if "." not in line.split(": ")[0] and line.split(": ")[0] in known}
    faults |= {f"{word} is new" for word in says - said} | {f"{word} is gone" for word in said - says}
    return faults | {f"{rule} is a new rule" for rule in rules - set(before)}


def _apart(lines: Iterable[str]) -> tuple[set[str], list[str]]:
    """→ the words, and the tables."""
    all_lines = list(lines)
    return (
        {line.removeprefix(_WORD) for line in all_lines if line.startswith(_WORD)},
        [line for line in all_lines if not line.startswith(_WORD)],
    )


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")
def test_the_last_release_can_work_on_the_tables_of_this_one(app: APIFlask) -> None:
    if os.environ.get("PIN_SCHEMA"):
        PINNED.write_text("\n".join([*described(), ""]))
    assert not_borne(PINNED.read_text().splitlines(), described()) == STOP_FIRST


BEFORE = ["t.a: TEXT", "t.b: NUMERIC(5, 2), may be null, may be left out", "t: u"]


@pytest.mark.parametrize(
    ("after", "faults"),
    [
        ([*BEFORE, "new.x: TEXT", "new: v"], set()),
        (BEFORE[:2], set()),
        (BEFORE[1:], {"t.a was TEXT, and is gone"}),
        (["t.a: INTEGER", *BEFORE[1:]], {"t.a was TEXT, and is INTEGER"}),
        ([BEFORE[0], "t.b: NUMERIC(5, 2), may be left out"], {"t.b may be null no longer"}),
        ([*BEFORE, "t.c: TEXT"], {"t.c is new, and cannot be left out"}),
        ([*BEFORE, "t.c: TEXT, may be left out"], set()),
        ([*BEFORE, "t: v"], {"t: v is a new rule"}),
    ],
)
def test_what_is_not_borne_is_told(after: list[str], faults: set[str]) -> None:
    assert not_borne(BEFORE, after) == faults


def test_a_word_that_is_new_or_gone_is_told() -> None:
    before, after = ([*BEFORE, "word t.a: both", f"word t.a: {word}"] for word in ("kept", "held"))
    assert not_borne(before, after) == {"t.a: held is new", "t.a: kept is gone"}
