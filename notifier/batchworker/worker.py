"""The worker: one thread that takes, begins and settles jobs in batches, lanes that run the slow part, and one thread
that records what came of it.

To RQ's tools it is a normal worker: it registers, sends heartbeats, can be suspended, and stops warmly.
"""

import contextlib
import signal
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any

import redis
import structlog

from notifier.batchworker import settle as settling
from notifier.batchworker.bell import Bell
from notifier.batchworker.contract import BatchHandler, Ended, Job
from notifier.batchworker.lanes import Lanes
from notifier.batchworker.life import BEAT_S, LEASE_S, LivingWorker
from notifier.batchworker.plain import PlainJobs
from notifier.batchworker.recorder import Batch, grouped, record
from notifier.batchworker.shares import WEIGHTS, ceiling, kept_for_urgent
from notifier.batchworker.take import LONGEST_WAY_GIVEN_S, PRESSING_S, Raw, Source, Taker

MOMENT_S = 0.002  # after which nothing more is expected to finish with the others
LONGEST_BATCH_WAIT_S = 0.02  # finished jobs are recorded after this long at the latest
MOST_TAKEN = 200
# Of other jobs at once, while there are a few pressing ones now and then: the next of those is not to wait until two
# hundred are begun and recorded. A flood of pressing ones has its share, as the others have theirs.
MOST_BESIDE_PRESSING = 16
PAUSE_S = 1.0  # after the database or Redis failed
DRAIN_S = 12.0  # for the jobs in flight when the worker is told to stop

log = structlog.get_logger()


class BatchWorker(LivingWorker):
    """Runs jobs of many queues at once.

    `sources` are the queues with their class and group. `handlers` do whole batches of the jobs of one
    function, by its dotted name; other functions run one by one, each on a lane. `unix_time` should be the same on all
    hosts. `settled` is told of jobs that have ended, a batch at a time; it must not raise.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        connection: redis.Redis,
        handlers: Mapping[str, BatchHandler],
        lanes: int = 128,
        name: str | None = None,
        worker_ttl: int = 60,
        unix_time: Callable[[], float] = time.time,
        settled: Callable[[Sequence[Ended]], None] = lambda _ended: None,
    ) -> None:
        super().__init__(
            [source.name for source in sources],
            connection=connection,
            lanes=lanes,
            unix_time=unix_time,
            name=name,
            worker_ttl=worker_ttl,
        )
        self.sources = list(sources)
        self._settled = settled
        self._groups = {source.name: source.group for source in sources}
        self._ranks = {source.name: source.rank for source in sources}
        self._handlers = dict(handlers)
        self._plain = PlainJobs(connection, self.default_result_ttl)
        self._taker = Taker(connection, sources, self.name, WEIGHTS)
        self._ceiling = ceiling(lanes, len(set(self._groups.values())))
        # Jobs that have run, and batches of them that have been recorded; None wakes the worker up
        self._inbox: SimpleQueue[Job | Batch | None] = SimpleQueue()
        self._lanes: Lanes[Job] = Lanes("lane", lanes, self._run, self._inbox.put)
        self._recorder: Lanes[Batch] = Lanes("recorder", 1, record, self._inbox.put)
        self._running: dict[Job, BatchHandler] = {}
        self._recording: dict[Job, BatchHandler] = {}
        self._run_through: list[Job] = []  # have run, are to be recorded
        self._recorded: list[Ended] = []  # are to be settled
        self._oldest_waits_since = 0.0
        self._latest_came_at = 0.0
        self._paused_until = 0.0
        self._pressing_until = 0.0
        self._others_at = 0.0  # while there are pressing jobs: when others may begin again

    # ---- life

    def work(self, burst: bool = False, has_signals: bool = True, **_: Any) -> bool:  # type: ignore[override]
        """Works until it is told to stop, or in a burst until nothing is left. → whether it ran anything.

        `has_signals`: SIGTERM and SIGINT stop it. Otherwise another thread calls `stop`.
        """
        self.bootstrap("WARNING")
        if has_signals:
            self._install_signal_handlers()
        bell = Bell(self.connection, [source.name for source in self.sources], self._wake)
        try:
            return self._work(bell, burst=burst)
        finally:
            bell.stop()
            self._lanes.stop()
            self._recorder.stop()
            self.teardown()  # type: ignore[no-untyped-call]

    def _work(self, bell: Bell, *, burst: bool) -> bool:
        stop_by = None
        worked = False
        while True:
            self._collect()
            self._record()
            self._settle()
            self.beat()
            if self._stop_requested:
                if stop_by is None:
                    stop_by = time.monotonic() + DRAIN_S
                    self._say_that_it_ends()
                if not self._has_some or time.monotonic() > stop_by:
                    return worked
                self._wait(0.05)
                continue
            gives_way = self._gives_way  # what is left in the queues for that is not forgotten at the end of a burst
            taken = self._take()
            worked = worked or taken > 0
            if taken:
                continue
            if burst and not self._has_some and not self._is_paused and not gives_way:
                return worked
            if not self._is_paused:
                bell.arm()
            self._wait(self._longest_wait())

    @property
    def in_use(self) -> int:
        """How many jobs run, or have run and wait to be recorded."""
        return len(self._running)

    @property
    def in_hand(self) -> Mapping[Job, BatchHandler]:
        return self._running | self._recording

    @property
    def _has_some(self) -> bool:
        return bool(self._running or self._recording)

    def stop(self) -> None:
        """Takes nothing more, finishes what is in flight (bounded), and ends. From any thread or signal handler."""
        self._stop_requested = True
        self._wake()

    def _install_signal_handlers(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stop())

    def _wake(self) -> None:
        self._inbox.put(None)

    def _wait(self, seconds: float) -> None:
        """Sleeps until something has run or is recorded, the bell rings, or the time is over."""
        with contextlib.suppress(Empty):
            self._arrived(self._inbox.get(timeout=seconds))

    def _longest_wait(self) -> float:
        if self._is_paused:
            return max(0.0, self._paused_until - time.monotonic())
        longest_s = min(PAUSE_S, BEAT_S)
        if self._gives_way:
            longest_s = min(longest_s, self._others_at - time.monotonic())
        if self._run_through and not self._recording:
            longest_s = min(longest_s, self._record_at() - time.monotonic())
        return max(0.0, longest_s)

    def _presses(self, job: Job) -> bool:
        return self._ranks[job.queue] == 0

    @property
    def _is_pressing(self) -> bool:
        return time.monotonic() < self._pressing_until

    @property
    def _gives_way(self) -> bool:
        return self._is_pressing and time.monotonic() < self._others_at

    @property
    def _is_paused(self) -> bool:
        return time.monotonic() < self._paused_until

    def _pause(self, event: str, error: Exception) -> None:
        log.warning(event, error=type(error).__name__)
        self._paused_until = time.monotonic() + PAUSE_S

    # ---- take and begin

    def _take(self) -> int:
        """Takes as much as there is room for, and sets it going. → how many jobs left their queues."""
        free = min(MOST_TAKEN, self.lane_count - len(self._running))
        if free <= 0 or self._is_paused:
            return 0
        held = self._held_by_group()
        pressing = sum(map(self._presses, self._running))
        others = self.lane_count - kept_for_urgent(self.lane_count) - (len(self._running) - pressing)
        if self._is_pressing:
            others = 0 if self._gives_way else min(others, MOST_BESIDE_PRESSING)
        try:
            raws = self._taker.take(
                free=free,
                others=max(0, others),
                room={group: self._ceiling - held.get(group, 0) for group in set(self._groups.values())},
                lease=self._unix_time() + LEASE_S,
            )
        except redis.RedisError as error:
            self._pause("worker.redis_away", error)
            return 0
        if raws:
            self._begin(raws)
        return len(raws)

    def _held_by_group(self) -> dict[str, int]:
        held: dict[str, int] = {}
        for job in self._running:
            group = self._groups[job.queue]
            held[group] = held.get(group, 0) + 1
        return held

    def _begin(self, raws: Sequence[Raw]) -> None:
        fresh = list(filter(None, (self._decoded(raw) for raw in raws if not raw.failed_before)))
        stale = [raw for raw in raws if raw.failed_before]
        begun, pressing = time.monotonic(), sum(self._presses(job) for _, job in fresh)
        if pressing:
            is_flood = pressing > MOST_BESIDE_PRESSING
            self._pressing_until = 0.0 if is_flood else time.monotonic() + PRESSING_S
        for handler, jobs in grouped((self._handlers.get(function, self._plain), job) for function, job in fresh):
            self._begin_with(handler, jobs)
        if pressing < len(fresh):
            self._others_at = time.monotonic() + min(time.monotonic() - begun, LONGEST_WAY_GIVEN_S)
        if stale:
            self._drop(stale)

    def _decoded(self, raw: Raw) -> tuple[str, Job] | None:
        """None for one that nobody can read: it fails, and the others go on."""
        try:
            return raw.decode()
        except (ValueError, RecursionError):
            log.exception("worker.job_broke", job=raw.id)
            self._recorded.append(Ended(raw.unread, failure=traceback.format_exc()))
            return None

    def _begin_with(self, handler: BatchHandler, jobs: Sequence[Job]) -> None:
        try:
            wanted = handler.begin(jobs)
        except handler.outages as error:
            self._pause("worker.begin_failed", error)
            self._give_back(jobs)
            return
        except Exception:
            if len(jobs) == 1:
                log.exception("worker.job_broke", job=jobs[0].id)
                self._recorded.append(Ended(jobs[0], failure=traceback.format_exc()))
                return
            for job in jobs:
                self._begin_with(handler, [job])
            return
        kept = set(wanted)
        self._recorded += [Ended(job) for job in jobs if job not in kept]
        self._running.update(dict.fromkeys(wanted, handler))
        self._lanes.submit(wanted)

    def _give_back(self, jobs: Sequence[Job]) -> None:
        try:
            settling.give_back(self.connection, jobs)
        except redis.RedisError as error:
            self._pause("worker.give_back_failed", error)

    def _drop(self, raws: Sequence[Raw]) -> None:
        try:
            settling.drop(self.connection, raws)
        except redis.RedisError as error:  # what stays registered is found by its lease
            self._pause("worker.settle_failed", error)

    def _run(self, job: Job) -> None:
        self._running[job].run(job)

    # ---- finish and settle

    def _collect(self) -> None:
        """Fetches all that has run or is recorded by now, without waiting."""
        while True:
            try:
                self._arrived(self._inbox.get_nowait())
            except Empty:
                return

    def _arrived(self, one: Job | Batch | None) -> None:
        if isinstance(one, Batch):
            self._has_recorded(one)
        elif one is not None:
            self._has_run(one)

    def _has_run(self, job: Job) -> None:
        self._latest_came_at = time.monotonic()
        if not self._run_through:
            self._oldest_waits_since = self._latest_came_at
        self._run_through.append(job)
        self._lanes.collected(1)

    def _record_at(self) -> float:
        return min(self._oldest_waits_since + LONGEST_BATCH_WAIT_S, self._latest_came_at + MOMENT_S)

    def _record(self) -> None:
        """Has finished jobs recorded: when they have waited long enough, nothing else is running, or there are enough
        for a batch.
        """
        if not self._run_through or self._recording:
            return
        if time.monotonic() < self._record_at() and self._lanes.in_flight and len(self._run_through) < MOST_TAKEN:
            return
        if self._is_paused:
            return
        self._recording = {job: self._running.pop(job) for job in self._in_this_batch()}
        self._run_through = [job for job in self._run_through if job in self._running]
        self._recorder.submit([Batch(self._recording)])

    def _in_this_batch(self) -> list[Job]:
        """Of the jobs that have run: the pressing ones, and as many others as may be beside them."""
        if not self._is_pressing:
            return self._run_through
        in_order = sorted(self._run_through, key=lambda job: not self._presses(job))
        return in_order[: MOST_BESIDE_PRESSING + sum(map(self._presses, in_order))]

    def _has_recorded(self, batch: Batch) -> None:
        self._recorder.collected(1)
        self._recording = {}
        self._recorded += batch.ended
        if batch.outage is not None:
            self._pause("worker.finish_failed", batch.outage)  # sent messages must be recorded: try again later
            self._running |= {job: batch.jobs[job] for job in batch.left}
            self._run_through = batch.left + self._run_through

    def _settle(self) -> None:
        if not self._recorded or self._is_paused:
            return
        try:
            settling.settle(self.connection, self._recorded, worker_name=self.name)
        except redis.RedisError as error:
            self._pause("worker.settle_failed", error)
            return
        self.successful_job_count += sum(1 for end in self._recorded if end.failure is None)
        self.failed_job_count += sum(1 for end in self._recorded if end.failure is not None)
        self._settled(self._recorded)
        self._recorded.clear()
