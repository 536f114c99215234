"""The audit trail for its page and its CSV: newest first, filtered. Nothing here, or anywhere, changes an entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from notifier.core.errors import Fault, Rejected
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.replica import may_lag
from notifier.models import AuditEntry

PAGE_SIZE = 50
WITHIN = {"24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
_WORDS = ("actor", "action", "subject")
PARAMETERS = (*_WORDS, "within")  # of an address
_BATCH = 500
_LOOKED_AT = 10_000
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Filter:
    """None: any. `actor` and `subject` are parts of the entry's; `action` is its beginning (`key`, `key.revoked`)."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    since: datetime | None = None

    @property
    def is_empty(self) -> bool:
        return self == Filter()


def read_filter(given: Mapping[str, str]) -> Filter:
    """Raises Rejected naming every invalid parameter."""
    found, faults = {}, []
    for name in _WORDS:
        value = (given.get(name) or "").strip()
        if len(value) > _LONGEST or "\0" in value:
            faults.append(Fault(f"/{name}", "invalid", f"{name} must be text of at most {_LONGEST} characters"))
        elif value:
            found[name] = value
    within = given.get("within")
    if within and within not in WITHIN:
        faults.append(Fault("/within", "invalid", f"within must be one of {', '.join(WITHIN)}"))
    if faults:
        raise Rejected("validation_failed", "; ".join(fault.message for fault in faults), tuple(faults))
    return Filter(**found, since=now() - WITHIN[within] if within else None)


@dataclass(frozen=True, slots=True)
class Found:
    """`following`: the cursor of the next page. `is_cut_short`: the page has looked as far as a page may, and found
    less than it holds.
    """

    entries: Sequence[AuditEntry]
    following: int | None
    is_cut_short: bool = False


@may_lag
def page(chosen: Filter, after: int | None = None) -> Found:
    """With a filter a page looks at _LOOKED_AT entries: what is rare costs no more than anything else."""
    statement = _select(chosen, after)
    last = None if chosen.is_empty else db.session.scalar(_furthest(after))
    if last is not None:
        statement = statement.where(AuditEntry.id >= last)
    rows = db.session.scalars(statement.limit(PAGE_SIZE + 1)).all()
    if len(rows) > PAGE_SIZE:
        return Found(rows[:PAGE_SIZE], rows[PAGE_SIZE - 1].id)
    return Found(rows, last, is_cut_short=last is not None)


def _furthest(after: int | None) -> "sa.Select[int]":
    """The last entry that a page looks at."""
    statement = sa.select(AuditEntry.id).order_by(AuditEntry.id.desc()).offset(_LOOKED_AT - 1).limit(1)
    return statement if after is None else statement.where(AuditEntry.id < after)


def batch(chosen: Filter, after: int | None = None) -> tuple[Sequence[AuditEntry], int | None]:
    """For a download: a longer page."""
    rows = db.session.scalars(_select(chosen, after).limit(_BATCH)).all()
    return rows, rows[-1].id if len(rows) == _BATCH else None


def actions() -> Sequence[str]:
    """The actions of the latest entries: the trail grows for ever, and is not read from end to end."""
    latest = sa.select(AuditEntry.action).order_by(AuditEntry.id.desc()).limit(_LOOKED_AT).subquery()
    return db.session.scalars(sa.select(latest.c.action).distinct().order_by(latest.c.action)).all()


def _select(chosen: Filter, after: int | None) -> "sa.Select[AuditEntry]":
    statement = sa.select(AuditEntry).order_by(AuditEntry.id.desc())
    if after is not None:
        statement = statement.where(AuditEntry.id < after)
    if chosen.actor:
        statement = statement.where(AuditEntry.actor.icontains(chosen.actor, autoescape=True))
    if chosen.action:
        statement = statement.where(AuditEntry.action.startswith(chosen.action, autoescape=True))
    if chosen.subject:
        statement = statement.where(AuditEntry.subject.icontains(chosen.subject, autoescape=True))
    if chosen.since:
        statement = statement.where(AuditEntry.at >= chosen.since)
    return statement
