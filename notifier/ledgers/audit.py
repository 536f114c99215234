"""The audit trail: who changed an entry, from where.

Append-only; called by every module that changes something for a person or a key. The door sets the actor (`acting_as`),
so no other module needs to pass it on. Without an actor, the change is the product's own. Secrets are removed from
every line.
"""

import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from datetime import date
from types import TracebackType
from typing import Any, NamedTuple

import sqlalchemy as sa

from notifier.channels import ADAPTERS
from notifier.core.masking import MASK
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.models import AuditEntry

COMMAND_LINE = "command line"
THEMSELVES = "the person themselves"  # their e-mail could not be erased here
ITSELF = "Notifier"

_OF_PEOPLE = ("person.", "address.", "preferences.", "suppression.")  # actions
_LONGEST_TEXT = 1000
_MOST_ITEMS = 100
_SECRET_NAME = re.compile(
    r"secret|password|passphrase|token|credential|private|authorization|(^|[_\W])keys?$", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"(?<=://)[^/\s@]*:[^/\s@]*(?=@)|(?<=whsec_)[\w+/=-]+|(?<=ntf_live_.{7})[\w-]+|(?<=ntf_test_.{7})[\w-]+"
)

_acting: ContextVar[tuple[str, str | None] | None] = ContextVar("acting", default=None)


class Entry(NamedTuple):
    """`actor` None: the current actor."""

    action: str
    subject: str
    after: Mapping[str, Any] | None = None
    actor: str | None = None


class acting_as:  # noqa: N801 (used like a function)
    """From here on `actor` (an e-mail, a key, `command line`) acts, from `origin`; as a `with`, until its end."""

    def __init__(self, actor: str | None, origin: str | None = None) -> None:
        self._token = _acting.set(None if actor is None else (actor, origin))

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _acting.reset(self._token)


def actor() -> str:
    """The current actor."""
    acting = _acting.get()
    return acting[0] if acting else ITSELF


def origin() -> str | None:
    """Where the current actor acts from: a network address, or a host."""
    acting = _acting.get()
    return acting[1] if acting else None


def write(
    action: str, subject: str, *, before: Mapping[str, Any] | None = None, after: Mapping[str, Any] | None = None
) -> None:
    """One entry, inside the caller's transaction: `write("channel.paused", "sms")`. Of `before` and `after` only what
    differs is kept.
    """
    db.session.execute(sa.insert(AuditEntry.__table__).values(**_row(action, subject, before, after)))


def write_each(entries: Iterable[Entry]) -> None:
    """Several at once, by several actors. Inside the caller's transaction; one statement."""
    rows = [
        {
            **_row(one.action, one.subject, None, one.after),
            **({"actor": _clean(one.actor)[:200], "origin": None} if one.actor else {}),
        }
        for one in entries
    ]
    if rows:
        db.session.execute(sa.insert(AuditEntry.__table__), rows)


def about_person(user_id: str, email: str | None = None) -> "sa.ColumnElement[bool]":
    """The lines about a person (`email`: that their account is known by). Only of actions whose subject is a person:
    producers choose people's ids, and one may be called like a channel, a type or an admin's e-mail.
    """
    subject: Any = AuditEntry.subject
    if db.engine.dialect.name == "postgresql":
        subject = sa.collate(AuditEntry.subject, "C")
    is_of_people = sa.or_(*(AuditEntry.action.startswith(kind) for kind in _OF_PEOPLE))
    # Of somebody without a role, whose e-mail could not be erased there
    has_no_role = sa.and_(
        AuditEntry.after["role"].as_string() == "person", AuditEntry.after["user"].as_string().is_(None)
    )
    # Side by side, so that each is found by the index
    lines = [
        sa.and_(subject == user_id, is_of_people),
        sa.and_(subject > f"{user_id} ", subject < f"{user_id}!", is_of_people),  # "alice email a…@example.test"
        sa.and_(subject == user_id, AuditEntry.action == "account.created", has_no_role),
    ]
    if email is not None:
        lines.append(sa.and_(subject == email, AuditEntry.action.startswith("account.")))
    return sa.or_(*lines)


def _row(
    action: str, subject: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> dict[str, Any]:
    if before is not None and after is not None:
        changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        before = {name: value for name, value in before.items() if name in changed}
        after = {name: value for name, value in after.items() if name in changed}
    acting = _acting.get()
    return {
        "at": now(),
        "actor": _clean(acting[0] if acting else ITSELF)[:200],
        "action": action,
        "subject": _clean(subject)[:200],
        "before": None if before is None else _kept(before),
        "after": None if after is None else _kept(after),
        "origin": acting[1] if acting else None,
    }


def _kept(value: Any, name: str = "", *, is_secret: bool = False) -> Any:
    """The value in the form that is stored: JSON, without secrets, of limited length."""
    is_secret = is_secret or bool(_SECRET_NAME.search(name)) or name in _secret_settings()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {_clean(str(key)): _kept(item, str(key), is_secret=is_secret) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
        return [_kept(item, is_secret=is_secret) for item in items[:_MOST_ITEMS]]
    if is_secret:
        return MASK if value else value
    if isinstance(value, int | float):
        return value
    return _clean(value.isoformat() if isinstance(value, date) else str(value))


def _clean(text: str) -> str:
    """The value in a form that both databases can store, without secrets."""
    # Before the search, which is slow in endless texts
    text = text[: 2 * _LONGEST_TEXT].replace("\0", "�").encode("utf-8", "replace").decode()
    text = _SECRET_TEXT.sub(MASK, text)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def _secret_settings() -> set[str]:
    return {setting.name for adapter in ADAPTERS for setting in adapter.settings if setting.is_secret}
