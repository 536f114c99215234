"""Workers that are killed while they tell a subscriber of events."""

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests.faults.installation import KILLS, USERS, Installation
from tests.faults.sink import Sink
from tests.running import eventually

pytestmark = [
    pytest.mark.faults,
    pytest.mark.parametrize("running", ["sqlite", "postgresql"], indirect=True, scope="session"),
]

MOST_IN_FLIGHT = 16 + 500  # of a batch: what is on its way, and what has been answered but not recorded


@pytest.fixture
def subscriber() -> Iterator[Sink]:
    sink = Sink(answers_after_s=0.05)
    yield sink
    sink.stop()


def last_event(running: Installation) -> int:
    with running.engine.connect() as connection:
        return connection.scalar(sa.text("SELECT max(id) FROM event")) or 0


def ids_after(running: Installation, position: int) -> list[str]:
    """As the API shows them, in their order."""
    seen: list[str] = []
    cursor = ""
    while True:
        path = f"/api/v1/events?limit=1000{cursor}"
        answer = running._http.request("GET", f"{running.url}{path}")
        lines = answer.data.splitlines()
        if not lines:
            return seen
        events = [json.loads(line) for line in lines]
        seen += [event["id"] for event in events if int(event["cursor"][16:32], 16) > position]
        cursor = f"&after={events[-1]['cursor']}"


def test_a_worker_killed_while_it_tells_loses_no_event(running: Installation, subscriber: Sink) -> None:
    url = f"http://127.0.0.1:{subscriber.port}/events"
    made = running.call("POST", "/api/v1/subscriptions", {"url": url, "events": ["delivery.*"]})
    position = last_event(running)
    worker = running.start("worker", "--queues", "events.*", "--lanes", "4")
    try:
        for _ in range(KILLS):
            for _ in range(5):
                order = {"type": "order_shipped", "recipients": USERS, "channels": ["inapp"]}
                running.call("POST", "/api/v1/notifications", {**order, "data": {"order_id": uuid4().hex}})
            arrived = sum(subscriber.received.values())
            eventually(lambda arrived=arrived: sum(subscriber.received.values()) >= arrived + 20)
            worker.kill()
            worker = running.start("worker", "--queues", "events.*", "--lanes", "4")
        told = set(ids_after(running, position))
        assert len(told) == KILLS * 5 * len(USERS)
        eventually(lambda: told <= subscriber.received.keys(), within_s=120)
        assert subscriber.received.keys() == told  # each by the id it has in the stream, and none besides
        repeats = sum(subscriber.received.values()) - len(told)
        assert repeats <= KILLS * MOST_IN_FLIGHT
        eventually(lambda: running.call("GET", f"/api/v1/subscriptions/{made['id']}")["waiting"] == 0)
    finally:
        worker.tell_to_stop()
        assert worker.wait(30) == 0
        running._http.request("DELETE", f"{running.url}/api/v1/subscriptions/{made['id']}")
