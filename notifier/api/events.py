"""The event stream for producers: one JSON object a line, from a cursor on."""

import contextlib
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlencode

from flask import Response, current_app, g, request, url_for

from notifier.api.answers import also
from notifier.api.auth import Door, allow
from notifier.api.schemas.events import EventOut, EventsQuery
from notifier.core import events
from notifier.core.errors import Fault, Rejected
from notifier.ground.extensions import db
from notifier.queries import events as queries
from notifier.queries import shown_events
from notifier.signals import news

NDJSON = "application/x-ndjson"
LONGEST_WAIT_S = 30
MOST_WAITING = 200  # requests of a process
MOST_OF_ONE = 10  # of them, of one key
WINDOWS = 2  # of rows that one answer looks at

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?([0-9]{1,6})\"?\s*(?=$|[,;])", re.ASCII | re.IGNORECASE)

bp = Door("api_events", __name__, url_prefix="/api/v1", tag="Events")


@bp.get("/events")
@allow("read")
@bp.input(EventsQuery, location="query")
@bp.output(EventOut, content_type=NDJSON)
@also(200, {"type": "string"}, "The same lines", "text/plain")
def list_events(query_data: EventsQuery) -> Response:
    """What became of messages: events from a cursor on, oldest first, one JSON object a line

    Send the `cursor` of the last line as `after`, or follow the `Link` header with `rel="next"`, which goes on even
    where nothing was found. Each event is there once, and none is missed; those of a delivery are in the order in which
    they happened. Events of the last moment may take up to 2 s. With `Prefer: wait=20` (at most 30) a call that finds
    nothing waits for events so long; the answer says so in `Preference-Applied`.

    A key sees the events of its producer's notifications, with the scope `users` also those of people that no
    notification caused (an unsubscribe link was used), with the scope `admin` everybody's; a test key those of test
    notifications only. An answer looks at 10,000 events at most: where few of them are wanted, it may hold fewer than
    `limit`, or none. A cursor of another database is refused; 410 says that events after the cursor have been deleted
    (`RETENTION`).
    """
    wanted = queries.Wanted(kinds=_kinds(query_data.types))
    after = shown_events.position_of(query_data.after) if query_data.after else 0
    waits_s = _wait_s()
    known = news.latest() if waits_s else None
    found = queries.read(after, query_data.limit, wanted=wanted, scope=_scope(), windows=WINDOWS)
    is_waiting = False
    if waits_s and not found.rows:
        with _place_to_wait() as is_waiting:
            deadline = time.monotonic() + waits_s if is_waiting else 0.0
            while not found.rows and (left := deadline - time.monotonic()) > 0:
                db.session.remove()  # whoever waits holds no connection
                if found.is_cut_short:
                    time.sleep(0)  # with SQLite nobody else would have a turn
                else:
                    news.wait(known, left)
                    known = news.latest()
                after = found.reached.id if found.reached else after
                again = queries.read(after, query_data.limit, wanted=wanted, scope=_scope(), windows=WINDOWS)
                found = again if again.reached else replace(found, is_cut_short=False)
    return _answer(query_data, found, f"wait={waits_s}" if is_waiting else None)


def _answer(query: EventsQuery, found: queries.Read, applied: str | None) -> Response:
    cursor = shown_events.cursor_after(found, query.after)
    lines = "".join(map(shown_events.line, shown_events.shown(found.rows)))
    wanted = request.accept_mimetypes
    is_plain = bool(wanted.quality("text/plain")) and not wanted.quality(NDJSON)
    response = Response(lines, content_type="text/plain; charset=utf-8" if is_plain else NDJSON)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept"
    following = {"after": cursor, "limit": query.limit, "types": query.types}
    target = urlencode({name: value for name, value in following.items() if value is not None})
    response.headers["Link"] = f'<{url_for("api_events.list_events")}?{target}>; rel="next"'
    if applied:
        response.headers["Preference-Applied"] = applied
    return response


def _scope() -> queries.Scope:
    key = g.key
    is_admin = "admin" in key.scopes
    return queries.Scope(None if is_admin else key.producer_id, of_people="users" in key.scopes, tests_only=key.is_test)


def _kinds(text: str | None) -> set[str]:
    """Empty: all. Raises Rejected."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    unknown = [name for name in names if not events.named(name)]
    if unknown or (text is not None and not names):
        message = f"there is no event {unknown[0][:64]!r}" if unknown else "names no event"
        fault = Fault("/types", "unknown_event", f"{message}; there are {', '.join(events.KINDS)}")
        raise Rejected("validation_failed", f"/types: {message}", (fault,))
    return {kind for name in names for kind in events.named(name)}


def _wait_s() -> int:
    """RFC 7240, 4.3; what is no preference of this kind is ignored, as is fitting there."""
    wanted = _WAIT.search(",".join(request.headers.getlist("Prefer")))
    return min(int(wanted[1]), LONGEST_WAIT_S) if wanted else 0


@contextlib.contextmanager
def _place_to_wait() -> Iterator[bool]:
    """False where too many wait already: the caller is answered at once, and may come again."""
    waiting: Counter[object] = current_app.extensions.setdefault("waiting_for_events", Counter())
    key = g.key.key_id
    if waiting[key] >= MOST_OF_ONE or waiting.total() >= MOST_WAITING:
        yield False
        return
    waiting[key] += 1
    try:
        yield True
    finally:
        waiting[key] -= 1
        if not waiting[key]:
            del waiting[key]
