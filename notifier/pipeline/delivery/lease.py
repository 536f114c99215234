"""The lease of a claimed delivery: how long it is its worker's alone, by the clock that all hosts share.

Taken by `delivery.claim`, kept alive by `delivery.deliver` and `jobs`; `upkeep.lapsed` and `upkeep.abandoned` take
deliveries back by it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from notifier.core import lifecycle
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Delivery

LEASE = timedelta(seconds=20)


def renew(ids: Sequence[UUID]) -> None:
    """Keeps the leases of deliveries that are being sent alive. Called every few seconds while they are."""
    with transaction() as session:
        session.execute(
            sa.update(Delivery)
            .where(Delivery.id.in_(ids), Delivery.status == lifecycle.SENDING)
            .values(wake_at=database_time(LEASE))
            .execution_options(synchronize_session=False)
        )


def database_time(after: timedelta = timedelta(0)) -> sa.ColumnElement[datetime]:
    """The time by the clock that all hosts share: leases hold although one of them is wrong. SQLite has but one host,
    and its clock.
    """
    if db.engine.dialect.name == "postgresql":
        return sa.func.now() + after
    return sa.literal(clock_now() + after, Delivery.__table__.c.wake_at.type)
