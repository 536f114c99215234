"""Every broker is started once, when the first test asks for it."""

from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from tests import kafka
from tests.bus.brokers import CREDENTIALS, Broker, Kafka, Rabbit, RabbitServer, Sqs, Streams
from tests.running import Redis

BUSES = ("kafka", "rabbitmq", "sqs", "redis")


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[Kafka]:
    with kafka.cluster() as brokers:
        yield Kafka(brokers)


@pytest.fixture(scope="session")
def rabbitmq_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rabbit]:
    server = RabbitServer(tmp_path_factory.mktemp("rabbitmq"))
    yield Rabbit(server.port)
    server.stop()


@pytest.fixture(scope="session")
def sqs_broker() -> Iterator[Sqs]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield Sqs(f"http://{host}:{port}")
    server.stop()


@pytest.fixture(scope="session")
def redis_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streams]:
    server = Redis(tmp_path_factory.mktemp("streams"))
    yield Streams(server.port)
    server.stop()


@pytest.fixture(params=BUSES)
def broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Broker:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    found: Broker = request.getfixturevalue(f"{request.param}_broker")
    return found
