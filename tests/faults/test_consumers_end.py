"""A process that consumes is killed when it has stored a batch, before it acknowledges it: each message counts once."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access import keys
from notifier.ground.extensions import db
from notifier.models import Notification
from tests.bus.brokers import Broker, Kafka, new_queue, order
from tests.bus.conftest import (  # noqa: F401
    broker,
    kafka_broker,
    rabbitmq_broker,
    redis_broker,
    sqs_broker,
)
from tests.bus.consuming import Consume
from tests.running import eventually

pytestmark = pytest.mark.faults

COUNT = 500


@pytest.fixture
def surroundings(app: APIFlask, environment: dict[str, str], cast: Any) -> dict[str, str]:
    plain = keys.create_key(keys.create_producer("Bus").id, scopes=["notify"])[1]
    return {**environment, "CONSUME_KEY": plain}


@pytest.fixture
def started() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def stored() -> list[str]:
    db.session.rollback()
    return [data["order_id"] for data in db.session.scalars(sa.select(Notification.data))]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_consumer_killed_before_it_acknowledges_stores_everything_once(
    broker: Broker,  # noqa: F811
    surroundings: dict[str, str],
    started: ExitStack,
    tmp_path: Path,
) -> None:
    queue = new_queue()
    broker.send(queue, [*(order(number) for number in range(COUNT)), b"nonsense"])
    environment = {**surroundings, **broker.environment}
    first = Consume(environment, tmp_path / "first", broker.url(queue), module="tests.bus.dying")
    started.callback(first.kill)
    assert first.process.wait(180) == -signal.SIGKILL, first.text()
    before = len(stored())
    assert 0 < before <= COUNT
    second = Consume(environment, tmp_path / "second", broker.url(queue))
    started.callback(second.kill)
    eventually(lambda: second.count("submission.") >= COUNT and second.count("consume.dead_letter"))
    eventually(lambda: broker.unacknowledged(queue) == 0)
    assert second.end() == 0, second.text()
    assert sorted(stored()) == sorted(f"A{number}" for number in range(COUNT))
    assert broker.unacknowledged(queue) == 0
    letters = broker.letters(queue)
    assert {letter.body for letter in letters} == {b"nonsense"}
    assert letters[0].headers["notifier-error"].startswith("malformed_json")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_two_consumers_share_a_topic_and_one_goes_on_when_the_other_is_killed(
    kafka_broker: Kafka,  # noqa: F811
    surroundings: dict[str, str],
    started: ExitStack,
    tmp_path: Path,
) -> None:
    queue = new_queue()
    kafka_broker.make(queue)
    consumers = [Consume(surroundings, tmp_path / f"log{n}", kafka_broker.url(queue)) for n in range(2)]
    for one in consumers:
        started.callback(one.kill)

    def partitions(one: Consume) -> int:
        lines = [line for line in one.text().splitlines() if "consume.partitions" in line]
        return lines[-1].count(",") + ("[]" not in lines[-1]) if lines else 0

    eventually(lambda: [partitions(one) for one in consumers] == [2, 2], within_s=60)
    kafka_broker.send(queue, [order(number) for number in range(COUNT)])
    eventually(lambda: len(stored()) > 0)
    consumers[0].end(signal.SIGKILL)
    kafka_broker.send(queue, [order(number) for number in range(COUNT, 2 * COUNT)])
    eventually(lambda: len(stored()) >= 2 * COUNT and kafka_broker.unacknowledged(queue) == 0, within_s=60)
    assert sorted(stored()) == sorted(f"A{number}" for number in range(2 * COUNT))
    assert consumers[1].end() == 0
    assert json.dumps(surroundings["CONSUME_KEY"]) not in consumers[1].text()
