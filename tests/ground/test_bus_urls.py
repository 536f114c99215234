"""What CONSUME_URL may say."""

import pytest

from notifier.ground.bus_urls import BusTarget, KafkaBus, RabbitBus, RedisBus, SqsBus, parse_bus
from notifier.ground.sink_urls import Credentials, KafkaTopic

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "target", "dead"),
    [
        ("kafka://a,b:1/orders", KafkaBus(KafkaTopic(("a:9092", "b:1"), "orders", False), "notifier"), "orders.dead"),
        (
            "kafka://u:p%40ss@a/orders?mechanism=SCRAM-SHA-512&group=shop",
            KafkaBus(KafkaTopic(("a:9092",), "orders", True, Credentials("u", "p@ss"), "SCRAM-SHA-512"), "shop"),
            "orders.dead",
        ),
        ("amqp://h?queue=orders", RabbitBus("h", 5672, "/", "orders", False), "orders.dead"),
        (
            "amqps://u:p%3Ass@h:7/v%2Fhost?queue=o.r",
            RabbitBus("h", 7, "v/host", "o.r", True, Credentials("u", "p:ss")),
            "o.r.dead",
        ),
        ("sqs://eu-central-1/orders", SqsBus("eu-central-1", "orders"), "orders-dead"),
        (
            "sqs://eu-central-1/orders.fifo?endpoint=http://localhost:4566&idle=5",
            SqsBus("eu-central-1", "orders.fifo", "http://localhost:4566", 5),
            "orders-dead.fifo",
        ),
        (
            "redis+stream://:p%40ss@h/0/orders",
            RedisBus("redis://:p%40ss@h/0", "h:6379", "orders", "notifier"),
            "orders.dead",
        ),
        (
            "rediss+stream://[::1]:7/3/a:b?group=shop&idle=5",
            RedisBus("rediss://[::1]:7/3", "[::1]:7", "a:b", "shop", 5),
            "a:b.dead",
        ),
    ],
)
def test_a_bus_is_read_from_its_url(text: str, target: BusTarget, dead: str) -> None:
    assert parse_bus(text) == target
    assert target.dead == dead


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must start with"),
        ("nats://h/orders", "must start with"),
        ("redis://h:6379/0/orders", "must start with"),
        ("kafka://h", "must name a topic"),
        ("kafka://h/orders?offset=1", "may be followed by"),
        (f"kafka://u:{SECRET}@h/orders?tls=off", "by TLS only"),
        ("kafka://h/orders?group=", "must name its group"),
        (f"amqp://u:{SECRET}@h/v", "must name a host and a queue"),
        (f"amqp://u:{SECRET}@h:port/v?queue=q", "is not a URL"),
        ("amqp://h/v?queue=q&prefetch=1", "may be followed by"),
        ("amqp://h/v?queue=zwölf", "must be in ASCII"),
        ("sqs://orders", "must name a region and a queue"),
        ("sqs://eu-central-1/orders.dead", "must name a region and a queue"),
        ("sqs://eu-central-1/orders?endpoint=localhost", "takes as endpoint="),
        (f"redis+stream://:{SECRET}@h/orders", "must name a host, a database and a stream"),
        ("redis+stream://h/0/orders?idle=0", "takes as idle="),
        ("redis+stream://h/0/orders?idle=1d", "takes as idle="),
    ],
)
def test_what_is_no_bus_is_said_without_the_url(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        parse_bus(text)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "shown", "name"),
    [
        (f"kafka://u:{SECRET}@a,b:1/orders", "kafka://a:9092,b:1/orders", "kafka:orders"),
        (f"amqps://u:{SECRET}@h/v?queue=orders", "amqps://h:5671/v?queue=orders", "amqp:orders"),
        ("sqs://eu-central-1/orders", "sqs://eu-central-1/orders", "sqs:orders"),
        (f"redis+stream://u:{SECRET}@h/0/orders", "redis+stream://h:6379/orders", "redis:orders"),
    ],
)
def test_what_is_shown_of_a_bus_holds_no_secret(text: str, shown: str, name: str) -> None:
    target = parse_bus(text)
    assert (target.shown, target.name) == (shown, name)
    assert SECRET not in repr(target)
