"""What `doctor` says of the message bus."""

import pytest
from apiflask import APIFlask

from notifier.access import keys
from tests.bus.brokers import Streams, new_queue, order
from tests.bus.conftest import redis_broker  # noqa: F401
from tests.programs.doctor.conftest import PASSWORD, Doctor
from tests.running import free_port

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_a_bus_that_answers_and_a_key_that_may_submit_are_fine(
    app: APIFlask,
    doctor: Doctor,
    redis_broker: Streams,  # noqa: F811
) -> None:
    queue = new_queue()
    redis_broker.send(queue, [order(1)])
    plain = keys.create_key(keys.create_producer("Bus").id, scopes=["notify"])[1]
    told = doctor("bus", CONSUME_URL=redis_broker.url(queue), CONSUME_KEY=plain)
    assert told.of("ok")[-2:] == [
        "bus: the key in CONSUME_KEY may submit",
        f"bus: redis+stream://127.0.0.1:{redis_broker.port}/{queue} answers",
    ]
    assert redis_broker.client.xinfo_groups(queue) == []  # it changes nothing


def test_a_bus_that_is_away_or_another_thing_and_a_key_that_may_not_are_faults(
    app: APIFlask,
    doctor: Doctor,
    redis_broker: Streams,  # noqa: F811
) -> None:
    redis_broker.client.set("text", "no stream")
    told = doctor("bus", CONSUME_URL=redis_broker.url("text"), CONSUME_KEY="ntf_live_unknown")
    assert [fault.split(": ")[1] for fault in told.of("fault")] == [
        "messages wait",
        f"redis+stream://127.0.0.1:{redis_broker.port}/text is no stream but a string",
    ]
    away = f"redis+stream://:{PASSWORD}@127.0.0.1:{free_port()}/0/orders"
    [fault] = doctor("bus", CONSUME_URL=away, CONSUME_KEY=None).of("fault")
    assert "cannot be reached (redis_ConnectionError)" in fault


def test_without_a_bus_there_is_nothing_to_examine(app: APIFlask, doctor: Doctor) -> None:
    assert doctor("bus").of("ok")[-1] == "bus: no message bus is read (CONSUME_URL is not set)"
