"""Rings again for queued deliveries and expansions whose doorbell Redis has lost. Called by the scheduler."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import redis
import sqlalchemy as sa

from notifier.core import lifecycle
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers.moves import move
from notifier.models import Delivery, Submission
from notifier.pipeline.intake.accept import EXPAND_GRACE
from notifier.pipeline.upkeep.due import BATCH, doorbells, is_expired, log
from notifier.signals.queueing import DOORBELL_GRACE, lost, memory, note_reviewed, ring, ring_expand_again

LONGEST_DOORBELL_GRACE = DOORBELL_GRACE * 32


@dataclass(frozen=True, slots=True)
class Looked:
    """How many queued deliveries were looked at, and how many of them rung again."""

    rows: int
    rung: int = 0
    last: UUID | None = None


def ring_lost() -> Looked:
    """Rings again for queued deliveries whose doorbell is lost.

    A delivery that is in its queue is looked at again later and later, so that a long backlog costs little.
    `upkeep.ghosts` finds jobs that a dead worker took; and once Redis may have lost everything, all deliveries are
    looked at at once. While Redis is away nothing is changed.
    """
    now = clock_now()
    try:
        remembered = memory()
        if remembered.reviewed_to is None:
            looked = _look(_queued().where(Delivery.wake_at <= now).order_by(Delivery.wake_at), now)
        else:
            looked = _look(
                _queued()
                .where(Delivery.wake_at.is_not(None), Delivery.id > remembered.reviewed_to)
                .order_by(Delivery.id),
                now,
            )
            note_reviewed(remembered, looked.last if looked.rows == BATCH else None)
    except redis.RedisError as error:
        log.warning("doorbells.redis_away", error=type(error).__name__)
        return Looked(0)
    if looked.rung:
        log.warning("doorbells.lost", deliveries=looked.rung)
    return looked


def _queued() -> "sa.Select[*tuple[Any, ...]]":
    columns = (Delivery.id, Delivery.notification_id, Delivery.channel, Delivery.priority)
    times = (Delivery.created_at, Delivery.due_at, Delivery.expires_at, Delivery.wake_at)
    return sa.select(*columns, *times).where(Delivery.status == lifecycle.QUEUED).limit(BATCH)


def _look(statement: "sa.Select[*tuple[Any, ...]]", now: datetime) -> Looked:
    """At these queued deliveries; says when to look at them again."""
    rows = db.session.execute(statement).all()
    db.session.close()
    if not rows:
        return Looked(0)
    forgotten = lost(doorbells([row for row in rows if not is_expired(row, now)]))
    with transaction() as session:
        # Locked rows are being sent, or looked at by another scheduler: they are passed over.
        still = sa.select(Delivery.id, Delivery.wake_at).where(
            Delivery.id.in_([row.id for row in rows]), Delivery.status == lifecycle.QUEUED
        )
        awake = {row.id: row.wake_at for row in session.execute(still.with_for_update(skip_locked=True))}
        held = [row for row in rows if awake.get(row.id) == row.wake_at]
        expired = [row for row in held if is_expired(row, now)]
        move([row.id for row in expired], lifecycle.EXPIRED, reason="expired", wake_at=None)
        later: dict[timedelta, list[UUID]] = {}
        for row in held:
            if not is_expired(row, now):
                later.setdefault(DOORBELL_GRACE if row.id in forgotten else _next_grace(row, now), []).append(row.id)
        for grace, ids in later.items():
            later_on = sa.update(Delivery).where(Delivery.id.in_(ids)).values(wake_at=now + grace)
            session.execute(later_on.execution_options(synchronize_session=False))
    again = [row for row in held if row.id in forgotten]
    ring(doorbells(again))
    return Looked(len(rows), len(again), rows[-1].id)


def _next_grace(row: Any, now: datetime) -> timedelta:
    """As long again as it has been waiting, in a few steps so that one statement does for many."""
    age = now - max(row.created_at, row.due_at or row.created_at)
    grace = DOORBELL_GRACE
    while grace * 2 <= min(age, LONGEST_DOORBELL_GRACE):
        grace *= 2
    return grace


def ring_expansions() -> int:
    """Submissions that are still to be expanded, in case their doorbell was lost. Without their bodies, each of which
    may name 10,000 people.
    """
    now = clock_now()
    due = sa.select(Submission.id).where(Submission.wake_at <= now).order_by(Submission.wake_at).limit(BATCH)
    with transaction() as session:
        ids = session.scalars(due.with_for_update(skip_locked=True)).all()
        if ids:
            again = sa.update(Submission).where(Submission.id.in_(ids)).values(wake_at=now + EXPAND_GRACE)
            session.execute(again.execution_options(synchronize_session=False))
    ring_expand_again(ids)
    return len(ids)
