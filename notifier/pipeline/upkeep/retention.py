"""Deletes notifications that are older than `RETENTION` says, with all that belongs to them, and what providers said.
Called by the scheduler.

Kept are those of which something may still happen. Who has one of their items in the inbox loses it; the counts are
made anew in the same transaction, under the lock that every mark takes first.
"""

import sqlalchemy as sa

from notifier.ground import partitions
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import prune, retried, transaction
from notifier.ground.ids import first_at
from notifier.models import (
    Attempt,
    Broadcast,
    Capture,
    Delivery,
    DigestEntry,
    InboxItem,
    InboxState,
    Notification,
    Submission,
)
from notifier.queries.captures import of_deliveries

BATCH = 200
_deliveries: sa.Table = Delivery.__table__
_UNREAD = (InboxItem.read_at.is_(None), InboxItem.archived_at.is_(None), InboxItem.snoozed_until.is_(None))
_UNSEEN = (InboxItem.seen_at.is_(None), InboxItem.archived_at.is_(None), InboxItem.snoozed_until.is_(None))


@retried
def prune_notifications() -> int:
    """A batch, the oldest first; → how many. A constant number of statements, none unless `RETENTION` names them."""
    kept = current_settings().retention.get("notifications")
    if kept is None:
        return 0
    oldest = now() - kept
    is_listed = sa.exists().where(DigestEntry.delivery_id == Delivery.id)  # by a digest that has yet to go out
    is_open = sa.exists().where(
        Delivery.notification_id == Notification.id, sa.or_(Delivery.wake_at.is_not(None), is_listed)
    )
    is_late = sa.func.coalesce(Notification.send_at, Notification.created_at) >= oldest
    with transaction() as session:
        chosen = (
            sa.select(Notification.id, Notification.submission_id)
            .where(Notification.id < first_at(oldest), Notification.created_at < oldest, ~is_late, ~is_open)
            .order_by(Notification.id)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        rows = session.execute(chosen).all()
        if not rows:
            return 0
        ids = [row.id for row in rows]
        of_items = sa.select(InboxItem.user_id).where(InboxItem.notification_id.in_(ids))
        states = sa.select(InboxState.user_id).where(InboxState.user_id.in_(of_items)).order_by(InboxState.user_id)
        people = session.scalars(states.with_for_update()).all()
        gone = sa.delete(_deliveries).where(_deliveries.c.notification_id.in_(ids)).returning(_deliveries.c.id)
        if deliveries := session.scalars(gone).all():  # captures refer to them without a foreign key
            session.execute(_plain(sa.delete(Capture).where(of_deliveries(deliveries))))
        session.execute(_plain(sa.delete(Notification).where(Notification.id.in_(ids))))
        if people:
            counts = {"unread": _count(*_UNREAD), "unseen": _count(*_UNSEEN)}
            session.execute(_plain(sa.update(InboxState).where(InboxState.user_id.in_(people)).values(counts)))
        is_empty = ~sa.exists().where(Notification.submission_id == Submission.id)
        has_no_broadcast = ~sa.exists().where(Broadcast.id == Submission.id)
        done = (Submission.status == "expanded", is_empty, has_no_broadcast)
        of_these = Submission.id.in_({row.submission_id for row in rows})
        session.execute(_plain(sa.delete(Submission).where(of_these, *done)))
    return len(rows)


def prune_calls() -> int:
    """Drops and deletes what providers answered longer ago than `RETENTION` says; → how many were deleted one by one.
    Their keys begin with the time of their deliveries, which may have waited: only what is itself old goes.
    """
    kept = current_settings().retention.get("calls")
    if kept is None:
        return 0
    partitions.drop(Attempt.__table__.c.delivery_id, now() - kept)
    oldest = now() - kept - partitions.spare(kept)
    return prune(Attempt.__table__, Attempt.delivery_id < first_at(oldest), Attempt.at < oldest)


def _count(*conditions: sa.ColumnElement[bool]) -> "sa.ScalarSelect[int]":
    return sa.select(sa.func.count()).where(InboxItem.user_id == InboxState.user_id, *conditions).scalar_subquery()


def _plain(statement: "sa.Delete | sa.Update") -> "sa.Delete | sa.Update":
    return statement.execution_options(synchronize_session=False)
