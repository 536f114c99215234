"""Counts for Prometheus, by the names of producers: theirs stand in the database, and are kept once they are known.

Called after the commit, and never a reason to fail: what is counted has been done. Messages of test keys are not
counted.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from notifier.core.lifecycle import DELIVERED, SENT
from notifier.ground import metrics
from notifier.ground.database import UNAVAILABLE
from notifier.ground.extensions import db
from notifier.models import Producer

OURS = "notifier"  # the product's own messages have no producer

_names: dict[UUID, str] = {}


class Shown(NamedTuple):
    """An item that is in an inbox now, and since when it was wanted."""

    channel: str
    priority: str
    producer_id: UUID | None
    since: datetime


def count_shown(shown: Sequence[Shown], now: datetime) -> None:
    """Nobody but us has to take or to confirm these: they are sent and delivered at once."""
    took: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for one in shown:
        took[one.channel, one.priority].append(max((now - one.since).total_seconds(), 0.0))
    for place, seconds in took.items():
        metrics.observe(metrics.series(metrics.sent_seconds, *place), seconds)
        metrics.observe(metrics.series(metrics.delivered_seconds, *place), seconds)
    for channel, number in Counter(one.channel for one in shown).items():
        for outcome in (SENT, DELIVERED):
            metrics.series(metrics.deliveries, channel, channel, outcome).inc(number)
    of_producers((one.producer_id, outcome) for one in shown for outcome in (SENT, DELIVERED))


def of_producers(happened: Iterable[tuple[UUID | None, str]] | Mapping[tuple[UUID | None, str], int]) -> None:
    """(producer, outcome) of each delivery, or of so many."""
    counts = Counter(happened)
    _learn({key for key, _ in counts if key is not None and key not in _names})
    for (key, outcome), number in counts.items():
        metrics.series(metrics.producer_deliveries, _name(key), outcome).inc(number)


def _name(key: UUID | None) -> str:
    return OURS if key is None else metrics.bounded("producer", _names.get(key, metrics.OTHER))


def _learn(keys: Collection[UUID]) -> None:
    """One query for each producer and process. On a connection of its own: the session's is let go by now."""
    if keys:
        with suppress(*UNAVAILABLE), db.engine.connect() as connection:
            _names.update(connection.execute(sa.select(Producer.id, Producer.name).where(Producer.id.in_(keys))).all())
