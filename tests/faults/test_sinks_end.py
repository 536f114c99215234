"""The process that sends events on is killed again and again: every event arrives, those of a notification in order."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from notifier.ground.ids import new_id, show
from notifier.ledgers.event_readers import SINK
from notifier.models import Event, EventReader
from notifier.programs.sink import MOST_EVENTS
from tests import kafka
from tests.collecting import HttpReceiver
from tests.faults.installation import KILLS, Installation, Program
from tests.running import eventually

pytestmark = pytest.mark.faults

NOTIFICATIONS = [new_id() for _ in range(10)]

Arrived = Callable[[], list[tuple[str, int]]]


class Writer:
    """Adds events, numbered, until it is stopped."""

    def __init__(self, running: Installation) -> None:
        self.running = running
        self.count = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._is_over.wait(0.02):
            rows = [
                {
                    "kind": "delivery.sent",
                    "at": datetime.now(UTC),
                    "is_test": False,
                    "notification_id": NOTIFICATIONS[number % len(NOTIFICATIONS)],
                    "reason": str(number),
                }
                for number in range(self.count, self.count + 25)
            ]
            with self.running.engine.begin() as connection:
                connection.execute(sa.insert(Event.__table__), rows)
            self.count += len(rows)


@pytest.fixture
def arrived_over_http() -> Iterator[tuple[str, Arrived]]:
    receiver = HttpReceiver()
    chance = random.Random(3)

    def answer(_events: Any) -> int:
        time.sleep(chance.random() * 0.1)  # the sink is often killed before it hears the answer
        return 200

    receiver.answer = answer
    yield receiver.url, lambda: _told(list(receiver.events))
    receiver.close()


@pytest.fixture
def arrived_at_kafka() -> Iterator[tuple[str, Arrived]]:
    with kafka.cluster() as brokers:
        yield f"kafka://{brokers}/events", lambda: _told([event for _, event in kafka.all_of(brokers, "events")])


def _told(events: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Of ours: the installation's stream has those of other tests, too."""
    ours = {show("ntf", notification) for notification in NOTIFICATIONS}
    told = [event["data"] for event in events]
    return [(data["notification"], int(data["reason"])) for data in told if data["notification"] in ours]


@pytest.mark.parametrize(
    ("running", "arriving"),
    [("sqlite", "arrived_over_http"), ("postgresql", "arrived_at_kafka")],
    indirect=["running"],
    scope="session",
)
def test_a_sink_killed_again_and_again_loses_nothing(
    running: Installation, arriving: str, request: pytest.FixtureRequest
) -> None:
    url, arrived = request.getfixturevalue(arriving)
    environment = {**running.environment, "EVENTS_SINK": url}
    chance = random.Random(5)

    def position() -> int:
        with running.engine.connect() as connection:
            return connection.scalar(sa.select(EventReader.position).where(EventReader.name == SINK)) or 0

    def behind() -> int:
        with running.engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).where(Event.id > position())) or 0

    with ExitStack() as last:
        writer = Writer(running)
        last.callback(writer.stop)

        def start() -> Program:
            program = Program(["sink"], environment, running.home.parent / "sink.log", 0.0)
            last.callback(program.kill)
            return program

        spare = start()  # takes over while the next one starts
        for _ in range(KILLS):
            sender, spare = spare, start()
            known = position()
            eventually(lambda known=known: position() > known)
            time.sleep(chance.random() * 0.2)  # in the middle of something, whatever that may be
            sender.kill()
        writer.stop()
        eventually(lambda: behind() == 0)
        found = arrived()
        spare.tell_to_stop()
        assert spare.wait(60) == 0
    times = Counter(number for _, number in found)
    assert times.keys() == set(range(writer.count))
    assert times.total() - len(times) <= KILLS * MOST_EVENTS  # a batch for each
    for notification in {notification for notification, _ in found}:
        mine = list(dict.fromkeys(number for other, number in found if other == notification))
        assert mine == sorted(mine)
