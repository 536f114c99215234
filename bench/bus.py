"""How fast one process takes notifications from Kafka, for people on two channels as the calls of `bulks` name them.

`python -m bench.bus` is the Kafka: librdkafka's own, in a process of its own. Prints where it listens.
"""

import json
import sys
import time
from uuid import UUID

import sqlalchemy as sa
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from bench.load import data
from bench.processes import cpu_s, peak_mb, running, wait_until
from bench.sample import CROWD, KEY, PEOPLE, TYPE
from bench.stage import Found, Stage, micros
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.models import Submission

_TOPIC = "order-events"


def from_kafka(stage: Stage, count: int) -> Found:
    """`people/s`: from the end of the first batch to that of the last."""
    here = stage.installation
    with running(here.start("bench.bus")) as cluster:
        brokers = cluster.read_json()
        _send(brokers, count)
        mark = new_id()
        url = f"kafka://{brokers}/{_TOPIC}?group=bench"
        found: Found = {}
        done = 0
        with running(here.start("notifier", "consume", url, more={"CONSUME_KEY": KEY})) as process:
            pid = process.process.pid
            first = wait_until(lambda: _stored(mark), "the first messages are stored", pause_s=0.01)
            begun, before = time.monotonic(), cpu_s([pid])
            with stage.costs(found, lambda: done):
                wait_until(lambda: _stored(mark) == count, "all messages are stored", within_s=300, pause_s=0.1)
                done = count - first
            seconds = time.monotonic() - begun
            cpu_us, peak = micros(cpu_s([pid]) - before, done), peak_mb(pid)
    here.clear_queues()
    return {"people/s": round(done / seconds, 1), "cpu_us": cpu_us, **found, "peak_mb": peak or 0.0}


def _send(brokers: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": brokers, "queue.buffering.max.messages": count + 1, "linger.ms": 20})
    producer.list_topics(_TOPIC, timeout=30)  # which makes it
    for number in range(count):
        body = {
            "type": TYPE,
            "recipients": [f"{PEOPLE}{number % CROWD}"],
            "data": data(number),
            "channels": ["inapp", "email"],
        }
        producer.produce(_TOPIC, json.dumps(body).encode())
    if producer.flush(120):
        raise RuntimeError("the messages were not taken")


def _stored(mark: UUID) -> int:
    count = db.session.scalar(sa.select(sa.func.count()).select_from(Submission).where(Submission.id > mark))
    db.session.rollback()
    return count or 0


if __name__ == "__main__":
    kafka = AdminClient({"test.mock.num.brokers": 1})
    brokers = kafka.list_topics(timeout=30).brokers.values()
    print(json.dumps(",".join(f"{broker.host}:{broker.port}" for broker in brokers)), flush=True)
    sys.stdin.read()
