"""RabbitMQ: a queue, best a quorum queue; dead letters by publisher confirms.

Imported only where CONSUME_URL names it: pika is an extra (`requirements-rabbitmq.txt`). Heartbeats are answered while
the connection is asked for something: `keep` does, while a batch waits.
"""

import contextlib
import hashlib
import logging
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pika
from pika.exceptions import (
    AMQPError,
    ChannelClosedByBroker,
    NackError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    UnroutableError,
)

from notifier.bus.source import MOST_BYTES, Away, at_ms, headers_of, size_left_out, text_of
from notifier.core.bus_messages import DeadLetter, Message
from notifier.ground.bus_urls import RabbitBus
from notifier.ground.config import NotReady

PREFETCH = 2_000  # two batches: the next is taken while one is being stored
_HEARTBEAT_S = 60
_LARGEST_LETTER = 16 * 1024 * 1024  # that of RabbitMQ 4; a larger one would end the connection
_LAG_KEPT_S = 5.0
_NO_SUCH, _REFUSED = 404, 403

# The library speaks of each refusal and each lost connection; what comes of it is told once, as `consume.bus_is_away`
_quiet = logging.getLogger("pika")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False

# Of headers, with a size in bytes, that senders may give a value that Python has no room for. The library lets what it
# raises then end the connection, and the message is given again: https://github.com/pika/pika/issues/1698
_SIZES = {b"T": 8, b"d": 8, b"f": 4}
_decode_value: Callable[[bytes, int], tuple[Any, int]] = pika.data.decode_value


def _decoded(encoded: bytes, offset: int) -> tuple[Any, int]:
    try:
        return _decode_value(encoded, offset)
    except (ValueError, OverflowError, OSError):
        return None, offset + 1 + _SIZES[encoded[offset : offset + 1]]


pika.data.decode_value = _decoded


class RabbitSource:
    """A `Source`. When a connection is lost, RabbitMQ gives what was not acknowledged to the next consumer."""

    def __init__(self, target: RabbitBus) -> None:
        self._target = target
        self._connection: Any = None
        self._channel: Any = None
        self._came: deque[Message] = deque()
        self._size = 0
        self._session = 0  # of the connection: its tags mean nothing to the next
        self._lag: tuple[float, int] | None = None

    def look(self) -> None:
        self._connect(lambda: None)

    def open(self) -> None:
        self._connect(self._consume)

    def _consume(self) -> None:
        self._declare(self._target.dead, is_dead=True)
        channel = self._channel
        channel.confirm_delivery()
        channel.basic_qos(prefetch_count=PREFETCH)
        channel.add_on_cancel_callback(lambda _frame: self.close())  # the queue has been deleted
        channel.basic_consume(self._target.queue, self._note)

    def _connect(self, then: Callable[[], None]) -> None:
        target = self._target
        self.close()
        try:
            self._connection = pika.BlockingConnection(self._parameters())
            self._declare(target.queue, is_dead=False)
            self._channel = self._connection.channel()
            then()
        except (ProbableAuthenticationError, ProbableAccessDeniedError):
            self.close()
            raise NotReady(
                f"{target.shown} does not let us in: correct the user, the password or the vhost in the URL."
            ) from None
        except (AMQPError, OSError) as error:
            self.close()
            raise Away(_code_of(error)) from None

    def _declare(self, queue: str, *, is_dead: bool) -> None:
        """Looks whether it is there; that of dead letters is made. Raises NotReady."""
        try:
            self._ask_once(queue, passive=True)
            return
        except ChannelClosedByBroker as error:
            if error.reply_code == _REFUSED or (error.reply_code == _NO_SUCH and not is_dead):
                raise NotReady(
                    f"There is no queue {queue!r} at {self._target.shown}, or it may not be read: declare it (durable, "
                    "x-queue-type=quorum) and bind it, or correct the URL."
                ) from None
            if error.reply_code != _NO_SUCH:
                raise
        try:
            self._ask_once(queue, durable=True, arguments={"x-queue-type": "quorum"})
        except ChannelClosedByBroker as error:
            raise NotReady(
                f"The queue {queue!r}, for messages that cannot be accepted, is missing at {self._target.shown} and "
                f"cannot be declared ({error.reply_code}): declare it."
            ) from None

    def _ask_once(self, queue: str, **options: Any) -> None:
        """On a channel of its own, which a refusal closes."""
        channel = self._connection.channel()
        channel.queue_declare(queue, **options)
        channel.close()

    def take(self, most: int, idle_s: float, more_s: float) -> list[Message]:
        connection = self._connected()
        if not self._came:
            self._ask(connection.process_data_events, idle_s)  # until something has happened
        ends_at = time.monotonic() + more_s
        while 0 < len(self._came) < most and self._size < MOST_BYTES and (left_s := ends_at - time.monotonic()) > 0:
            self._ask(connection.process_data_events, left_s)
        taken = [self._came.popleft() for _ in range(min(most, len(self._came)))]
        self._size -= sum(len(message.body) for message in taken)
        return taken

    def keep(self) -> None:
        connection = self._connected()
        self._ask(connection.process_data_events, 0)

    def still_ours(self, messages: Sequence[Message]) -> list[Message]:
        return [message for message in messages if message.handle[0] == self._session]

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        self._connected()
        for letter in letters:
            body, headers = letter.message.body, headers_of(letter)
            if len(body) > _LARGEST_LETTER:
                body, headers = b"", headers | size_left_out(letter.message)
            properties = pika.BasicProperties(headers=headers, delivery_mode=2, content_type="application/json")
            try:
                self._ask(self._channel.basic_publish, "", self._target.dead, body, properties, mandatory=True)
            except UnroutableError:
                self.close()  # who connects anew makes it
                raise Away("dead_letters_queue_missing") from None
            except NackError:
                raise Away("dead_letters_refused") from None

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Up to the last tag at once: what came before it has been acknowledged, or is of this batch."""
        tags = [message.handle[1] for message in self.still_ours(messages)]
        if tags:
            self._ask(self._channel.basic_ack, max(tags), multiple=True)

    def lag(self) -> int | None:
        if self._lag is None or time.monotonic() >= self._lag[0] + _LAG_KEPT_S:
            if self._channel is None:
                return None
            waiting = self._ask(self._channel.queue_declare, self._target.queue, passive=True)
            self._lag = time.monotonic(), waiting.method.message_count
        return self._lag[1] + len(self._came)

    def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        self._came.clear()
        self._size = 0
        self._session += 1
        if connection is not None:
            with contextlib.suppress(AMQPError, OSError):
                connection.close()

    def _note(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        """RabbitMQ gives messages no position. Without an id by their sender they are known by their text."""
        queue = self._target.queue
        own = properties.message_id
        known_by = f"id/{own}" if own else f"text/{hashlib.sha256(body).hexdigest()}"
        at = at_ms(properties.timestamp * 1000) if properties.timestamp else None
        self._size += len(body)
        self._came.append(
            Message(
                body,
                queue,
                "",
                str(own or method.delivery_tag),
                f"amqp:{queue}/{known_by}",
                at,
                text_of(properties.headers or {}, "traceparent"),
                is_first=not own and not method.redelivered,
                handle=(self._session, method.delivery_tag),
            )
        )

    def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed:
            self.open()
        return self._connection

    def _ask(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        try:
            return call(*arguments, **named)
        except (UnroutableError, NackError):
            raise
        except (AMQPError, OSError) as error:
            self.close()
            raise Away(_code_of(error)) from None

    def _parameters(self) -> Any:
        target = self._target
        options: dict[str, Any] = {}
        if target.credentials:
            options["credentials"] = pika.PlainCredentials(target.credentials.user, target.credentials.password)
        if target.has_tls:
            options["ssl_options"] = pika.SSLOptions(ssl.create_default_context(), target.host)
        return pika.ConnectionParameters(
            target.host,
            target.port,
            target.vhost,
            heartbeat=_HEARTBEAT_S,
            blocked_connection_timeout=_HEARTBEAT_S,
            client_properties={"connection_name": "notifier"},
            **options,
        )


def _code_of(error: BaseException) -> str:
    code = getattr(error, "reply_code", None)
    return f"amqp_{code}" if code else f"amqp_{type(error).__name__}"
