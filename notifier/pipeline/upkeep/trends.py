"""Counts what arrives and what fails, by event type, account and error, and what providers took by month, from the
event stream (`counting`).

Called by the scheduler.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from notifier.core import events as names
from notifier.core.lifecycle import BOUNCED, FAILED, SENT, UNKNOWN
from notifier.core.trends import ARRIVED, ERROR, PROVIDER, TYPE
from notifier.core.trends import FAILED as HAS_FAILED
from notifier.ground import database
from notifier.ground.clock import now as clock_now
from notifier.ground.database import insert
from notifier.ground.extensions import db
from notifier.ledgers import event_readers
from notifier.models import Delivery, Event, Trend, UsageMonth
from notifier.pipeline.upkeep import counting
from notifier.queries.trends import GRAINS, begin_of

_LONGEST_NAME = 140
_e = Event.__table__.c
_trend: sa.Table = Trend.__table__
_SENT, _BOUNCED = names.OF_STATUS[SENT], names.OF_STATUS[BOUNCED]
_FAILURES = (*(names.OF_STATUS[status] for status in (FAILED, UNKNOWN)), _BOUNCED)

_usage: sa.Table = UsageMonth.__table__

# The primary keys
Place = tuple[int, datetime, str, str, str]
Use = tuple[date, str, str, str]


@dataclass(frozen=True, slots=True)
class Counts:
    trends: Counter[Place] = field(default_factory=Counter)
    usage: Counter[Use] = field(default_factory=Counter)


def count() -> int:
    """Counts the next window of the stream. → as `counting.count`."""
    return counting.count(event_readers.TRENDS, _read, _store) or 0


def _read(after: int, upto: int) -> Counts:
    """What is told as delivered, or opened, without having been told as sent has arrived, too. A provider took what
    bounces later, even if nothing else was ever told of it.
    """
    looked_up = (*counting.SHOWS_SENT, _BOUNCED)
    has_only_bounced = sa.and_(_e.kind == _BOUNCED, Delivery.id.is_not(None), Delivery.sent_at.is_(None))
    was_taken = sa.or_(_e.kind == _SENT, counting.shows_sent(), has_only_bounced)
    statement = (
        sa.select(_e.kind, _e.at, _e.type, _e.channel, _e.provider, _e.code, was_taken.label("was_taken"))
        .outerjoin(Delivery.__table__, sa.and_(Delivery.id == _e.delivery_id, _e.kind.in_(looked_up)))
        .where(_e.id > after, _e.id <= upto, _e.is_test.is_(False), sa.or_(_e.kind.in_(_FAILURES), was_taken))
    )
    counts = Counts()
    for row in db.session.execute(statement):
        has_failed = row.kind in _FAILURES
        event = HAS_FAILED if has_failed else ARRIVED
        told = [(TYPE, row.type), (PROVIDER, row.provider)]
        if has_failed:
            told.append((ERROR, f"{row.provider or '?'}: {row.code or row.kind.partition('.')[2]}"))
        for grain in GRAINS:
            at = begin_of(row.at, grain)
            counts.trends.update((grain, at, kind, name[:_LONGEST_NAME], event) for kind, name in told if name)
        if row.was_taken and row.type and row.channel and row.provider:
            counts.usage[row.at.date().replace(day=1), row.type, row.channel, row.provider] += 1
    return counts


def _store(counts: Counts) -> None:
    _add(_trend, counts.trends)
    _add(_usage, counts.usage)


def _add(table: sa.Table, counts: "Counter[Place] | Counter[Use]") -> None:
    """By the primary key, in its order. One statement, none without any."""
    if not counts:
        return
    key = [column.name for column in table.primary_key]
    rows = [{**dict(zip(key, place, strict=True)), "count": number} for place, number in sorted(counts.items())]
    statement = insert(table)
    more = {"count": table.c["count"] + statement.excluded["count"]}
    db.session.execute(statement.on_conflict_do_update(index_elements=key, set_=more), rows)


def prune() -> int:
    """Deletes what no window looks at any more; → how many."""
    now = clock_now()
    return sum(
        database.prune(_trend, _trend.c.grain == grain, _trend.c.at < now - 2 * span - timedelta(seconds=grain))
        for grain, span in GRAINS.items()
    )
