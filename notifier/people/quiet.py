"""Wakes deliveries that wait for a person's quiet hours or mute to end.

Code that changes mute, quiet hours or zone calls `wake` in the transaction of the change; `delivery.claim` puts
deliveries off. The claim of a woken delivery checks again (`planning.last_look`) whether it may go out or must wait on.
"""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from notifier.core import lifecycle
from notifier.core.routing import ESCALATION
from notifier.ground.clock import now as clock_now
from notifier.ground.extensions import db
from notifier.models import Delivery, Notification

REASONS = ("muted", "quiet_hours")

_deliveries: sa.Table = Delivery.__table__
_notifications: sa.Table = Notification.__table__


def wake(user_ids: Collection[str]) -> None:
    """Makes deliveries due that wait for these people's quiet hours or mute; scheduled ones still wait for their time.
    They live no longer than if they had not been held (`core.questions.outlived`), and the steps of an escalation
    behind them come as much sooner. Two statements.

    A delivery that a worker holds at this moment is already under way, or is put off by a claim that reads this change.
    """
    now = clock_now()
    names = ("id", "notification_id", "step", "reason", "due_at", "expires_at")
    columns = (*(_deliveries.c[name] for name in names), _notifications.c.send_at, _notifications.c.is_perishable)
    waiting = (
        sa.select(*columns)
        .join(_notifications, _notifications.c.id == _deliveries.c.notification_id)
        .where(
            _notifications.c.user_id.in_(user_ids),
            _deliveries.c.status == lifecycle.WAITING,
            _deliveries.c.reason.in_((*REASONS, ESCALATION)),
        )
        .order_by(_deliveries.c.notification_id, _deliveries.c.step)
    )
    rows = []
    sooner: dict[UUID, timedelta] = {}  # by notification: what a step that was held has gained
    for row in db.session.execute(waiting.with_for_update(of=_deliveries, skip_locked=True)):
        is_later = row.send_at is not None and row.send_at > now
        at, expires_at = row.send_at if is_later else now, row.expires_at
        if row.reason == ESCALATION:
            if row.due_at is None or row.notification_id not in sooner:
                continue
            at = max(row.due_at - sooner[row.notification_id], at)
        elif row.due_at is not None:
            sooner[row.notification_id] = row.due_at - at
        if not row.is_perishable and expires_at is not None and row.due_at is not None:
            expires_at = at + (expires_at - row.due_at)
        cause = "scheduled" if is_later and row.reason != ESCALATION else None
        rows.append({"key": row.id, "at": at, "until": expires_at, "why": cause})
    if rows:
        at = sa.bindparam("at", type_=_deliveries.c.due_at.type)
        until = sa.bindparam("until", type_=_deliveries.c.expires_at.type)
        why = sa.func.coalesce(sa.bindparam("why", type_=sa.String()), _deliveries.c.reason)
        due = (
            sa.update(_deliveries)
            .where(_deliveries.c.id == sa.bindparam("key"), _deliveries.c.status == lifecycle.WAITING)
            .values(due_at=at, wake_at=at, reason=why, expires_at=until)
        )
        db.session.connection().execute(due, rows)
