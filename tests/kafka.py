"""A Kafka for tests: librdkafka's mock cluster, in a process of its own, and all that stands in a topic of it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, TopicPartition

_CLUSTER = """
import json, sys, time
from confluent_kafka.admin import AdminClient
cluster = AdminClient({"test.mock.num.brokers": 1})
print(",".join(f"{b.host}:{b.port}" for b in cluster.list_topics(timeout=30).brokers.values()), flush=True)
sys.stdin.read()
"""


@contextmanager
def cluster() -> Iterator[str]:
    """→ host:port. Topics make themselves, with 4 partitions."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().strip()
    finally:
        process.kill()
        process.communicate()


def all_of(brokers: str, topic: str) -> list[tuple[str | None, dict[str, Any]]]:
    """Key and value of every message, partition after partition."""
    found = messages_of(brokers, topic)
    return [(None if one.key() is None else one.key().decode(), json.loads(one.value())) for one in found]


def messages_of(brokers: str, topic: str) -> list[Any]:
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "tests", "enable.auto.commit": False})
    found = []
    for partition in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
        place = TopicPartition(topic, partition)
        first, end = consumer.get_watermark_offsets(place, timeout=30)
        if first == end:
            continue
        consumer.assign([TopicPartition(topic, partition, first)])
        while consumer.position([place])[0].offset < end:
            message = consumer.poll(30)
            assert message is not None
            assert message.error() is None
            found.append(message)
    consumer.close()
    return found
