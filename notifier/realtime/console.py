"""The console's Socket.IO namespace: tells open pages that something has changed, and lets operators act.

For accounts with the role viewer or higher, by the session cookie from our own pages; never for users' tokens. A page
names its topic (`watch`), receives `changed` with that topic, and reloads its data over HTTP; events carry no data.
"""

from typing import Any, Literal

from flask_socketio import ConnectionRefusedError as Refused
from flask_socketio import join_room, leave_room, rooms
from pydantic import Field

from notifier.ground.ids import parse
from notifier.operations import bulk_actions
from notifier.realtime.door import Arguments, Door, Event, Guest
from notifier.signals.publish import CONSOLE, TOPICS, note_watched, topic_room


class _Watch(Arguments):
    topic: Literal[TOPICS]  # type: ignore[valid-type]


class _Cancel(Arguments):
    action: str = Field(max_length=64)


def _watch(_guest: Guest, given: _Watch) -> dict[str, Any]:
    """Watches this topic instead of the one before. Lasts as long as the connection, if repeated at least every
    WATCHED_FOR; otherwise no hints are sent.

    `is_live` False: Redis is away, so no hints are sent at present.
    """
    for room in {topic_room(topic) for topic in TOPICS} & set(rooms()):
        leave_room(room)
    join_room(topic_room(given.topic))
    return {"topic": given.topic, "is_live": note_watched()}


def _cancel(_guest: Guest, given: _Cancel) -> dict[str, Any]:
    """A bulk action that is under way. `is_cancelled` False: it had ended already."""
    return {"is_cancelled": bulk_actions.cancel(parse("blk", given.action))}


_EVENTS = {"watch": Event(_Watch, _watch, role="viewer"), "cancel": Event(_Cancel, _cancel, role="operator")}


class Console(Door):
    def __init__(self) -> None:
        super().__init__(CONSOLE, _EVENTS, role="viewer")

    def identify(self, auth: Any) -> Guest:
        if isinstance(auth, dict) and auth.get("token") is not None:
            raise Refused("forbidden")
        return self.by_cookie()
