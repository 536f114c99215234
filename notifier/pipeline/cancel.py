"""Cancels what has not gone out yet."""

from uuid import UUID

import sqlalchemy as sa

from notifier.core import lifecycle
from notifier.core.errors import Rejected
from notifier.database import transaction
from notifier.models import Delivery
from notifier.pipeline import digests


def cancel(notification_id: UUID) -> int:
    """Cancels the waiting and queued deliveries of a notification, and those in an open digest; returns how many. Raises Rejected when there are none.

    A worker that claims one of them at this moment wins or loses by the row's lock, never both.
    """
    with transaction() as session:
        cancelled = session.execute(
            sa.update(Delivery)
            .where(Delivery.notification_id == notification_id, Delivery.status.in_(lifecycle.leading_to(lifecycle.CANCELLED)))
            .values(status=lifecycle.CANCELLED, reason="cancelled", wake_at=None)
            .returning(Delivery.id)
            .execution_options(synchronize_session=False)
        ).all()
        count = len(cancelled) + digests.withdraw(notification_id)
    if not count:
        raise Rejected("nothing_to_cancel", "nothing of this notification is left to cancel")
    return count
