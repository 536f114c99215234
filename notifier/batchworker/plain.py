"""Runs jobs whose function has no batch handler, one per lane, with the same results as in RQ."""

import sys
import traceback
from collections.abc import Sequence

import redis
from rq import Queue
from rq.job import Job as RqJob
from rq.job import JobStatus
from rq.serializers import JSONSerializer
from rq.utils import now

from notifier.batchworker.contract import Ended, Job


class PlainJobs:
    """A `BatchHandler` for any function. There is no time limit: a thread cannot be stopped from outside."""

    outages: tuple[type[Exception], ...] = (redis.RedisError,)

    def __init__(self, connection: redis.Redis, default_result_ttl: int) -> None:
        self._connection, self._default_result_ttl = connection, default_result_ttl

    def begin(self, jobs: Sequence[Job]) -> list[Job]:
        found = RqJob.fetch_many([job.id for job in jobs], connection=self._connection, serializer=JSONSerializer)
        for job, rq_job in zip(jobs, found, strict=True):
            job.unit = rq_job
        return [job for job in jobs if job.unit is not None]

    def run(self, job: Job) -> None:
        rq_job: RqJob = job.unit
        rq_job.started_at = now()
        try:
            rq_job._result = rq_job.perform()
            rq_job._status = JobStatus.FINISHED
        except Exception:
            rq_job._status = JobStatus.FAILED
            rq_job._exc_info = "".join(traceback.format_exception(*sys.exc_info()))
        rq_job.ended_at = now()

    def finish(self, jobs: Sequence[Job]) -> list[Ended]:
        return [self._finish(job) for job in jobs]

    def renew(self, jobs: Sequence[Job]) -> None:
        pass

    def _finish(self, job: Job) -> Ended:
        rq_job: RqJob = job.unit
        queue = Queue(job.queue, connection=self._connection, serializer=JSONSerializer)
        if rq_job._status == JobStatus.FAILED:
            if not rq_job.should_retry:
                return Ended(job, failure=rq_job._exc_info)
            with self._connection.pipeline() as pipe:
                rq_job.retry(queue, pipe)
                pipe.execute()
            return Ended(job, keeps_job=True)
        queue.enqueue_dependents(rq_job)
        ttl = rq_job.get_result_ttl(self._default_result_ttl)
        if ttl == 0:
            return Ended(job)
        with self._connection.pipeline() as pipe:
            rq_job._handle_success(ttl, pipeline=pipe)
            rq_job.cleanup(ttl, pipeline=pipe, remove_from_queue=False)
            pipe.execute()
        return Ended(job, keeps_job=True)
