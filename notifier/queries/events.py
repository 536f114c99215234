"""Reads the event stream: each event once, in the order of its position, and none is missed, although transactions
commit in another order than they took their positions in.

Everything that follows from an event reads it here, from the position where it stopped.

With SQLite there is one writer at a time, so positions are given in the order of commits. With PostgreSQL a transaction
locks the last position that was given before it takes its own (a trigger on the table). A reader goes no further than
the lowest that is locked, or, if none is, than the last that had been given before it looked at the locks: whoever took
one up to there has ended, and a statement begun afterwards sees it. So it must read from the primary. A move waits for
the row that an earlier one holds and takes its position then: events of a delivery stand in the order of its moves.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core.worlds import MARK
from notifier.ground.database import look_again
from notifier.ground.extensions import db
from notifier.models import Event, EventStream

WINDOW = 5_000  # rows looked at in one statement, where only some are wanted
OUT_OF_ORDER = timedelta(hours=1)  # positions follow time but for transactions' lengths and clocks' differences
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

_events: sa.Table = Event.__table__
_e = _events.c

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
    if not its_stream().pruned:
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
    return int(its_stream().pruned)


def span(since: datetime, until: datetime) -> tuple[int, int]:
    """Positions between which all events of that time are that are still kept, and few others. Some dozen look-ups by
    the primary key: there is no index by time.
    """
    last = _position_before(_surely_after(until))
    return _position_before(_surely_before(since)), min(last, end())


def its_stream() -> "sa.Row[str, int]":
    """`name`, and `pruned`: the highest position that has been."""
    return db.session.execute(sa.select(EventStream.name, EventStream.pruned)).one()
