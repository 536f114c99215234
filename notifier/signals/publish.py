"""Sends events to connected browsers, from any process; after the commit, never inside a transaction.

An event is a hint: the truth is in the database. A client that sees a gap in `seq` asks for the missing items, and the
console's pages are only told to reload. So an event is simply dropped while Redis is down.
"""

import contextlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import redis
import socketio
from flask import current_app
from msgspec import Raw

from notifier.ground import metrics
from notifier.ground.clock import now
from notifier.ground.extensions import redis_store
from notifier.ground.fast_json import encoded

NAMESPACE = "/inbox"
CONSOLE = "/admin"
CHANNEL = "notifier.inbox"  # the Redis channel on which all web processes listen; each person has one besides
RETRY_EVERY = timedelta(seconds=1)  # of who listens

# What pages of the console watch
TOPICS = (OVERVIEW, QUEUES, FAILED, ACTIONS) = ("overview", "queues", "failed", "actions")
HINT_EVERY = timedelta(milliseconds=500)
WATCHED_FOR = timedelta(seconds=60)
_WATCHED = "notifier:console-watched"
_PUBLISH_IF_WATCHED = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('PUBLISH', ARGV[1], ARGV[2]) end"
_EMIT_EACH = "emit_each"
_LONGEST = 64 * 1024  # bytes of a message with several events: listeners read it on the hub, where everybody waits

Event = tuple[str, str, dict[str, Any]]  # room, name, payload


class ItemEvent(NamedTuple):
    """A new item, as its user is to hear of it; the counts are those right after it."""

    user_id: str
    item: dict[str, Any]
    seq: int
    unread: int
    unseen: int


def room_of(user_id: str) -> str:
    return f"user:{user_id}"


def channel_of(room: str) -> str:
    """The Redis channel of a person, by their room: on it listen those web processes that they are connected to."""
    return f"{CHANNEL}:{room}"


def publish_items(events: Sequence[ItemEvent]) -> None:
    """Tells each user of a new item."""
    _publish(
        (event.user_id, "item", {"item": event.item, "seq": event.seq, "unread": event.unread, "unseen": event.unseen})
        for event in events
    )


def publish_state(user_id: str, payload: dict[str, Any]) -> None:
    """Tells a user's tabs and devices the changes: `{seq, unread, unseen, changed}`."""
    publish_states([(user_id, payload)])


def publish_states(changes: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """The same for several users at once."""
    _publish((user_id, "state", payload) for user_id, payload in changes)


def forget(user_id: str) -> None:
    """Closes the room of an erased person: a new person with the same id is somebody else."""
    collector = _Collector()
    collector.close_room(room_of(user_id), namespace=NAMESPACE)
    _tell(lambda pipe: [pipe.publish(CHANNEL, message) for message in collector.messages])


def topic_room(topic: str) -> str:
    return f"topic:{topic}"


def hint(*topics: str) -> None:
    """Tells the console's pages that something they show has changed. Call it after the commit, as often as you like.

    A process sends a topic once in HINT_EVERY, in one round trip, and only if somebody has watched lately; so a page
    reloads once more a while after the last hint.
    """
    silent: dict[str, datetime] = current_app.extensions.setdefault("hints", {})
    at = now()
    due = [topic for topic in topics if not at < silent.get(topic, at) <= at + HINT_EVERY]
    if not due:
        return
    silent.update(dict.fromkeys(due, at + HINT_EVERY))
    [message] = _packed(CONSOLE, [(topic_room(topic), "changed", {"topic": topic}) for topic in due])
    _tell(lambda pipe: pipe.eval(_PUBLISH_IF_WATCHED, 1, _WATCHED, CHANNEL, message))


def note_watched() -> bool:
    """Notes that somebody watches the console. False: Redis is away, and no hints will come."""
    try:
        redis_store.client.set(_WATCHED, 1, ex=WATCHED_FOR)
    except redis.RedisError:
        return False
    return True


class _Collector(socketio.RedisManager):  # type: ignore[misc]
    """Puts what is said into the wire form of python-socketio's managers, and keeps it."""

    def __init__(self) -> None:
        super().__init__(channel=CHANNEL, write_only=True)
        self.messages: list[str] = []

    def _publish(self, data: Any) -> None:
        self.messages.append(self.json.dumps(data))


def _publish(events: Iterable[tuple[str, str, dict[str, Any]]]) -> None:
    """(user id, name, payload) each."""
    by_room: dict[str, list[Event]] = {}
    for user_id, name, payload in events:
        room = room_of(user_id)
        by_room.setdefault(room, []).append((room, name, payload))
    messages = [(channel_of(room), message) for room, told in by_room.items() for message in _packed(NAMESPACE, told)]
    if _tell(lambda pipe: [pipe.publish(*message) for message in messages]):
        metrics.published.inc(sum(map(len, by_room.values())))


def _packed(namespace: str, events: Iterable[Event]) -> Iterator[bytes]:
    """Many events in a message: python-socketio would send and read one for each."""
    some: list[Raw] = []
    size = 0
    for event in events:
        one = encoded(event)
        if some and size + len(one) > _LONGEST:
            yield _message(namespace, some)
            some, size = [], 0
        some.append(Raw(one))
        size += len(one)
    if some:
        yield _message(namespace, some)


def _message(namespace: str, events: Sequence[Raw]) -> bytes:
    return encoded({"method": _EMIT_EACH, "namespace": namespace, "events": events})


def unpacked(message: Mapping[str, Any], rooms: Container[str]) -> Iterator[Mapping[str, Any]]:
    """What the gateway hears, as python-socketio's managers take it: of events those for the `rooms`; all else as it
    is. (Processes of an earlier release send each event by itself.)
    """
    if message.get("method") != _EMIT_EACH:
        yield message
        return
    for room, name, payload in message["events"]:
        if room in rooms:
            yield {"method": "emit", "namespace": message["namespace"], "room": room, "event": name, "data": [payload]}


def _tell(say: Callable[["redis.client.Pipeline"], object]) -> bool:
    """→ whether Redis took it."""
    if redis_store.is_away():
        return False
    with contextlib.suppress(redis.RedisError), redis_store.client.pipeline(transaction=False) as pipe:
        say(pipe)
        pipe.execute()
        return True
    return False
