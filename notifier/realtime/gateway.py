"""The door for browsers: Socket.IO namespace `/inbox`. A connection hears of its own user's inbox, and of no other.

Who it is, is settled at the connection: by a user's token, from where its producer allows, or by the session
cookie, from our own origin only. A token that has expired ends its connection. Arguments come from strangers:
whatever is wrong with them is answered in the acknowledgement, `{"error": {code, detail}}`.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import socketio as wire
import sqlalchemy as sa
import structlog
from flask import Flask, current_app, request
from flask_login import current_user
from flask_socketio import ConnectionRefusedError as Refused
from flask_socketio import Namespace, SocketIO, join_room
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from notifier import accounts, origins, tokens
from notifier.clock import now
from notifier.core.errors import Rejected
from notifier.extensions import db
from notifier.ids import parse_many
from notifier.models import InboxState
from notifier.pipeline import inbox
from notifier.pipeline.inbox import MAX_IDS, Chosen
from notifier.queries import inbox as questions
from notifier.realtime.publish import CHANNEL, NAMESPACE, RETRY_EVERY, room_of

_SWEEP_EVERY_S = 5.0
_FAREWELL_S = 0.2  # between the answer that says why and the end of the connection
_USERS_AT_ONCE = 500

log = structlog.get_logger()


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Since(_Arguments):
    since: int = Field(ge=0)


class _Ids(_Arguments):
    ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MAX_IDS)]

    def chosen(self) -> Chosen:
        return Chosen(tuple(parse_many("dlv", self.ids)))


class _Nothing(_Arguments):
    pass


# event → what it takes, and what it does for the user; each answers as its twin among the HTTP calls does.
_EVENTS: dict[str, tuple[type[_Arguments], Callable[[str, Any], dict[str, Any]]]] = {
    "sync": (_Since, lambda user_id, given: questions.changes(user_id, given.since)),
    "read": (_Ids, lambda user_id, given: inbox.read(user_id, given.chosen())),
    "seen": (_Nothing, lambda user_id, given: inbox.seen(user_id, Chosen())),
    "archive": (_Ids, lambda user_id, given: inbox.archive(user_id, given.chosen())),
}


@dataclass(frozen=True, slots=True)
class _Guest:
    """Who is connected. By token until `expires_at`; by cookie as long as the account `account_id` may sign in."""

    user_id: str
    expires_at: datetime | None = None
    account_id: str | None = None

    def may_stay(self) -> bool:
        if self.expires_at is not None:
            return self.expires_at > now()
        return self.account_id is not None and accounts.find_account(self.account_id) is not None


class Inbox(Namespace):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(NAMESPACE)
        self.guests: dict[str, _Guest] = {}
        self._lock = threading.Lock()
        self._is_sweeping = False

    def trigger_event(self, event: Any, sid: str, *args: Any) -> Any:
        """Every event of the namespace. A client may call its own events anything, `connect` and `disconnect` too."""
        if event == "connect" and sid not in self.guests:
            return super().trigger_event(event, sid, *args)
        if event == "disconnect" and not self.server.manager.is_connected(sid, self.namespace):
            self.guests.pop(sid, None)
            return None
        return self.socketio._handle_event(lambda *given: self._answer(event, given), str(event), self.namespace, sid, *args)

    def on_connect(self, auth: Any = None) -> None:
        guest = _identify(auth)
        self.guests[request.sid] = guest  # type: ignore[attr-defined]
        join_room(room_of(guest.user_id))
        self._sweep_from_now_on(current_app._get_current_object())  # type: ignore[attr-defined]

    def _answer(self, event: Any, given: tuple[Any, ...]) -> dict[str, Any]:
        guest = self.guests.get(request.sid)  # type: ignore[attr-defined]
        if guest is None or not guest.may_stay():
            self.socketio.start_background_task(self._end, request.sid)  # type: ignore[attr-defined]
            return _error("unauthenticated", "the token or the session has ended")
        if not isinstance(event, str) or event not in _EVENTS:
            return _error("unknown_event", "there is no such event")
        shape, work = _EVENTS[event]
        try:
            if len(given) > 1:
                return _error("validation_failed", "one argument at most, an object")
            return work(guest.user_id, shape.model_validate(given[0] if given and given[0] is not None else {}))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            return _error("validation_failed", f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": "))
        except Rejected as error:
            return _error(error.code, error.detail)
        except Exception:
            log.exception("inbox.event_failed", event_name=event)
            return _error("internal_error", "something went wrong here; the log has the details")

    def _end(self, sid: str) -> None:
        self.socketio.sleep(_FAREWELL_S)
        self.socketio.server.disconnect(sid, namespace=self.namespace)

    def expire(self) -> None:
        """Ends the connections whose token has expired or whose account may not sign in any more; they would go on hearing otherwise.

        One query, in an app context.
        """
        at, guests = now(), list(self.guests.items())
        asked = {guest.account_id for _, guest in guests if guest.account_id is not None}
        active = accounts.active_ids(asked) if asked else set()
        for sid, guest in guests:
            has_ended = guest.expires_at <= at if guest.expires_at is not None else guest.account_id not in active
            if has_ended:
                self.guests.pop(sid, None)
                self.socketio.server.disconnect(sid, namespace=self.namespace)

    def _sweep_from_now_on(self, app: Flask) -> None:
        with self._lock:
            if self._is_sweeping:
                return
            self._is_sweeping = True
        self.socketio.start_background_task(self._sweep, app)

    def _sweep(self, app: Flask) -> None:
        while True:
            self.socketio.sleep(_SWEEP_EVERY_S)
            try:
                with app.app_context():
                    self.expire()
            except sa.exc.DBAPIError as error:
                log.warning("inbox.guests_not_checked", error=type(error).__name__)
            with self._lock:
                if not self.guests:
                    self._is_sweeping = False
                    return


def _identify(auth: Any) -> _Guest:
    """Raises Refused."""
    token = auth.get("token") if isinstance(auth, dict) else None
    if token is not None:
        opened = tokens.open_user_token(token) if isinstance(token, str) else None
        if opened is None:
            raise Refused("unauthenticated")
        if not origins.may_use(request.headers.get("Origin"), opened.producer_id, request.host_url):
            raise Refused("origin_refused")
        return _Guest(opened.user_id, expires_at=opened.expires_at)
    if _is_our_own_page() and current_user.is_authenticated:
        return _Guest(current_user.user_id, account_id=current_user.get_id())
    raise Refused("unauthenticated")


def _is_our_own_page() -> bool:
    """Whether the connection was opened by a page of ours, or by something that is no browser."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    return origin is None or origins.is_ours(origin, request.host_url)


def _error(code: str, detail: str) -> dict[str, Any]:
    return {"error": {"code": code, "detail": detail}}


class Listener(wire.RedisManager):  # type: ignore[misc]
    """Hears what all processes publish. Differs from its base in what follows an outage of Redis.

    It returns within seconds rather than a minute, and what was missed meanwhile is made good: every
    user connected here is told where their inbox stands, and a client that sees a gap asks for the rest.
    """

    def __init__(self, app: Flask, url: str) -> None:
        super().__init__(url, channel=CHANNEL)
        self.app = app

    def _redis_listen_with_retries(self) -> Iterator[Any]:
        was_away = False
        while True:
            try:
                self._redis_connect()
                self.pubsub.subscribe(self.channel)
                if was_away:
                    was_away = False
                    log.info("inbox.listening_again")
                    self.server.start_background_task(self.catch_up)
                yield from self.pubsub.listen()
            except Exception as error:
                if not was_away:
                    log.warning("inbox.not_listening", error=type(error).__name__)
                was_away = True
            time.sleep(RETRY_EVERY.total_seconds())

    def catch_up(self) -> None:
        # Publishers notice a little later than we do that Redis is back.
        time.sleep(2 * RETRY_EVERY.total_seconds())
        prefix = room_of("")
        user_ids = [room.removeprefix(prefix) for room in list(self.rooms.get(NAMESPACE, ())) if room is not None and room.startswith(prefix)]
        for start in range(0, len(user_ids), _USERS_AT_ONCE):
            chunk = user_ids[start : start + _USERS_AT_ONCE]
            with self.app.app_context():
                states = db.session.execute(
                    sa.select(InboxState.user_id, InboxState.seq, InboxState.unread, InboxState.unseen).where(InboxState.user_id.in_(chunk))
                ).all()
            for state in states:
                payload = {"seq": state.seq, "unread": state.unread, "unseen": state.unseen, "changed": []}
                self.emit("state", payload, namespace=NAMESPACE, room=room_of(state.user_id), ignore_queue=True)


def init_app(socketio: SocketIO) -> None:
    socketio.on_namespace(Inbox())
