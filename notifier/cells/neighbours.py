"""How the other cells have answered lately: one that is away is left alone for a moment, longer each time."""

from datetime import timedelta

import sqlalchemy as sa
import structlog

from notifier.ground.clock import now
from notifier.ground.database import insert, transaction
from notifier.ground.extensions import db
from notifier.models import Neighbour

RETRY_S = 5
_LONGEST_PAUSE_S = 30.0

log = structlog.get_logger()


class LeftAlone(Exception):
    """It was away a moment ago, or has much to answer, and is not asked now."""


def check(region: str) -> None:
    """Raises LeftAlone."""
    due_at = db.session.scalar(sa.select(Neighbour.due_at).where(Neighbour.region == region))
    if due_at is not None and due_at > now():
        raise LeftAlone(f"the cell {region} gives no answer")


def note_silence(region: str, error: str) -> None:
    at = now()
    with transaction() as session:
        _make(region)
        row = session.get_one(Neighbour, region, with_for_update=True)
        if row.failures == 0:
            log.warning("cells.away", region=region, error=error)
        row.failures += 1
        row.away_since = row.away_since or at
        row.error = error[:200]
        row.due_at = at + timedelta(seconds=min(2.0 ** min(row.failures - 1, 10), _LONGEST_PAUSE_S))
        row.lease_until = None


def note_answer(region: str) -> None:
    """Writes nothing as long as it has always answered."""
    row = db.session.scalar(sa.select(Neighbour).where(Neighbour.region == region))
    if row is None or (row.failures == 0 and row.lease_until is None):
        return
    if row.failures:
        log.info("cells.back", region=region, failures=row.failures)
    with transaction() as session:
        values = {"failures": 0, "error": None, "away_since": None, "due_at": None, "lease_until": None}
        session.execute(sa.update(Neighbour).where(Neighbour.region == region).values(values))


def take_turn(region: str, seconds: float) -> bool:
    """Whether this process may now tell it what was held; nobody else does for so long."""
    at = now()
    with transaction() as session:
        _make(region)
        is_free = sa.or_(Neighbour.lease_until.is_(None), Neighbour.lease_until < at)
        is_due = sa.or_(Neighbour.due_at.is_(None), Neighbour.due_at <= at)
        taken = session.scalar(
            sa.update(Neighbour)
            .where(Neighbour.region == region, is_free, is_due)
            .values(lease_until=at + timedelta(seconds=seconds))
            .returning(Neighbour.region)
        )
    return taken is not None


def _make(region: str) -> None:
    db.session.execute(insert(Neighbour.__table__).values(region=region, failures=0).on_conflict_do_nothing())
