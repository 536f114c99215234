"""Kafka: one message an event, confirmed by all in-sync replicas.

Imported only where EVENTS_SINK names it: confluent-kafka is an extra (`requirements-kafka.txt`).
"""

import logging
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from notifier.ground.sink_urls import KafkaTopic
from notifier.sinks.collector import Away, Line, Refused

_ANSWER_S = 20.0
_OF_EVENTS = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_RECORD}

# The library speaks of each lost connection; what comes of it is told once, as `sink.away`
quiet = logging.getLogger("notifier.kafka")
quiet.addHandler(logging.NullHandler())
quiet.propagate = False


class KafkaCollector:
    """A `Collector`. After a failure it begins anew with another producer: what the old one has not sent yet must not
    come after what is sent again.
    """

    def __init__(self, target: KafkaTopic) -> None:
        self._target = target
        self._producer: Producer | None = None
        self._last_error = "no_answer"

    def take(self, lines: Sequence[Line]) -> None:
        if self._producer is None:
            self._producer = Producer(self._options(), logger=quiet)
        failed: list[KafkaError] = []

        def report(error: KafkaError | None, _message: Any) -> None:
            if error is not None:
                failed.append(error)

        try:
            for line in lines:
                headers: dict[str, str | bytes | None] = {"traceparent": line.traceparent} if line.traceparent else {}
                self._producer.produce(self._target.topic, line.text, line.key, headers=headers, on_delivery=report)
            unsure = self._producer.flush(_ANSWER_S)
        except KafkaException as error:
            failed.append(error.args[0])
            unsure = 0
        except BufferError:
            unsure = len(lines)
        if failed or unsure:
            self.close()
            if failed:
                code = code_of(failed[0])
                raise (Refused if all(error.code() in _OF_EVENTS for error in failed) else Away)(code)
            raise Away(self._last_error)

    def close(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(0)
            self._producer = None

    def _options(self) -> dict[str, Any]:
        target = self._target
        options: dict[str, Any] = {
            "bootstrap.servers": ",".join(target.brokers),
            "client.id": "notifier",
            "enable.idempotence": True,  # and so in order
            "acks": "all",
            "message.timeout.ms": int(_ANSWER_S * 1000),
            "compression.type": "lz4",
            "partitioner": "murmur2_random",  # Java's: their consumers find a key in the same partition
            "error_cb": self._note,
        }
        return options | security_of(target)

    def _note(self, error: KafkaError) -> None:
        self._last_error = code_of(error)


def security_of(target: KafkaTopic) -> dict[str, Any]:
    """The options of a client for TLS and SASL."""
    options: dict[str, Any] = {}
    if target.has_tls:
        options |= {"security.protocol": "SASL_SSL" if target.credentials else "SSL", "ssl.ca.location": "probe"}
    if target.credentials:
        options |= {
            "sasl.mechanism": target.mechanism,
            "sasl.username": target.credentials.user,
            "sasl.password": target.credentials.password,
        }
    return options


def code_of(error: KafkaError) -> str:
    """As logs show it: kafka_transport."""
    return f"kafka_{error.name().lower().strip('_')}"
