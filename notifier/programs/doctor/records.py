"""The rows: references to deleted rows, rows that should have moved on long ago, and differences from Redis.

Every query reads a bounded number of rows by an index, however large the tables are.
"""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from notifier.core import lifecycle
from notifier.ground.extensions import db
from notifier.models import BulkAction, Delivery, Digest, InboxItem, Schedule, Submission
from notifier.pipeline.delivery.lease import database_time
from notifier.programs.doctor.findings import Finding, counted, fault, ok, warning
from notifier.programs.doctor.patient import Patient
from notifier.queries import causes
from notifier.signals.queueing import Doorbell, lost

SAMPLE = 500  # rows of each table from either end
MOST_DUE = 10_000
MOST_ASKED = 1_000
LATE = timedelta(minutes=1)
_SECOND_LOOK_S = 0.7  # what a worker or a scheduler is in the middle of is no fault

_SCHEDULER = "See the scheduler's log, or start one: python -m notifier scheduler"
# What the scheduler takes up by the time in an indexed column → how it is called.
_DUE: tuple[tuple[Any, str, str], ...] = (
    (Submission.wake_at, "submission is still to be expanded", "submissions are still to be expanded"),
    (Digest.due_at, "digest is still to be closed", "digests are still to be closed"),
    (Schedule.next_at, "schedule has not run", "schedules have not run"),
    (InboxItem.snoozed_until, "snoozed item has not come back", "snoozed items have not come back"),
)


def orphans(_patient: Patient) -> Iterator[Finding]:
    """Foreign keys forbid them, but a dump that was read in parts, or rows deleted by hand on SQLite,
    bring them about.
    """
    found = {}
    for table in db.metadata.sorted_tables:
        for key in table.foreign_key_constraints:
            if count := _dangling(table, key):
                found[f"{table.name}.{key.column_keys[0]}"] = (key.referred_table.name, count)
    for column, (target, count) in sorted(found.items()):
        what = (
            f"{counted(count, 'row refers', 'rows refer')} to a {target} that is not there "
            f"({column}), of those looked at"
        )
        yield fault(what, "Restore a backup, or delete them: they cannot be processed.")
    if not found:
        yield ok("no row refers to something that is not there, among the oldest and newest of each table")


def _dangling(table: sa.Table, key: sa.ForeignKeyConstraint) -> int:
    """Among both ends of a table."""
    [(column, target)] = [(element.parent, element.column) for element in key.elements]
    keys = [*table.primary_key]
    some = sa.union(
        *(
            sa.select(*keys, column.label("refers_to")).order_by(*map(end, keys)).limit(SAMPLE).subquery().select()
            for end in (sa.asc, sa.desc)
        )
    )
    rows = some.subquery()
    joined = rows.outerjoin(target.table, target == rows.c.refers_to)
    return (
        db.session.scalar(
            sa.select(sa.func.count()).select_from(joined).where(rows.c.refers_to.is_not(None), target.is_(None))
        )
        or 0
    )


def late(_patient: Patient) -> Iterator[Finding]:
    """Rows that should have moved on by themselves."""
    at = db.session.scalars(sa.select(database_time())).one()
    before = at - LATE
    findings = list(_late_deliveries({status: _late_of(status, before) for status in sorted(lifecycle.OPEN)}))
    for column, one, many in _DUE:
        some = sa.select(column).where(column <= before).order_by(column).limit(MOST_ASKED).subquery()
        number = db.session.scalar(sa.select(sa.func.count()).select_from(some)) or 0
        if number:
            findings.append(
                fault(
                    f"{_at_least(number, MOST_ASKED)}{counted(number, one, many)}, more than a minute late", _SCHEDULER
                )
            )
    findings += _bulk_actions(before)
    yield from findings or [ok("nothing is late")]


def _late_of(status: str, before: datetime) -> int:
    """MOST_DUE at most."""
    some = sa.select(Delivery.id).where(Delivery.status == status, Delivery.wake_at <= before).limit(MOST_DUE)
    return db.session.scalar(sa.select(sa.func.count()).select_from(some.subquery())) or 0


def _late_deliveries(statuses: dict[str, int]) -> Iterator[Finding]:
    if number := statuses.get(lifecycle.SENDING):
        are = counted(number, "delivery is", "deliveries are")
        yield fault(f"{are} being sent by a worker that is gone: the lease lapsed more than a minute ago", _SCHEDULER)
    if number := statuses.get(lifecycle.QUEUED):
        are = counted(number, "queued delivery has", "queued deliveries have")
        yield fault(f"{are} not been looked at for more than a minute: a lost doorbell is not rung again", _SCHEDULER)
    if number := statuses.get(lifecycle.WAITING):
        are = counted(number, "delivery is", "deliveries are")
        yield warning(
            f"{are} due and held back",
            (
                "Normal while a channel is paused or after a large release; if it only grows, add workers. See "
                "/admin/queues."
            ),
        )


def _at_least(number: int, most: int) -> str:
    return "at least " if number >= most else ""


def _bulk_actions(before: datetime) -> Iterator[Finding]:
    """The scheduler works on the oldest that is due; looked at twice, since only its cursor tells that it moves."""
    due = sa.func.coalesce(BulkAction.wake_at, BulkAction.created_at) <= before
    statement = (
        sa.select(BulkAction.id, BulkAction.kind, BulkAction.cursor, BulkAction.wake_at)
        .where(BulkAction.finished_at.is_(None), due)
        .order_by(BulkAction.created_at)
        .limit(1)
    )
    first = db.session.execute(statement).first()
    if first is None:
        return
    db.session.rollback()
    time.sleep(_SECOND_LOOK_S)
    if db.session.execute(statement).first() == first:
        yield fault(
            f"the {first.kind} of many failed jobs makes no progress", f"{_SCHEDULER}; or cancel it at /admin/failed"
        )


def registries(_patient: Patient) -> Iterator[Finding]:
    """Compares RQ's failed-job registries with the dead letters, and its queues with the queued deliveries."""
    found = causes.agreement()
    if found.missing or found.surplus:
        db.session.rollback()
        time.sleep(_SECOND_LOOK_S)
        found = causes.agreement()
    if found.missing:
        what = (
            f"{counted(found.missing, 'failed delivery is', 'failed deliveries are')} unknown to RQ's failed-job "
            "registries: Redis has forgotten them"
        )
        yield fault(what, "Press Repair at /admin/failed.")
    elif found.surplus:
        what = f"RQ's failed-job registries hold {counted(found.surplus, 'job')} more than there are failed deliveries"
        yield warning(what, "The scheduler takes them out within minutes; if it does not, see its log.")
    else:
        yield ok(f"RQ and the database agree: {counted(found.deliveries, 'failed delivery', 'failed deliveries')}")
    yield _queued()


def _queued() -> Finding:
    asked, silent = _unrung()
    if silent:
        db.session.rollback()
        time.sleep(_SECOND_LOOK_S)
        asked, again = _unrung()
        silent &= again
    if not silent:
        return ok(f"every queued delivery has its job in Redis ({counted(asked, 'delivery', 'deliveries')} looked at)")
    what = f"{len(silent):,} of {counted(asked, 'queued delivery', 'queued deliveries')} looked at have no job in Redis"
    return warning(
        what, "The scheduler rings them again within a minute; if it does not, start one: python -m notifier scheduler"
    )


def _unrung() -> tuple[int, set[Any]]:
    """Of the queued deliveries that are looked at next: how many there are, and those without a job."""
    queued = sa.select(Delivery.id, Delivery.channel, Delivery.priority).where(
        Delivery.status == lifecycle.QUEUED, Delivery.wake_at.is_not(None)
    )
    rows = db.session.execute(queued.order_by(Delivery.wake_at).limit(MOST_ASKED)).all()
    return len(rows), lost([Doorbell.of(row) for row in rows])
