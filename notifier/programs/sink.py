"""`sink`: sends the event stream to EVENTS_SINK, each event at least once. Any number may run; one of them sends, and
another goes on where it stopped.

The position is stored after the receiver has confirmed, so that whatever ends this process loses nothing. It waits for
a database, a Redis or a receiver that is down.
"""

import argparse
import importlib
import random
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import structlog
from flask import Flask

from notifier.app import create_app
from notifier.ground import lifeline, logs, tracing, vital
from notifier.ground.config import NotReady, Settings
from notifier.ground.database import UNAVAILABLE
from notifier.ground.extensions import db
from notifier.ground.sink_urls import HttpSink, SinkTarget
from notifier.ledgers import event_readers
from notifier.ledgers.event_readers import LEASE, SINK
from notifier.programs import metrics_port
from notifier.programs.starting import exposition_of, wait_for_app
from notifier.queries import events
from notifier.signals import news
from notifier.sinks.collector import Away, Collector, Line, Refused, hand_over, lines_of
from notifier.sinks.http import HttpCollector

MOST_EVENTS, MOST_BYTES = 1_000, 1_000_000  # of a batch
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
LOOK_S = 1.0  # by a process that has nothing to send
_TICK_S = 0.1
_PROLONG_S = LEASE.total_seconds() / 4

log = structlog.get_logger()


def run(settings: Settings, options: argparse.Namespace) -> int:
    logs.configure(as_json=settings.is_production, level=settings.log_level)
    stopping: list[int] = []  # no Event: whoever is interrupted while waiting for one may hold its lock

    def stop(number: int, _frame: Any) -> None:
        stopping.append(number)

    def is_stopping() -> bool:
        return bool(stopping)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if settings.events_sink is None:  # a Procfile names every kind of process
        log.warning("sink.has_nothing_to_do", remedy="set EVENTS_SINK, or do not run this process")
        while not is_stopping():
            pause(LOOK_S, is_stopping)
        return 0
    collector = collector_of(settings.events_sink, settings)
    app = wait_for_app(lambda: create_app(settings), is_stopping)
    if app is None:
        return 0
    tracing.start(settings, "sink")
    vital.arm()
    metrics_port.serve(settings, exposition_of(app), options.metrics_fd)
    line = lifeline.hold(app)
    log.info("sink.started", sink=settings.events_sink.shown)
    work(app, Sender(collector, settings.events_sink.shown), is_stopping)
    collector.close()
    line.let_go()
    tracing.stop()
    log.info("sink.stopped")
    return vital.exit_code()


def collector_of(target: SinkTarget, settings: Settings) -> Collector:
    """Raises NotReady."""
    if isinstance(target, HttpSink):
        return HttpCollector(target, settings.outbound_allow, settings.target_lists)
    try:
        kafka: Any = importlib.import_module("notifier.sinks.kafka")
    except ModuleNotFoundError as error:
        if error.name != "confluent_kafka":
            raise
        raise NotReady(
            "EVENTS_SINK names Kafka, which needs confluent-kafka: pip install -r requirements-kafka.lock"
        ) from None
    collector: Collector = kafka.KafkaCollector(target)
    return collector


class Sender:
    """Sends batch after batch, as long as it has the lease."""

    def __init__(self, collector: Collector, shown: str) -> None:
        self.lease = uuid4().hex
        self._collector = collector
        self._shown = shown
        self._position: int | None = None  # None: this process does not have the lease, or must look whether it has
        self._prolong_at = 0.0
        self._missed: int | None = None
        self._failures = 0
        self._not_seen: tuple[int, float] | None = None

    def send(self) -> float:
        """One batch. → how long to wait before the next one, in seconds. Raises one of UNAVAILABLE."""
        if (self._position is None or time.monotonic() >= self._prolong_at) and not self._take():
            return LOOK_S
        assert self._position is not None
        known = news.latest()
        lines = cut(lines_of(events.read(self._position, MOST_EVENTS).rows))
        db.session.close()  # nothing is open while they are sent
        if not lines:
            news.wait(known, LOOK_S)
            return 0.0
        try:
            hand_over(lines, self._request, self._advance)
        except (Refused, Away) as error:
            return self._pause_s(error)
        if self._failures:
            log.info("sink.works_again", sink=self._shown, failures=self._failures)
        self._failures = 0
        return 0.0

    def end(self) -> None:
        if self._position is not None:
            event_readers.let_go(SINK, self.lease)

    @property
    def position(self) -> int | None:
        """Of the last event that is with the receiver; None: this process does not send at present."""
        return self._position

    def look_again(self) -> None:
        """What was known of the lease may be out of date."""
        self._position = None

    def _take(self) -> bool:
        taken = event_readers.take(SINK, self.lease, self._is_dead)
        self._position = None if taken is None else taken.position
        self._prolong_at = time.monotonic() + _PROLONG_S
        if taken is not None and taken.missed != self._missed:
            if taken.missed:
                log.warning("sink.missed_events", sink=self._shown, in_all=taken.missed)
            self._missed = taken.missed
        return taken is not None

    def _request(self, lines: Sequence[Line]) -> None:
        """One of several, where the receiver has refused a part of the batch."""
        if time.monotonic() >= self._prolong_at:
            if not event_readers.prolong(SINK, self.lease):
                raise Away("lease_lost")
            self._prolong_at = time.monotonic() + _PROLONG_S
        self._collector.take(lines)

    def _advance(self, position: int, refused: Sequence[str]) -> None:
        if not event_readers.advance(SINK, self.lease, position, refused):
            raise Away("lease_lost")
        for cursor in refused:
            log.error("sink.event_set_aside", sink=self._shown, refused=f"evt_{cursor}")
        self._position = position
        self._prolong_at = time.monotonic() + _PROLONG_S

    def _pause_s(self, error: Refused | Away) -> float:
        self._failures += 1
        pause_s = min(FIRST_PAUSE_S * 2.0 ** min(self._failures - 1, 16), LONGEST_PAUSE_S) * random.uniform(0.8, 1.2)
        if isinstance(error, Away):
            pause_s = max(pause_s, min(error.retry_after, LEASE.total_seconds() / 2))
        name = "sink.refuses" if isinstance(error, Refused) else "sink.is_away"
        log.warning(name, sink=self._shown, code=error.code, failures=self._failures, again_in_s=round(pause_s, 1))
        if not event_readers.tell_trouble(SINK, self.lease, error.code):
            self.look_again()
        return pause_s

    def _is_dead(self, holder: int) -> bool:
        """Not seen alive for so long that its session is not on its way back."""
        look = lifeline.look()
        if look.is_young or holder in look.living:
            self._not_seen = None
            return False
        if self._not_seen is None or self._not_seen[0] != holder:
            self._not_seen = (holder, time.monotonic())
        return time.monotonic() - self._not_seen[1] >= look.sure_after_s


def cut(lines: list[Line]) -> list[Line]:
    """The first ones, as many as a batch may hold; one at least."""
    size, count = 0, 0
    for line in lines:
        size += len(line.text)
        if count and size > MOST_BYTES:
            break
        count += 1
    return lines[:count]


def work(app: Flask, sender: Sender, is_stopping: Callable[[], bool]) -> None:
    """Sends until told to stop; a batch that is under way is finished."""
    failures = 0
    while not is_stopping():
        with app.app_context():
            try:
                pause_s = sender.send()
                failures = 0
            except UNAVAILABLE as error:
                failures += 1
                pause_s = min(FIRST_PAUSE_S * 2 ** min(failures, 16), 5.0)
                log.warning("sink.database_is_away", error=type(error).__name__, again_in_s=pause_s)
                sender.look_again()
            finally:
                db.session.remove()
        pause(pause_s, is_stopping)
    with app.app_context():
        try:
            sender.end()
        except UNAVAILABLE as error:
            log.warning("sink.database_is_away", error=type(error).__name__)


def pause(seconds: float, is_stopping: Callable[[], bool]) -> None:
    """Ends soon after a request to stop."""
    ends_at = time.monotonic() + seconds
    while (left := ends_at - time.monotonic()) > 0 and not is_stopping():
        time.sleep(min(left, _TICK_S))
