"""Real brokers for the tests of message buses, each behind the same few calls."""

import contextlib
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pika
import redis
from botocore.session import get_session
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.running import eventually, free_port, installed

IDLE_S = 4  # after which messages of one that shows no life are given to others
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}  # moto takes any


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, as it stands on the bus."""

    body: bytes
    headers: Mapping[str, str]


class Broker(Protocol):
    environment: Mapping[str, str]

    def url(self, queue: str) -> str: ...
    def make(self, queue: str) -> None: ...
    def send(self, queue: str, bodies: Sequence[bytes]) -> None: ...
    def letters(self, queue: str) -> list[Letter]: ...
    def unacknowledged(self, queue: str) -> int:
        """Messages that would be given again, or have not been given yet."""


# ---- Kafka ----------------------------------------------------------------------------------------------------------


@dataclass
class Kafka:
    brokers: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def url(self, queue: str) -> str:
        return f"kafka://{self.brokers}/{queue}?group={queue}"

    def make(self, queue: str) -> None:
        self.send(queue, [])

    def send(self, queue: str, bodies: Sequence[bytes], *, key: str | None = None) -> None:
        """Without a key each goes to any partition: of its own accord, a producer stays with one for a moment."""
        options = {"bootstrap.servers": self.brokers, "message.max.bytes": 100_000_000}
        producer = Producer({**options, "sticky.partitioning.linger.ms": 0})
        producer.list_topics(queue, timeout=30)  # the mock cluster makes a topic when it is asked for
        for body in bodies:
            producer.produce(queue, body, key)
            producer.poll(0)
        assert producer.flush(30) == 0

    def letters(self, queue: str) -> list[Letter]:
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "tests", "enable.auto.commit": False})
        found = []
        for place, first, end in self._places(consumer, f"{queue}.dead"):
            consumer.assign([TopicPartition(place.topic, place.partition, first)])
            for _ in range(first, end):
                message = consumer.poll(30)
                headers = {name: value.decode() for name, value in message.headers()}
                found.append(Letter(message.value() or b"", headers))
        consumer.close()
        return found

    def unacknowledged(self, queue: str) -> int:
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": queue, "enable.auto.commit": False})
        left = 0
        for place, first, end in self._places(consumer, queue):
            (committed,) = consumer.committed([place], timeout=30)
            left += end - (committed.offset if committed.offset >= 0 else first)
        consumer.close()
        return left

    def _places(self, consumer: Consumer, topic: str) -> Iterator[tuple[TopicPartition, int, int]]:
        found = consumer.list_topics(timeout=30).topics.get(topic)
        for partition in found.partitions if found else ():
            place = TopicPartition(topic, partition)
            with contextlib.suppress(KafkaException):
                yield place, *consumer.get_watermark_offsets(place, timeout=30)


# ---- RabbitMQ -------------------------------------------------------------------------------------------------------


class RabbitServer:
    """Debian's, without its wrapper: that changes accounts, and fails in a folder of ours."""

    def __init__(self, place: Path) -> None:
        if not Path("/usr/lib/rabbitmq/bin/rabbitmq-server").exists():
            installed("rabbitmq-server")  # says so
        self.port = free_port()
        (place / "plugins").write_text("[].")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "RABBITMQ_NODENAME": f"notifier{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(place / "mnesia"),
            "RABBITMQ_MNESIA_DIR": str(place / "mnesia" / "node"),
            "RABBITMQ_LOG_BASE": str(place / "log"),
            "RABBITMQ_PID_FILE": str(place / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "plugins"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(place / "flags"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
        }
        self._out = place / "out"
        with self._out.open("wb") as out:
            self._process = subprocess.Popen(
                ["/usr/lib/rabbitmq/bin/rabbitmq-server"], env=self.environment, stdout=out, stderr=out, cwd=place
            )
        eventually(lambda: "completed with" in self._out.read_text(errors="replace"))

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        epmd = shutil.which("epmd") or "/usr/bin/epmd"
        subprocess.run([epmd, "-kill"], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@dataclass
class Rabbit:
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)

    def url(self, queue: str) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/?queue={queue}"

    @contextlib.contextmanager
    def _channel(self) -> Iterator[Any]:
        connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.port))
        yield connection.channel()
        connection.close()

    def make(self, queue: str) -> None:
        with self._channel() as channel:
            channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})

    def send(self, queue: str, bodies: Sequence[bytes]) -> None:
        self.make(queue)
        with self._channel() as channel:
            channel.confirm_delivery()
            for body in bodies:
                channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2))

    def delete(self, queue: str) -> None:
        with self._channel() as channel:
            channel.queue_delete(queue)

    def letters(self, queue: str) -> list[Letter]:
        found = []
        with self._channel() as channel:
            while True:
                method, properties, body = channel.basic_get(f"{queue}.dead")
                if method is None:
                    return found
                found.append(Letter(body, properties.headers))

    def unacknowledged(self, queue: str) -> int:
        """Of a consumer that lives, its prefetched ones do not count."""
        with self._channel() as channel:
            return int(channel.queue_declare(queue, passive=True).method.message_count)


# ---- Amazon SQS -----------------------------------------------------------------------------------------------------


@dataclass
class Sqs:
    endpoint: str
    environment: Mapping[str, str] = field(default_factory=lambda: CREDENTIALS)

    def url(self, queue: str) -> str:
        return f"sqs://eu-central-1/{queue}?endpoint={self.endpoint}&idle={IDLE_S}"

    def _client(self) -> Any:
        return get_session().create_client(
            "sqs",
            region_name="eu-central-1",
            endpoint_url=self.endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def delete(self, queue: str) -> None:
        self._client().delete_queue(QueueUrl=self._address(queue))

    def _address(self, queue: str) -> str:
        return f"{self.endpoint}/123456789012/{queue}"

    def make(self, queue: str, **attributes: str) -> None:
        self._client().create_queue(QueueName=queue, Attributes=attributes)

    def send(self, queue: str, bodies: Sequence[bytes]) -> None:
        self.make(queue)
        client = self._client()
        for at in range(0, len(bodies), 10):
            entries = [
                {"Id": str(number), "MessageBody": body.decode()} for number, body in enumerate(bodies[at : at + 10])
            ]
            answer = client.send_message_batch(QueueUrl=self._address(queue), Entries=entries)
            assert not answer.get("Failed")

    def letters(self, queue: str) -> list[Letter]:
        client, found = self._client(), []
        while True:
            answer = client.receive_message(
                QueueUrl=self._address(f"{queue}-dead"), MaxNumberOfMessages=10, MessageAttributeNames=["All"]
            )
            if not answer.get("Messages"):
                return found
            for one in answer["Messages"]:
                headers = {name: value["StringValue"] for name, value in one["MessageAttributes"].items()}
                found.append(Letter(one["Body"].encode(), headers))

    def unacknowledged(self, queue: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._client().get_queue_attributes(QueueUrl=self._address(queue), AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)


# ---- Redis ----------------------------------------------------------------------------------------------------------


@dataclass
class Streams:
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client: Any = redis.Redis(port=self.port)

    def url(self, queue: str) -> str:
        return f"redis+stream://127.0.0.1:{self.port}/0/{queue}?group=notifier&idle={IDLE_S}"

    def make(self, queue: str) -> None:
        """Streams make themselves."""

    def send(self, queue: str, bodies: Sequence[bytes]) -> None:
        with self.client.pipeline() as pipe:
            for body in bodies:
                pipe.xadd(queue, {"body": body})
            pipe.execute()

    def letters(self, queue: str) -> list[Letter]:
        entries = [fields for _, fields in self.client.xrange(f"{queue}.dead")]
        return [
            Letter(
                fields.pop(b"body"),
                {name.decode(): value.decode() for name, value in fields.items()},
            )
            for fields in entries
        ]

    def unacknowledged(self, queue: str) -> int:
        (group,) = self.client.xinfo_groups(queue) or [{"pending": 0, "lag": 0}]
        return int(group["pending"]) + int(group["lag"] or 0)


# ---- what is sent ---------------------------------------------------------------------------------------------------


def order(number: int, *, to: str = "alice", **more: Any) -> bytes:
    """A message that the API would accept."""
    body = {"type": "order_shipped", "recipients": [to], "data": {"order_id": f"A{number}"}, "dedupe": False, **more}
    return json.dumps(body).encode()


def new_queue() -> str:
    return f"orders-{uuid.uuid4().hex[:8]}"
