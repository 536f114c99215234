"""Gives dead deliveries another life: a person pressed retry. Never one that has expired."""

from collections.abc import Sequence
from uuid import UUID

import redis
import sqlalchemy as sa
import structlog

from notifier.clock import now as clock_now
from notifier.core import lifecycle
from notifier.database import transaction
from notifier.models import Delivery
from notifier.pipeline.store import DOORBELL_GRACE
from notifier.queueing import Doorbell, forget_failed, ring

log = structlog.get_logger()


def retry(ids: Sequence[UUID]) -> int:
    """failed | unknown → queued, with all attempts before it again. Returns how many; the rest had expired or moved on."""
    now = clock_now()
    with transaction() as session:
        rows = session.execute(
            sa.update(Delivery)
            .where(
                Delivery.id.in_(ids),
                Delivery.status.in_((lifecycle.FAILED, lifecycle.UNKNOWN)),
                sa.or_(Delivery.expires_at.is_(None), Delivery.expires_at > now),
            )
            .values(status=lifecycle.QUEUED, reason=None, failures=0, due_at=now, wake_at=now + DOORBELL_GRACE)
            .returning(Delivery.id, Delivery.channel, Delivery.priority)
            .execution_options(synchronize_session=False)
        ).all()
    doorbells = [Doorbell(row.id, row.channel, row.priority) for row in rows]
    try:
        forget_failed(doorbells)
    except redis.RedisError as error:
        log.warning("retry.redis_away", error=type(error).__name__)  # the sweep rings them, and removes the ghosts
    ring(doorbells)
    log.info("deliveries.retried", deliveries=len(doorbells))
    return len(doorbells)
