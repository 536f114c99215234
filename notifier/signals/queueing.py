"""Queue names and the doorbell: the only caller of RQ's enqueue.

A ring is a hint. The row in the database is the truth: a delivery rung twice is claimed once, and `upkeep.lost` rings
again where a ring was lost. Jobs are named by string and carry ids only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import redis
import structlog
from rq import Queue
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer

from notifier.batchworker.bell import ring as wake_workers
from notifier.channels import CHANNELS
from notifier.core.record import record
from notifier.core.submission import PRIORITIES
from notifier.ground import metrics
from notifier.ground.clock import now
from notifier.ground.extensions import redis_store
from notifier.ground.fast_json import encoded
from notifier.ground.ids import show

SERIALIZER = JSONSerializer
DELIVER, EXPAND, TELL = "notifier.jobs.deliver", "notifier.jobs.expand", "notifier.jobs.tell"
READ_UPLOAD = "notifier.jobs.read_upload"
EXPAND_QUEUE = "expand.low"
EVENTS_QUEUE = "events.medium"  # subscriptions that have events to be told
OTHER_QUEUES = (EXPAND_QUEUE, EVENTS_QUEUE)  # whose jobs are no deliveries
DOORBELL_GRACE = timedelta(seconds=5)  # then `upkeep.lost` looks at a queued delivery: its ring may have been lost
_YEAR_S = 365 * 86_400  # dead letters stay until somebody deals with them; retention prunes their rows
# Of all queues at once, as a scheduler asks four times a second; an LLEN for each costs it three times the CPU
_DEPTHS = """
local depths = {}
for place, key in ipairs(KEYS) do depths[place] = redis.call('LLEN', key) end
return depths
"""
# KEYS: the queue, and RQ's set of queues. ARGV: what the keys of jobs begin with, how many words of a job's hash are
# the same for all, these words, and then for each job its id and its call.
_ENQUEUE = """
local same = {}
for place = 3, 2 + ARGV[2] do same[#same + 1] = ARGV[place] end
for place = 3 + ARGV[2], #ARGV, 2 do
  local id = ARGV[place]
  redis.call('HSET', ARGV[1] .. id, 'data', ARGV[place + 1], 'description', id, unpack(same))
  redis.call('RPUSH', KEYS[1], id)
end
redis.call('SADD', KEYS[2], KEYS[1])
"""
_ENQUEUED_AT_ONCE = 500  # Redis does nothing else meanwhile
_MEMORY = "notifier:memory"  # a hash: server, name, reviewed (`name:id`)

log = structlog.get_logger()


@record
class Doorbell:
    """One delivery that wants a worker."""

    delivery_id: UUID
    channel: str
    priority: str

    @classmethod
    def of(cls, row: Any) -> "Doorbell":
        """Of a delivery, or of any row that has its `id`, `channel` and `priority`."""
        return cls(row.id, row.channel, row.priority)


def unchecked(limit: str) -> None:
    """Counts, for `/metrics`, a call or message that passed because Redis could not be asked about this limit."""
    metrics.series(metrics.unchecked, limit).inc()


def queue_name(channel: str, priority: str) -> str:
    return f"{channel}.{priority}"


def all_queues() -> list[str]:
    """Every queue there is, most pressing first; expansion comes before the low ones it feeds."""
    names = [queue_name(channel, priority) for priority in PRIORITIES for channel in CHANNELS]
    first_low = names.index(queue_name(next(iter(CHANNELS)), "low"))
    names[first_low:first_low] = [EVENTS_QUEUE, EXPAND_QUEUE]
    return names


def queue(name: str, connection: redis.Redis | None = None) -> Queue:
    return Queue(name, connection=connection or redis_store.client, serializer=SERIALIZER, is_async=True)


def failed_registry(name: str) -> FailedJobRegistry:
    return FailedJobRegistry(queue=queue(name))


def depths(names: Iterable[str]) -> list[int]:
    """How many jobs wait in each of these queues. One round trip. Raises redis.RedisError."""
    keys = [f"{Queue.redis_queue_namespace_prefix}{name}" for name in names]
    return list(map(int, redis_store.client.eval(_DEPTHS, len(keys), *keys)))


def ring(doorbells: Sequence[Doorbell]) -> bool:
    """Enqueues a job for each, in one pipeline. False (and a log line) when Redis is away: the scheduler
    rings later.
    """
    by_queue: dict[str, list[str]] = {}
    for bell in doorbells:
        by_queue.setdefault(queue_name(bell.channel, bell.priority), []).append(show("dlv", bell.delivery_id))
    return _enqueue(DELIVER, by_queue)


def ring_expand(submission_ids: Iterable[UUID]) -> bool:
    """The same for submissions that are to be expanded."""
    ids = [show("sub", key) for key in submission_ids]
    return _enqueue(EXPAND, {EXPAND_QUEUE: ids} if ids else {})


def ring_expand_again(submission_ids: Iterable[UUID]) -> bool:
    """The same for those whose doorbell may be lost, but for those that stand in the queue."""
    return _ring_missing(EXPAND, EXPAND_QUEUE, [show("sub", key) for key in submission_ids])


def ring_uploads(upload_ids: Iterable[UUID]) -> bool:
    """The same for uploaded lists that are to be read, but for those that stand in the queue already."""
    return _ring_missing(READ_UPLOAD, EXPAND_QUEUE, [show("upl", key) for key in upload_ids])


def ring_subscriptions(subscription_ids: Iterable[UUID]) -> bool:
    """The same for subscriptions that have events to be told, in this order."""
    return _ring_missing(TELL, EVENTS_QUEUE, [show("sbn", key) for key in subscription_ids])


def _ring_missing(function: str, name: str, ids: Sequence[str]) -> bool:
    """Leaves jobs that stand in the queue already there: while no worker runs, they would be rung again and again."""
    try:
        missing = _out_of_line([(name, job_id) for job_id in ids]) if ids else set()
    except redis.RedisError as error:
        log.warning("queue.ring_failed", error=type(error).__name__, jobs=len(ids))
        return False
    return _enqueue(function, {name: [job_id for job_id in ids if job_id in missing]} if missing else {})


def _enqueue(function: str, by_queue: dict[str, list[str]]) -> bool:
    """`by_queue`: queue → ids, each of a job and of what its function is called with.

    What RQ's enqueue_many would write, at less than a tenth of its cost: the jobs of a queue differ in nothing but
    their id. Only RQ compresses the call, which makes it a little shorter and takes longer than all the rest; it reads
    both.
    """
    if not by_queue:
        return True
    if redis_store.is_away():
        return False
    try:
        with redis_store.client.pipeline(transaction=False) as pipe:
            for name, ids in by_queue.items():
                target = queue(name)
                model = target.create_job(
                    function, timeout=180, result_ttl=0, failure_ttl=_YEAR_S, status=JobStatus.QUEUED
                )
                model.created_at = model.enqueued_at = now()  # by the clock of all: `lost` compares them
                fields = model.to_dict().items()
                same = [word for name, value in fields if name not in ("data", "description") for word in (name, value)]
                for start in range(0, len(ids), _ENQUEUED_AT_ONCE):
                    some = ids[start : start + _ENQUEUED_AT_ONCE]
                    jobs = [word for job_id in some for word in (job_id, encoded((function, None, (job_id,), {})))]
                    keys = target.key, Queue.redis_queues_keys
                    pipe.eval(_ENQUEUE, len(keys), *keys, Job.redis_job_namespace_prefix, len(same), *same, *jobs)
            wake_workers(pipe, by_queue)
            pipe.execute()
        for name, ids in by_queue.items():
            metrics.series(metrics.arrivals, name).inc(len(ids))
    except redis.RedisError as error:
        log.warning("queue.ring_failed", error=type(error).__name__, jobs=sum(map(len, by_queue.values())))
        return False
    return True


def lost(doorbells: Sequence[Doorbell]) -> set[UUID]:
    """The deliveries whose job Redis has lost, or a worker took and died with. Raises redis.RedisError. Two round
    trips.

    A queue is first in, first out: a job that was rung before the one now at its head has been taken out (and one whose
    queue is empty, too). A worker may be about to claim it; ringing again is harmless then.
    """
    jobs = {show("dlv", bell.delivery_id): bell for bell in doorbells}
    out = _out_of_line([(queue_name(bell.channel, bell.priority), job_id) for job_id, bell in jobs.items()])
    return {jobs[job_id].delivery_id for job_id in out}


def _out_of_line(jobs: Sequence[tuple[str, str]]) -> set[str]:
    """Of (queue, job id) the ids of the jobs that do not stand in their queues."""
    names = sorted({name for name, _ in jobs})
    with redis_store.client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.lindex(f"{Queue.redis_queue_namespace_prefix}{name}", 0)
        for _, job_id in jobs:
            pipe.hget(Job.key_for(job_id), "enqueued_at")
        answers = pipe.execute()
        heads = dict(zip(names, answers[: len(names)], strict=True))
        rung_at = answers[len(names) :]
        for name in names:
            pipe.hget(Job.key_for(heads[name].decode()) if heads[name] else "", "enqueued_at")
        head_rung_at = dict(zip(names, pipe.execute(), strict=True))
    found = set[str]()
    for (name, job_id), at in zip(jobs, rung_at, strict=True):
        # RQ writes times in one fixed form (ISO 8601, UTC), so their text sorts as they do.
        if at is None or heads[name] is None or (head_rung_at[name] is not None and at < head_rung_at[name]):
            found.add(job_id)
    return found


@dataclass(frozen=True, slots=True)
class Memory:
    """The age of Redis' data. `reviewed_to`: the last delivery that the scheduler has checked since its beginning;
    None: all of them.
    """

    name: bytes
    reviewed_to: UUID | None


def memory() -> Memory:
    """The present memory: a new one if it is missing (FLUSHALL) or names another server (restarted, or its replica).
    Raises redis.RedisError.
    """
    client = redis_store.client
    with client.pipeline(transaction=False) as pipe:
        pipe.hgetall(_MEMORY)
        pipe.info("server")
        stored, info = pipe.execute()
    server = str(info.get("run_id", "")).encode()
    if stored.get(b"server") != server or b"name" not in stored:
        name = uuid4().hex.encode()
        client.hset(_MEMORY, mapping={"server": server, "name": name})
        log.info("queue.redis_is_new", server=server.decode())
        return Memory(name, UUID(int=0))
    of, _, to = stored.get(b"reviewed", b"").decode().partition(":")
    if of.encode() != stored[b"name"]:
        return Memory(stored[b"name"], UUID(int=0))
    return Memory(stored[b"name"], UUID(to) if to else None)


def note_reviewed(of: Memory, to: UUID | None) -> None:
    """Notes how far that memory has been reviewed; one that began meanwhile is reviewed from its beginning."""
    redis_store.client.hset(_MEMORY, "reviewed", f"{of.name.decode()}:{to.hex if to else ''}")


def forget_failed(doorbells: Sequence[Doorbell], *, with_jobs: bool = False) -> None:
    """Takes deliveries out of RQ's failed-job registries, because their rows say otherwise. Raises redis.RedisError.

    `with_jobs`: deletes their jobs and traces too.
    """
    with redis_store.client.pipeline(transaction=False) as pipe:
        for bell in doorbells:
            registry = failed_registry(queue_name(bell.channel, bell.priority))
            job_id = show("dlv", bell.delivery_id)
            pipe.zrem(registry.key, job_id)
            if with_jobs:
                pipe.delete(Job.key_for(job_id), Result.get_key(job_id))  # type: ignore[no-untyped-call]
        pipe.execute()


def restore_failed(doorbells: Sequence[Doorbell]) -> list[Doorbell]:
    """Puts dead deliveries that Redis has forgotten back among RQ's failed jobs, without their traces. → the restored
    ones. Two round trips. Raises redis.RedisError.
    """
    with redis_store.client.pipeline(transaction=False) as pipe:
        for bell in doorbells:
            pipe.zscore(failed_registry(queue_name(bell.channel, bell.priority)).key, show("dlv", bell.delivery_id))
        missing = [bell for bell, score in zip(doorbells, pipe.execute(), strict=True) if score is None]
        for bell in missing:
            name, job_id = queue_name(bell.channel, bell.priority), show("dlv", bell.delivery_id)
            model = queue(name).create_job(
                DELIVER,
                (job_id,),
                job_id=job_id,
                timeout=180,
                result_ttl=0,
                failure_ttl=_YEAR_S,
                status=JobStatus.FAILED,
            )
            pipe.hset(model.key, mapping=model.to_dict())
            pipe.zadd(failed_registry(name).key, {job_id: now().timestamp() + _YEAR_S})
        pipe.execute()
    return missing
