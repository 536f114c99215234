"""What a message bus is to `consume`: it gives messages, takes dead letters, and is told what is done.

The order is always: take, store and commit, bury what cannot be accepted, acknowledge. So whatever ends the process, a
message is taken again rather than lost, and its key (`core.bus_messages.Message.key`) absorbs that.
"""

import importlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from notifier.core.bus_messages import DeadLetter, Message
from notifier.ground.bus_urls import BusTarget, KafkaBus, RabbitBus, RedisBus, SqsBus
from notifier.ground.clock import now
from notifier.ground.config import NotReady

MOST_BYTES = 16 * 1024 * 1024  # of a batch: beyond them it is not filled up
# What is wrong quotes the message, and a control character that SQS refuses would hold up all behind it
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")


class Away(Exception):
    """The bus cannot be reached, or does not answer as it should. `code` says why, for the log; what was taken and not
    acknowledged will be given again.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Source(Protocol):
    """Used by one thread. Whatever raises Away may be called again: it connects anew."""

    def look(self) -> None:
        """Connects, and looks whether there is what the URL names; changes nothing. Raises NotReady with a sentence if
        not, and Away.
        """

    def open(self) -> None:
        """The same, and makes ready for all that follows. Raises NotReady, and Away."""

    def take(self, most: int, idle_s: float, more_s: float) -> list[Message]:
        """About so many messages at most, in their order: waits `idle_s` for the first, and then `more_s` for others.
        The batch before may not be acknowledged yet. Raises Away.
        """

    def keep(self) -> None:
        """Called every second or so while what was taken has to wait: nobody else shall be given it. Raises Away."""

    def still_ours(self, messages: Sequence[Message]) -> list[Message]:
        """Those that have not been given to somebody else meanwhile."""

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Returns when the bus has confirmed that it has them. Raises Away."""

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """All of a batch. What is not ours any more is passed over. Raises Away."""

    def lag(self) -> int | None:
        """How many messages wait, as far as that is known. Raises Away."""

    def close(self) -> None: ...


def source_of(target: BusTarget) -> Source:
    """Raises NotReady where the library is missing that it needs."""
    module, cls, library, extra = {
        KafkaBus: ("notifier.bus.kafka", "KafkaSource", "confluent_kafka", "kafka"),
        RabbitBus: ("notifier.bus.rabbitmq", "RabbitSource", "pika", "rabbitmq"),
        SqsBus: ("notifier.bus.sqs", "SqsSource", "botocore", "sqs"),
        RedisBus: ("notifier.bus.redis_streams", "RedisSource", "redis", ""),
    }[type(target)]
    try:
        source: Source = getattr(importlib.import_module(module), cls)(target)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        raise NotReady(
            f"{target.shown} needs {library.replace('_', '-')}: pip install -r requirements-{extra}.lock"
        ) from None
    return source


def headers_of(letter: DeadLetter) -> dict[str, str]:
    """What goes with a dead letter: why, and where the message stood."""
    message = letter.message
    return {
        "notifier-error": _NOT_PRINTABLE.sub(_escape, f"{letter.code}: {letter.detail}"[:1000]),
        "notifier-topic": message.topic,
        "notifier-partition": message.partition,
        "notifier-offset": message.offset,
        "notifier-at": now().isoformat(timespec="milliseconds"),
    }


def _escape(sign: re.Match[str]) -> str:
    return sign[0].encode("unicode_escape").decode()


def size_left_out(message: Message) -> dict[str, str]:
    """Beside `headers_of`, where the bus does not take a letter of that size: it goes without its body."""
    return {"notifier-body": f"left out: {len(message.body)} bytes"}


def at_ms(milliseconds: float) -> datetime | None:
    """None for a time that cannot be: senders choose it, and one message must not end the process again and again."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def text_of(headers: Mapping[str, Any], name: str) -> str | None:
    """A header of a message that is a text, or bytes of one."""
    value = headers.get(name)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return value if isinstance(value, str) else None
