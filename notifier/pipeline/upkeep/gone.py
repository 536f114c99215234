"""What waits for a channel that there is no more, since its adapter was removed: `planning.pacing` never looks at it.

Called by the scheduler.
"""

from collections.abc import Iterator

import sqlalchemy as sa

from notifier.channels import CHANNELS
from notifier.core import lifecycle
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers.moves import move
from notifier.models import Delivery
from notifier.queries.waiting import IS_WAITING

BATCH = 1_000  # expired in one transaction

_delivery = Delivery.__table__.c


def expire() -> int:
    """→ how many. None before its time: another process may know the channel already, or still."""
    count = 0
    for channel in [name for name in _waited_for() if name not in CHANNELS]:
        while moved := _expire_some(channel):
            count += moved
    return count


def _expire_some(channel: str) -> int:
    over = sa.and_(IS_WAITING, _delivery.channel == channel, _delivery.expires_at <= clock_now())
    some = sa.select(_delivery.id).where(over).limit(BATCH).with_for_update(skip_locked=True)
    with transaction() as session:
        return len(move(session.scalars(some).all(), lifecycle.EXPIRED, reason="expired", wake_at=None))


def _waited_for() -> Iterator[str]:
    """The channels for which anything waits: one step through an index for each."""
    last: str | None = ""
    while last is not None:
        next_one = sa.select(sa.func.min(_delivery.channel)).where(IS_WAITING, _delivery.channel > last)
        last = db.session.scalar(next_one)
        db.session.close()
        if last is not None:
            yield last
