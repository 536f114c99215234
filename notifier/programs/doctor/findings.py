"""The finding of a check: a sentence, and how to mend what is wrong."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """Only a fault makes `doctor` end with 1."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    what: str
    remedy: str = ""


def ok(what: str) -> Finding:
    return Finding(Level.OK, what)


def warning(what: str, remedy: str) -> Finding:
    return Finding(Level.WARNING, what, remedy)


def fault(what: str, remedy: str) -> Finding:
    return Finding(Level.FAULT, what, remedy)


def skipped(what: str) -> Finding:
    return Finding(Level.SKIPPED, what)


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 worker`, `2,000 workers`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
