"""`worker`: runs queued jobs, urgent ones first. Any number may run, for all queues or for some.

RQ's own one-at-a-time worker, changed in two ways: a signal is noticed between jobs and never in the
middle of taking one, and an absent Redis is waited for instead of being a reason to end.
"""

import argparse
import fnmatch
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis
import structlog
from rq import Queue, SimpleWorker
from rq.exceptions import DequeueTimeout, StopRequested
from rq.job import Job
from rq.worker import WorkerStatus

from notifier import jobs, logs, queueing
from notifier.config import Settings
from notifier.starting import wait_for_app

REDIS_PAUSE_S = 0.5
_TAKE_WAIT_S = 1  # how long a signal may go unnoticed while idle
_TTL_S = 30

log = structlog.get_logger()


class Worker(SimpleWorker):
    has_lost_redis = False

    def subscribe(self) -> None:
        """RQ's remote commands stop work horses, and there are none: one connection and one thread less."""

    def _install_signal_handlers(self) -> None:
        """`run` has its own, which set `_stop_requested`."""

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """The pipeline has told of a dead letter; anything else is a bug, and told with its trace."""
        if not issubclass(exc_info[0], jobs.DeadLetter):
            log.error("job.failed", job=job.id, queue=job.origin, exc_info=exc_info)

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> tuple[Job, Queue] | None:
        """The next job; None to end. What has been taken is always returned, so that a signal loses no job."""
        try:
            self.set_state(WorkerStatus.IDLE)
            while not self._stop_requested:
                self.heartbeat()
                if self.should_run_maintenance_tasks:
                    self.run_maintenance_tasks()
                with suppress(DequeueTimeout):
                    taken: tuple[Job, Queue] | None = self.queue_class.dequeue_any(
                        self._ordered_queues,
                        timeout and _TAKE_WAIT_S,
                        connection=self.connection,
                        job_class=self.job_class,
                        serializer=self.serializer,
                        death_penalty_class=self.death_penalty_class,
                    )
                    if taken:
                        taken[0].redis_server_version = self.get_redis_server_version()
                    return taken
        except redis.ConnectionError:
            self.has_lost_redis = True
            raise StopRequested from None  # ends this worker quietly; `run` makes the next
        return None


class _Signals:
    """Turns the first SIGTERM or SIGINT into a request; more of them change nothing."""

    def __init__(self) -> None:
        self.is_stopping = False
        self.worker: Worker | None = None
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def _stop(self, _number: int, _frame: Any) -> None:
        self.is_stopping = True
        if self.worker:
            self.worker._stop_requested = True


def run(settings: Settings, options: argparse.Namespace) -> int:
    logs.configure(as_json=settings.is_production)
    names = chosen_queues(options.queues)
    if not names:
        print(f"No queue matches {options.queues!r}. The queues are: {', '.join(queueing.all_queues())}", file=sys.stderr)
        return 2
    signals = _Signals()
    # Also shows at the start, not at the first job, when the keys do not fit.
    if wait_for_app(jobs.app, lambda: signals.is_stopping) is None:
        return 0
    connection = redis.Redis.from_url(settings.redis_url, socket_connect_timeout=1)
    log.info("worker.started", queues=options.queues)
    is_away = False
    while not signals.is_stopping:
        try:
            worker = signals.worker = Worker(names, connection=connection, serializer=queueing.SERIALIZER, worker_ttl=_TTL_S, log_job_description=False)
            worker._stop_requested = signals.is_stopping
            if is_away:
                log.info("worker.redis_is_back")
                is_away = False
            worker.work(burst=options.burst, logging_level="WARNING")
            if options.burst and not worker.has_lost_redis:
                break
        except redis.RedisError as error:
            if not is_away:
                log.warning("worker.redis_is_away", error=type(error).__name__)
                is_away = True
            time.sleep(REDIS_PAUSE_S)
    log.info("worker.stopped")
    return 0


def chosen_queues(patterns: str) -> Sequence[str]:
    """The queues that any of the comma-separated patterns matches, most pressing first."""
    wanted = [pattern.strip() for pattern in patterns.split(",")]
    return [name for name in queueing.all_queues() if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted)]
