"""What the admin's first page shows: queues, processes, the dead, and the latest notifications."""

from collections.abc import Sequence
from dataclasses import dataclass

import redis
from rq import Queue
from rq.worker_registration import REDIS_WORKER_KEYS
from sqlalchemy import select

from notifier.core.submission import PRIORITIES
from notifier.extensions import db, redis_store
from notifier.models import Delivery, Notification
from notifier.queries.failed import count_failed
from notifier.queueing import all_queues

_LATEST = 10


@dataclass(frozen=True, slots=True)
class Line:
    """One of the latest notifications with its deliveries."""

    notification: Notification
    deliveries: Sequence[Delivery]


@dataclass(frozen=True, slots=True)
class Overview:
    """`waiting` is jobs by priority, and `workers` how many are registered; both None when Redis is away."""

    waiting: dict[str, int] | None
    workers: int | None
    failed: int
    latest: Sequence[Line]


def overview() -> Overview:
    waiting, workers = _queues()
    return Overview(waiting, workers, count_failed(), _latest())


def _queues() -> tuple[dict[str, int] | None, int | None]:
    names = all_queues()
    try:
        with redis_store.client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.llen(Queue.redis_queue_namespace_prefix + name)
            pipe.scard(REDIS_WORKER_KEYS)
            *lengths, workers = pipe.execute()
    except redis.RedisError:
        return None, None
    waiting = dict.fromkeys(PRIORITIES, 0)
    for name, length in zip(names, lengths, strict=True):
        waiting[name.rpartition(".")[2]] += length
    return waiting, workers


def _latest() -> list[Line]:
    notifications = db.session.scalars(select(Notification).order_by(Notification.id.desc()).limit(_LATEST)).all()
    deliveries = db.session.scalars(select(Delivery).where(Delivery.notification_id.in_([row.id for row in notifications])).order_by(Delivery.id)).all()
    return [Line(row, [delivery for delivery in deliveries if delivery.notification_id == row.id]) for row in notifications]
