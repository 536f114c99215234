"""The access check of both Socket.IO namespaces: who a connection belongs to, whether it may stay, and how its events
are answered.

A connection is identified when it opens (`by_cookie`, or the namespace's own way) and checked again with every event
and every few seconds. Arguments come from strangers: faults in them are answered in the acknowledgement,
`{"error": {code, detail}}`.
"""

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from flask import Flask, current_app, request, session
from flask_login import current_user
from flask_socketio import ConnectionRefusedError as Refused
from flask_socketio import Namespace
from pydantic import BaseModel, ConfigDict, ValidationError

from notifier.access import origins, second_factor, sessions
from notifier.core.errors import Rejected
from notifier.core.faults import sentence
from notifier.ground import metrics, vital
from notifier.ground.database import UNAVAILABLE
from notifier.ground.tokens import UserToken
from notifier.ledgers import audit
from notifier.models import Account
from notifier.models.account import CONSOLE_ROLES, ROLES
from notifier.queries import valid_tokens

_CHECK_EVERY_S = 5.0
_FAREWELL_S = 0.2  # between the answer that says why and the end of the connection

log = structlog.get_logger()


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Guest:
    """The owner of a connection. By `token` until that ends; by cookie as long as the session lasts and its account has
    the role.
    """

    user_id: str
    token: UserToken | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An event's arguments and its function: → the answer. `role`: the lowest that an account needs for it."""

    takes: type[Arguments]
    work: Callable[[Guest, Any], Mapping[str, Any]]
    role: str = ROLES[0]


class Door(Namespace):  # type: ignore[misc]
    """`events`: name → its handler. `role`: the lowest that accounts need to connect and to stay."""

    def __init__(self, namespace: str, events: Mapping[str, Event], role: str = ROLES[0]) -> None:
        super().__init__(namespace)
        self.events, self.role = events, role
        self.guests: dict[str, Guest] = {}
        metrics.sockets.labels(namespace).set_function(lambda: len(self.guests))
        self._lock = threading.Lock()
        self._is_checking = False

    def identify(self, auth: Any) -> Guest:
        """Raises Refused."""
        raise NotImplementedError

    def trigger_event(self, event: Any, sid: str, *args: Any) -> Any:
        """Every event of the namespace. A client may call its own events anything, `connect` and `disconnect` too."""
        if event == "connect" and sid not in self.guests:
            return super().trigger_event(event, sid, *args)
        if event == "disconnect" and not self.server.manager.is_connected(sid, self.namespace):
            self.guests.pop(sid, None)
            return None
        return self.socketio._handle_event(
            lambda *given: self._answer(event, given), str(event), self.namespace, sid, *args
        )

    def on_connect(self, auth: Any = None) -> None:
        try:
            guest = self.identify(auth)
        except Refused:
            raise
        except Exception as fault:
            # The database is away, say. Clients take a refusal for the end of their token, and wait for ever for an
            # answer that does not come; those whose connection breaks come back.
            log.warning(
                "socket.guest_not_identified", namespace=self.namespace, exc_info=not isinstance(fault, UNAVAILABLE)
            )
            self._cut_off(request.sid)  # type: ignore[attr-defined]
            raise Refused("unavailable") from None
        self.guests[request.sid] = guest  # type: ignore[attr-defined]
        self.welcome(guest)
        self._check_from_now_on(current_app._get_current_object())  # type: ignore[attr-defined]

    def welcome(self, guest: Guest) -> None:
        """Called when a guest has been let in."""

    def by_cookie(self) -> Guest:
        """The signed-in account, from a page of ours or from a client that is no browser. Raises Refused."""
        if not _is_our_own_page() or not current_user.is_authenticated:
            raise Refused("unauthenticated")
        if not _may_be_here(current_user, self.role):
            raise Refused("forbidden")
        return Guest(current_user.user_id, session_id=session.get(sessions.KEY))

    def _cut_off(self, sid: str) -> None:
        """Without waiting until the client has heard of it."""
        connection = self.server.eio.sockets.get(self.server.manager.eio_sid_from_sid(sid, self.namespace))
        if connection is not None:
            connection.close(wait=False)

    def _answer(self, event: Any, given: tuple[Any, ...]) -> Mapping[str, Any]:
        try:
            return self._answered(event, given)
        except Exception:
            log.exception("socket.event_failed", namespace=self.namespace, event_name=event)
            return error("internal_error", "something went wrong here; the log has the details")

    def _answered(self, event: Any, given: tuple[Any, ...]) -> Mapping[str, Any]:
        guest = self.guests.get(request.sid)  # type: ignore[attr-defined]
        account = sessions.find(guest.session_id) if guest is not None else None
        valid = valid_tokens.holding([guest.token]) if guest is not None and guest.token is not None else set()
        if guest is None or not self._may_stay(guest, account, valid):
            self.socketio.start_background_task(self._end, request.sid)  # type: ignore[attr-defined]
            if account is not None and not _may_be_here(account, self.role):
                return _too_little(account, self.role)
            return error("unauthenticated", "the token or the session has expired")
        if not isinstance(event, str) or event not in self.events:
            return error("unknown_event", "there is no such event")
        entry = self.events[event]
        if account is not None and not account.has_role(entry.role):
            return _too_little(account, entry.role)
        try:
            if len(given) > 1:
                return error("validation_failed", "at most one argument, an object")
            with audit.acting_as(account and account.email, request.remote_addr):
                return entry.work(guest, entry.takes.model_validate(given[0] if given and given[0] is not None else {}))
        except ValidationError as fault:
            first = fault.errors(include_url=False, include_input=False)[0]
            return error(
                "validation_failed",
                f"{'.'.join(map(str, first['loc']))}: {sentence(first['type'], first.get('ctx', {}))}".removeprefix(
                    ": "
                ),
            )
        except Rejected as fault:
            return error(fault.code, fault.detail)

    def _may_stay(self, guest: Guest, account: Account | None, valid: Collection[UserToken]) -> bool:
        """`account`: as it is now; None if the session has ended. `valid`: the tokens that have not ended."""
        if guest.token is not None:
            return guest.token in valid
        return account is not None and _may_be_here(account, self.role)

    def _end(self, sid: str) -> None:
        self.socketio.sleep(_FAREWELL_S)
        self.socketio.server.disconnect(sid, namespace=self.namespace)

    def expire(self) -> None:
        """Ends the connections whose token or session has ended, or whose account has lost its role: otherwise they
        would still receive events.

        Two queries and one more for every 500 people and key, in an app context.
        """
        guests = list(self.guests.items())
        active = sessions.find_many({guest.session_id for _, guest in guests if guest.session_id is not None})
        valid = valid_tokens.holding({guest.token for _, guest in guests if guest.token is not None})
        for sid, guest in guests:
            if not self._may_stay(guest, active.get(guest.session_id or ""), valid):
                self.guests.pop(sid, None)
                self.socketio.server.disconnect(sid, namespace=self.namespace)

    def _check_from_now_on(self, app: Flask) -> None:
        with self._lock:
            if self._is_checking:
                return
            self._is_checking = True
        self.socketio.start_background_task(
            vital.kept(f"guests of {self.namespace}", self._check_again_and_again, lambda: not self._is_checking), app
        )

    def _check_again_and_again(self, app: Flask) -> None:
        while True:
            self.socketio.sleep(_CHECK_EVERY_S)
            try:
                with app.app_context():
                    self.expire()
            except (
                Exception
            ) as fault:  # whatever it is, the next look may succeed, and without one nobody's stay would end any more
                log.warning(
                    "socket.guests_not_checked",
                    namespace=self.namespace,
                    error=type(fault).__name__,
                    exc_info=not isinstance(fault, UNAVAILABLE),
                )
            with self._lock:
                if not self.guests:
                    self._is_checking = False
                    return


def _may_be_here(account: Account, role: str) -> bool:
    """As on the pages (`web.access`): in the console, who must have a second factor has one."""
    return account.has_role(role) and not (role in CONSOLE_ROLES and second_factor.is_missing(account))


def _is_our_own_page() -> bool:
    """Whether the connection was opened by a page of ours, or by something that is no browser."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    return origin is None or origins.is_ours(origin, request.host_url)


def _too_little(account: Account, role: str) -> dict[str, Any]:
    return error("forbidden", f"your role is {account.role}; this needs {' or '.join(ROLES[ROLES.index(role) :])}")


def error(code: str, detail: str) -> dict[str, Any]:
    return {"error": {"code": code, "detail": detail}}
