"""The Redis master, or the database's primary, is gone while everything is running, and another takes over."""

import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.faults.conftest import Trial
from tests.faults.installation import USERS, Installation
from tests.faults.sink import Sink
from tests.realtime.conftest import Browser
from tests.running import eventually
from tests.watched_redis import WatchedRedis

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedRedis]:
    redis = WatchedRedis(tmp_path_factory.mktemp("watched-redis"))
    yield redis
    redis.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, watched: WatchedRedis) -> Iterator[Installation]:
    place = tmp_path_factory.mktemp("faults-sentinel")
    sink = Sink()
    installation = Installation(place / "home", f"sqlite:///{place / 'notifier.db'}", watched, sink)
    yield installation
    installation.stop()
    sink.stop()


@pytest.fixture(autouse=True)
def healed(watched: WatchedRedis) -> Iterator[None]:
    """One that failed leaves no dead server to the next."""
    yield
    watched.heal()


@pytest.fixture
def inbox(trial: Trial) -> Iterator["Inbox"]:
    inbox = Inbox(trial, USERS[0])
    yield inbox
    inbox.browser.wire.disconnect()


class Inbox:
    """Of one person, in a browser. `seq`: of the newest event that it has heard."""

    def __init__(self, trial: Trial, user: str) -> None:
        self.trial, self.user, self.seq = trial, user, 0
        token = trial.installation.call("POST", f"/api/v1/users/{user}/token", {})["token"]
        self.browser = Browser(trial.installation.url, auth={"token": token}, transport="websocket")

    def write(self) -> None:
        order = {"type": "order_shipped", "recipients": [self.user], "channels": ["inapp"]}
        self.trial.installation.call("POST", "/api/v1/notifications", {**order, "data": {"order_id": uuid4().hex}})
        self.trial.rows_before += 1  # it is none of the load

    def has_heard_of_what_is_new(self) -> bool:
        """Writes, and looks whether an event about it comes by itself."""
        self.write()
        time.sleep(0.2)
        before = self.seq
        while not self.browser.events.empty():
            self.seq = max(self.seq, self.browser.hear()[1]["seq"])
        return self.seq > before


@pytest.mark.parametrize("end", ["kill_master", "hang_master", "fail_over"])
def test_when_redis_fails_over_nothing_is_lost_and_all_goes_on(
    running: Installation, watched: WatchedRedis, trial: Trial, inbox: Inbox, end: str
) -> None:
    worker = trial.start_worker()
    load = trial.submit()
    trial.until_delivered(200)
    eventually(inbox.has_heard_of_what_is_new)
    former = getattr(watched, end)()
    gone_at = time.monotonic()
    accepted_before = len(load.accepted)
    eventually(lambda: watched.master != former)
    trial.until_delivered(500)
    delivering_after_s = time.monotonic() - gone_at
    eventually(inbox.has_heard_of_what_is_new)
    heard_after_s = time.monotonic() - gone_at
    accepted_meanwhile = len(load.accepted) - accepted_before
    if end == "hang_master":
        watched.wake(former)
    elif end == "kill_master":
        watched.restart(former)
    watched.until_watched()
    trial.until_delivered(200)
    assert worker.is_running
    trial.settle(
        told=f"{accepted_meanwhile} accepted meanwhile, 500 delivered {delivering_after_s:.1f} s after it, "
        f"an inbox heard {heard_after_s:.1f} s after it"
    )
    assert load.not_accepted == {}
