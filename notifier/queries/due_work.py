"""Which of the scheduler's tasks have anything to do: one question for all of them, several times a second.

Each asked for itself costs a session and a statement, and where it has to lock rows a write transaction, for an answer
that is nearly always "nothing". A condition may be true too often, since the task looks again; never too seldom. The
readers of events that have never read are wanted, too: they begin where the stream ends at that moment.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from notifier.core.broadcasts import CANCELLED, RUNNING
from notifier.core.lifecycle import QUEUED, SENDING, WAITING
from notifier.ground.database import glance
from notifier.ledgers.event_readers import BROADCASTS, TRENDS
from notifier.models import (
    Broadcast,
    BulkAction,
    Delivery,
    Digest,
    Event,
    EventReader,
    Experiment,
    InboxItem,
    Receipt,
    Reencryption,
    Schedule,
    Submission,
    Subscription,
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
    "ring_lost": _some(Delivery.status == _literal(QUEUED), Delivery.wake_at.is_not(None)),
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
    "ring_subscriptions": _some(Subscription.disabled_at.is_(None), Subscription.wake_at <= _NOW),
    "count_experiments": _some(Experiment.started_at.is_not(None), Experiment.counted_at.is_(None)),
    "wake_snoozed": _some(InboxItem.snoozed_until <= _NOW),
}

# Those who count events by a position in their stream
READERS: Mapping[str, str] = {"count_broadcast_hours": BROADCASTS, "count_trends": TRENDS}
NAMES = (*CONDITIONS, *READERS)


def _is_behind(reader: str, database: str) -> "sa.ColumnElement[bool]":
    """PostgreSQL would plan a look into each partition."""
    end: sa.ColumnElement[int] = sa.select(
        sa.func.coalesce(sa.func.max(Event.id), sa.literal_column("0"))
    ).scalar_subquery()
    if database == "postgresql":
        end = sa.literal_column("(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM event_id_seq)")
    position = sa.select(EventReader.position).where(EventReader.name == _literal(reader)).scalar_subquery()
    return sa.func.coalesce(position < end, sa.true())


def waiting(connection: sa.Connection, now: datetime) -> set[str]:
    """→ the names of those tasks that may have something to do. A step through an index for each. Raises
    OperationalError.
    """
    statement, bound = _question(connection.dialect)
    row = glance(connection, statement, {"now": bound(now)})
    return {name for name, is_any in zip(NAMES, row, strict=True) if is_any}


@cache
def _question(dialect: sa.Dialect) -> tuple[str, Callable[[datetime], Any]]:
    """→ the statement as the driver takes it, and what makes its `now` of a time."""
    style = "named" if dialect.name == "sqlite" else "pyformat"
    spelling = type(dialect)(paramstyle=style)  # type: ignore[call-arg]
    bind = _NOW.type.dialect_impl(dialect).bind_processor(dialect)
    assert bind is not None
    behind = (_is_behind(reader, dialect.name) for reader in READERS.values())
    return str(sa.select(*CONDITIONS.values(), *behind).compile(dialect=spelling)), bind
