"""Sends the failed part of a broadcast again: what is failed or unknown, and nothing else.

Asked for by the API and the console, done by the scheduler, some at a time and by one process at a time: a batch and
how far it has come are one transaction. As with any retry (`operations.retry_dead`), the claim asks again whether the
person wants it and nothing that has expired is sent; who has had it on another channel of a routing is left alone.
"""

from uuid import UUID

import sqlalchemy as sa

from notifier.core import broadcasts as rules
from notifier.core.broadcasts import RETRYABLE, RUNNING
from notifier.core.errors import Rejected
from notifier.core.lifecycle import DEAD
from notifier.ground.clock import now as clock_now
from notifier.ground.database import retried, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ledgers import audit, broadcast_counts
from notifier.models import Broadcast, Delivery
from notifier.operations import retry_dead
from notifier.pipeline.intake.broadcasts import KIND, take_over
from notifier.pipeline.planning import pacing
from notifier.queries.dead_letters import is_dead

BATCH = 500


def to_retry(broadcast_id: UUID) -> dict[str, int]:
    """How many of each status would be sent again: not those that are discarded, or have expired. One statement, which
    reads all that has failed.
    """
    dead = _dead(broadcast_id).where(retry_dead.is_unexpired(clock_now()))
    counted = dead.with_only_columns(Delivery.status, sa.func.count().label("number")).group_by(Delivery.status)
    return {**dict.fromkeys(DEAD, 0), **{row.status: row.number for row in db.session.execute(counted)}}


@retried
def begin(broadcast_id: UUID, key_id: UUID | None = None) -> None:
    """What has failed up to now, in the name of that key (None: somebody in the console). While that is being done,
    asking again changes nothing. Raises Rejected('conflict') where nothing has failed that may still be sent, or the
    broadcast is not to send anything.
    """
    failed = sum(to_retry(broadcast_id).values())
    db.session.close()
    with transaction() as session:
        row = session.get(Broadcast, broadcast_id, with_for_update={"key_share": True}, populate_existing=True)
        if row is None:
            raise Rejected("not_found", f"there is no {show(KIND, broadcast_id)}")
        if row.status not in RETRYABLE:
            raise Rejected("conflict", f"a broadcast that is {row.status} sends nothing again")
        if row.retrying is not None:
            return
        take_over(row, key_id)
        if not failed:
            raise Rejected("conflict", "there is nothing to retry: nothing has failed that may still be sent")
        row.status, row.finished_at = RUNNING, None
        row.retrying, row.retried_to = clock_now(), None
        if not row.is_test:
            audit.write("broadcast.retried", show(KIND, broadcast_id), after={"failed": failed})


def work() -> int:
    """One batch of one broadcast, once its queues have room (`planning.pacing`). → how many dead letters it looked at;
    BATCH: there may be more at once.
    """
    room = pacing.room()
    with transaction() as session:
        row = session.scalar(_asked_for().limit(1).with_for_update(skip_locked=True, key_share=True))
        if row is None:
            return 0
        asked = sa.or_(Delivery.failed_at.is_(None), Delivery.failed_at <= row.retrying)
        dead = _dead(row.id).add_columns(Delivery.channel, Delivery.priority).where(asked)
        if row.retried_to is not None:
            dead = dead.where(Delivery.id > row.retried_to)
        found = session.execute(dead.order_by(Delivery.id).limit(BATCH)).all()
        if any(not room[one.channel, one.priority] for one in found):
            return 0
        ids = [one.id for one in found]
        doorbells = retry_dead.revive(session, ids)
        row.retries += len(doorbells)
        row.retried_to = ids[-1] if ids else row.retried_to
        if len(ids) < BATCH:
            # What has failed up to now has had its retry: `stop_at_failures` counts anew
            ended = rules.ended(broadcast_counts.of([row.id])[row.id])
            row.retrying, (row.ended_before, row.failed_before) = None, ended
    retry_dead.tell_queues(doorbells, is_retry=True)
    return len(ids)


def _dead(broadcast_id: UUID) -> "sa.Select[UUID]":
    return sa.select(Delivery.id).where(Delivery.broadcast_id == broadcast_id, Delivery.status.in_(DEAD), is_dead())


def _asked_for() -> "sa.Select[Broadcast]":
    is_open = sa.literal_column("broadcast.finished_at IS NULL", sa.Boolean)
    wanted = sa.select(Broadcast).where(is_open, Broadcast.status == RUNNING, Broadcast.retrying.is_not(None))
    return wanted.order_by(Broadcast.retrying)
