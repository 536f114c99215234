"""The console's first page: queues, processes, failed jobs and the latest notifications."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import redis
from sqlalchemy import func, select

from notifier.core.latency import TARGETS
from notifier.core.submission import PRIORITIES
from notifier.ground.clock import now
from notifier.ground.extensions import db, redis_store
from notifier.models import Delivery
from notifier.queries import causes, queues, search
from notifier.queries.waiting import IS_HELD, IS_WAITING
from notifier.signals import liveness
from notifier.signals.queueing import queue_name

_LATEST = 10


@dataclass(frozen=True, slots=True)
class Urgency:
    """One priority: the number of waiting jobs, the age of the oldest, and the age that it should stay below."""

    priority: str
    waiting: int
    oldest: timedelta | None
    target: timedelta

    @property
    def is_late(self) -> bool:
        return self.oldest is not None and self.oldest > self.target


@dataclass(frozen=True, slots=True)
class Overview:
    """`waiting` is of each priority, and `workers` how many live; both None when Redis is away.

    `held_back`: deliveries that are due and wait for their turn, so that a large release does not flood the queues, or
    for an outage to end.
    """

    waiting: Sequence[Urgency] | None
    workers: int | None
    failed: int
    held_back: int
    latest: Sequence[search.Line]


def overview(*, with_latest: bool = True) -> Overview:
    """`with_latest`: with the latest notifications; without, it names nobody."""
    waiting, workers = _queues()
    latest = search.latest(_LATEST) if with_latest else []
    return Overview(waiting, workers, causes.count(), sum(held_back().values()), latest)


def held_back() -> dict[str, int]:
    """Queue → how many deliveries are due and wait: for their turn (`planning.pacing`), or for the end of an outage
    (`delivery.outages`).
    """
    delivery = Delivery.__table__.c
    columns = (delivery.channel, delivery.priority, delivery.held_for)
    # Both are found first, by their indexes: else SQLite would go through all that wait, for days to come too, in the
    # order in which they are counted.
    held = select(*columns).where(IS_HELD).cte("held").prefix_with("MATERIALIZED")
    awake = select(*columns).where(IS_WAITING, delivery.wake_at <= now()).cte("awake").prefix_with("MATERIALIZED")
    due = select(awake).where(awake.c.held_for.is_(None)).subquery()
    counted: Counter[str] = Counter()
    for found in (held.c, due.c):
        statement = select(found.channel, found.priority, func.count().label("count"))
        for row in db.session.execute(statement.group_by(found.channel, found.priority)):
            counted[queue_name(row.channel, row.priority)] += row[2]
    return dict(counted)


def _queues() -> tuple[Sequence[Urgency] | None, int | None]:
    try:
        lines = queues.lines({})
        workers = liveness.count_workers(redis_store.client)
    except redis.RedisError:
        return None, None
    return [
        _urgency(priority, [line for line in lines if line.priority == priority]) for priority in PRIORITIES
    ], workers


def _urgency(priority: str, lines: Sequence[queues.QueueLine]) -> Urgency:
    oldest = max((line.oldest for line in lines if line.oldest is not None), default=None)
    return Urgency(priority, sum(line.waiting for line in lines), oldest, TARGETS[priority])
