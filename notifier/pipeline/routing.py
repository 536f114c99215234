"""Moves the steps of notifications with routing `first` on, in the transaction in which one of them has ended."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier import channels
from notifier.clock import now as clock_now
from notifier.core import lifecycle
from notifier.core.plan import FALLBACK
from notifier.core.routing import Step, next_move
from notifier.extensions import db
from notifier.models import Delivery, Notification
from notifier.pipeline.store import DOORBELL_GRACE
from notifier.queueing import Doorbell


def follow(notifications: Sequence[Any]) -> list[Doorbell]:
    """Starts the next step where the one before has failed, drops the rest where it has succeeded.

    → whom to ring after the commit. Five statements at most; none when no notification is routed.
    """
    wanted = {notification.id for notification in notifications if notification.routing == "first"}
    if not wanted:
        return []
    # Two workers may end two deliveries of one notification: its row says whose turn it is, and the second
    # sees what the first has done. The deliveries themselves are not locked: each worker holds its own already.
    db.session.execute(sa.select(Notification.id).where(Notification.id.in_(wanted)).order_by(Notification.id).with_for_update(key_share=True))
    columns = (Delivery.id, Delivery.notification_id, Delivery.channel, Delivery.priority, Delivery.step, Delivery.status, Delivery.reason)
    rows = db.session.execute(sa.select(*columns).where(Delivery.notification_id.in_(wanted)).order_by(Delivery.id)).all()
    start: set[UUID] = set()
    drop: set[UUID] = set()
    now = clock_now()
    for key in wanted:
        steps = [Step(row.id, row.step, row.status, row.status == lifecycle.WAITING and row.reason == FALLBACK) for row in rows if row.notification_id == key]
        move = next_move(steps)
        start.update(move.start)
        drop.update(move.drop)
    _move(drop, status=lifecycle.SKIPPED, reason="not_needed", wake_at=None)
    shown = {row.id for row in rows if row.id in start and channels.CHANNELS[row.channel].address is None}
    _move(shown, reason=None, due_at=now, wake_at=now)  # in-app: the scheduler shows it
    _move(start - shown, status=lifecycle.QUEUED, reason=None, wake_at=now + DOORBELL_GRACE)
    return [Doorbell(row.id, row.channel, row.priority) for row in rows if row.id in start - shown]


def _move(ids: set[UUID], **values: object) -> None:
    if ids:
        db.session.execute(
            sa.update(Delivery).where(Delivery.id.in_(ids), Delivery.status == lifecycle.WAITING).values(**values).execution_options(synchronize_session=False)
        )
