"""Events as callers see them, and the cursors that lead through the stream. `queries.events` reads it."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from string import hexdigits
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core.errors import Fault, Rejected
from notifier.core.events import OF_BROADCASTS
from notifier.core.timestamps import timestamp
from notifier.core.worlds import shown_id
from notifier.ground import tracing
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Event, Submission
from notifier.queries.events import Read, Wanted, by_ids, its_stream, read, span

_NAME = 16  # hex digits of a cursor: the stream's name, the position, and
_POSITION = 16
_WHEN = 8  # the last bits of the event's time, which tell it from another one in its place after a restore
_encode = json.JSONEncoder(separators=(",", ":")).encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = _NAME + _POSITION + _WHEN
PAGE = 2_000  # rows of an export that are in memory at a time

_events: sa.Table = Event.__table__
_e = _events.c


def between(since: datetime, until: datetime) -> Iterator[list[dict[str, Any]]]:
    """The events from `since` to before `until`, as they are shown, in the order of their positions: page by page, so
    that neither memory nor a transaction grows with their number.
    """
    position, last = span(since, until)
    wanted = Wanted(since=since, until=until)
    while rows := read(position, PAGE, wanted=wanted, upto=last).rows:
        page = shown(rows)
        db.session.close()
        yield page
        position = rows[-1].id


def shown(rows: "Sequence[sa.Row[Any]]") -> list[dict[str, Any]]:
    """API.md, Events: `{id, type, timestamp, data, cursor}`. Two queries whatever their number."""
    if not rows:
        return []
    stream = its_stream()
    keys = _idempotency_keys({row.submission_id for row in rows if row.submission_id and row.user_id is not None})
    return [_shown(row, cursor_of(stream.name, row.id, row.at), keys) for row in rows]


def line(event: Mapping[str, Any]) -> str:
    """A shown event as one line of NDJSON, its end included."""
    return f"{_encode(event)}\n"


def _shown(row: "sa.Row[Any]", cursor: str, keys: Mapping[UUID, str]) -> dict[str, Any]:
    return {
        "id": f"evt_{cursor}",
        "type": row.kind,
        "timestamp": timestamp(row.at),
        "data": {
            "notification": show("ntf", row.notification_id) if row.notification_id else None,
            "submission": show("sub", row.submission_id) if row.submission_id else None,
            **({"broadcast": show("brd", row.submission_id)} if row.kind in OF_BROADCASTS else {}),
            "user": None if row.user_id is None else shown_id(row.user_id),
            "test": row.is_test,
            "notification_type": row.type,
            "category": row.category,
            "channel": row.channel,
            "delivery": None
            if row.delivery_id is None
            else {
                "id": show("dlv", row.delivery_id),
                "channel": row.channel,
                "address": row.address_masked,
                "provider": row.provider,
                "code": row.code,
            },
            "reason": row.reason,
            "key": None if row.user_id is None else keys.get(row.submission_id),
        },
        "cursor": cursor,
    }


def _idempotency_keys(submissions: Collection[UUID]) -> dict[UUID, str]:
    """Submissions are stored once and stay as they are, so reading them disturbs nobody."""
    given = sa.select(Submission.id, Submission.idempotency_key).where(
        Submission.id.in_(submissions), Submission.idempotency_key.is_not(None)
    )
    return {row.id: row.idempotency_key for row in db.session.execute(given)} if submissions else {}


def traceparents(rows: "Sequence[sa.Row[Any]]") -> Mapping[UUID | None, str]:
    """By submission, of those that are followed. One query where traces are on, else none."""
    if not tracing.is_on():
        return {}
    about = {row.submission_id for row in rows if row.submission_id}
    followed = sa.select(Submission.id, Submission.traceparent).where(
        Submission.id.in_(about), Submission.traceparent.is_not(None)
    )
    return {row.id: row.traceparent for row in db.session.execute(followed)}


# ---- cursors --------------------------------------------------------------------------------------------------------


def cursor_after(read: Read, given: str | None) -> str | None:
    """Where to go on: after the last row looked at, else where the caller was."""
    return given if read.reached is None else cursor_of(its_stream().name, read.reached.id, read.reached.at)


def cursor_of(stream: str, position: int, at: datetime) -> str:
    """Hex digits: opaque to callers, and a part of the event's id."""
    when = (at - _EPOCH) // timedelta(milliseconds=1) & 0xFFFFFFFF
    return f"{stream}{position:0{_POSITION}x}{when:0{_WHEN}x}"


def position_of(cursor: str) -> int:
    """The position behind a cursor. Raises Rejected: for one of another database, or of this one before it was restored
    to an earlier state; `cursor_expired` if events after it have been pruned.

    A dump takes the stream's name and positions along, so cursors go on in a copy.
    """
    stream = its_stream()
    is_one = len(cursor) == _CURSOR and all(digit in hexdigits for digit in cursor)
    position = int(cursor[_NAME : _NAME + _POSITION], 16) if is_one else 0
    if not 0 < position < 1 << 63:
        raise _no_cursor("this is not a cursor of the event stream")
    if not cursor.startswith(stream.name):
        raise _no_cursor("this cursor is of another database's event stream")
    if position < stream.pruned:
        raise Rejected(
            "cursor_expired", "events after this cursor have been deleted; leave `after` out to begin with the oldest"
        )
    at = db.session.scalar(sa.select(_e.at).where(_e.id == position))
    if position != stream.pruned if at is None else cursor_of(stream.name, position, at) != cursor:
        raise _no_cursor("the event of this cursor is gone: the database has been restored to an earlier state")
    return position


def _no_cursor(message: str) -> Rejected:
    return Rejected("validation_failed", message, (Fault("/after", "invalid_cursor", message),))


def of_webhook(webhook_id: str) -> "sa.Row[Any] | None":
    """The event that was posted under that id; None: it has been pruned, or there was none."""
    cursor = webhook_id.removeprefix("evt_")
    if len(cursor) != _CURSOR or not all(digit in hexdigits for digit in cursor):
        return None
    rows = by_ids([int(cursor[_NAME : _NAME + _POSITION], 16)])
    return rows[0] if rows and shown(rows)[0]["id"] == webhook_id else None
