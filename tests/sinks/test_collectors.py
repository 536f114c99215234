"""What an HTTP collector and Kafka are sent, and what their answers mean."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from notifier.core.networks import parse
from notifier.ground.sink_urls import HttpSink, KafkaTopic, parse_sink
from notifier.sinks import kafka as kafka_module
from notifier.sinks.collector import Away, Line, Refused
from notifier.sinks.http import HttpCollector
from notifier.sinks.kafka import KafkaCollector
from tests import kafka
from tests.collecting import HttpReceiver
from tests.running import free_port

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LOOPBACK = parse(["127.0.0.0/8"])


def line(number: int, key: str | None = None) -> Line:
    return Line(number, f"c{number}", key, b'{"n":%d}\n' % number)


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


def of(text: str) -> HttpCollector:
    target = parse_sink(text)
    assert isinstance(target, HttpSink)
    return HttpCollector(target, LOOPBACK)


def test_a_batch_is_one_request_of_ndjson(receiver: HttpReceiver) -> None:
    of(f"http://us%40er:p%3Ass@{receiver.netloc}/?query=INSERT%20INTO%20e").take([line(1), line(2)])
    assert receiver.events == [{"n": 1}, {"n": 2}]
    assert receiver.path == "/?query=INSERT%20INTO%20e"
    assert receiver.headers["Content-Type"] == "application/x-ndjson"
    assert receiver.headers["Authorization"] == "Basic dXNAZXI6cDpzcw=="


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Refused),
        (413, Refused),
        (422, Refused),
        (301, Away),  # no redirect is followed
        (401, Away),
        (403, Away),
        (404, Away),  # the table is missing, or the URL is wrong: all events would be refused
        (408, Away),
        (429, Away),
        (500, Away),
        (503, Away),
    ],
)
def test_only_what_is_said_of_the_events_refuses_them(
    receiver: HttpReceiver, status: int, error: type[Exception]
) -> None:
    receiver.answer = lambda _events: status
    with pytest.raises(error) as raised:
        of(receiver.url).take([line(1)])
    assert raised.value.code == f"http_{status}"


def test_a_receiver_says_when_to_come_again(receiver: HttpReceiver) -> None:
    receiver.answer, receiver.retry_after = lambda _events: 429, "17"
    with pytest.raises(Away) as raised:
        of(receiver.url).take([line(1)])
    assert raised.value.retry_after == 17


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[::1]"])
def test_a_private_address_is_not_reached_unless_it_is_allowed(host: str) -> None:
    with pytest.raises(Away, match="target_refused"):
        of(f"https://{host}/").take([line(1)])


def test_a_receiver_that_is_gone_is_away() -> None:
    with pytest.raises(Away, match="connect_failed"):
        of(f"http://127.0.0.1:{free_port()}/").take([line(1)])


# ---- Kafka ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def brokers() -> Iterator[str]:
    with kafka.cluster() as brokers:
        yield brokers


@pytest.mark.slow
def test_a_message_has_the_event_and_its_key(brokers: str) -> None:
    collector = KafkaCollector(KafkaTopic((brokers,), "keys", has_tls=False))
    collector.take([line(1, "ntf_a"), line(2, "ntf_b"), line(3, "ntf_a"), line(4)])
    collector.close()
    found = kafka.all_of(brokers, "keys")
    assert sorted((value["n"], key) for key, value in found) == [(1, "ntf_a"), (2, "ntf_b"), (3, "ntf_a"), (4, None)]


@pytest.mark.slow
def test_a_message_names_the_trace_where_there_is_one(brokers: str) -> None:
    collector = KafkaCollector(KafkaTopic((brokers,), "traces", has_tls=False))
    collector.take([replace(line(1), traceparent=TRACE), line(2)])
    collector.close()
    found = {message.value(): message.headers() for message in kafka.messages_of(brokers, "traces")}
    assert found == {b'{"n":1}\n': [("traceparent", TRACE.encode())], b'{"n":2}\n': None}


@pytest.mark.slow
def test_messages_of_one_key_stay_in_their_order(brokers: str) -> None:
    collector = KafkaCollector(KafkaTopic((brokers,), "order", has_tls=False))
    for first in range(0, 900, 300):
        collector.take([line(number, f"ntf_{number % 7}") for number in range(first, first + 300)])
    collector.close()
    found = kafka.all_of(brokers, "order")
    assert len(found) == 900
    for rest in range(7):
        mine = [value["n"] for key, value in found if key == f"ntf_{rest}"]
        assert mine == sorted(mine)


@pytest.mark.slow
def test_a_message_that_no_broker_takes_is_refused(brokers: str) -> None:
    collector = KafkaCollector(KafkaTopic((brokers,), "large", has_tls=False))
    with pytest.raises(Refused, match="kafka_msg_size_too_large"):
        collector.take([Line(1, "c1", None, b"x" * 2_000_000)])
    collector.take([line(2)])
    assert [value for _, value in kafka.all_of(brokers, "large")] == [{"n": 2}]


@pytest.mark.slow
def test_brokers_that_are_gone_are_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_module, "_ANSWER_S", 1.0)
    collector = KafkaCollector(KafkaTopic((f"127.0.0.1:{free_port()}",), "events", has_tls=False))
    with pytest.raises(Away, match=r"^kafka_"):
        collector.take([line(1)])
    collector.close()


@pytest.mark.slow
def test_brokers_that_say_nothing_are_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_module, "_ANSWER_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        collector = KafkaCollector(KafkaTopic((f"127.0.0.1:{silent.getsockname()[1]}",), "events", has_tls=False))
        with pytest.raises(Away):
            collector.take([line(1)])
        collector.close()
