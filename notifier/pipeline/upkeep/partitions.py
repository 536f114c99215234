"""Which tables PostgreSQL keeps in partitions, and that there always is one for what comes next. Run by the scheduler.

Partitioned are tables that grow with every message, that nothing refers to, and that no index but the key's needs to
hold unique (docs/decisions.md).
"""

import contextlib
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError, OperationalError

from notifier.ground import metrics, partitions
from notifier.ground.config import current_settings
from notifier.ground.database import UNAVAILABLE, sqlstate, transaction
from notifier.models import Attempt, Capture, Event, SubscriptionAttempt

# The key → the name in `RETENTION`
BY_TIME: "dict[sa.Column[Any], str]" = {
    Capture.__table__.c.id: "captures",
    SubscriptionAttempt.__table__.c.id: "attempts",
    Attempt.__table__.c.delivery_id: "calls",
}
BY_POSITION: "sa.Column[Any]" = Event.__table__.c.id
LEAST_AHEAD = timedelta(days=2)
REMEDY = (
    "Rows are stored as before, but cannot be dropped by the day. If a right is missing, let the user of DATABASE_URL "
    "own the tables and create in their schema; if a table stands in the way, rename it. Tried again every minute."
)

log = structlog.get_logger()


def keep() -> int:
    """Makes the partitions of the coming days; → how many. One table that fails keeps no other from its own; then the
    first error is raised at the end.
    """
    if not partitions.are_used():
        return 0
    kept, made, failed = current_settings().retention, 0, list[DBAPIError]()
    for key in (*BY_TIME, BY_POSITION):
        name = key.table.name
        try:
            new = partitions.lay_positions(key) if key is BY_POSITION else partitions.lay(key, kept.get(BY_TIME[key]))
        except DBAPIError as error:
            if isinstance(error, UNAVAILABLE) and sqlstate(error) is None:
                raise
            failed.append(error)
            log.error("partitions.not_made", table=name, error=_reason(error), remedy=REMEDY)
        else:
            made += len(new)
            if new:
                log.info("partitions.made", table=name, partitions=new)
                _analyze(name)
        metrics.series(metrics.partition_ahead, name).set(ahead(key).total_seconds())
    if failed:
        raise failed[0]
    return made


def ahead(key: "sa.Column[Any]") -> timedelta:
    return partitions.ahead_of_positions(key) if key is BY_POSITION else partitions.ahead(key.table)


def _analyze(table: str) -> None:
    """PostgreSQL by itself learns of the partitions only, and plans joins by the whole. Small samples: it looks into
    each partition, and the scheduler's other tasks wait. What is in use is left for the next day.
    """
    with contextlib.suppress(OperationalError), transaction() as session:
        session.execute(sa.text("SET LOCAL lock_timeout = '200ms'; SET LOCAL default_statistics_target = 10"))
        session.execute(sa.text(f"ANALYZE {table}"))


def _reason(error: DBAPIError) -> str:
    """The first line of the driver's: the others may quote rows."""
    return f"{sqlstate(error) or type(error).__name__}: {str(error.orig).partition(chr(10))[0]}"
