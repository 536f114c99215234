"""Queue names and the doorbell: the only caller of RQ's enqueue.

A ring is a hint. The row in the database is the truth: a delivery rung twice is claimed once, and
one whose ring was lost is rung again by the sweep. Jobs are named by string and carry ids only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import redis
import structlog
from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from notifier.channels import CHANNELS
from notifier.core.submission import PRIORITIES
from notifier.extensions import redis_store
from notifier.ids import show

SERIALIZER = JSONSerializer
DELIVER, EXPAND = "notifier.jobs.deliver", "notifier.jobs.expand"
EXPAND_QUEUE = "expand.low"
_YEAR_S = 365 * 86_400  # dead letters stay until somebody deals with them; retention prunes their rows

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Doorbell:
    """One delivery that wants a worker."""

    delivery_id: UUID
    channel: str
    priority: str


def queue_name(channel: str, priority: str) -> str:
    return f"{channel}.{priority}"


def all_queues() -> list[str]:
    """Every queue there is, most pressing first; expansion comes before the low ones it feeds."""
    names = [queue_name(channel, priority) for priority in PRIORITIES for channel in CHANNELS]
    names.insert(names.index(queue_name(next(iter(CHANNELS)), "low")), EXPAND_QUEUE)
    return names


def queue(name: str, connection: redis.Redis | None = None) -> Queue:
    return Queue(name, connection=connection or redis_store.client, serializer=SERIALIZER, is_async=True)


def failed_registry(name: str) -> FailedJobRegistry:
    return FailedJobRegistry(queue=queue(name))


def ring(doorbells: Sequence[Doorbell]) -> bool:
    """Enqueues a job for each, in one pipeline. False (and a log line) when Redis is away: the sweep will."""
    by_queue: dict[str, list[tuple[str, str]]] = {}
    for bell in doorbells:
        job_id = show("dlv", bell.delivery_id)
        by_queue.setdefault(queue_name(bell.channel, bell.priority), []).append((job_id, job_id))
    return _enqueue(DELIVER, by_queue)


def ring_expand(submission_ids: Iterable[UUID]) -> bool:
    """The same for submissions that are to be expanded."""
    ids = [show("sub", key) for key in submission_ids]
    return _enqueue(EXPAND, {EXPAND_QUEUE: [(job_id, job_id) for job_id in ids]} if ids else {})


def _enqueue(function: str, by_queue: dict[str, list[tuple[str, str]]]) -> bool:
    if not by_queue:
        return True
    try:
        with redis_store.client.pipeline(transaction=False) as pipe:
            for name, jobs in by_queue.items():
                target = queue(name)
                prepared = [
                    Queue.prepare_data(function, args=[argument], job_id=job_id, timeout=180, result_ttl=0, failure_ttl=_YEAR_S, description=job_id)
                    for job_id, argument in jobs
                ]
                target.enqueue_many(prepared, pipeline=pipe)
            pipe.execute()
    except redis.RedisError as error:
        log.warning("queue.ring_failed", error=type(error).__name__, jobs=sum(map(len, by_queue.values())))
        return False
    return True


def without_job(delivery_ids: Sequence[UUID]) -> list[UUID]:
    """Those of the deliveries that Redis holds no job for: their doorbell is lost. Raises redis.RedisError."""
    with redis_store.client.pipeline(transaction=False) as pipe:
        for key in delivery_ids:
            pipe.exists(Job.key_for(show("dlv", key)))
        found = pipe.execute()
    return [key for key, exists in zip(delivery_ids, found, strict=True) if not exists]


def forget_failed(doorbells: Sequence[Doorbell]) -> None:
    """Takes deliveries out of RQ's failed-job registries, because their rows say otherwise. Raises redis.RedisError."""
    with redis_store.client.pipeline(transaction=False) as pipe:
        for bell in doorbells:
            registry = failed_registry(queue_name(bell.channel, bell.priority))
            pipe.zrem(registry.key, show("dlv", bell.delivery_id))
        pipe.execute()
