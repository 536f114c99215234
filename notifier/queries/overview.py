"""What the admin's first page shows: queues, processes, the dead, and the latest notifications."""

from collections.abc import Sequence
from dataclasses import dataclass

import redis
from sqlalchemy import func, literal_column, select

from notifier import liveness
from notifier.clock import now
from notifier.core.lifecycle import WAITING
from notifier.core.submission import PRIORITIES
from notifier.extensions import db, redis_store
from notifier.models import Delivery
from notifier.queries import causes, search
from notifier.queueing import all_queues, depths, queue_name

_LATEST = 10


@dataclass(frozen=True, slots=True)
class Overview:
    """`waiting` is jobs by priority, and `workers` how many live; both None when Redis is away.

    `held_back`: deliveries that are due and wait for their turn, so that a large release does not flood the queues.
    """

    waiting: dict[str, int] | None
    workers: int | None
    failed: int
    held_back: int
    latest: Sequence[search.Line]


def overview() -> Overview:
    waiting, workers = _queues()
    return Overview(waiting, workers, causes.count(), sum(held_back().values()), search.latest(_LATEST))


def held_back() -> dict[str, int]:
    """Queue → how many deliveries are due and wait for their turn (`pipeline.pacing`)."""
    delivery = Delivery.__table__.c
    is_waiting = delivery.status == literal_column(f"'{WAITING}'")  # spelled out, so that SQLite too sees that the index serves
    statement = select(delivery.channel, delivery.priority, func.count().label("held")).where(is_waiting, delivery.wake_at <= now())
    rows = db.session.execute(statement.group_by(delivery.channel, delivery.priority))
    return {queue_name(row.channel, row.priority): row.held for row in rows}


def _queues() -> tuple[dict[str, int] | None, int | None]:
    names = all_queues()
    try:
        lengths = depths(names)
        workers = liveness.count_workers(redis_store.client)
    except redis.RedisError:
        return None, None
    waiting = dict.fromkeys(PRIORITIES, 0)
    for name, length in zip(names, lengths, strict=True):
        waiting[name.rpartition(".")[2]] += length
    return waiting, workers
