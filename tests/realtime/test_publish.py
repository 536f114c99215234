"""Publishing: in the form the gateway's side reads, in one round trip, and never a reason to fail or to wait.

What the console is told besides: only while it is watched, and not more often than it can use.
"""

import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
import time_machine
from apiflask import APIFlask
from werkzeug.serving import make_server

from notifier.app import create_app
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.config import Settings
from notifier.ground.extensions import db, redis_store
from notifier.ground.outage import AWAY_S
from notifier.programs.up import redis_server
from notifier.signals import publish
from notifier.signals.publish import CONSOLE, FAILED, HINT_EVERY, OVERVIEW, QUEUES, WATCHED_FOR, ItemEvent
from tests.conftest import subject_of
from tests.realtime.conftest import Browser


@pytest.mark.parametrize(
    ("people", "each", "size", "messages"), [(300, 1, 0, 300), (1, 300, 0, 1), (1, 300, 1_000, 5), (2, 3, 70_000, 6)]
)
def test_many_events_are_one_round_trip_and_no_message_is_long(
    app: APIFlask, ear: Any, people: int, each: int, size: int, messages: int
) -> None:
    before = _commands()
    events = [(f"u{user}", {"id": number, "body": "x" * size}) for user in range(people) for number in range(each)]
    publish.publish_items([ItemEvent(user, item, 1, 1, 1) for user, item in events])
    after = _commands()
    assert after["publish"] - before.get("publish", 0) == messages
    assert after["reads"] - before["reads"] < 60  # how often the server had to read from a socket
    assert [(user_id, payload["item"]) for user_id, _, payload in ear.heard()] == events


def _commands() -> dict[str, int]:
    client = redis_store.client
    stats: Any = client.info("commandstats")
    reads: Any = client.info("stats")
    return {"publish": stats.get("cmdstat_publish", {}).get("calls", 0), "reads": reads["total_reads_processed"]}


def test_an_event_names_its_user_by_room_and_no_other(app: APIFlask, ear: Any) -> None:
    publish.publish_state("a:b@c+d", {"seq": 1, "unread": 0, "unseen": 0, "changed": []})
    assert ear.heard() == [("a:b@c+d", "state", {"seq": 1, "unread": 0, "unseen": 0, "changed": []})]


def test_the_console_is_told_while_it_is_watched_and_otherwise_nothing_is_said(app: APIFlask, ear: Any) -> None:
    publish.hint(OVERVIEW)
    assert ear.hints() == []
    assert publish.note_watched()
    publish.hint(FAILED, QUEUES)
    assert ear.hints() == [FAILED, QUEUES]
    assert 0 < redis_store.client.pttl("notifier:console-watched") <= WATCHED_FOR.total_seconds() * 1000


def test_the_same_is_said_once_in_a_while_and_costs_one_round_trip(app: APIFlask, ear: Any) -> None:
    publish.note_watched()
    with time_machine.travel(now(), tick=False) as clock:
        before = _commands()
        for _ in range(100):
            publish.hint(OVERVIEW, QUEUES)
        assert _commands()["reads"] - before["reads"] < 20
        assert ear.hints() == [OVERVIEW, QUEUES]
        publish.hint(FAILED, QUEUES)
        assert ear.hints() == [FAILED]
        clock.shift(HINT_EVERY)
        publish.hint(OVERVIEW)
        assert ear.hints() == [OVERVIEW]
        clock.shift(-HINT_EVERY * 10)  # a clock that was set back does not silence it
        publish.hint(OVERVIEW)
        assert ear.hints() == [OVERVIEW]


@pytest.mark.usefixtures("redis_away")
def test_without_redis_a_hint_is_passed_over_and_whoever_watches_is_told_that_nothing_comes() -> None:
    publish.hint(OVERVIEW)
    assert not publish.note_watched()


class OwnRedis:
    """A Redis that can be stopped and started again."""

    def __init__(self, place: Path) -> None:
        self.place, self.url = place, f"unix://{place / 'redis.sock'}"
        self.start()

    def start(self) -> None:
        arguments = [
            "--port",
            "0",
            "--unixsocket",
            str(self.place / "redis.sock"),
            "--dir",
            str(self.place),
            "--save",
            "",
        ]
        self.process = subprocess.Popen([redis_server(), *arguments], stdout=subprocess.DEVNULL)
        client = redis.Redis.from_url(self.url)
        for _ in range(6000):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.01)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def own_app(settings: Settings, migrated_app: APIFlask, own_redis: OwnRedis) -> Iterator[APIFlask]:
    app = create_app(replace(settings, redis_url=own_redis.url))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.mark.slow
def test_a_dead_redis_is_logged_once_and_otherwise_passed_over(own_app: APIFlask, own_redis: OwnRedis) -> None:
    state = {"seq": 1, "unread": 0, "unseen": 0, "changed": []}
    with structlog.testing.capture_logs() as logs:
        publish.publish_state("alice", state)
        own_redis.stop()
        for _ in range(3):
            publish.publish_state("alice", state)
        own_redis.start()
        is_left_alone = redis_store.is_away()  # for a while, which may be over by now
        publish.publish_state("alice", state)
        time.sleep(AWAY_S)
        publish.publish_state("alice", state)
        publish.publish_state("alice", state)
    assert _commands()["publish"] == (2 if is_left_alone else 3)
    assert [entry["event"] for entry in logs] == ["redis.is_away", "redis.is_back"]


@pytest.mark.slow
def test_when_redis_returns_browsers_learn_that_they_missed_something(
    own_app: APIFlask, own_redis: OwnRedis, arrive: Any, cookie_of: Any
) -> None:
    server = make_server("127.0.0.1", 0, own_app, threaded=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    browser = Browser(
        f"http://127.0.0.1:{server.port}", auth={"token": tokens.sign_user_token(subject_of("alice"), 60)[0]}
    )
    console = Browser(f"http://127.0.0.1:{server.port}", headers=cookie_of("viewer", "viewer"), namespace=CONSOLE)
    try:
        assert console.ask("watch", {"topic": "overview"})["is_live"]
        own_redis.stop()
        assert not console.ask("watch", {"topic": "overview"})["is_live"]
        arrive("alice")  # nobody can be told
        own_redis.start()
        assert console.hear() == ("changed", {"topic": "overview"})
        assert browser.hear() == ("state", {"seq": 1, "unread": 1, "unseen": 1, "changed": []})
        assert len(browser.ask("sync", {"since": 0})["changed"]) == 1
        arrive("alice")  # all is as before
        assert browser.hear()[0] == "item"
    finally:
        browser.wire.disconnect()
        console.wire.disconnect()
        server.shutdown()
