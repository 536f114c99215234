"""What the database knows of the counts of caps, in the form in which they stand in Redis.

Asked by `caps` for the sets that a FLUSHALL took, and for notifications whose deliveries have moved.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core import lifecycle
from notifier.core.limits import LIMITED
from notifier.ground.extensions import db
from notifier.ground.ids import first_at
from notifier.ledgers.caps_in_redis import KEPT, CapSet, member_of, ms_of
from notifier.models import Delivery, EventType, Notification

_notification = (Notification.is_test, Notification.category, Notification.user_id, Notification.submission_id)
_LIMITED = (
    sa.select(*_notification, Notification.created_at, Delivery.channel, Delivery.status, Delivery.due_at)
    .join(Delivery, Delivery.notification_id == Notification.id)
    .join(EventType, EventType.key == Notification.type)
    .where(Notification.category.in_(LIMITED), Notification.priority != "urgent")
    .where(~sa.or_(EventType.is_mandatory, EventType.is_internal, EventType.to_admins))
)


def tell(numbers: Mapping[CapSet, int], now: datetime) -> dict[int, list[tuple[int, str]]]:
    """The database's counts, as the script takes them: of the last day, and of notifications scheduled for later."""
    oldest = now - KEPT
    theirs = _LIMITED.where(Notification.user_id.in_({user_id for _, _, user_id in numbers}))
    # Each by an index of its own, so that earlier notifications are not read. Keys begin with the time.
    recent = theirs.where(Notification.id >= first_at(oldest), Notification.created_at > oldest)
    scheduled = theirs.where(Notification.send_at > oldest)
    told: dict[int, list[tuple[int, str]]] = {number: [] for number in numbers.values()}
    for set_, rows in _as_counted(db.session.execute(sa.union(recent, scheduled))).items():
        if set_ in numbers:
            told[numbers[set_]] = [(at, member) for at, member in rows if at is not None and at > ms_of(oldest)]
    return told


def counts_of(
    connection: sa.Connection, notification_ids: Collection[UUID]
) -> dict[CapSet, list[tuple[int | None, str]]]:
    """The counts of these notifications, of those that a cap concerns, on a connection of the caller's."""
    return _as_counted(connection.execute(_LIMITED.where(Notification.id.in_(notification_ids))))


def _as_counted(rows: Iterable[Any]) -> dict[CapSet, list[tuple[int | None, str]]]:
    """Deliveries → the members of each set and when they are due; None: none of that channel goes out any more."""
    found: dict[CapSet, dict[str, int | None]] = {}
    for row in rows:
        at = None if row.status in lifecycle.LEFT_OUT else ms_of(max(row.created_at, row.due_at or row.created_at))
        members = found.setdefault((row.is_test, row.category, row.user_id), {})
        member = member_of(row.submission_id, row.channel)
        members[member] = min((time for time in (at, members.get(member)) if time is not None), default=None)
    return {set_: [(at, member) for member, at in members.items()] for set_, members in found.items()}


def ask_until(now: datetime) -> int:
    """Until when (ms) the database may know of counts that Redis has lost: a day after the last of what is planned."""
    of_each = [  # each found by a step through an index
        sa.select(sa.func.max(Delivery.wake_at).label("at")).where(
            Delivery.status == status, Delivery.wake_at.is_not(None)
        )
        for status in sorted(lifecycle.OPEN)
    ]
    last = db.session.scalar(sa.select(sa.func.max(sa.union_all(*of_each).subquery().c.at)))
    return ms_of(max(last or now, now) + KEPT)
