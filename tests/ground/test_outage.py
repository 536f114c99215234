"""A Redis that hangs: connections are taken, commands are not answered. It is waited for once, and then left alone for
a while.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
import structlog
from apiflask import APIFlask
from flask import current_app, g

from notifier.app import create_app
from notifier.core.submission import InlineRecipient
from notifier.ground.config import Settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.ground.outage import ANSWER_S, AWAY_S, REQUEST_S, Once, Outage, RedisIsAway
from notifier.people import profiles
from notifier.providers import health
from notifier.signals import liveness
from tests.conftest import Api
from tests.running import Redis

SEVERAL_WAITS_S = 3 * ANSWER_S  # no machine is so slow that one wait takes as long


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    yield server
    server.wake()
    server.stop()


@pytest.fixture
def own_app(settings: Settings, app: APIFlask, own_redis: Redis) -> Iterator[APIFlask]:
    """On the same database, with a Redis that may be made to hang; what is counted and kept there is on."""
    own = create_app(replace(settings, redis_url=own_redis.url, preference_cache=True), socketio_queue=False)
    with own.app_context():
        yield own
        db.session.remove()
        db.engine.dispose()


def took_s(work: Callable[[], object]) -> float:
    began_at = time.monotonic()
    work()
    return time.monotonic() - began_at


@pytest.mark.slow
def test_a_request_waits_once_for_all_it_asks_of_redis(own_app: APIFlask, own_redis: Redis, producer_key: str) -> None:
    with transaction():
        profiles.upsert([InlineRecipient("alice", {"email": "alice@example.test"})])
    api = Api(own_app.test_client(), producer_key)
    # Limits, caps, choices, a bell, an event
    liked = {"type": "like", "recipients": ["alice"], "data": {"actor": "Bob", "object": "photo"}}
    own_redis.hang()
    answers = []
    with structlog.testing.capture_logs() as logs:
        first_s = took_s(lambda: answers.append(api.post("/api/v1/notifications", liked)))
        next_s = took_s(
            lambda: answers.append(
                api.post("/api/v1/notifications", {**liked, "data": {"actor": "Carol", "object": "photo"}})
            )
        )
    assert [answer.status_code for answer in answers] == [202, 202]
    assert first_s < SEVERAL_WAITS_S
    assert next_s < SEVERAL_WAITS_S
    assert [line["event"] for line in logs].count("redis.is_away") == 1


@pytest.mark.slow
def test_after_a_while_one_caller_finds_out_that_it_is_back(own_app: APIFlask, own_redis: Redis) -> None:
    own_redis.hang()
    with pytest.raises(redis.RedisError):
        redis_store.client.ping()
    own_redis.wake()
    with pytest.raises(RedisIsAway):
        redis_store.client.ping()
    time.sleep(AWAY_S)
    assert not redis_store.is_away()
    assert redis_store.client.ping()
    assert redis_store.client.ping()


@pytest.mark.slow
def test_a_connection_that_stands_open_is_no_sign_that_it_is_back(own_app: APIFlask, own_redis: Redis) -> None:
    assert redis_store.client.ping()
    own_redis.hang()
    with structlog.testing.capture_logs() as logs:
        current_app.extensions["redis"].outage.begin(redis.TimeoutError())  # another caller's, on another connection
        time.sleep(AWAY_S)
        with pytest.raises(redis.TimeoutError):
            redis_store.client.ping()
    assert [line["event"] for line in logs] == ["redis.is_away"]


def _count_workers() -> None:
    with pytest.raises(RedisIsAway):
        liveness.count_workers(redis_store.client)


@pytest.mark.slow
@pytest.mark.parametrize(
    "ask",
    [_count_workers, redis_store.look, lambda: health.admit([health.Want("smtp", 3)])],
    ids=["liveness", "look", "health"],
)
def test_whoever_asks_next_is_refused_at_once(own_app: APIFlask, own_redis: Redis, ask: Callable[[], object]) -> None:
    own_redis.hang()
    with pytest.raises(redis.RedisError):
        redis_store.client.ping()
    assert took_s(lambda: [ask() for _ in range(3)]) < SEVERAL_WAITS_S


@pytest.mark.slow
def test_what_is_asked_inside_a_transaction_is_found_hanging_before_it_begins(
    own_app: APIFlask, own_redis: Redis
) -> None:
    own_redis.hang()
    redis_store.look()
    assert redis_store.is_away()


def test_the_outage_is_the_clients_and_not_a_connections() -> None:
    outage = Outage()
    client = redis.Redis.from_url("unix:///nonexistent/redis.sock", retry=Once(outage))
    with pytest.raises(redis.ConnectionError):
        client.ping()
    with pytest.raises(RedisIsAway):
        client.pipeline().ping().execute()
    assert outage.is_on()


def test_a_request_that_a_slow_redis_has_kept_for_long_asks_no_more(own_app: APIFlask) -> None:
    with own_app.test_request_context("/"):
        assert redis_store.client.ping()
        g.waited_for_redis_s = REQUEST_S + 0.1
        with pytest.raises(RedisIsAway):
            redis_store.client.ping()
    assert redis_store.client.ping()  # others do
