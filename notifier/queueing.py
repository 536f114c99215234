"""Queue names and the doorbell: the only caller of RQ's enqueue.

A ring is a hint. The row in the database is the truth: a delivery rung twice is claimed once, and
one whose ring was lost is rung again by the sweep. Jobs are named by string and carry ids only.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import redis
import structlog
from flask import current_app
from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from notifier.batchworker.bell import ring as wake_workers
from notifier.channels import CHANNELS
from notifier.core.submission import PRIORITIES
from notifier.extensions import redis_store
from notifier.ids import show

SERIALIZER = JSONSerializer
DELIVER, EXPAND = "notifier.jobs.deliver", "notifier.jobs.expand"
EXPAND_QUEUE = "expand.low"
_OUTAGE_PAUSE_S = 1.0
_YEAR_S = 365 * 86_400  # dead letters stay until somebody deals with them; retention prunes their rows
_MEMORY = "notifier:memory"  # server, began_at, reviewed

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Doorbell:
    """One delivery that wants a worker."""

    delivery_id: UUID
    channel: str
    priority: str


@dataclass(slots=True)
class _Outage:
    until: float = 0.0


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
    outage: _Outage = current_app.extensions.setdefault("ring_outage", _Outage())
    if time.monotonic() < outage.until:
        return False  # nobody waits again at a door that was dead a moment ago
    try:
        with redis_store.client.pipeline(transaction=False) as pipe:
            for name, jobs in by_queue.items():
                target = queue(name)
                prepared = [
                    Queue.prepare_data(function, args=[argument], job_id=job_id, timeout=180, result_ttl=0, failure_ttl=_YEAR_S, description=job_id)
                    for job_id, argument in jobs
                ]
                target.enqueue_many(prepared, pipeline=pipe)
            wake_workers(pipe, by_queue)
            pipe.execute()
    except redis.RedisError as error:
        outage.until = time.monotonic() + _OUTAGE_PAUSE_S
        log.warning("queue.ring_failed", error=type(error).__name__, jobs=sum(map(len, by_queue.values())))
        return False
    return True


def lost(doorbells: Sequence[Doorbell]) -> set[UUID]:
    """Those whose ring Redis has forgotten, or a worker took and died with. Raises redis.RedisError. Two round trips.

    A queue is first in, first out: a job that was rung before the one now at its head has been taken out
    (and one whose queue is empty, too). Somebody may be about to claim it; ringing again is harmless then.
    """
    names = sorted({queue_name(bell.channel, bell.priority) for bell in doorbells})
    with redis_store.client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.lindex(f"{Queue.redis_queue_namespace_prefix}{name}", 0)
        for bell in doorbells:
            pipe.hget(Job.key_for(show("dlv", bell.delivery_id)), "enqueued_at")
        answers = pipe.execute()
        heads = dict(zip(names, answers[: len(names)], strict=True))
        rung_at = answers[len(names) :]
        for name in names:
            pipe.hget(Job.key_for(heads[name].decode()) if heads[name] else "", "enqueued_at")
        head_rung_at = dict(zip(names, pipe.execute(), strict=True))
    found = set()
    for bell, at in zip(doorbells, rung_at, strict=True):
        name = queue_name(bell.channel, bell.priority)
        # RQ writes times in one fixed form (ISO 8601, UTC), so their text sorts as they do.
        if at is None or heads[name] is None or (head_rung_at[name] is not None and at < head_rung_at[name]):
            found.add(bell.delivery_id)
    return found


@dataclass(frozen=True, slots=True)
class Memory:
    """Since when Redis remembers doorbells. `is_reviewed`: the sweep has looked at all that were rung before."""

    began_at: datetime
    is_reviewed: bool


def memory(now: datetime) -> Memory:
    """Begins anew where the key is missing (FLUSHALL) or names another server (restarted, or its replica). Raises redis.RedisError."""
    client = redis_store.client
    with client.pipeline(transaction=False) as pipe:
        pipe.hgetall(_MEMORY)
        pipe.info("server")
        stored, info = pipe.execute()
    server = str(info.get("run_id", "")).encode()
    if stored.get(b"server") != server or b"began_at" not in stored:
        client.hset(_MEMORY, mapping={"server": server, "began_at": now.isoformat()})
        log.warning("queue.redis_may_have_forgotten", server=server.decode())
        return Memory(now, is_reviewed=False)
    return Memory(datetime.fromisoformat(stored[b"began_at"].decode()), is_reviewed=stored.get(b"reviewed") == stored[b"began_at"])


def note_reviewed(reviewed: Memory) -> None:
    """Holds for this memory only: one that began meanwhile is still to be reviewed."""
    redis_store.client.hset(_MEMORY, "reviewed", reviewed.began_at.isoformat())


def forget_failed(doorbells: Sequence[Doorbell]) -> None:
    """Takes deliveries out of RQ's failed-job registries, because their rows say otherwise. Raises redis.RedisError."""
    with redis_store.client.pipeline(transaction=False) as pipe:
        for bell in doorbells:
            registry = failed_registry(queue_name(bell.channel, bell.priority))
            pipe.zrem(registry.key, show("dlv", bell.delivery_id))
        pipe.execute()
