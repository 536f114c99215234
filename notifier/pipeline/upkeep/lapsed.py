"""Sends whose worker has died: after the lease, each is sent again or becomes `unknown`, as its channel and type say.

Called by the scheduler and by `upkeep.abandoned`.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.channels.serving import registry
from notifier.core import lifecycle
from notifier.core.latency import promise
from notifier.core.worlds import SYNTHETIC
from notifier.ground import metrics
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import tallies
from notifier.ledgers.moves import move
from notifier.models import Attempt, Delivery, EventType, Notification
from notifier.pipeline.delivery import kept_receipts
from notifier.pipeline.delivery.lease import LEASE, database_time
from notifier.pipeline.delivery.task import LEASE_LAPSED
from notifier.pipeline.upkeep.due import BATCH, awake, doorbells, log, split
from notifier.signals import publish
from notifier.signals.queueing import DOORBELL_GRACE, ring


def free_lapsed() -> int:
    """Sends whose worker has not been heard of for as long as a lease. Returns how many."""
    return _free(awake(lifecycle.SENDING, database_time()))


def free_held_by(holders: Collection[int]) -> int:
    """Sends of workers that are known to have died, however long their leases last. Returns how many."""
    # A lease ends within LEASE: the index on wake_at finds them.
    statement = sa.select(Delivery).where(
        Delivery.wake_at.between(database_time(), database_time(LEASE)), Delivery.status == lifecycle.SENDING
    )
    mine = statement.where(Delivery.holder.in_(holders)).limit(BATCH).with_for_update(skip_locked=True)
    freed = 0
    while count := _free(mine):
        freed += count
    return freed


def _free(statement: "sa.Select[Delivery]") -> int:
    """Sent again where that is safe or the type wants it, else `unknown`. Uses up no attempt."""
    now = clock_now()
    with transaction() as session:
        lapsed = session.scalars(statement).all()
        if not lapsed:
            return 0
        resends, tests = _resent_and_tests(lapsed)
        again, unknown = split(lapsed, lambda d: _is_safe_to_repeat(d.channel) or d.notification_id in resends)
        move([d.id for d in again], lifecycle.QUEUED, reason=None, wake_at=now + DOORBELL_GRACE)
        their_type = sa.select(Notification.type).where(Notification.id == Delivery.notification_id).scalar_subquery()
        cause = {"outcome": "unknown", "code": LEASE_LAPSED, "failed_at": now, "failed_type": their_type}
        move([d.id for d in unknown], lifecycle.UNKNOWN, reason=None, wake_at=None, **cause)
        session.execute(sa.insert(Attempt.__table__), [_lapsed_attempt(d, now) for d in lapsed])
        lost = [d for d in unknown if d.notification_id not in tests]
        tallies.count((d.channel, event) for d in lost for event in (tallies.FAILED, promise(d.priority, None)))
        told = kept_receipts.told_already([d.id for d in lapsed], ())
    if told:
        kept_receipts.apply_now(told)  # before they are sent anew
    ring(doorbells(again))
    for d in unknown:
        if d.notification_id not in tests:
            provider = metrics.bounded("provider", d.provider or d.channel)
            metrics.series(metrics.deliveries, d.channel, provider, lifecycle.UNKNOWN).inc()
    publish.hint(publish.OVERVIEW, publish.QUEUES, publish.FAILED)
    log.warning("leases.lapsed", again=len(again), unknown=len(unknown))
    return len(lapsed)


def _is_safe_to_repeat(channel: str) -> bool:
    serving = registry().adapters_for(channel, None, is_test=False)
    return bool(serving) and all(adapter.is_safe_to_repeat for adapter in serving)


def _resent_and_tests(deliveries: Sequence[Delivery]) -> tuple[set[UUID], set[UUID]]:
    """The notifications of types that are sent again when they may have gone out, and those of test keys. The synthetic
    person's always are: nobody else would look at one that is unknown.
    """
    is_synthetic = (Notification.user_id == SYNTHETIC).label("is_synthetic")
    statement = sa.select(Notification.id, Notification.is_test, is_synthetic, EventType).join(
        EventType, EventType.key == Notification.type
    )
    rows = db.session.execute(statement.where(Notification.id.in_({d.notification_id for d in deliveries}))).all()
    resent = {key for key, _, is_theirs, type_ in rows if type_.resends_unknown or is_theirs}
    return resent, {key for key, is_test, *_ in rows if is_test}


def _lapsed_attempt(delivery: Delivery, now: datetime) -> dict[str, Any]:
    return {
        "delivery_id": delivery.id,
        "number": delivery.tries,
        "provider": delivery.provider or delivery.channel,
        "outcome": "unknown",
        "code": LEASE_LAPSED,
        "message": "the worker died while sending",
        "duration_ms": 0,
        "at": now,
    }
