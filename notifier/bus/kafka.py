"""Kafka: a consumer group, offsets committed by us alone, dead letters confirmed by all in-sync replicas.

Imported only where CONSUME_URL names it: confluent-kafka is an extra (`requirements-kafka.txt`). Its own threads speak
to the brokers; callbacks come on ours, within `consume` and `poll`.
"""

import time
from collections.abc import Sequence
from typing import Any

import structlog
from confluent_kafka import (
    OFFSET_INVALID,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from notifier.bus.source import MOST_BYTES, Away, at_ms, headers_of, size_left_out, text_of
from notifier.core.bus_messages import DeadLetter, Message
from notifier.ground.bus_urls import KafkaBus
from notifier.ground.config import NotReady
from notifier.sinks.kafka import code_of, quiet, security_of

_FIRST_ANSWER_S, _ANSWER_S = 5.0, 20.0
_AT_ONCE = 250
_DEAD_AFTER_MS = 6_000  # then others get the partitions; brokers allow no less
_LARGEST_LETTER = 100_000_000  # the broker's own limit is what counts
# What was taken is somebody else's by now
_LOST = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError._ASSIGNMENT_LOST,
    KafkaError._STATE,
}
_NOT_LET_IN = {"kafka_authentication", "kafka_sasl_authentication_failed"}
_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE}
_NO_SUCH = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}

log = structlog.get_logger()

Place = tuple[str, int]  # topic, partition


class KafkaSource:
    """A `Source`. A partition is one consumer's, and its messages are given in their order."""

    def __init__(self, target: KafkaBus) -> None:
        self._target = target
        self._consumer: Consumer | None = None
        self._producer: Producer | None = None
        self._mine: set[Place] = set()
        self._early: list[Any] = []  # came while the batch before had to wait
        self._is_keeping = False
        self._last_error = "kafka_transport"

    # ---- opening

    def look(self) -> None:
        self._topics()

    def open(self) -> None:
        admin, known = self._topics()
        dead = self._target.dead
        if dead not in known:
            # To ask for it makes it, on some clusters
            asked_for = admin.list_topics(dead, timeout=_FIRST_ANSWER_S).topics
            if asked_for[dead].error is not None:
                self._create(admin, dead)
        self._start()

    def _topics(self) -> tuple[AdminClient, set[str]]:
        """→ the names of those that there are, ours among them. Raises NotReady, and Away."""
        target = self._target
        admin = AdminClient({**self._options(), "allow.auto.create.topics": True}, logger=quiet)
        try:
            topics = admin.list_topics(timeout=_FIRST_ANSWER_S).topics
        except KafkaException as error:
            admin.poll(0)  # and so `_note` is called
            if self._last_error in _NOT_LET_IN:
                raise NotReady(f"{target.shown} does not let us in: correct the user or password in the URL.") from None
            raise Away(self._code(error.args[0])) from None
        known = {name for name, topic in topics.items() if topic.error is None}
        if target.topic_at.topic not in known:
            raise NotReady(
                f"There is no topic {target.topic_at.topic!r} at {target.shown}, or it may not be seen: create it, or "
                "correct the URL."
            )
        return admin, known

    def _create(self, admin: AdminClient, topic: str) -> None:
        (created,) = admin.create_topics(
            [NewTopic(topic, num_partitions=1, replication_factor=-1)], request_timeout=_ANSWER_S
        ).values()
        try:
            created.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise NotReady(
                    f"The topic {topic!r}, for messages that cannot be accepted, is missing at {self._target.shown} "
                    f"and cannot be created ({code_of(error.args[0])}): create it."
                ) from None

    def _start(self) -> None:
        self._mine.clear()
        self._early.clear()
        self._is_keeping = False
        options = {
            **self._options(),
            "group.id": self._target.group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": _DEAD_AFTER_MS,
            "heartbeat.interval.ms": _DEAD_AFTER_MS // 4,
            "queued.max.messages.kbytes": MOST_BYTES // 1024,
        }
        self._consumer = Consumer(options, logger=quiet)
        self._consumer.subscribe(
            [self._target.topic_at.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    # ---- taking

    def take(self, most: int, idle_s: float, more_s: float) -> list[Message]:
        consumer = self._open_consumer()
        if self._is_keeping:
            self._is_keeping = False
            consumer.resume([TopicPartition(*place) for place in self._mine])
        found, self._early = self._early, []
        try:
            if not found:
                found, fault = _sorted_out(consumer.consume(1, idle_s))
                if fault is not None and not found:
                    raise self._away(fault)
            ends_at = time.monotonic() + more_s
            size = sum(map(len, found))
            while found and len(found) < most and size < MOST_BYTES and (left_s := ends_at - time.monotonic()) > 0:
                came, _ = _sorted_out(consumer.consume(min(_AT_ONCE, most - len(found)), left_s))
                size += sum(map(len, came))
                found += came
        except KafkaException as error:
            self._early = found
            raise self._away(error.args[0]) from None
        return [_message(one) for one in found]

    def keep(self) -> None:
        """Paused, and polled: else the broker would take the partitions away after `max.poll.interval.ms`."""
        consumer = self._open_consumer()
        if not self._is_keeping:
            self._is_keeping = True
            consumer.pause([TopicPartition(*place) for place in self._mine])
        message = consumer.poll(0)
        if message is not None and message.error() is None:
            self._early.append(message)

    def still_ours(self, messages: Sequence[Message]) -> list[Message]:
        return [message for message in messages if (message.topic, int(message.partition)) in self._mine]

    # ---- ending

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        producer = self._producer = self._producer or Producer(
            {
                **self._options(),
                "enable.idempotence": True,
                "acks": "all",
                "message.timeout.ms": int(_ANSWER_S * 1000),
                "message.max.bytes": _LARGEST_LETTER,
            },
            logger=quiet,
        )
        too_large = self._produce(producer, letters, with_body=True)
        if too_large:
            self._produce(producer, too_large, with_body=False)

    def _produce(self, producer: Producer, letters: Sequence[DeadLetter], *, with_body: bool) -> list[DeadLetter]:
        """→ those that the broker finds too large."""
        failed: list[tuple[DeadLetter, KafkaError]] = []
        confirmed = 0

        def reporting(letter: DeadLetter) -> Any:
            def report(error: KafkaError | None, _message: Any) -> None:
                nonlocal confirmed
                confirmed += 1
                if error is not None:
                    failed.append((letter, error))

            return report

        for letter in letters:
            headers: dict[str, str | bytes | None] = {**headers_of(letter)}
            if not with_body:
                headers |= size_left_out(letter.message)
            body = letter.message.body if with_body else b""
            key = letter.message.handle.key()
            try:
                producer.produce(self._target.dead, body, key, headers=headers, on_delivery=reporting(letter))
            except KafkaException as error:
                confirmed += 1
                failed.append((letter, error.args[0]))
            except BufferError:
                break
        producer.flush(_ANSWER_S)
        others = [error for _, error in failed if error.code() not in _TOO_LARGE]
        if others or confirmed < len(letters):
            producer.purge()
            producer.flush(0)
            self._producer = None
            raise Away(f"dead_letters_{code_of(others[0])}" if others else "dead_letters_not_confirmed")
        return [letter for letter, _ in failed]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        consumer = self._open_consumer()
        ends: dict[Place, int] = {}
        for message in self.still_ours(messages):
            place = (message.topic, int(message.partition))
            ends[place] = max(ends.get(place, 0), int(message.offset) + 1)
        if not ends:
            return
        try:
            answers = consumer.commit(
                offsets=[TopicPartition(*place, end) for place, end in ends.items()], asynchronous=False
            )
            faults: list[KafkaError] = [answer.error for answer in answers or () if answer.error is not None]
        except KafkaException as error:
            faults = [error.args[0]]
        for fault in faults:
            if fault.code() not in _LOST:
                raise self._away(fault)
            log.info("consume.lost_partitions", bus=self._target.name, code=code_of(fault))

    def lag(self) -> int | None:
        if self._consumer is None or not self._mine:
            return None
        behind = 0
        try:
            for place in self._consumer.position([TopicPartition(*place) for place in self._mine]):
                first, end = self._consumer.get_watermark_offsets(place, cached=True)
                if end != OFFSET_INVALID:  # else nothing has come of it yet
                    behind += max(0, end - (place.offset if place.offset >= 0 else max(first, 0)))
        except KafkaException as error:
            raise self._away(error.args[0]) from None
        return behind

    def close(self) -> None:
        if self._producer is not None:
            self._producer.flush(1)
            self._producer = None
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    # ---- the group

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        consumer.incremental_assign(list(partitions))
        self._mine |= {(one.topic, one.partition) for one in partitions}
        if self._is_keeping:
            consumer.pause(list(partitions))
        self._tell_partitions()

    def _revoked(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Whatever of them is not acknowledged is dropped: their next consumer reads it again."""
        gone = {(one.topic, one.partition) for one in partitions}
        self._mine -= gone
        self._early = [one for one in self._early if (one.topic(), one.partition()) not in gone]
        consumer.incremental_unassign(list(partitions))
        self._tell_partitions()

    def _tell_partitions(self) -> None:
        log.info("consume.partitions", bus=self._target.name, partitions=sorted(one for _, one in self._mine))

    # ---- errors

    def _open_consumer(self) -> Consumer:
        if self._consumer is None:
            self._start()
        assert self._consumer is not None
        return self._consumer

    def _away(self, error: KafkaError) -> Away:
        """The client connects anew by itself, unless the error is one it cannot get over."""
        if error.fatal():
            self.close()
        elif error.code() in _NO_SUCH:
            return Away("kafka_topic_missing")
        return Away(self._code(error))

    def _code(self, error: KafkaError) -> str:
        """The library knows more of why nobody answers than that nobody does."""
        return self._last_error if error.code() == KafkaError._TRANSPORT else code_of(error)

    def _note(self, error: KafkaError) -> None:
        self._last_error = code_of(error)

    def _options(self) -> dict[str, Any]:
        target = self._target.topic_at
        return {
            "bootstrap.servers": ",".join(target.brokers),
            "client.id": "notifier",
            "error_cb": self._note,
            **security_of(target),
        }


def _sorted_out(came: Sequence[Any]) -> tuple[list[Any], KafkaError | None]:
    """→ the messages, and the last error among them, if there is one: errors come by the same way, and the messages
    beside one will not be given again.
    """
    faults = [one.error() for one in came if one.error() is not None]
    return [one for one in came if one.error() is None], faults[-1] if faults else None


def _message(found: Any) -> Message:
    topic, partition, offset = found.topic(), found.partition(), found.offset()
    kind, milliseconds = found.timestamp()
    headers = dict(found.headers() or ())
    # With the time, since offsets begin anew when a topic is deleted and created again
    return Message(
        found.value() or b"",
        topic,
        str(partition),
        str(offset),
        f"kafka:{topic}/{partition}/{offset}/{milliseconds}",
        None if kind == TIMESTAMP_NOT_AVAILABLE else at_ms(milliseconds),
        text_of(headers, "traceparent"),
        handle=found,
    )
