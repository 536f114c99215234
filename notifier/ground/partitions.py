"""Partitions by time: PostgreSQL forgets a day by dropping a table, where SQLite deletes rows.

Called by the scheduler (`pipeline.upkeep.partitions` says which tables) and by what `RETENTION` prunes. The key of a
table begins with its time (UUIDv7), and its partitions are days or months of UTC; or it is a running number, the event
stream's, and a day ends by skipping the rest of the numbers of its partition. What has no partition goes into the
table `…_rest`: an insert does not fail for want of one.
"""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import InstrumentedAttribute, Session, scoped_session

from notifier.ground.clock import now
from notifier.ground.database import DEADLOCK_DETECTED, LOCK_NOT_AVAILABLE, sqlstate, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import first_at, made_at

DAY = timedelta(days=1)
AHEAD = 7  # days; so long may the scheduler fail before rows go into the rest
SPARE = 3  # partitions of positions beyond the one in use
POSITIONS = 1 << 30  # in a partition: a day has fewer, or takes several
_LONG = 100 * DAY  # what is kept longer has months: who has no time to look by looks into every partition
_UNDEFINED_TABLE = "42P01"  # SQLSTATE
_LAYS = 7246002  # the advisory lock of the one who makes partitions
_BOUNDS = re.compile(r"FOR VALUES FROM \((?:MINVALUE|'(.+)')\) TO \('(.+)'\)")
_CHILDREN = sa.text(
    "SELECT relname AS name, pg_get_expr(relpartbound, pg_class.oid) AS bounds FROM pg_inherits "
    "JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = CAST(:table AS regclass)"
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Partition:
    """Its keys: from `lower` (None: from the very first) to before `upper`, UUIDs as their numbers."""

    name: str
    lower: int | None
    upper: int


def among(column: "InstrumentedAttribute[UUID]", values: Collection[UUID]) -> "sa.ColumnElement[bool]":
    """The condition that it is one of the values. As a plain IN, PostgreSQL would plan it value by value anew for each
    partition: 11 to 36 ms for 400 of them in 38 partitions, instead of 2.
    """
    if not are_used():
        return column.in_(values)
    uuids = sa.ARRAY(sa.Uuid)
    given = sa.select(sa.literal(list(values), uuids)).scalar_subquery()
    return column == sa.any_(sa.cast(given, uuids))  # with the cast, ANY is of an array and not of a query's rows


def are_used() -> bool:
    return db.engine.dialect.name == "postgresql"


def of(table: sa.Table) -> list[Partition]:
    """In their order, without the rest. One query."""
    found = []
    for row in db.session.execute(_CHILDREN, {"table": table.name}):
        if bounds := _BOUNDS.fullmatch(row.bounds):
            lower, upper = bounds.groups()
            found.append(Partition(row.name, None if lower is None else _number(lower), _number(upper)))
    return sorted(found, key=lambda partition: partition.upper)


def _end_of(found: list[Partition], otherwise: int) -> int:
    """`otherwise`: where to begin if there are none."""
    return found[-1].upper if found else otherwise


def _today() -> datetime:
    return now().replace(hour=0, minute=0, second=0, microsecond=0)


def _number(text: str) -> int:
    return UUID(text).int if "-" in text else int(text)


def _time(key: int) -> datetime:
    return made_at(UUID(int=key))


# ---- those of times -------------------------------------------------------------------------------------------------


def ahead(table: sa.Table) -> timedelta:
    """For how long from now on there are partitions; below 0, rows go into the rest. One query."""
    return _time(_end_of(of(table), first_at(_today()).int)) - now()


def lay(key: "sa.Column[Any]", kept: timedelta | None) -> list[str]:
    """Makes the partitions that are missing until AHEAD, and moves into them what is in the rest. `kept`: how long its
    rows are, None: for good. → the names of the new ones. Nothing happens while another process is at it. Keys of a
    clock that is far ahead stay in the rest until their time.
    """
    table, made = key.table, list[str]()
    with _alone() as session:
        if session is None:
            return []
        lower = _time(_end_of(of(table), first_at(_today()).int))
        if lower <= now() + AHEAD * DAY:
            _lock(session, table)
        while lower <= now() + AHEAD * DAY:
            upper = _end(lower, kept)
            made.append(f"{table.name}_p{lower:%Y%m%d}")
            _make(session, key, made[-1], f"'{first_at(lower)}'", f"'{first_at(upper)}'")
            lower = upper
    return made


def _end(lower: datetime, kept: timedelta | None) -> datetime:
    if _width(kept) == DAY:
        return lower + DAY
    return (lower.replace(day=1) + 32 * DAY).replace(day=1)


def _width(kept: timedelta | None) -> timedelta:
    """At most."""
    return 31 * DAY if kept is None or kept > _LONG else DAY


def spare(kept: timedelta) -> timedelta:
    """How much longer rows are left to be dropped with their partition, before they are deleted one by one."""
    width = _width(kept)
    return width if are_used() and kept >= 3 * width else timedelta()


def drop(key: "sa.Column[Any]", oldest: datetime) -> int:
    """Drops the partitions in which there is nothing that has happened (`at`) since `oldest`; → how many. One that is
    in use, or that another process is dropping, is left alone.
    """
    if not are_used():
        return 0
    last, gone = first_at(oldest).int, 0
    for partition in of(key.table):
        if partition.upper <= last and _is_dropped(key, partition, oldest):
            gone += 1
    return gone


# ---- those of positions ---------------------------------------------------------------------------------------------


def ahead_of_positions(key: "sa.Column[Any]") -> timedelta:
    """A day for each partition beyond the one in use: it takes that, at least. Two queries."""
    cell = last_position(key) // POSITIONS
    return (_end_of(of(key.table), cell * POSITIONS) // POSITIONS - 1 - cell) * DAY


def lay_positions(key: "sa.Column[Any]") -> list[str]:
    """As `lay`, SPARE of them. And if the first row of the one in use is not of today, the next row begins another: one
    that is there already, since no transaction takes back what is skipped.
    """
    table, made = key.table, list[str]()
    with _alone() as session:
        if session is None:
            return []
        given, there = last_position(key), of(table)
        first, following = given // POSITIONS * POSITIONS, (given // POSITIONS + 1) * POSITIONS
        begun_at = session.scalar(sa.select(table.c.at).where(key >= first, key < following).order_by(key).limit(1))
        if begun_at is not None and begun_at.date() < now().date() and following < _end_of(there, 0):
            skip = sa.text("SELECT setval(CAST(:sequence AS regclass), :last)")
            session.execute(skip, {"sequence": _sequence(key), "last": following})
            given = following
        lower, end = _end_of(there, first), (given // POSITIONS + 1 + SPARE) * POSITIONS
        if lower < end:
            _lock(session, table)
        while lower < end:
            made.append(f"{table.name}_p{lower // POSITIONS:06}")
            _make(session, key, made[-1], str(lower), str(lower + POSITIONS))
            lower += POSITIONS
    return made


def _sequence(key: "sa.Column[Any]") -> str:
    return f"{key.table.name}_{key.name}_seq"


def last_position(key: "sa.Column[Any]") -> int:
    """The last position that was given; 0: none. One query."""
    last = sa.text("SELECT pg_sequence_last_value(CAST(:sequence AS regclass))")
    return int(db.session.scalar(last, {"sequence": _sequence(key)}) or 0)


def drop_positions(key: "sa.Column[Any]", oldest: datetime, before: Callable[[sa.TableClause], None]) -> int:
    """As `drop`, the first ones without a gap. `before` is called with each, inside its transaction."""
    if not are_used():
        return 0
    given, gone = last_position(key), 0
    for partition in of(key.table):
        if partition.upper > given or not _is_dropped(key, partition, oldest, before):
            break
        gone += 1
    return gone


# ---- both -----------------------------------------------------------------------------------------------------------


@contextmanager
def _alone() -> "Iterator[scoped_session[Session] | None]":
    """A transaction; None while another process has one. All wait behind who waits for a table: it gives up soon."""
    with transaction() as session:
        session.execute(sa.text("SET LOCAL lock_timeout = '200ms'"))
        yield session if session.scalar(sa.text(f"SELECT pg_try_advisory_xact_lock({_LAYS})")) else None


def _lock(session: "scoped_session[Session]", table: sa.Table) -> None:
    """In the order in which what is sent is recorded: attempts, then deliveries. Else both would wait in a circle."""
    session.execute(sa.text(f"LOCK TABLE ONLY {table.name} IN ACCESS EXCLUSIVE MODE"))
    for referred in sorted({key.column.table.name for key in table.foreign_keys}):
        session.execute(sa.text(f"LOCK TABLE ONLY {referred} IN SHARE ROW EXCLUSIVE MODE"))


def _make(session: "scoped_session[Session]", key: "sa.Column[Any]", name: str, lower: str, upper: str) -> None:
    """With what is in the rest and belongs into it."""
    table, its = key.table.name, f"{key.name} >= {lower} AND {key.name} < {upper}"
    for statement in (
        f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)",
        f"WITH stray AS (DELETE FROM {table}_rest WHERE {its} RETURNING *) INSERT INTO {name} SELECT * FROM stray",
        f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({lower}) TO ({upper})",
    ):
        session.execute(sa.text(statement))


def _is_dropped(
    key: "sa.Column[Any]",
    partition: Partition,
    oldest: datetime,
    before: Callable[[sa.TableClause], None] | None = None,
) -> bool:
    """Nobody writes into it between the look and the drop. Who waits to do so already uses the whole table: it is not
    to be had then, and the partition stays until the next time. What its rows refer to is not locked: who holds some of
    it may be waiting for this table.
    """
    table = key.table
    try:
        with transaction() as session:
            session.execute(sa.text("SET LOCAL lock_timeout = '200ms'"))
            session.execute(sa.text(f"LOCK TABLE {partition.name} IN SHARE ROW EXCLUSIVE MODE"))
            if not _is_old(key, partition, oldest):
                return False
            if before is not None:
                before(sa.table(partition.name, *(sa.column(column.name, column.type) for column in table.columns)))
            session.execute(sa.text(f"LOCK TABLE ONLY {table.name} IN ACCESS EXCLUSIVE MODE"))
            session.execute(sa.text(f"DROP TABLE {partition.name}"))
    except DBAPIError as error:
        if sqlstate(error) not in (LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED, _UNDEFINED_TABLE):
            raise
        return False
    log.info("partitions.dropped", partition=partition.name)
    return True


def _is_old(key: "sa.Column[Any]", partition: Partition, oldest: datetime) -> bool:
    """Looks at the last row first: only what is likely to go is read from end to end."""
    rows = sa.table(partition.name, sa.column(key.name), sa.column("at", key.table.c.at.type))
    last = db.session.scalar(sa.select(rows.c.at).order_by(rows.c[key.name].desc()).limit(1))
    if last is not None and last >= oldest:
        return False
    return not db.session.scalar(sa.select(sa.exists().where(rows.c.at >= oldest)))
