"""Broadcasts that are under way: pauses those that fail too often, whose producer is switched off or whose key is
revoked; cancels what is left of the cancelled ones, and ends those of which nothing is to come any more.

Called by the scheduler. The tallies say how far each is; those who decide by them look again under the broadcast's
lock, so that each is paused, and ended, once.
"""

from collections import Counter
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import defer

from notifier.core import broadcasts as rules
from notifier.core import events as names
from notifier.core.broadcasts import CANCELLED, FINISHED, RUNNING, SCHEDULED
from notifier.core.lifecycle import CANCELLED as CANCELLED_DELIVERY
from notifier.core.lifecycle import OPEN, QUEUED, WAITING
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ledgers import audit, broadcast_counts, digests, events, moves
from notifier.models import Broadcast, Delivery, DigestEntry
from notifier.pipeline.intake import broadcasts, stopped_keys

BATCH = 500  # deliveries cancelled in one transaction

log = structlog.get_logger()


def watch() -> int:
    """Pauses and ends those for which it is time. → how many. Two statements whatever their number, and no more where
    nothing is to be done.
    """
    is_to_stop = sa.or_(stopped_keys.is_switched_off(), stopped_keys.is_key_revoked())
    going = (
        stopped_keys.with_its_key(sa.select(Broadcast, is_to_stop))
        .where(_is_open(), sa.or_(Broadcast.status == RUNNING, sa.and_(Broadcast.status == SCHEDULED, is_to_stop)))
        .options(defer(Broadcast.audience))  # it may name 10,000 people
    )
    rows = db.session.execute(going).all()
    counts = broadcast_counts.of(row.id for row, _ in rows if row.status == RUNNING)
    stopping, over = list[UUID](), list[UUID]()
    for row, is_stopped in rows:
        if row.status == RUNNING and _share(row, counts[row.id]):
            stopping.append(row.id)
        elif row.status == RUNNING and _is_over(row, counts[row.id]):
            over.append(row.id)
        elif is_stopped:
            stopping.append(row.id)
    db.session.close()
    return sum(map(_stop, stopping)) + sum(map(_end, over))


def _is_open() -> "sa.ColumnElement[bool]":
    """Spelled out, so that both databases see that the partial index serves."""
    return sa.literal_column("broadcast.finished_at IS NULL", sa.Boolean)


def _share(row: Broadcast, counts: Counter[str]) -> str | None:
    """Why it is to stop; None: it is to go on."""
    ended, failed = rules.ended(counts)
    sends, failures = ended - row.ended_before, failed - row.failed_before
    if row.retrying is not None or not rules.has_failed_too_often(sends, failures, row.stop_at_failures):
        return None
    return f"{failures:,} of {sends:,} sends have failed"


def _stop(broadcast_id: UUID) -> bool:
    """Somebody may have resumed it since: then it has been looked at."""

    def why(row: Broadcast) -> str | None:
        share = _share(row, broadcast_counts.of([broadcast_id])[broadcast_id]) if row.status == RUNNING else None
        return share or stopped_keys.why_stopped(broadcast_id)

    return broadcasts.pause(broadcast_id, why)


def _is_over(row: Broadcast, counts: Counter[str]) -> bool:
    is_made = row.expanded_at is not None or row.status == CANCELLED
    return is_made and row.retrying is None and not any(counts[status] for status in OPEN)


def _end(broadcast_id: UUID) -> bool:
    with transaction() as session:
        row = session.get_one(Broadcast, broadcast_id, with_for_update={"key_share": True}, populate_existing=True)
        is_current = row.finished_at is None and row.status in (RUNNING, CANCELLED)
        if not is_current or not _is_over(row, broadcast_counts.of([broadcast_id])[broadcast_id]):
            return False
        row.finished_at = clock_now()
        if row.status == RUNNING:
            row.status = FINISHED
            session.flush()
            events.tell_broadcast(names.BROADCAST_FINISHED, row)
            if not row.is_test:
                audit.write("broadcast.finished", show(broadcasts.KIND, broadcast_id))
    log.info("broadcast.ended", broadcast=show(broadcasts.KIND, broadcast_id))
    return True


def cancel_rest() -> int:
    """Cancels some of what still waits of cancelled broadcasts, or is to be listed in a digest, and ends those of which
    nothing is left. → how many deliveries; BATCH: there may be more.

    Those that a worker or scheduler holds at this moment are left to it: it looks at the broadcast itself.
    """
    ids = list(db.session.scalars(sa.select(Broadcast.id).where(_is_open(), Broadcast.status == CANCELLED)))
    db.session.close()
    if not ids:
        return 0
    with transaction():
        waiting = sa.select(Delivery.id).where(Delivery.broadcast_id.in_(ids), Delivery.status.in_((WAITING, QUEUED)))
        chosen = list(db.session.scalars(waiting.limit(BATCH).with_for_update(skip_locked=True)))
        cancelled = len(moves.move(chosen, CANCELLED_DELIVERY, reason="cancelled", wake_at=None))
        if not cancelled:
            listed = sa.select(DigestEntry.delivery_id).join(Delivery, Delivery.id == DigestEntry.delivery_id)
            some = list(db.session.scalars(listed.where(Delivery.broadcast_id.in_(ids)).limit(BATCH)))
            cancelled = digests.withdraw(sa.select(Delivery.id).where(Delivery.id.in_(some))) if some else 0
    if not cancelled:
        for broadcast_id in ids:
            _end(broadcast_id)
    return cancelled
