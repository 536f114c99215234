"""Counts events by channel and minute for the overview, which therefore never has to count deliveries.

Every batch adds its own rows in its own transaction: nobody waits for another's row, and a rollback leaves no count.
The scheduler adds up past minutes. Messages of test keys are not counted. Open pages of the console are told after the
commit.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa

from notifier.core.latency import LATENCY, bucket_of
from notifier.ground import database
from notifier.ground.clock import now as clock_now
from notifier.ground.database import afterwards, transaction
from notifier.ground.extensions import db
from notifier.models import Tally
from notifier.signals import publish

ACCEPTED, SENT, DELIVERED, FAILED, OPENED, SKIPPED = "accepted", "sent", "delivered", "failed", "opened", "skipped"
SEGMENT = "segment"  # of an SMS, taken by a provider
MINUTES_KEPT = timedelta(hours=26)  # then hours
KEPT = timedelta(days=400)
_SETTLED = timedelta(minutes=2)  # the batches of a minute have ended by then
_BATCH = 500

Happened = tuple[str, str]  # channel, event

_tally: sa.Table = Tally.__table__
_PLACE = (_tally.c.at, _tally.c.channel, _tally.c.event)


def latency(ms: float) -> str:
    """The event of something having arrived after so many ms."""
    return f"{LATENCY}{bucket_of(ms)}"


def count(happened: Iterable[Happened] | Mapping[Happened, int]) -> None:
    """Counts (channel, event) pairs, each once, or each so many times. Inside the caller's transaction; one
    statement.
    """
    counts = Counter(happened)
    if counts:
        at = clock_now().replace(second=0, microsecond=0)
        rows = [
            {"at": at, "channel": channel, "event": event, "count": number}
            for (channel, event), number in sorted(counts.items())
        ]
        db.session.execute(sa.insert(_tally), rows)
        failed = (publish.FAILED,) if any(event == FAILED for _, event in counts) else ()
        afterwards(lambda: publish.hint(publish.OVERVIEW, publish.QUEUES, *failed))


def add_up() -> int:
    """Rows of one minute become one; after a day, those of one hour. Each is added up once, by any scheduler. → how
    many were.

    Of older rows, only those that became a day old in the last hours are read: the rest are added up already.
    """
    now = clock_now()
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    a_day_ago = this_hour - MINUTES_KEPT
    of_minutes = _places(a_day_ago, now - _SETTLED).having(sa.func.count() > 1)
    hours = [a_day_ago - timedelta(hours=number) for number in (1, 2, 3)]
    of_hours = _places(hours[-1], a_day_ago).where(_tally.c.at.not_in(hours))
    return _merge(of_minutes, timedelta(minutes=1)) + _merge(of_hours, timedelta(hours=1))


def _places(since: datetime, until: datetime) -> "sa.Select[*tuple[datetime, str, str]]":
    return (
        sa.select(*_PLACE)
        .where(_tally.c.at >= since, _tally.c.at < until)
        .group_by(*_PLACE)
        .order_by(_tally.c.at)
        .limit(_BATCH)
    )


def _merge(chosen: "sa.Select[*tuple[datetime, str, str]]", span: timedelta) -> int:
    """The rows of these places, each into the one that begins its span."""
    with transaction() as session:
        places = [tuple(row) for row in session.execute(chosen)]
        if not places:
            return 0
        gone = session.execute(
            sa.delete(_tally).where(sa.tuple_(*_PLACE).in_(places)).returning(*_PLACE, _tally.c["count"])
        ).all()
        sums: Counter[tuple[datetime, str, str]] = Counter()
        for at, channel, event, number in gone:
            sums[at if span == timedelta(minutes=1) else at.replace(minute=0), channel, event] += number
        rows = [
            {"at": at, "channel": channel, "event": event, "count": number}
            for (at, channel, event), number in sums.items()
        ]
        if rows:
            session.execute(sa.insert(_tally), rows)
    return len(gone)


def prune() -> int:
    """Deletes rows that are too old; → how many."""
    return database.prune(_tally, _tally.c.at < clock_now() - KEPT)
