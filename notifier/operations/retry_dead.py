"""Retries or discards failed deliveries, as a person decided.

Called by the failed jobs' pages and by `operations.bulk_actions`. An expired delivery is never retried; the claim
checks again whether a delivery is still wanted.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import redis
import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session, scoped_session

from notifier.core.lifecycle import DISCARDED, QUEUED
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.ids import show
from notifier.ledgers import audit, moves
from notifier.models import Delivery
from notifier.pipeline.delivery.prepare import THROUGH
from notifier.queries.dead_letters import is_dead
from notifier.signals import publish
from notifier.signals.queueing import DOORBELL_GRACE, Doorbell, forget_failed, ring

log = structlog.get_logger()


def retry(ids: Sequence[UUID]) -> int:
    """failed | unknown → queued, with all attempts before it again. Returns how many; the rest had expired, moved on or
    been deleted.
    """
    with transaction() as session:
        doorbells = revive(session, ids)
        shown = [show("dlv", bell.delivery_id) for bell in doorbells]
        if shown:
            is_one = len(shown) == 1
            audit.write(
                "delivery.retried",
                shown[0] if is_one else f"{len(shown):,} deliveries",
                after=None if is_one else {"deliveries": shown},
            )
    tell_queues(doorbells, is_retry=True)
    return len(doorbells)


def is_unexpired(now: datetime) -> "sa.ColumnElement[bool]":
    return sa.or_(Delivery.expires_at.is_(None), Delivery.expires_at > now)


def revive(session: "scoped_session[Session]", ids: Sequence[UUID], through: str | None = None) -> list[Doorbell]:
    """Queues them again, inside the caller's transaction. `through`: the provider account to use. → doorbells, for
    `tell_queues`.
    """
    now = clock_now()
    held = _hold(session, ids, is_unexpired(now))
    changed = [row for row in held if (row.detail or {}).get(THROUGH) != through]
    if changed:
        _set_details(session, {row.id: {**row.detail, THROUGH: through} for row in changed})
    moves.move([row.id for row in held], QUEUED, reason=None, failures=0, due_at=now, wake_at=now + DOORBELL_GRACE)
    return _doorbells(held)


def _set_details(session: "scoped_session[Session]", details: dict[UUID, dict[str, Any]]) -> None:
    table: sa.Table = Delivery.__table__
    rows = [
        {"key": key, "more": {name: value for name, value in detail.items() if value is not None}}
        for key, detail in details.items()
    ]
    statement = (
        sa.update(table)
        .where(table.c.id == sa.bindparam("key"))
        .values(detail=sa.bindparam("more", type_=table.c.detail.type))
    )
    session.connection().execute(statement, rows)


def put_away(session: "scoped_session[Session]", ids: Sequence[UUID]) -> list[Doorbell]:
    """Discards them, inside the caller's transaction. → doorbells, for `tell_queues`."""
    held = _hold(session, ids)
    theirs = Delivery.id.in_([row.id for row in held])
    discarded = sa.update(Delivery).where(theirs).values(reason=DISCARDED)
    session.execute(discarded.execution_options(synchronize_session=False))
    return _doorbells(held)


def _hold(
    session: "scoped_session[Session]", ids: Sequence[UUID], *conditions: "sa.ColumnElement[bool]"
) -> Sequence["sa.Row[Any]"]:
    """Locks those that are still failed, until the end of the transaction; always in the same order, so that no two
    transactions wait for each other.
    """
    columns = (Delivery.id, Delivery.detail, Delivery.channel, Delivery.priority)
    return session.execute(
        sa.select(*columns).where(Delivery.id.in_(ids), is_dead(), *conditions).order_by(Delivery.id).with_for_update()
    ).all()


def _doorbells(held: Sequence["sa.Row[Any]"]) -> list[Doorbell]:
    return [Doorbell.of(row) for row in held]


def tell_queues(doorbells: Sequence[Doorbell], *, is_retry: bool) -> None:
    """After the commit: removes their failed jobs from RQ, and rings for retries. If Redis is away, the scheduler rings
    later and removes the ghosts.
    """
    if not doorbells:
        return
    publish.hint(publish.FAILED, publish.OVERVIEW, publish.QUEUES)
    try:
        forget_failed(doorbells, with_jobs=not is_retry)
    except redis.RedisError as error:
        log.warning("retry.redis_away", error=type(error).__name__)
    if is_retry:
        ring(doorbells)
    log.info("deliveries.retried" if is_retry else "deliveries.discarded", deliveries=len(doorbells))
