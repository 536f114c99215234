"""Which of the scheduler's tasks have anything to do: one question for all of them, several times a second.

Each asked for itself costs a session and a statement, and where it has to lock rows a write transaction, for an answer
that is nearly always "nothing". A condition may be true too often, since the task looks again; never too seldom.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache

import sqlalchemy as sa

from notifier.core.broadcasts import CANCELLED, RUNNING
from notifier.core.lifecycle import SENDING, WAITING
from notifier.ground.extensions import db
from notifier.models import (
    Broadcast,
    BulkAction,
    Delivery,
    Digest,
    InboxItem,
    Receipt,
    Reencryption,
    Schedule,
    Submission,
    Upload,
)
from notifier.models.types import UtcDateTime
from notifier.queries.waiting import IS_HELD

_NOW = sa.bindparam("now", type_=UtcDateTime())


def _some(*conditions: "sa.ColumnElement[bool]") -> "sa.ColumnElement[bool]":
    return sa.exists().where(*conditions)


def _literal(status: str) -> "sa.ColumnElement[str]":
    """Spelled out, so that SQLite too sees that a partial index serves."""
    return sa.literal_column(f"'{status}'")


def _open(*conditions: "sa.ColumnElement[bool]") -> "sa.ColumnElement[bool]":
    is_open = sa.literal_column("broadcast.finished_at IS NULL", sa.Boolean)
    return sa.exists().select_from(Broadcast).where(is_open, *conditions)


CONDITIONS: Mapping[str, "sa.ColumnElement[bool]"] = {
    "ring_due": _some(Delivery.status == _literal(WAITING), Delivery.wake_at <= _NOW),
    "let_out": _some(IS_HELD),
    "free_lapsed": _some(Delivery.status == _literal(SENDING), Delivery.wake_at <= _NOW),
    "apply_receipts": _some(Receipt.applied_at.is_(None), Receipt.wake_at <= _NOW),
    "close_digests": _some(Digest.due_at <= _NOW),
    "submit_scheduled": _some(Schedule.next_at <= _NOW),
    "ring_expansions": _some(Submission.wake_at <= _NOW),
    "watch_broadcasts": _open(),
    "cancel_broadcasts": _open(Broadcast.status == _literal(CANCELLED)),
    "retry_broadcasts": _open(Broadcast.status == _literal(RUNNING), Broadcast.retrying.is_not(None)),
    "ring_uploads": _some(Upload.wake_at <= _NOW),
    "bulk_actions": _some(BulkAction.finished_at.is_(None)),
    "encrypt_anew": _some(Reencryption.wake_at <= _NOW),
    "wake_snoozed": _some(InboxItem.snoozed_until <= _NOW),
}


def waiting(now: datetime) -> set[str]:
    """→ the names of those tasks that may have something to do. A step through an index for each."""
    names, statement = _question(db.engine.dialect)
    row = db.session.execute(statement, {"now": now}).one()
    db.session.close()
    return {name for name, is_any in zip(names, row, strict=True) if is_any}


@cache
def _question(dialect: sa.Dialect) -> "tuple[list[str], sa.TextClause]":
    """Compiled once: to find it among the statements that SQLAlchemy keeps costs more than to run it."""
    named = type(dialect)(paramstyle="named")  # type: ignore[call-arg]
    compiled = sa.select(*CONDITIONS.values()).compile(dialect=named)
    return list(CONDITIONS), sa.text(str(compiled)).bindparams(_NOW)
