"""`scheduler`: runs the periodic tasks again and again. Any number may run, none is special, and each row moves once.

It waits for a database or Redis that is down; a task that fails never delays the others.
"""

import argparse
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis
import structlog
from flask import Flask

from notifier.access import access_tokens, invitations, passkeys, sessions, sign_in, signing_keys
from notifier.app import create_app
from notifier.cells import client, forwards, homes, sharing
from notifier.ground import logs, metrics, tracing, vital
from notifier.ground.clock import now
from notifier.ground.config import Settings
from notifier.ground.database import UNAVAILABLE, for_glances
from notifier.ground.extensions import db, redis_store
from notifier.inbox import marks
from notifier.ledgers import broadcast_counts, events, limit_stops, scores, spend, tallies
from notifier.operations import broadcast_retries, bulk_actions, reencryption
from notifier.people import uploads
from notifier.pipeline.delivery import kept_receipts, outages
from notifier.pipeline.intake import schedules
from notifier.pipeline.planning import repeats, replacing
from notifier.pipeline.upkeep import (
    abandoned,
    broadcast_hours,
    broadcasts,
    due,
    experiment_counts,
    ghosts,
    gone,
    lapsed,
    limit_alarms,
    lost,
    partitions,
    retention,
    summaries,
    synthetic,
    trends,
)
from notifier.programs import metrics_port
from notifier.programs.starting import exposition_of, wait_for_app
from notifier.queries import due_work
from notifier.queries.events import WINDOW
from notifier.signals import liveness
from notifier.subscriptions import due as subscriptions

LONGEST_PAUSE_S = 5.0
APART_ENDS_S = 5.0  # of the time that a supervisor gives us
OUTAGES = (*UNAVAILABLE, redis.RedisError)
_TICK_S = 0.05
_TURN_S = 0.25  # the pace of the most frequent of them

log = structlog.get_logger()


@dataclass(slots=True)
class Task:
    """A function that is called every so often. After a failure it waits longer and longer, LONGEST_PAUSE_S at most (or
    its own pace).

    Tasks have their turns together: after a sleep, most of what a task costs is to get code and data into the
    processor's caches again. One that `is_apart` asks other installations, and has a thread of its own meanwhile: they
    may take long to answer, and no other task waits for them.
    """

    name: str
    work: Callable[[], object]
    every_s: float
    full: int | None = None  # a batch of so many is followed by the next one at once
    is_apart: bool = False
    due_at: float = 0.0
    failures: int = 0

    def run(self) -> None:
        try:
            with metrics.series(metrics.task_seconds, self.name).time():
                done = self.work()
        except Exception as error:
            self.fail(error)
            return
        if self.failures:
            log.info("scheduler.task_works_again", task=self.name, failures=self.failures)
        self.failures = 0
        has_more = self.full is not None and done == self.full
        self.due_at = time.monotonic() if has_more else self._next_turn()

    def fail(self, error: Exception) -> None:
        self.failures += 1
        metrics.series(metrics.task_failures, self.name).inc()
        self.due_at = time.monotonic() + max(self.every_s, min(0.25 * 2**self.failures, LONGEST_PAUSE_S))
        log.warning(
            "scheduler.task_failed",
            task=self.name,
            error=type(error).__name__,
            failures=self.failures,
            exc_info=None if isinstance(error, OUTAGES) else error,
        )

    def pass_over(self, until: float) -> None:
        """There is nothing to do, as far as is known until then."""
        self.failures = 0
        self.due_at = max(self._next_turn(), until)

    def _next_turn(self) -> float:
        at = time.monotonic() + self.every_s
        return at if self.every_s < _TURN_S else at // _TURN_S * _TURN_S


def tasks(name: str, *, has_cells: bool = False) -> list[Task]:
    """`has_cells`: some of them ask other installations."""
    return [
        Task("alive", lambda: liveness.beat_scheduler(redis_store.client, name), liveness.SCHEDULER_BEAT_S),
        Task("free_abandoned", abandoned.Abandoned().free, 0.5),
        Task("ring_due", due.ring_due, 0.25, full=due.BATCH),
        Task("let_out", outages.Outages().let_out, 0.5),
        Task("ring_lost", lambda: lost.ring_lost().rows, 2.0, full=due.BATCH),
        Task("free_lapsed", lapsed.free_lapsed, 2.0, full=due.BATCH),
        Task("ring_subscriptions", subscriptions.Ringing().ring_due, 0.25),
        Task("apply_receipts", kept_receipts.apply_due, 1.0, full=kept_receipts.BATCH),
        Task("close_digests", summaries.close_due, 1.0, full=summaries.BATCH),
        Task("submit_scheduled", partial(schedules.submit_due, sharing.accept_part), 1.0, is_apart=has_cells),
        Task("ring_expansions", lost.ring_expansions, 1.0),
        Task("say_held", forwards.say_held, 0.5, full=client.AT_ONCE, is_apart=has_cells),
        Task("watch_broadcasts", broadcasts.watch, 1.0),
        Task("cancel_broadcasts", broadcasts.cancel_rest, 0.5, full=broadcasts.BATCH),
        Task("retry_broadcasts", broadcast_retries.work, 0.5, full=broadcast_retries.BATCH),
        Task("add_up_broadcasts", broadcast_counts.AddingUp().add_up, 5.0),
        Task("count_broadcast_hours", broadcast_hours.count, 2.0, full=WINDOW),
        Task("count_experiments", experiment_counts.count, 2.0, full=WINDOW),
        Task("count_trends", trends.count, 2.0, full=WINDOW),
        Task("check_homes", homes.check_some, 3600.0, is_apart=has_cells),
        Task("prune_cells", forwards.prune_old, 3600.0),
        Task("prune_trends", trends.prune, 3600.0),
        Task("forget_experiments", experiment_counts.forget, 60.0, full=experiment_counts.FORGOTTEN_AT_ONCE),
        Task("ring_uploads", uploads.ring_waiting, 2.0),
        Task("bulk_actions", bulk_actions.work, 0.5, full=bulk_actions.BATCH),
        Task("encrypt_anew", reencryption.work, 0.1),
        Task("lay_ghosts", ghosts.Ghosts().lay, 5.0),
        Task("wake_snoozed", lambda: marks.wake_snoozed(now()), 2.0),
        Task("tell_of_disabled_subscriptions", subscriptions.tell_of_disabled, 5.0),
        Task("tell_of_limits", limit_alarms.tell, 5.0, full=limit_alarms.BATCH),
        Task("prune_spend", spend.prune, 3600.0),
        Task("prune_limit_stops", limit_stops.prune, 3600.0),
        Task("advance_subscriptions", subscriptions.advance, 600.0),
        Task("prune_subscription_attempts", subscriptions.prune_attempts, 3600.0),
        Task("synthetic", synthetic.Watch().work, 1.0),
        Task("expire_gone", gone.expire, 3600.0),
        Task("prune", due.prune, 3600.0),
        Task("prune_captures", due.prune_captures, 3600.0),
        Task("keep_partitions", partitions.keep, 60.0),
        Task("prune_calls", retention.prune_calls, 3600.0),
        Task("prune_notifications", retention.prune_notifications, 60.0, full=retention.BATCH),
        Task("prune_sign_in_links", sign_in.prune, 3600.0),
        Task("prune_sessions", sessions.prune, 3600.0),
        Task("prune_passkey_challenges", passkeys.prune, 300.0),
        Task("prune_access_tokens", access_tokens.prune, 3600.0),
        Task("rotate_signing_keys", signing_keys.rotate, 3600.0),
        Task("prune_invitations", invitations.prune, 3600.0),
        Task("prune_marks", lambda: repeats.prune(now()), 3600.0),
        Task("prune_collapse_keys", lambda: replacing.prune(now()), 3600.0),
        Task("prune_receipts", kept_receipts.prune, 3600.0),
        Task("prune_uploads", uploads.prune, 3600.0),
        Task("prune_events", events.prune, 60.0, full=events.PRUNED_AT_ONCE),
        Task("add_up_tallies", tallies.add_up, 30.0),
        Task("prune_tallies", tallies.prune, 3600.0),
        Task("count_opens", lambda: scores.count_everyone(now()), 3600.0),
    ]


def run(settings: Settings, options: argparse.Namespace) -> int:
    logs.configure(as_json=settings.is_production, level=settings.log_level)
    stopping: list[int] = []

    def stop(number: int, _frame: Any) -> None:
        stopping.append(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    tracing.start(settings, "scheduler")
    app = wait_for_app(lambda: create_app(settings), lambda: bool(stopping))
    if app is None:
        return 0
    vital.arm()
    metrics_port.serve(settings, exposition_of(app), options.metrics_fd)
    name = f"{socket.gethostname()}:{os.getpid()}"
    log.info("scheduler.started", name=name)
    has_cells = settings.region is not None and bool(settings.region.others)
    work(app, tasks(name, has_cells=has_cells), lambda: bool(stopping))
    with app.app_context():
        try:
            liveness.end_scheduler(redis_store.client, name)
        except redis.RedisError as error:
            log.warning("scheduler.redis_is_away", error=type(error).__name__)
    tracing.stop()
    log.info("scheduler.stopped")
    return vital.exit_code()


def work(app: Flask, todo: list[Task], is_stopping: Callable[[], bool]) -> None:
    """Runs due tasks until told to stop; a running task is finished. Those of which `due_work` knows that there is
    nothing to do are passed over.
    """
    look, apart = Look(app), Apart(app)
    metrics.scheduler_lag.set_function(lambda: lag_s(todo, time.monotonic()))
    while not is_stopping():
        for task in todo:
            if task.due_at > time.monotonic() or is_stopping():
                continue
            if not look.is_wanted(task.name):
                task.pass_over(look.until)
                continue
            if task.is_apart:
                apart.begin(task)
            else:
                _run(app, task)
        next_at = min((task.due_at for task in todo), default=0.0)
        time.sleep(min(max(next_at - time.monotonic(), _TICK_S), _TURN_S))

    apart.wait(APART_ENDS_S)


def _run(app: Flask, task: Task) -> None:
    with app.app_context():
        task.run()
        db.session.remove()


class Apart:
    """Runs tasks on threads of their own, each no more than once at a time."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._threads: dict[str, threading.Thread] = {}

    def begin(self, task: Task) -> None:
        task.due_at = math.inf  # until it has ended, and knows
        self._threads[task.name] = threading.Thread(target=self._run, args=(task,), name=task.name, daemon=True)
        try:
            self._threads[task.name].start()
        except RuntimeError as error:  # no thread could be had
            task.fail(error)

    def _run(self, task: Task) -> None:
        try:
            _run(self._app, task)
        finally:
            if task.due_at == math.inf:  # its session could not be let go
                task.due_at = time.monotonic() + LONGEST_PAUSE_S

    def wait(self, seconds: float) -> None:
        """For those that are running: what they have begun would only be begun again."""
        until = time.monotonic() + seconds
        for thread in self._threads.values():
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))


def lag_s(todo: Sequence[Task], at: float) -> float:
    """Grows for as long as one task keeps the others waiting. Those that have not had their first turn do not count."""
    return max((at - task.due_at for task in todo if task.due_at and task.due_at < at), default=0.0)


class Look:
    """What `due_work` said a moment ago, and `until` when that holds."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._waiting: set[str] | None = None
        self.until = 0.0

    def is_wanted(self, name: str) -> bool:
        """Always, when nobody can say: the task itself finds out what is wrong, and waits longer each time."""
        if name not in due_work.NAMES:
            return True
        if time.monotonic() >= self.until:
            self._waiting = self._ask()
            self.until = (time.monotonic() + _TURN_S) // _TURN_S * _TURN_S
        return self._waiting is None or name in self._waiting

    def _ask(self) -> set[str] | None:
        with self._app.app_context():
            try:
                with for_glances() as connection:
                    return due_work.waiting(connection, now())
            except UNAVAILABLE:
                return None
