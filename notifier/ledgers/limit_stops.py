"""Notes which limits have stopped messages of whom, once a day each: admins are told of it (`upkeep.limit_alarms`)."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from notifier.ground import database
from notifier.ground.clock import now as clock_now
from notifier.ground.database import insert
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.models import LimitStop

KEPT = timedelta(days=90)

_stops: sa.Table = LimitStop.__table__


class Stop(NamedTuple):
    policy: str
    producer_id: UUID
    subject: str = ""


def note(stops: Collection[Stop], now: datetime) -> None:
    """Inside the caller's transaction; one statement. What was noted today already stays as it is."""
    if stops:
        rows = [{"id": new_id(), "day": now.date(), "at": now, **stop._asdict()} for stop in sorted(set(stops))]
        added = insert(_stops).values(rows)
        db.session.execute(added.on_conflict_do_nothing())


def prune() -> int:
    """→ how many."""
    return database.prune(_stops, _stops.c.day < (clock_now() - KEPT).date())
