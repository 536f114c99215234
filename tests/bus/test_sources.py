"""Each bus by a real broker: nothing is acknowledged unasked, and dead letters say where they come from."""

import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import pika
import pytest
from confluent_kafka import KafkaError

from notifier.bus import kafka
from notifier.bus.rabbitmq import RabbitSource
from notifier.bus.source import Away, Source, at_ms, headers_of, source_of
from notifier.core.bus_messages import DeadLetter, Message
from notifier.ground.bus_urls import RabbitBus, parse_bus
from notifier.ground.config import NotReady
from tests.bus.brokers import Broker, Kafka, Rabbit, Sqs, Streams, new_queue, order
from tests.running import eventually, free_port

Open = Callable[[str], Source]


@pytest.fixture
def opened() -> Iterator[Open]:
    with ExitStack() as stack:

        def call(url: str) -> Source:
            source = source_of(parse_bus(url))
            source.open()
            stack.callback(source.close)
            return source

        yield call


def taken(source: Source, count: int) -> list[Message]:
    found: list[Message] = []
    eventually(lambda: found.extend(source.take(1_000, 0.2, 0.05)) or len(found) >= count, within_s=30)
    return found


@pytest.mark.slow
def test_what_is_not_acknowledged_is_given_again_under_the_same_key(broker: Broker, opened: Open) -> None:
    queue = new_queue()
    broker.send(queue, [order(number) for number in range(30)])
    first = opened(broker.url(queue))
    keys = {message.body: message.key for message in taken(first, 30)}
    first.keep()
    first.close()
    second = opened(broker.url(queue))
    again = taken(second, 30)
    if isinstance(broker, Rabbit):
        assert not any(message.is_first for message in again)
    assert {message.body: message.key for message in again} == keys
    assert len(set(keys.values())) == 30
    second.acknowledge(again)
    eventually(lambda: broker.unacknowledged(queue) == 0)


@pytest.mark.slow
def test_a_dead_letter_says_why_and_where_it_stood(broker: Broker, opened: Open) -> None:
    queue = new_queue()
    broker.send(queue, [b"nonsense"])
    source = opened(broker.url(queue))
    [message] = taken(source, 1)
    source.bury([DeadLetter(message, "malformed_json", "the body is not valid JSON: “x”")])
    source.acknowledge([message])
    [letter] = broker.letters(queue)
    assert letter.body == b"nonsense"
    headers = {name: value for name, value in letter.headers.items() if value}
    assert headers.pop("notifier-at").startswith("20")
    assert headers.pop("notifier-error") == "malformed_json: the body is not valid JSON: \\u201cx\\u201d"
    assert headers.pop("notifier-topic") == queue
    assert headers.pop("notifier-offset") == message.offset
    assert headers.get("notifier-partition", "") == message.partition


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ("“x”: \x00\n\t\x7fé", r"\u201cx\u201d: \x00\n\t\x7f\xe9"),
        ("/\ud800", r"/\ud800"),  # half a character, as JSON may write it
        ("a" * 2_000, "a" * 986),
    ],
)
def test_what_is_wrong_with_a_message_is_said_in_printable_signs(detail: str, said: str) -> None:
    """It quotes the message, and SQS takes no letter with a control character: the message would wait for ever."""
    letter = DeadLetter(Message(b"", "q", "0", "1", "k", None), "a_broken_one", detail)
    assert headers_of(letter)["notifier-error"] == f"a_broken_one: {said}"


@pytest.mark.parametrize(("bus", "dead"), [("rabbitmq", ".dead"), ("sqs", "-dead")])
def test_a_queue_of_dead_letters_that_was_deleted_is_made_again(
    bus: str, dead: str, request: pytest.FixtureRequest, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker: Rabbit | Sqs = request.getfixturevalue(f"{bus}_broker")
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    queue = new_queue()
    broker.send(queue, [b"nonsense"])
    source = opened(broker.url(queue))
    [message] = taken(source, 1)
    broker.delete(f"{queue}{dead}")
    letter = DeadLetter(message, "malformed_json", "no")
    with pytest.raises(Away):
        source.bury([letter])
    source.bury([letter])
    assert [one.body for one in broker.letters(queue)] == [b"nonsense"]


def test_a_queue_that_is_missing_is_said_in_a_sentence(broker: Broker, opened: Open) -> None:
    queue = new_queue()
    if isinstance(broker, Streams):
        broker.client.set(queue, "a text")
    with pytest.raises(NotReady, match=queue) as refused:
        opened(broker.url(queue))
    assert str(refused.value).endswith("correct the URL.")


@pytest.mark.slow
@pytest.mark.parametrize(
    "url",
    [
        "kafka://127.0.0.1:{}/orders",
        "amqp://127.0.0.1:{}/?queue=orders",
        "sqs://eu-central-1/orders?endpoint=http://127.0.0.1:{}",
        "redis+stream://127.0.0.1:{}/0/orders",
    ],
)
def test_a_bus_that_nobody_answers_at_is_away(url: str, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with pytest.raises(Away) as away:
        opened(url.format(free_port()))
    assert away.value.code.startswith(("kafka_", "amqp_", "sqs_", "redis_"))


@pytest.mark.slow
def test_the_lag_is_known(broker: Broker, opened: Open) -> None:
    queue = new_queue()
    broker.send(queue, [order(number) for number in range(20)])
    source = opened(broker.url(queue))
    messages = taken(source, 20)
    source.acknowledge(messages)
    assert source.lag() == 0


# ---- Kafka ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_partition_keeps_its_order_also_across_consumers(kafka_broker: Kafka, opened: Open) -> None:
    queue = new_queue()
    kafka_broker.send(queue, [order(number) for number in range(50)], key="alice")
    first = opened(kafka_broker.url(queue))
    got = taken(first, 50)
    first.acknowledge(got[:20])
    first.close()
    second = opened(kafka_broker.url(queue))
    assert [message.body for message in taken(second, 30)] == [order(number) for number in range(20, 50)]


@dataclass
class Came:
    """A message of the library's, or an error, which comes by the same way."""

    code: int | None = None

    def error(self) -> KafkaError | None:
        return None if self.code is None else KafkaError(self.code)


@pytest.mark.parametrize("time", [10**17, 2**62])  # milliseconds for seconds, microseconds for milliseconds, or worse
def test_a_message_with_a_time_that_cannot_be_is_taken_without(time: int) -> None:
    """Senders choose it: whatever it raised would end each consumer, since the message is given again."""
    rabbit = RabbitSource(RabbitBus("localhost", 5672, "/", "q", has_tls=False))
    rabbit._note(None, pika.spec.Basic.Deliver(delivery_tag=1), pika.BasicProperties(timestamp=time), b"{}")
    assert [(one.body, one.at) for one in rabbit._came] == [(b"{}", None)]
    assert at_ms(time) is None
    assert at_ms(1_700_000_000_000) == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        b"T" + struct.pack(">Q", 1_700_000_000_000),  # milliseconds for seconds
        b"T" + struct.pack(">q", -1),  # before 1970, as Java writes it
        b"d" + struct.pack(">d", float("nan")),
        b"f" + struct.pack(">f", float("inf")),
    ],
)
def test_a_header_that_the_library_cannot_read_is_none(value: bytes) -> None:
    """It would lose the connection, take the message again, and so on for ever."""
    inner = b"\x01a" + value + b"\x01b" + b"S\x00\x00\x00\x01x"
    table = b"\x01t" + b"F" + struct.pack(">I", len(inner)) + inner
    read = pika.data.decode_table(struct.pack(">I", len(table)) + table, 0)
    assert read == ({"t": {"a": None, "b": "x"}}, 4 + len(table))


def test_an_error_of_kafka_takes_no_message_with_it() -> None:
    came = [Came(), Came(KafkaError._TRANSPORT), Came(), Came(KafkaError._MAX_POLL_EXCEEDED)]
    messages, fault = kafka._sorted_out(came)
    assert messages == [came[0], came[2]]
    assert fault is not None
    assert fault.code() == KafkaError._MAX_POLL_EXCEEDED
    assert kafka._sorted_out([]) == ([], None)


@pytest.mark.slow
def test_two_consumers_share_the_partitions_and_drop_what_the_other_has_got(kafka_broker: Kafka, opened: Open) -> None:
    queue = new_queue()
    kafka_broker.send(queue, [order(number) for number in range(200)])
    first = opened(kafka_broker.url(queue))
    held = taken(first, 200)
    second = opened(kafka_broker.url(queue))
    theirs: list[Message] = []

    def shared() -> bool:
        """The first waits with its batch in hand, as it does while the database is away."""
        first.keep()
        theirs.extend(second.take(1_000, 0.1, 0.05))
        return bool(theirs) and len(first.still_ours(held)) + len(theirs) >= 200

    eventually(shared, within_s=30)
    ours = first.still_ours(held)
    assert {one.key for one in ours} | {one.key for one in theirs} == {one.key for one in held}
    assert {one.partition for one in ours}.isdisjoint(one.partition for one in theirs)
    first.acknowledge(held)
    second.acknowledge(theirs)
    assert kafka_broker.unacknowledged(queue) == 0


@pytest.mark.slow
def test_a_message_of_20_mb_goes_to_the_dead_letters(kafka_broker: Kafka, opened: Open) -> None:
    queue = new_queue()
    kafka_broker.send(queue, [b"x" * 20_000_000])
    source = opened(kafka_broker.url(queue))
    [message] = taken(source, 1)
    assert len(message.body) == 20_000_000
    source.bury([DeadLetter(message, "body_too_large", "")])
    [letter] = kafka_broker.letters(queue)
    assert letter.headers["notifier-offset"] == message.offset


# ---- Amazon SQS -----------------------------------------------------------------------------------------------------


def test_a_letter_that_its_queue_has_no_room_for_goes_without_its_body(
    sqs_broker: Sqs, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each queue has a limit of its own, and a letter that is refused holds up all messages behind it."""
    for name, value in sqs_broker.environment.items():
        monkeypatch.setenv(name, value)
    queue = new_queue()
    sqs_broker.make(f"{queue}-dead", MaximumMessageSize="1024")
    sqs_broker.send(queue, [b"x" * 2_000])
    source = opened(sqs_broker.url(queue))
    [message] = taken(source, 1)
    source.bury([DeadLetter(message, "malformed_json", "no")])
    [letter] = sqs_broker.letters(queue)
    assert (letter.body, letter.headers["notifier-body"]) == (b"{}", "left out: 2000 bytes")


# ---- RabbitMQ -------------------------------------------------------------------------------------------------------


def test_what_was_taken_by_a_lost_connection_is_not_ours_any_more(rabbitmq_broker: Rabbit, opened: Open) -> None:
    queue = new_queue()
    rabbitmq_broker.send(queue, [order(number) for number in range(5)])
    source = opened(rabbitmq_broker.url(queue))
    held = taken(source, 5)
    source.open()  # as after a lost connection
    assert source.still_ours(held) == []
    source.acknowledge(held)
    again = taken(source, 5)
    assert source.still_ours(again) == again
