"""The ledger of choices: who chose what, when, from where, by which page or call, and the words it was asked with.

Lines are only ever added; the database refuses to change one. A door that shows people our own words says which
(`shown`); a producer may name the version of its own (`told`). Each wording is stored once, under a version that
follows from its language and text.
"""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from notifier.ground.database import insert
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import ConsentEvent, ConsentText
from notifier.models.user import API, CONSOLE

_LENGTH = 16
_OURS = re.compile(f"[0-9a-f]{{{_LENGTH}}}")

Wording = Callable[[str], tuple[str, str]]  # a choice → language, the words beside it

_asked: ContextVar[Wording | str | None] = ContextVar("asked", default=None)


@contextlib.contextmanager
def shown(words: Wording) -> Iterator[None]:
    """What is chosen inside was asked with these words of ours."""
    with _asking(words):
        yield


@contextlib.contextmanager
def told(version: str | None) -> Iterator[None]:
    """What is chosen inside was asked with this version of a producer's own words (None: it has not said)."""
    with _asking(version):
        yield


def check_version_of_others(version: str) -> str:
    """A version of a producer's own words. Raises ValueError for one that might be ours: the ledger would say that
    somebody was asked with words which they have never seen.
    """
    if _OURS.fullmatch(version):
        raise ValueError(f"{_LENGTH} hexadecimal digits are a version of Notifier's own words: put a name before them")
    return version


@contextlib.contextmanager
def _asking(asked: Wording | str | None) -> Iterator[None]:
    token = _asked.set(asked)
    try:
        yield
    finally:
        _asked.reset(token)


def write(
    changes: Mapping[str, Sequence[Mapping[str, Any]]], source: str, at: datetime
) -> dict[str, list[ConsentEvent]]:
    """Adds the changes of each person: `{"choice", "from", "to"}`. → their lines. Inside the caller's transaction; one
    statement, and one more if words of ours were shown.
    """
    texts: dict[str, dict[str, Any]] = {}
    actor = audit.actor()[:200] if source in (API, CONSOLE) else None
    lines = {
        user_id: [
            ConsentEvent(
                user_id=user_id,
                source=source,
                change=dict(change),
                actor=actor,
                origin=audit.origin(),
                text_version=_version(change["choice"], texts, at),
                at=at,
            )
            for change in of_person
        ]
        for user_id, of_person in changes.items()
    }
    if texts:
        db.session.execute(insert(ConsentText.__table__).on_conflict_do_nothing(), list(texts.values()))
    db.session.add_all([line for of_person in lines.values() for line in of_person])
    db.session.flush()
    return lines


def _version(choice: str, texts: dict[str, dict[str, Any]], at: datetime) -> str | None:
    asked = _asked.get()
    if asked is None or isinstance(asked, str):
        return asked
    language, text = asked(choice)
    version = hashlib.sha256(f"{language}\0{text}".encode()).hexdigest()[:_LENGTH]
    texts[version] = {"version": version, "language": language, "text": text, "since": at}
    return version
