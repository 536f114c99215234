"""Reads the event stream: each event once, in the order of its position, and none is missed, although transactions
commit in another order than they took their positions in.

Everything that follows from an event reads it here, from the position where it stopped.

With SQLite there is one writer at a time, so positions are given in the order of commits. With PostgreSQL a transaction
locks the last position that was given before it takes its own (a trigger on the table). A reader goes no further than
the lowest that is locked, or, if none is, than the last that had been given before it looked at the locks: whoever took
one up to there has ended, and a statement begun afterwards sees it. So it must read from the primary. A move waits for
the row that an earlier one holds and takes its position then: events of a delivery stand in the order of its moves.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from string import hexdigits
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core.errors import Fault, Rejected
from notifier.core.events import OF_BROADCASTS
from notifier.core.timestamps import timestamp
from notifier.core.worlds import MARK, shown_id
from notifier.ground.database import look_again
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Event, EventStream, Submission

WINDOW = 5_000  # rows looked at in one statement, where only some are wanted
PAGE = 2_000  # rows of an export that are in memory at a time
OUT_OF_ORDER = timedelta(hours=1)  # positions follow time but for transactions' lengths and clocks' differences
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

_events: sa.Table = Event.__table__
_e = _events.c
_NAME = 16  # hex digits of a cursor: the stream's name, the position, and
_POSITION = 16
_WHEN = 8  # the last bits of the event's time, which tell it from another one in its place after a restore
_encode = json.JSONEncoder(separators=(",", ":")).encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = _NAME + _POSITION + _WHEN

_SETTLED = sa.text(
    "WITH given AS MATERIALIZED (SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS id FROM event_id_seq) "
    "SELECT least(given.id, held.id) FROM given, LATERAL ("
    "SELECT min(((classid::bigint << 32) | objid::bigint) & 281474976710655) AS id FROM pg_locks "
    "WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >> 16 = 20052 AND given.id IS NOT NULL "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) held"
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose events are wanted: one producer's (None: everybody's), and with `of_people` those of people that no message
    of a known producer has caused; `tests_only`: those that test keys sent to their own people.
    """

    producer_id: UUID | None = None
    of_people: bool = False
    tests_only: bool = False


EVERYBODY = Scope()


@dataclass(frozen=True, slots=True)
class Read:
    """`rows` have the columns of `models.Event`. `reached`: the last row that has had its turn, whether wanted or not,
    in the scope or not (None: there is none further on); the next read goes on after its id. `is_cut_short`: it has
    looked as far as it may, and there is more.
    """

    rows: "Sequence[sa.Row[Any]]"
    reached: "sa.Row[Any] | None"
    is_cut_short: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events of a scope: of these kinds, of notifications of these event types, since and until when (None: of
    all; no kinds: of all).
    """

    kinds: Collection[str] = ()
    types: Collection[str] | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> "list[sa.ColumnElement[bool]]":
        return [
            *([_e.kind.in_(self.kinds)] if self.kinds else []),
            *([_e.type.in_(self.types)] if self.types is not None else []),
            *([_e.at >= self.since] if self.since is not None else []),
            *([_e.at < self.until] if self.until is not None else []),
        ]


EVERY_KIND = Wanted()


def read(
    after: int,
    limit: int,
    *,
    wanted: Wanted = EVERY_KIND,
    scope: Scope = EVERYBODY,
    upto: int | None = None,
    windows: int | None = None,
) -> Read:
    """The next events after that position (0: from the oldest) and up to that one (None: to the end), at most so many.

    Each statement looks at WINDOW rows at most, so that none holds up a web process; and all of them at so many
    `windows` (None: any number), where few of many events are wanted.
    """
    last = end() if upto is None else min(end(), upto)
    found: list[sa.Row[Any]] = []
    reached = None
    looked = 0
    while len(found) < limit and after < last:
        if looked == windows:
            return Read(found, reached, is_cut_short=True)
        looked += 1
        rows = db.session.execute(_window(after, last, limit - len(found), wanted, scope)).all()
        if not rows:
            break
        found += [row for row in rows if row.is_wanted][: limit - len(found)]
        reached = found[-1] if len(found) == limit else rows[-1]
        after = reached.id
    if scope.producer_id is not None and len(found) < limit and after < last:
        # Else a reader of few events would be told that it has missed some when those of others are pruned
        reached = _last(after, last) or reached
    return Read(found, reached)


def _last(after: int, last: int) -> "sa.Row[Any] | None":
    between = sa.select(*_events.columns).where(_e.id > after, _e.id <= last)
    return db.session.execute(between.order_by(_e.id.desc()).limit(1)).first()


def _window(after: int, last: int, most: int, wanted: Wanted, scope: Scope) -> "sa.Select[Any]":
    """The wanted ones among the next rows, and the last of these rows whether it is wanted or not."""
    bounds = [_e.id > after, _e.id <= last]
    asked = [*wanted.conditions(), *(_of_tests() if scope.tests_only else [])]
    size = WINDOW if asked else most
    owners: list[sa.ColumnElement[bool]] = [sa.true()]
    if scope.producer_id is not None:
        owners = [_e.producer_id == scope.producer_id, *([_e.producer_id.is_(None)] if scope.of_people else [])]
    columns = (*_events.columns, sa.and_(sa.true(), *asked).label("is_wanted"))
    # One index scan for each owner: an OR would be neither
    parts = [sa.select(*columns).where(owner, *bounds).order_by(_e.id).limit(size).subquery() for owner in owners]
    either = sa.union_all(*(sa.select(part) for part in parts)).subquery()
    window = sa.select(either).order_by(either.c.id).limit(size).cte("next_ones")
    furthest = sa.select(sa.func.max(window.c.id)).scalar_subquery()
    chosen = sa.select(window).where(sa.or_(window.c.is_wanted, window.c.id == furthest))
    return chosen.order_by(window.c.id).limit(most + 1)


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


def _surely_before(at: datetime) -> datetime:
    """`at` may be any time there is; so may the one below."""
    return max(at, _FIRST + OUT_OF_ORDER) - OUT_OF_ORDER


def _surely_after(at: datetime) -> datetime:
    return min(at, _LAST - OUT_OF_ORDER) + OUT_OF_ORDER


def _position_before(at: datetime) -> int:
    """The position of the last event that is older. There is no index by time: some twenty looks, each at one row."""
    low, high = 0, db.session.scalar(sa.select(sa.func.max(_e.id))) or 0
    while low < high:
        middle = (low + high) // 2
        following = sa.select(_e.id, _e.at).where(_e.id > middle).order_by(_e.id).limit(1)
        row = db.session.execute(following).one_or_none()
        if row is None or row.at >= at:
            high = middle
        else:
            low = row.id
    return low


def oldest_at() -> datetime | None:
    """When the oldest event happened that is still kept; None: nothing has been pruned yet, or there is none."""
    if not _stream().pruned:
        return None
    at: datetime | None = db.session.scalar(sa.select(_e.at).order_by(_e.id).limit(1))
    return at


def _of_tests() -> "list[sa.ColumnElement[bool]]":
    return [_e.is_test, sa.or_(_e.user_id.is_(None), _e.user_id.startswith(MARK))]


def by_ids(positions: Collection[int]) -> "Sequence[sa.Row[Any]]":
    """Those that are still kept, in their order."""
    if not positions:
        return []
    return db.session.execute(sa.select(*_events.columns).where(_e.id.in_(positions)).order_by(_e.id)).all()


def of_webhook(webhook_id: str) -> "sa.Row[Any] | None":
    """The event that was posted under that id; None: it has been pruned, or there was none."""
    cursor = webhook_id.removeprefix("evt_")
    if len(cursor) != _CURSOR or not all(digit in hexdigits for digit in cursor):
        return None
    rows = by_ids([int(cursor[_NAME : _NAME + _POSITION], 16)])
    return rows[0] if rows and shown(rows)[0]["id"] == webhook_id else None


def end() -> int:
    """The position of the last event that readers may have seen by now; what comes later stands behind it."""
    look_again()
    if db.engine.dialect.name == "postgresql":
        return int(db.session.scalar(_SETTLED) or 0)
    highest = sa.select(sa.func.max(_e.id)).scalar_subquery()
    found, gone = db.session.execute(sa.select(highest, EventStream.pruned)).one()
    return max(int(found or 0), int(gone))


def next_after(position: int) -> int | None:
    """The position of the event that follows."""
    found: int | None = db.session.scalar(sa.select(_e.id).where(_e.id > position).order_by(_e.id).limit(1))
    return found


def pruned() -> int:
    """The highest position that has been pruned; 0: none."""
    return int(_stream().pruned)


def span(since: datetime, until: datetime) -> tuple[int, int]:
    """Positions between which all events of that time are that are still kept, and few others. Some dozen look-ups by
    the primary key: there is no index by time.
    """
    last = _position_before(_surely_after(until))
    return _position_before(_surely_before(since)), min(last, end())


# ---- as they are shown ----------------------------------------------------------------------------------------------


def shown(rows: "Sequence[sa.Row[Any]]") -> list[dict[str, Any]]:
    """API.md, Events: `{id, type, timestamp, data, cursor}`. Two queries whatever their number."""
    if not rows:
        return []
    stream = _stream()
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


# ---- cursors --------------------------------------------------------------------------------------------------------


def cursor_after(read: Read, given: str | None) -> str | None:
    """Where to go on: after the last row looked at, else where the caller was."""
    return given if read.reached is None else cursor_of(_stream().name, read.reached.id, read.reached.at)


def cursor_of(stream: str, position: int, at: datetime) -> str:
    """Hex digits: opaque to callers, and a part of the event's id."""
    when = (at - _EPOCH) // timedelta(milliseconds=1) & 0xFFFFFFFF
    return f"{stream}{position:0{_POSITION}x}{when:0{_WHEN}x}"


def position_of(cursor: str) -> int:
    """The position behind a cursor. Raises Rejected: for one of another database, or of this one before it was restored
    to an earlier state; `cursor_expired` if events after it have been pruned.

    A dump takes the stream's name and positions along, so cursors go on in a copy.
    """
    stream = _stream()
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


def _stream() -> "sa.Row[str, int]":
    return db.session.execute(sa.select(EventStream.name, EventStream.pruned)).one()
