"""Signs of life, by Redis' clock."""

import pytest
from apiflask import APIFlask
from rq import Queue, SimpleWorker

from notifier.ground.extensions import redis_store
from notifier.signals import liveness

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")


def test_a_scheduler_tells_how_its_clock_goes_and_takes_that_with_it(app: APIFlask) -> None:
    client = redis_store.client
    for name in ("one:1", "two:2"):
        liveness.beat_scheduler(client, name)
    liveness.end_scheduler(client, "one:1")

    [sign] = liveness.scheduler_signs(client)

    assert (sign.name, sign.host, sign.is_recent, sign.ahead_s is None) == ("two:2", "two", True, False)
    assert client.keys("*one:1*") == []


def test_the_clock_of_a_worker_of_another_make_is_unknown(app: APIFlask) -> None:
    worker = SimpleWorker([Queue("email.high", connection=redis_store.client)], connection=redis_store.client)
    worker.register_birth()

    [sign] = liveness.worker_signs(redis_store.client)

    assert (sign.name, sign.queues, sign.is_recent, sign.ahead_s) == (
        worker.name,
        frozenset({"email.high"}),
        True,
        None,
    )
