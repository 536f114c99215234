"""A broadcast while everything dies around it."""

import csv
import io
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
import urllib3

from notifier.core.lifecycle import DEAD, OPEN
from tests.faults.conftest import Postgres
from tests.faults.installation import KILLS, PEOPLE, Installation, Program
from tests.running import KEY, eventually

pytestmark = [
    pytest.mark.faults,
    pytest.mark.parametrize("running", ["sqlite", "postgresql"], indirect=True, scope="session"),
]

CHANNELS = ("inapp", "email")
EXPANDED_IN_S = 20  # so long at least, so that it is under way whenever something dies
LONGEST_S = max(300.0, PEOPLE / 50)


class Looker:
    """Reads the broadcast again and again; `wrong` are the looks at which its counts did not add up. Each person has
    one delivery on each channel.
    """

    def __init__(self, url: str) -> None:
        self.url, self.looks = url, 0
        self.wrong: list[dict[str, Any]] = []
        self.last: dict[str, Any] = {"status": "unknown", "expanded": 0, "counts": {"channels": {}}}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(60)

    def ended(self) -> int:
        """Deliveries of which nothing is to come."""
        by_status = self.by_status()
        return by_status.total() - sum(by_status[status] for status in OPEN)

    def by_status(self) -> Counter[str]:
        return sum((Counter(counts) for counts in self.last["counts"]["channels"].values()), Counter())

    def _run(self) -> None:
        http = urllib3.PoolManager(retries=False, timeout=10, headers={"Authorization": f"Bearer {KEY}"})
        while not self._stopped.wait(0.02):
            try:
                answer = http.request("GET", self.url)
            except urllib3.exceptions.HTTPError:
                continue
            if answer.status == 200:  # or the database is away
                self._look_at(answer.json())

    def _look_at(self, shown: dict[str, Any]) -> None:
        made = [sum(by_status.values()) for by_status in shown["counts"]["channels"].values()]
        is_right = set(made) <= {shown["expanded"]} and shown["counts"]["notifications"] == shown["expanded"]
        is_open = any(counts[status] for counts in shown["counts"]["channels"].values() for status in OPEN)
        if not is_right or (is_open and shown["status"] == "finished"):
            self.wrong.append(shown)
        self.last, self.looks = shown, self.looks + 1


@pytest.fixture
def worker(running: Installation) -> Iterator[list[Program]]:
    """A list of one, so that it can be replaced."""
    only = [running.start("worker")]
    yield only
    only[0].tell_to_stop()
    assert only[0].wait(60) == 0


def uploaded(running: Installation, prefix: str) -> str:
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(["id", "email"])
    lines.writerows((f"{prefix}{number}", f"{prefix}{number}@x.test") for number in range(PEOPLE))
    answer = running._http.request(
        "POST", f"{running.url}/api/v1/uploads", body=text.getvalue(), headers=headers("text/csv")
    )
    assert answer.status == 202, answer.data
    key = answer.json()["id"]
    eventually(lambda: running.call("GET", f"/api/v1/uploads/{key}")["status"] == "finished", within_s=LONGEST_S)
    return str(key)


def headers(kind: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEY}", "Content-Type": kind}


def test_a_broadcast_reaches_everybody_once_and_its_counts_add_up_whatever_dies(
    running: Installation, worker: list[Program], request: pytest.FixtureRequest, tell: Any
) -> None:
    prefix = f"b{request.node.callspec.id}-"
    upload = uploaded(running, prefix)
    made = running.call(
        "POST",
        "/api/v1/broadcasts",
        {
            "name": "Trial",
            "type": "promotional_offer",
            "audience": {"upload": upload},
            "data": {"title": "T"},
            "channels": CHANNELS,
            "per_second": max(1, PEOPLE // EXPANDED_IN_S),
        },
    )
    looker = Looker(f"{running.url}/api/v1/broadcasts/{made['id']}")
    try:
        for number in range(KILLS):
            goal = PEOPLE * len(CHANNELS) * (number + 1) // (KILLS + 2)
            eventually(lambda goal=goal: looker.ended() >= goal, within_s=LONGEST_S)
            kill(running, worker)
            if number == KILLS // 2:  # once, since nobody can look meanwhile
                running.web.kill()
                running.client.flushall()
                restart_database(running, request)
                running.restart_web()
        # Sends that a killed worker had begun may have gone out: nobody sends those again unless somebody says so.
        unclear = retried(running, looker, made["id"])
    finally:
        looker.stop()
    assert looker.wrong == []
    assert looker.last["counts"] == {
        "notifications": PEOPLE,
        "channels": {name: dict(looker.last["counts"]["channels"][name]) | {"delivered": PEOPLE} for name in CHANNELS},
        "skipped": {},
    }
    assert reached(running, made["submission"]) == PEOPLE * len(CHANNELS)
    tell(f"broadcast, {request.node.callspec.id}: {PEOPLE} people, {looker.looks} looks, {unclear} sends unclear")
    eventually(lambda: running.left_in_redis() == {}, within_s=90)


def kill(running: Installation, worker: list[Program]) -> None:
    for program in (worker[0], running.scheduler):
        program.kill()
    worker[0] = running.start("worker")
    running.scheduler = running.start("scheduler")


def restart_database(running: Installation, request: pytest.FixtureRequest) -> None:
    if running.engine.dialect.name == "postgresql":
        own: Postgres = request.getfixturevalue("own_postgres")
        own.stop()
        own.start()


def retried(running: Installation, looker: Looker, shown_id: str) -> int:
    """→ how many deliveries had to be sent again until none was failed or unknown."""
    again = 0
    while True:
        eventually(lambda: looker.last["status"] == "finished", within_s=LONGEST_S)
        dead = sum(looker.by_status()[status] for status in DEAD)
        if not dead:
            return again
        again += dead
        after = running.call("POST", f"/api/v1/broadcasts/{shown_id}/retry-failed")
        assert after["status"] == "running"
        looks = looker.looks
        eventually(lambda looks=looks: looker.looks > looks + 1)


def reached(running: Installation, submission: str) -> int:
    """How many pairs of a person and a channel have been reached, each by one delivery; the database is asked."""
    key = submission.partition("_")[2]
    statement = sa.text(
        "SELECT count(*), count(DISTINCT notification_id || channel) FROM delivery"
        " WHERE status = 'delivered' AND replace(CAST(broadcast_id AS TEXT), '-', '') = :key"
    )
    with running.engine.connect() as connection:
        found, different = connection.execute(statement, {"key": key}).one()
    assert found == different
    return int(found)
