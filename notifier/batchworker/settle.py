"""The RQ side of ended jobs, many in one pipeline: done → deleted, failed → FailedJobRegistry, returned → queue."""

from collections.abc import Mapping, Sequence

import redis
from rq.job import Job as RqJob
from rq.job import JobStatus
from rq.serializers import JSONSerializer
from rq.utils import now

from notifier.batchworker.contract import Ended, Job
from notifier.batchworker.take import JOB, QUEUE, WIP, Raw

_KEYS = ((JOB, ""), (JOB, ":dependents"), ("rq:results:", ""))  # what RQ keeps of a job: before and behind its id


def settle(connection: redis.Redis, ended: Sequence[Ended], *, worker_name: str) -> None:
    """Two round trips at most, however many there are. One command for many jobs where Redis has one."""
    failed = [end for end in ended if end.failure is not None]
    hashes = _load(connection, [end.job.id for end in failed]) if failed else {}
    done = [end.job.id for end in ended if end.failure is None and not end.keeps_job]
    with connection.pipeline(transaction=False) as pipe:
        if done:
            pipe.delete(*(f"{before}{key}{behind}" for key in done for before, behind in _KEYS))
        for end in failed:
            if end.failure is not None and end.job.id in hashes:
                job = hashes[end.job.id]
                job.ended_at = now()
                job.set_status(JobStatus.FAILED, pipeline=pipe)
                job._handle_failure(end.failure, pipe, worker_name=worker_name)
        # Last: after a kill on the way, what is left of a job is found by its entry, and settled again
        _unregister(pipe, [end.job for end in ended])
        pipe.execute()


def give_back(connection: redis.Redis, jobs: Sequence[Job | Raw]) -> None:
    """Puts jobs back to the front of their queues, as if they had never been taken."""
    with connection.pipeline(transaction=True) as pipe:
        for job in reversed(jobs):
            name = job.source.name if isinstance(job, Raw) else job.queue
            pipe.hset(JOB + job.id, "status", JobStatus.QUEUED.value)
            pipe.lpush(QUEUE + name, job.id)
            pipe.zrem(WIP + name, f"{job.id}:{job.execution}")
        pipe.execute()


def renew(connection: redis.Redis, jobs: Sequence[Job], lease: float) -> None:
    """Moves the time at which RQ may call the running jobs abandoned."""
    by_queue: dict[str, dict[str, float]] = {}
    for job in jobs:
        by_queue.setdefault(job.queue, {})[f"{job.id}:{job.execution}"] = lease
    with connection.pipeline(transaction=False) as pipe:
        for name, entries in by_queue.items():
            pipe.zadd(WIP + name, entries, xx=True)
        pipe.execute()


def drop(connection: redis.Redis, jobs: Sequence[Raw]) -> None:
    """Forgets this taking of jobs that are not to be run, and leaves the jobs themselves as they are."""
    with connection.pipeline(transaction=False) as pipe:
        for job in jobs:
            pipe.zrem(WIP + job.source.name, f"{job.id}:{job.execution}")
            pipe.hset(JOB + job.id, "status", JobStatus.FAILED.value)
        pipe.execute()


def _unregister(pipe: "redis.client.Pipeline", jobs: Sequence[Job]) -> None:
    by_queue: dict[str, list[str]] = {}
    for job in jobs:
        by_queue.setdefault(job.queue, []).append(f"{job.id}:{job.execution}")
    for name, entries in by_queue.items():
        pipe.zrem(WIP + name, *entries)


def _load(connection: redis.Redis, ids: Sequence[str]) -> Mapping[str, RqJob]:
    found = RqJob.fetch_many(list(ids), connection=connection, serializer=JSONSerializer)
    return {job.id: job for job in found if job is not None}
