"""Cancels deliveries that have not gone out yet. Called by the API."""

from uuid import UUID

import sqlalchemy as sa

from notifier.core import lifecycle
from notifier.core.errors import Rejected
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import digests, moves
from notifier.models import Delivery, Notification
from notifier.pipeline.planning import replacing
from notifier.pipeline.planning.routing import follow
from notifier.signals.queueing import Doorbell, ring

_notification = Notification.__table__.c
_COLUMNS: tuple[sa.Column[object], ...] = (
    *(_notification.id, _notification.user_id, _notification.producer_id, _notification.is_test),
    *(_notification.collapse_key, _notification.routing, _notification.priority),
)
_GONE_OUT = frozenset(lifecycle.STATUSES) - lifecycle.LEFT_OUT


def cancel(notification_id: UUID) -> int:
    """Cancels the waiting and queued deliveries of a notification, and those in an open digest; returns how many.

    Raises Rejected when there are none. A worker that claims one of them at this moment wins or loses by the row's
    lock, never both. If nothing has gone out, the older notification that it had replaced (`collapse_key`) goes out
    after all.
    """
    with transaction():
        of_it = Delivery.notification_id == notification_id
        cancelled = moves.move(of_it, lifecycle.CANCELLED, reason="cancelled", wake_at=None)
        count = len(cancelled) + digests.withdraw(sa.select(Delivery.id).where(of_it))
        if not count:
            raise Rejected("nothing_to_cancel", "there is nothing left to cancel in this notification")
        started = _bring_back_older(notification_id)
    ring(started)
    return count


def _bring_back_older(notification_id: UUID) -> list[Doorbell]:
    notification = db.session.execute(sa.select(*_COLUMNS).where(_notification.id == notification_id)).one()
    if notification.collapse_key is None:
        return []
    of_it = Delivery.notification_id == notification_id
    if db.session.scalar(sa.select(Delivery.id).where(of_it, Delivery.status.in_(_GONE_OUT)).limit(1)) is not None:
        return []
    older = replacing.bring_back(notification)
    if older is None:
        return []
    return follow(db.session.execute(sa.select(*_COLUMNS).where(_notification.id == older)).all())
