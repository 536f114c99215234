"""Sends inbox events to whoever is connected, from any process; after the commit, never inside a transaction.

An event is a hint: the truth is in the database, and a client that sees a gap in `seq` asks for it.
So a Redis that is away is logged once and left alone, tried again once a second, and never waited for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import redis
import socketio
import structlog
from flask import current_app

from notifier.clock import now
from notifier.extensions import redis_store

NAMESPACE = "/inbox"
CHANNEL = "notifier.inbox"  # the Redis channel on which the web processes listen
RETRY_EVERY = timedelta(seconds=1)

log = structlog.get_logger()


class ItemEvent(NamedTuple):
    """A new item, as its user is to hear of it; the counts are those right after it."""

    user_id: str
    item: dict[str, Any]
    seq: int
    unread: int
    unseen: int


def room_of(user_id: str) -> str:
    return f"user:{user_id}"


def publish_items(events: Sequence[ItemEvent]) -> None:
    """Tells each user of a new item."""
    _publish((event.user_id, "item", {"item": event.item, "seq": event.seq, "unread": event.unread, "unseen": event.unseen}) for event in events)


def publish_state(user_id: str, payload: dict[str, Any]) -> None:
    """Tells a user's tabs and devices what has changed: `{seq, unread, unseen, changed}`."""
    publish_states([(user_id, payload)])


def publish_states(changes: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """The same for several users at once."""
    _publish((user_id, "state", payload) for user_id, payload in changes)


class _Collector(socketio.RedisManager):
    """Puts events into the wire form of python-socketio's managers, and keeps them."""

    def __init__(self) -> None:
        super().__init__(channel=CHANNEL, write_only=True)
        self.messages: list[str] = []

    def _publish(self, data: Any) -> None:
        self.messages.append(self.json.dumps(data))


@dataclass(slots=True)
class _Outage:
    retry_at: datetime | None = None


def _publish(events: Iterable[tuple[str, str, dict[str, Any]]]) -> None:
    outage: _Outage = current_app.extensions.setdefault("publish_outage", _Outage())
    at = now()
    if outage.retry_at is not None:
        if at < outage.retry_at <= at + RETRY_EVERY:
            return
        outage.retry_at = at + RETRY_EVERY  # one caller tries; the others need not wait for it
    collector = _Collector()
    for user_id, event, payload in events:
        collector.emit(event, payload, namespace=NAMESPACE, room=room_of(user_id))
    try:
        with redis_store.client.pipeline(transaction=False) as pipe:
            for message in collector.messages:
                pipe.publish(CHANNEL, message)
            pipe.execute()
    except redis.RedisError as error:
        if outage.retry_at is None:
            log.warning("inbox.publish_failed", error=type(error).__name__)
        outage.retry_at = now() + RETRY_EVERY
        return
    if outage.retry_at is not None:
        outage.retry_at = None
        log.info("inbox.publish_resumed")
