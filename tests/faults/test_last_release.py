"""An upgrade, half done: processes of the last release beside those of this one, on the tables of this one."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import urllib3

from tests.faults.installation import USERS, Installation
from tests.models import last_release
from tests.running import KEY, eventually, free_port

pytestmark = pytest.mark.faults

PEOPLE = USERS[:5]


class Release:
    """The last release, whose processes are started as a person would start them."""

    def __init__(self, code: Path, running: Installation, processes: ExitStack) -> None:
        self.code, self._processes = code, processes
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = code.parent / "release.log"
        self._environment = {**running.environment, "PORT": str(self.port)}

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        out = self._processes.enter_context(self.log.open("ab"))
        process = subprocess.Popen(
            [sys.executable, "-m", "notifier", *words], cwd=self.code, env=self._environment, stdout=out, stderr=out
        )
        self._processes.callback(process.wait)
        self._processes.callback(process.kill)
        return process


@pytest.fixture
def release(running: Installation, tmp_path: Path) -> Iterator[Release]:
    code = last_release.unpacked(tmp_path)
    with ExitStack() as processes:
        yield Release(code, running, processes)


def ask(url: str, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = urllib3.request(method, f"{url}{path}", json=body, headers=headers, retries=False, timeout=60)
    assert answer.status in (200, 202), answer.data
    return answer.json()


def is_ready(url: str) -> bool:
    try:
        return urllib3.request("GET", f"{url}/readyz", retries=False).json()["database"] == "ok"
    except urllib3.exceptions.HTTPError:
        return False


def submit(url: str) -> dict[str, str]:
    """→ by notification, its delivery to a webhook."""
    body = {
        "type": "order_shipped",
        "recipients": PEOPLE,
        "channels": ["inapp", "webhook"],
        "data": {"order_id": uuid4().hex},
    }
    made = ask(url, "POST", "/api/v1/notifications", body)["notifications"]
    return {
        one["id"]: delivery["id"] for one in made for delivery in one["deliveries"] if delivery["channel"] == "webhook"
    }


def told_of(url: str, notification_id: str) -> dict[str, str]:
    found = ask(url, "GET", f"/api/v1/notifications/{notification_id}")
    return {delivery["channel"]: delivery["status"] for delivery in found["deliveries"]}


@pytest.mark.parametrize("running", ["postgresql"], indirect=True)
def test_the_last_release_works_beside_this_one(running: Installation, release: Release) -> None:
    received = running.sink.received
    old = [release.start("web"), release.start("scheduler"), release.start("worker", "--queues", "webhook.*")]
    eventually(lambda: is_ready(release.url))

    def has_come(sent: dict[str, str]) -> bool:
        return all(received[delivery_id] for delivery_id in sent.values()) and running.count_open() == 0

    for_the_old_worker = submit(running.url)
    eventually(lambda: has_come(for_the_old_worker))
    *others, worker = old
    worker.terminate()
    assert worker.wait(60) == 0, release.log.read_text()
    new_worker = running.start_worker()
    for_the_new_worker = submit(release.url)
    eventually(lambda: has_come(for_the_new_worker))

    sent = for_the_old_worker | for_the_new_worker
    assert {delivery_id: received[delivery_id] for delivery_id in sent.values()} == dict.fromkeys(sent.values(), 1)
    for url in (running.url, release.url):
        assert [told_of(url, one) for one in sent] == [{"inapp": "delivered", "webhook": "sent"}] * 2 * len(PEOPLE)
    new_worker.tell_to_stop()
    for process in others:
        process.terminate()
    assert [process.wait(60) for process in others] == [0, 0], release.log.read_text()
    assert new_worker.wait(60) == 0
    said = release.log.read_text()
    assert "worker.started" in said
    assert [line for line in said.splitlines() if "[error" in line or "Traceback" in line] == []
