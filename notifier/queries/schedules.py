"""Recurring schedules for the API."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.core.submission import Submission
from notifier.ground.extensions import db
from notifier.ground.ids import parse, show
from notifier.ground.shapes import timestamp
from notifier.models import Schedule
from notifier.queries.notifications import Sight


def one(schedule_id: UUID, sight: Sight) -> dict[str, Any]:
    """Raises Rejected('not_found') for none, and for one the caller may not see."""
    row = db.session.scalar(sa.select(Schedule).where(Schedule.id == schedule_id, *sight.conditions(Schedule)))
    if row is None:
        raise Rejected("not_found", "there is no such schedule")
    return _shown(row)


def page(after: str | None, limit: int, sight: Sight) -> dict[str, Any]:
    """Newest first."""
    statement = sa.select(Schedule).where(*sight.conditions(Schedule)).order_by(Schedule.id.desc()).limit(limit + 1)
    rows = list(db.session.scalars(statement.where(Schedule.id < parse("sch", after)) if after else statement))
    return {
        "data": [_shown(row) for row in rows[:limit]],
        "next": show("sch", rows[limit - 1].id) if len(rows) > limit else None,
    }


def _shown(row: Schedule) -> dict[str, Any]:
    return {
        "id": show("sch", row.id),
        "cron": row.cron,
        "time_zone": row.time_zone,
        "notification": Submission.unpack(row.body).body(),
        "next_at": timestamp(row.next_at),
        "last_submission": row.last_submission_id and show("sub", row.last_submission_id),
        "last_fault": row.last_fault,
        "created_at": timestamp(row.created_at),
    }
