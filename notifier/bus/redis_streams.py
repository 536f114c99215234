"""Redis Streams (Redis 6.2 or newer): a consumer group. The messages of a consumer that shows no life are taken over.

Several consumers share one stream, so only one alone keeps its order. Never point it at the Redis of the queues, which
may forget.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from notifier.bus.source import Away, at_ms, headers_of
from notifier.core.bus_messages import DeadLetter, Message
from notifier.ground.bus_urls import RedisBus
from notifier.ground.config import NotReady
from notifier.ground.ids import new_hex

BODY = "body"
_ANSWER_S = 10.0
_LAG_KEPT_S = 5.0
_PARTS_OF_IDLE = 4  # how often within `idle` we show life, and look for who shows none


class RedisSource:
    """A `Source`."""

    def __init__(self, target: RedisBus) -> None:
        self._target = target
        self._me = new_hex()
        self._client: Any = None  # its types know what every version and every option may answer
        self._in_hand: set[str] = set()  # ids
        self._look_at = self._show_life_at = 0.0
        self._lag: tuple[float, int | None] | None = None

    def look(self) -> None:
        self._connect(lambda: None)

    def open(self) -> None:
        self._connect(self._make_group)

    def _connect(self, then: Callable[[], None]) -> None:
        self.close()
        self._client = redis.Redis.from_url(
            self._target.url,
            socket_timeout=_ANSWER_S,
            socket_connect_timeout=5,
            retry=Retry(NoBackoff(), 0),
            client_name="notifier",
        )
        try:
            kind = self._client.type(self._target.stream)
            if kind not in (b"stream", b"none"):
                raise NotReady(f"{self._target.shown} is no stream but a {kind.decode()}: correct the URL.")
            then()
        except redis.AuthenticationError:
            raise NotReady(
                f"{self._target.shown} does not let us in: correct the user or password in the URL."
            ) from None
        except redis.RedisError as error:
            raise self._away(error) from None

    def _make_group(self) -> None:
        """From the stream's beginning, which is made if it is not there yet."""
        try:
            self._client.xgroup_create(self._target.stream, self._target.group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def take(self, most: int, idle_s: float, more_s: float) -> list[Message]:
        """Those that another has left come first."""
        found = self._left_by_others(most)
        if not found:
            found = self._read(most, idle_s)
            if 0 < len(found) < most:
                found += self._read(most - len(found), more_s)
        if not self._in_hand:
            self._show_life_at = time.monotonic() + self._target.idle_s / _PARTS_OF_IDLE
        self._in_hand |= {message.offset for message in found}
        return found

    def _read(self, most: int, wait_s: float) -> list[Message]:
        target = self._target
        answer = self._asked(
            lambda client: client.xreadgroup(
                target.group, self._me, {target.stream: ">"}, count=most, block=max(1, int(wait_s * 1000))
            )
        )
        return [self._message(*entry) for _, entries in answer or () for entry in entries]

    def _left_by_others(self, most: int) -> list[Message]:
        if time.monotonic() < self._look_at:
            return []
        target = self._target
        _, entries, *_ = self._asked(
            lambda client: client.xautoclaim(
                target.stream, target.group, self._me, min_idle_time=target.idle_s * 1000, count=most
            )
        )
        if len(entries) < most:
            self._look_at = time.monotonic() + target.idle_s / _PARTS_OF_IDLE
        left = [self._message(*entry) for entry in entries if entry[1] is not None]  # None: it has been trimmed
        return [message for message in left if message.offset not in self._in_hand]

    def keep(self) -> None:
        if time.monotonic() < self._show_life_at or not self._in_hand:
            return
        self._show_life_at = time.monotonic() + self._target.idle_s / _PARTS_OF_IDLE
        ids = list(self._in_hand)
        self._asked(
            lambda client: client.xclaim(
                self._target.stream, self._target.group, self._me, min_idle_time=0, message_ids=ids, justid=True
            )
        )

    def still_ours(self, messages: Sequence[Message]) -> list[Message]:
        """Nobody says so. Somebody else may have it when we could not show life; its key absorbs that."""
        return list(messages)

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        def write(client: Any) -> None:
            with client.pipeline(transaction=False) as pipe:
                for letter in letters:
                    pipe.xadd(self._target.dead, {BODY: letter.message.body, **headers_of(letter)})
                pipe.execute()

        self._asked(write)

    def acknowledge(self, messages: Sequence[Message]) -> None:
        ids = [message.offset for message in messages]
        if ids:
            self._asked(lambda client: client.xack(self._target.stream, self._target.group, *ids))
        self._in_hand -= set(ids)

    def lag(self) -> int | None:
        """What the group has not been given yet; None where Redis does not know (before 7.0, or after a deletion)."""
        if self._client is None:
            return None
        if self._lag is None or time.monotonic() >= self._lag[0] + _LAG_KEPT_S:
            groups = self._asked(lambda client: client.xinfo_groups(self._target.stream))
            lags = [one.get("lag") for one in groups if one["name"] == self._target.group.encode()]
            self._lag = time.monotonic(), lags[0] if lags else None
        return self._lag[1]

    def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        try:
            if not client.xpending_range(self._target.stream, self._target.group, "-", "+", 1, self._me):
                client.xgroup_delconsumer(self._target.stream, self._target.group, self._me)
        except redis.RedisError:
            pass  # a name is left behind in the group
        client.close()

    def _message(self, entry_id: bytes, fields: Mapping[bytes, bytes]) -> Message:
        stream, offset = self._target.stream, entry_id.decode()
        return Message(
            fields.get(BODY.encode(), b""),
            stream,
            "",
            offset,
            f"redis:{stream}/{offset}",
            at_ms(float(offset.partition("-")[0])),
            _text(fields.get(b"traceparent")),
        )

    def _asked(self, call: Callable[[Any], Any]) -> Any:
        if self._client is None:
            self.open()
        try:
            return call(self._client)
        except redis.ResponseError as error:
            if str(error).startswith("NOGROUP"):  # a flush has taken it; acknowledged is what is not there any more
                self.open()
            raise self._away(error) from None
        except redis.RedisError as error:
            raise self._away(error) from None

    def _away(self, error: redis.RedisError) -> Away:
        return Away(f"redis_{type(error).__name__}")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
