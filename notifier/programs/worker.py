"""`worker`: sends queued deliveries, urgent first, many at once. Any number may run, for all queues or for some."""

import argparse
import fnmatch
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import redis
import structlog

from notifier import jobs
from notifier.batchworker import ANSWER_S, BatchWorker, Ended, Source
from notifier.channels import serving
from notifier.core.submission import PRIORITIES
from notifier.ground import lifeline, logs, metrics, tracing, vital
from notifier.ground.clock import now
from notifier.ground.config import Settings
from notifier.ground.lifeline import Lifeline
from notifier.ground.outage import Once, Outage
from notifier.ground.redis_clients import connected
from notifier.programs import metrics_port
from notifier.programs.children import POLL_S
from notifier.programs.metrics_port import measured, urls
from notifier.programs.starting import exposition_of, wait_for_app
from notifier.signals import liveness, queueing

REDIS_PAUSE_S = 0.5
STOP_WITHIN_S = 13.0

log = structlog.get_logger()


class _Signals:
    """Turns SIGTERM and SIGINT into a request; more of them change nothing."""

    def __init__(self) -> None:
        self.is_stopping = False
        self._worker: BatchWorker | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    @property
    def worker(self) -> BatchWorker | None:
        return self._worker

    @worker.setter
    def worker(self, worker: BatchWorker) -> None:
        self._worker = worker
        if self.is_stopping:
            worker.stop()

    def _stop(self, _number: int, _frame: Any) -> None:
        self.is_stopping = True
        if self._worker:
            self._worker.stop()


def run(settings: Settings, options: argparse.Namespace) -> int:
    logs.configure(as_json=settings.is_production, level=settings.log_level)
    names = chosen_queues(options.queues)
    if not names:
        print(
            f"No queue matches {options.queues!r}. The queues are: {', '.join(queueing.all_queues())}", file=sys.stderr
        )
        return 2
    signals = _Signals()
    if options.processes > 1:
        return supervise(settings, options, signals)
    tracing.start(settings, "worker")
    # Also shows at the start, not at the first job, when the keys do not fit.
    app = wait_for_app(jobs.app, lambda: signals.is_stopping)
    if app is None:
        return 0
    vital.arm()
    metrics_port.serve(settings, exposition_of(app), options.metrics_fd)
    log.info("worker.started", queues=options.queues, lanes=options.lanes)
    line = lifeline.hold(app)
    with app.app_context():
        work_on(settings, names, options, signals, line)
        serving.registry().close()
    line.let_go()
    tracing.stop()
    log.info("worker.stopped")
    return vital.exit_code()


def work_on(
    settings: Settings, names: Sequence[str], options: argparse.Namespace, signals: _Signals, line: Lifeline
) -> None:
    """Works until told to stop. A Redis that is not there at the start is waited for; the worker itself bears its
    absence later.
    """
    is_away = False
    metrics.lanes.set(options.lanes)
    metrics.lanes_in_use.set_function(lambda: signals.worker.in_use if signals.worker else 0)
    while not signals.is_stopping:
        # Its answers may take longer than the app's: the bell waits in Redis itself.
        connection = connected(
            settings.redis_url, socket_connect_timeout=1, socket_timeout=ANSWER_S, retry=Once(Outage())
        )
        try:
            worker = BatchWorker(
                [source(name) for name in names],
                connection=connection,
                handlers={queueing.DELIVER: jobs.Deliveries()},
                lanes=options.lanes,
                name=f"{lifeline.name_begins(line.number)}{uuid4().hex[8:]}",
                worker_ttl=liveness.WORKER_TTL_S,
                unix_time=lambda: now().timestamp(),
                settled=count_served,
            )
            signals.worker = worker
            worker.work(burst=options.burst, has_signals=False)
            return
        except redis.RedisError as error:
            if not is_away:
                log.warning("worker.redis_is_away", error=type(error).__name__)
                is_away = True
            time.sleep(REDIS_PAUSE_S)


def count_served(ended: Sequence[Ended]) -> None:
    for name, number in Counter(one.job.queue for one in ended).items():
        metrics.series(metrics.served, name).inc(number)


def source(name: str) -> Source:
    """A queue with its class (its priority) and its group (its channel)."""
    channel, _, priority = name.partition(".")
    return Source(name, PRIORITIES.index(priority), channel)


def supervise(settings: Settings, options: argparse.Namespace, signals: _Signals) -> int:
    """Runs several worker processes of the same kind; one that dies is started again."""
    command = [sys.executable, "-m", "notifier", "worker", "--queues", options.queues, "--lanes", str(options.lanes)]
    if options.burst:
        command.append("--burst")
    children = [measured(f"worker {number}", command, settings) for number in range(1, options.processes + 1)]
    metrics_port.serve(settings, metrics_port.Children(lambda: urls(children), settings.metrics_token).exposition)
    for child in children:
        child.start()
    while children and not signals.is_stopping:
        for child in list(children):
            if child.process is None:
                if told := child.start_again():
                    log.warning("worker.not_restarted", told=told)
            elif not child.is_running:
                if options.burst and child.process.returncode == 0:
                    children.remove(child)
                else:
                    log.warning("worker.restarted", told=child.note_end())
        time.sleep(POLL_S)
    deadline = time.monotonic() + STOP_WITHIN_S
    for child in children:
        if child.process:
            child.process.terminate()
    for child in children:
        child.stop(deadline)
    return 0


def chosen_queues(patterns: str) -> Sequence[str]:
    """The queues that any of the comma-separated patterns matches, most pressing first."""
    wanted = [pattern.strip() for pattern in patterns.split(",")]
    return [name for name in queueing.all_queues() if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted)]
