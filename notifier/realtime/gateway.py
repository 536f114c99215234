"""The inbox's Socket.IO namespace, and the subscription to all processes' events.

A connection receives events of its own user's inbox only. A connection is identified when it opens: by a user's token,
from a site that its producer allows, or by the session cookie, from our own origin only. When its token is no longer
valid (`queries.valid_tokens`), the connection is closed.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Annotated, Any, TypeGuard

import redis
import socketio as wire
import sqlalchemy as sa
import structlog
from flask import Flask, request
from flask_socketio import ConnectionRefusedError as Refused
from flask_socketio import SocketIO, join_room
from pydantic import Field
from redis.backoff import NoBackoff
from redis.retry import Retry

from notifier.access import origins
from notifier.ground import metrics, tokens, vital
from notifier.ground.database import UNAVAILABLE
from notifier.ground.extensions import db
from notifier.ground.fast_json import decoded
from notifier.ground.ids import parse_many
from notifier.ground.outage import ANSWER_S, AWAY_S
from notifier.ground.redis_clients import connected
from notifier.inbox import marks
from notifier.inbox.marks import MAX_IDS, Chosen
from notifier.models import InboxState
from notifier.queries import inbox as questions
from notifier.queries import valid_tokens
from notifier.realtime.console import Console
from notifier.realtime.door import Arguments, Door, Event, Guest
from notifier.signals.publish import (
    CHANNEL,
    CONSOLE,
    NAMESPACE,
    RETRY_EVERY,
    TOPICS,
    channel_of,
    room_of,
    topic_room,
    unpacked,
)

_USERS_AT_ONCE = 500
# A subscription says nothing by itself: whoever is silent for so long is asked, and then is given so long to answer.
SILENT_S = 3.0

log = structlog.get_logger()


class _Since(Arguments):
    since: int = Field(ge=0)


class _Ids(Arguments):
    ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MAX_IDS)]

    def chosen(self) -> Chosen:
        return Chosen(tuple(parse_many("dlv", self.ids)))


class _Nothing(Arguments):
    pass


# Each answers as its twin among the HTTP calls does.
_EVENTS = {
    "sync": Event(_Since, lambda guest, given: questions.changes(guest.user_id, given.since)),
    "read": Event(_Ids, lambda guest, given: marks.read(guest.user_id, given.chosen())),
    "seen": Event(_Nothing, lambda guest, _: marks.seen(guest.user_id, Chosen())),
    "archive": Event(_Ids, lambda guest, given: marks.archive(guest.user_id, given.chosen())),
}


class Inbox(Door):
    def __init__(self) -> None:
        super().__init__(NAMESPACE, _EVENTS)

    def identify(self, auth: Any) -> Guest:
        token = auth.get("token") if isinstance(auth, dict) else None
        if token is None:
            return self.by_cookie()
        opened = tokens.open_user_token(token) if isinstance(token, str) else None
        if opened is None or not valid_tokens.holding([opened]):
            raise Refused("unauthenticated")
        if not origins.may_use(request.headers.get("Origin"), opened.producer_id, request.host_url):
            raise Refused("origin_refused")
        return Guest(opened.user_id, token=opened)

    def welcome(self, guest: Guest) -> None:
        join_room(room_of(guest.user_id))


class Listener(wire.RedisManager):  # type: ignore[misc]
    """Receives the events of all processes, those for a person only while they are connected here: the channels that
    are subscribed to follow the rooms. Differs from its base in the behaviour after an outage of Redis, too.

    It returns within seconds rather than a minute, and makes up for missed events: every user connected here is told
    the state of their inbox, and a client that sees a gap asks for the rest; every page of the console reloads its
    data.
    """

    def __init__(self, app: Flask, url: str) -> None:
        super().__init__(url, channel=CHANNEL)
        self.app = app
        self._followed: set[str] = set()  # rooms
        self._sending = threading.Lock()  # what it says on the subscription's connection
        self._is_cut = False  # that connection broke while something was said

    def _thread(self) -> None:
        vital.kept("inbox listener", super()._thread)()

    def _listen(self) -> Iterator[Any]:
        for message in self._redis_listen_with_retries():
            heard = None
            with suppress(ValueError):  # somebody else's
                heard = decoded(message["data"])
            if isinstance(heard, dict):
                if heard.get("namespace") == NAMESPACE:
                    metrics.heard.inc(len(heard.get("events", ())))
                yield from unpacked(heard, self.rooms.get(heard.get("namespace"), ()))

    def _redis_connect(self) -> None:
        # A lost subscription is not taken up again in silence: what was missed is to be made up for
        retry = Retry(NoBackoff(), 0)
        self.redis = connected(self.redis_url, socket_connect_timeout=ANSWER_S, socket_timeout=SILENT_S, retry=retry)
        self.pubsub = self.redis.pubsub()
        self.connected, self._is_cut = True, False

    def _redis_listen_with_retries(self) -> Iterator[Any]:
        was_away = False
        while True:
            try:
                self._redis_connect()
                self.pubsub.subscribe(self.channel)
                self._follow_all()
                if was_away:
                    was_away = False
                    log.info("inbox.listening_again")
                    self.server.start_background_task(self.catch_up)
                yield from self._heard()
            except Exception as error:
                if not was_away:
                    log.warning("inbox.not_listening", error=type(error).__name__)
                was_away = True
            time.sleep(RETRY_EVERY.total_seconds())

    def _heard(self) -> Iterator[Any]:
        """Raises redis.RedisError when the connection is lost, or a Redis that hangs or is cut off stays silent."""
        is_asked = False
        while True:
            if self._is_cut:
                raise redis.ConnectionError
            message = self.pubsub.get_message(timeout=SILENT_S)
            if message is not None:
                is_asked = False
                if message["type"] == "message":
                    yield message
            elif is_asked:
                raise redis.TimeoutError
            else:
                with self._sending:
                    self.pubsub.ping()
                is_asked = True

    def basic_enter_room(self, sid: str, namespace: str, room: str | None, eio_sid: str | None = None) -> None:
        super().basic_enter_room(sid, namespace, room, eio_sid)
        self._follow(namespace, room)

    def basic_leave_room(self, sid: str, namespace: str, room: str | None) -> None:
        super().basic_leave_room(sid, namespace, room)
        self._follow(namespace, room)

    def _follow(self, namespace: str, room: str | None) -> None:
        """As the room is at the moment of saying so: somebody else may enter while the last one leaves."""
        if namespace != NAMESPACE or not _is_persons(room):
            return
        with self._sending:
            is_wanted = room in self.rooms.get(NAMESPACE, ())
            if is_wanted != (room in self._followed):
                self._say("SUBSCRIBE" if is_wanted else "UNSUBSCRIBE", [room])

    def _follow_all(self) -> None:
        with self._sending:
            self._followed.clear()
            rooms = list(filter(_is_persons, list(self.rooms.get(NAMESPACE, ()))))
            for start in range(0, len(rooms), _USERS_AT_ONCE):
                self._say("SUBSCRIBE", rooms[start : start + _USERS_AT_ONCE])

    def _say(self, command: str, rooms: Sequence[str]) -> None:
        """Past redis-py's subscription, which would connect again by itself, and nobody would know of what was missed.
        Who listens sees a lost connection and subscribes to all anew.
        """
        (self._followed.update if command == "SUBSCRIBE" else self._followed.difference_update)(rooms)
        connection = self.pubsub and self.pubsub.connection
        try:
            if connection and connection.is_connected:
                connection.send_command(command, *map(channel_of, rooms))
        except (redis.RedisError, OSError):
            self._is_cut = True

    def catch_up(self) -> None:
        # Publishers notice a little later than we do that Redis is back.
        time.sleep(AWAY_S + 2 * RETRY_EVERY.total_seconds())
        for topic in TOPICS:
            self.emit("changed", {"topic": topic}, namespace=CONSOLE, room=topic_room(topic), ignore_queue=True)
        user_ids = [room.removeprefix(room_of("")) for room in filter(_is_persons, list(self.rooms.get(NAMESPACE, ())))]
        for start in range(0, len(user_ids), _USERS_AT_ONCE):
            for state in self._states(user_ids[start : start + _USERS_AT_ONCE]):
                payload = {"seq": state.seq, "unread": state.unread, "unseen": state.unseen, "changed": []}
                self.emit("state", payload, namespace=NAMESPACE, room=room_of(state.user_id), ignore_queue=True)

    def _states(self, user_ids: Sequence[str]) -> Sequence[Any]:
        """Where these inboxes stand. A database that is away as well is waited for."""
        while True:
            try:
                with self.app.app_context():
                    return db.session.execute(
                        sa.select(InboxState.user_id, InboxState.seq, InboxState.unread, InboxState.unseen).where(
                            InboxState.user_id.in_(user_ids)
                        )
                    ).all()
            except UNAVAILABLE as error:
                log.warning("inbox.not_caught_up", error=type(error).__name__)
            time.sleep(RETRY_EVERY.total_seconds())


def _is_persons(room: str | None) -> TypeGuard[str]:
    return room is not None and room.startswith(room_of(""))


def init_app(socketio: SocketIO) -> None:
    socketio.on_namespace(Inbox())
    socketio.on_namespace(Console())
