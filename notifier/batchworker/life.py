"""A worker's signs of life, by which RQ's tools see and command it.

It registers, says every few seconds that it lives and what it has in hand, and hears RQ's commands. Redis may hang, or
forget all of it.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis
import structlog
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import BaseWorker, WorkerStatus

from notifier.batchworker import settle as settling
from notifier.batchworker.contract import BatchHandler, Job
from notifier.batchworker.recorder import grouped

LEASE_S = 120.0  # after which RQ calls a job abandoned whose worker says nothing
BEAT_S = 5.0
# How long Redis may take, the bell's wait in it included: while it hangs, what is in flight must be looked
# after all the same
ANSWER_S = 3.0
_DEAF_S = 1.0  # after RQ's commands could not be heard

log = structlog.get_logger()


class LivingWorker(BaseWorker):
    """`unix_time` should be the same on all hosts."""

    def __init__(
        self,
        queues: Sequence[str],
        *,
        connection: redis.Redis,
        lanes: int,
        unix_time: Callable[[], float],
        name: str | None,
        worker_ttl: int,
    ) -> None:
        super().__init__(
            list(queues), connection=connection, serializer=JSONSerializer, name=name, worker_ttl=worker_ttl
        )
        self.lane_count, self._unix_time = lanes, unix_time
        self._beat_at = 0.0
        self._is_busy = False

    @property
    def connection_timeout(self) -> int:
        """RQ raises the connection's time-out to this; its own is half a minute, in which no lease would be renewed."""
        return int(ANSWER_S)

    @property
    def in_use(self) -> int:
        """How many lanes are."""
        raise NotImplementedError

    @property
    def in_hand(self) -> Mapping[Job, BatchHandler]:
        """What has been taken and not ended yet."""
        raise NotImplementedError

    def beat(self) -> None:
        """Every BEAT_S: keeps the leases of what is in hand alive, and says that the worker lives. Does not raise
        for a Redis that is away.
        """
        if time.monotonic() < self._beat_at:
            return
        self._beat_at = time.monotonic() + BEAT_S
        in_hand = self.in_hand
        for handler, jobs in grouped((handler, job) for job, handler in in_hand.items()):
            try:
                handler.renew(jobs)
            except Exception as error:
                log.warning("worker.renew_failed", error=type(error).__name__)
        try:
            self._register_again()
            self.heartbeat()
            settling.renew(self.connection, list(in_hand), self._unix_time() + LEASE_S)
            self.connection.hset(self.key, mapping=self._figures())
            self._show_state(bool(in_hand))
            if self.should_run_maintenance_tasks:
                self.run_maintenance_tasks()  # type: ignore[no-untyped-call]
        except redis.RedisError as error:
            log.warning("worker.no_heartbeat", error=type(error).__name__)

    def _figures(self) -> dict[Any, int]:
        """The figures of the worker for the console; RQ's own under RQ's names."""
        counts = {"successful_job_count": self.successful_job_count, "failed_job_count": self.failed_job_count}
        return {"lanes": self.lane_count, "lanes_in_use": self.in_use, **counts}

    def _register_again(self) -> None:
        """Registers again after Redis lost our entry (FLUSHALL, or away longer than the entry lasts): a heartbeat alone
        would not list us.
        """
        if self.connection.hexists(self.key, "birth"):
            return
        self.connection.delete(self.key)  # what a heartbeat left there
        self.register_birth()  # type: ignore[no-untyped-call]
        self.set_state(WorkerStatus.BUSY if self._is_busy else WorkerStatus.IDLE)

    def _say_that_it_ends(self) -> None:
        """From now on nothing is taken. Does not raise."""
        self._shutdown_requested_date = now()
        with contextlib.suppress(redis.RedisError):
            self.set_shutdown_requested_date()  # type: ignore[no-untyped-call]

    def _show_state(self, is_busy: bool) -> None:
        if is_busy != self._is_busy:
            self._is_busy = is_busy
            self.set_state(WorkerStatus.BUSY if is_busy else WorkerStatus.IDLE)

    def _pubsub_exception_handler(self, exc: BaseException, pubsub: Any, pubsub_thread: Any) -> None:
        """For the thread that listens for RQ's commands. RQ's own handler lets it end at every error except a lost
        connection, for example at a command that it cannot read.
        """
        log.warning(
            "worker.commands_not_heard", error=type(exc).__name__, exc_info=not isinstance(exc, redis.RedisError)
        )
        time.sleep(_DEAF_S)
