"""Transactions, `with transaction():`, the one way to write; what runs around them, and what both databases need.

`ground.engines` sets the engines up.
"""

import contextlib
import functools
import sqlite3
import time
from collections import namedtuple
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

from flask import Flask, current_app
from sqlalchemy import ColumnElement, Connection, Result, Table, bindparam, delete, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.orm import Session, scoped_session

from notifier.ground import clock
from notifier.ground.extensions import db

# Raised while the database is away, or too busy. (OperationalError is also a lost deadlock: see `sqlstate`.)
UNAVAILABLE = (OperationalError, InterfaceError, PoolExhausted)
WRITE_REFUSED = "write_refused"  # in the app's extensions: when a transaction could not be written (see `writable`)
UNAVAILABLE_RETRY_S = 5  # when a caller may try again
DEADLOCK_DETECTED, UNIQUE_VIOLATION = "40P01", "23505"  # SQLSTATE
LOCK_NOT_AVAILABLE = "55P03"  # lock_timeout's
_PRUNED_AT_ONCE = 1_000

_REFUSED_BY_SQLITE = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN")
_REFUSED_BY_POSTGRESQL = ("53100", "25006", "58030")  # disk full, read-only transaction, I/O error

P = ParamSpec("P")
T = TypeVar("T")

_MOST_DEADLOCKS = 2
_UNDO, _AFTER, _COMMITTED = "undo", "after", "committed"
_CLOCK_DUE, _CLOCK_LOOK_S = "clock_due", 5.0
_LOOKS, LOOK_S = "looks", 5.0
_NOT_BEFORE = "looks_not_before"


def retried(work: Callable[P, T]) -> Callable[P, T]:
    """For a function that is one transaction: PostgreSQL ends one of those in a deadlock, and the second of those that
    add the same.

    Nothing of it has been done then, and it is run again.
    """

    @functools.wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(_MOST_DEADLOCKS):
            try:
                return work(*args, **kwargs)
            except (OperationalError, IntegrityError) as error:
                if sqlstate(error) not in (DEADLOCK_DETECTED, UNIQUE_VIOLATION):
                    raise
        return work(*args, **kwargs)

    return run


def sqlstate(error: Exception) -> str | None:
    """PostgreSQL's word for what went wrong, if it said one."""
    return getattr(getattr(error, "orig", None), "pgcode", None)


def follow_clock(app: Flask) -> None:
    """For a long-running process: from now on its time is the database's, asked for again every few seconds as it
    writes.

    SQLite has but one host, and its clock. Raises one of UNAVAILABLE.
    """
    with app.app_context():
        if db.engine.dialect.name == "postgresql":
            app.extensions[_CLOCK_DUE] = float("-inf")
            with transaction():
                pass
            db.session.remove()


def _look_at_clock() -> None:
    due_at = current_app.extensions.get(_CLOCK_DUE)
    asked_at = time.monotonic()
    if due_at is None or asked_at < due_at:
        return
    current_app.extensions[_CLOCK_DUE] = asked_at + _CLOCK_LOOK_S
    told = db.session.scalars(select(func.clock_timestamp())).one()
    clock.follow(told.astimezone(UTC), time.monotonic() - asked_at)


@dataclass(slots=True)
class _Look:
    work: Callable[[], None]
    due_at: float = float("-inf")


def look_often(app: Flask, work: Callable[[], None]) -> None:
    """For a long-running process: from now on `work` is called as a transaction begins, and inside it, whenever it was
    not for LOOK_S. So nothing is written by what was read earlier than that.
    """
    app.extensions.setdefault(_LOOKS, []).append(_Look(work))


def look_now(app: Flask) -> None:
    """For whoever reads in a process that has not written for LOOK_S: calls what `look_often` was given, in a session
    of its own. Of many that read at once one looks, and a database that is away is not asked again for LOOK_S.
    """
    at = time.monotonic()
    if at >= app.extensions.get(_NOT_BEFORE, at) and any(at >= look.due_at for look in app.extensions.get(_LOOKS, ())):
        app.extensions[_NOT_BEFORE] = at + LOOK_S
        with contextlib.suppress(*UNAVAILABLE), app.app_context():
            _look_at_the_rest()


def _look_at_the_rest() -> None:
    looks: Iterable[_Look] = current_app.extensions.get(_LOOKS, ())
    for look in looks:
        if time.monotonic() >= look.due_at:
            look.work()
            look.due_at = time.monotonic() + LOOK_S


@contextlib.contextmanager
def transaction() -> Iterator[scoped_session[Session]]:
    """A short write transaction on `db.session`: commits at the end, rolls back on any exception.

    Never make a network call inside, but for a quick question to Redis (`ledgers.caps`, `people.cache`).
    Whatever the session had read before is let go first (its objects stay readable), because SQLite cannot turn a
    reader into a writer safely.
    """
    db.session.close()
    db.session.connection(execution_options={"writes": True})
    undo: list[Callable[[], None]] = []
    after: list[Callable[[], None]] = []
    committed: dict[Callable[[Collection[UUID]], None], set[UUID]] = {}
    db.session.info.update({_UNDO: undo, _AFTER: after, _COMMITTED: committed})
    try:
        _look_at_clock()
        _look_at_the_rest()
        yield cast("scoped_session[Session]", db.session)
        db.session.commit()
    except BaseException as error:
        try:
            db.session.rollback()
        finally:
            for work in undo:
                work()
        if is_write_refused(error):
            current_app.extensions[WRITE_REFUSED] = time.monotonic()
            if not isinstance(error, UNAVAILABLE):  # psycopg2 calls a read-only server an internal error
                raise OperationalError("a write", None, getattr(error, "orig", error)) from error
        raise
    else:
        for work_on, ids in committed.items():
            work_on(ids)
    finally:
        for work in after:
            work()


NamedRow = Any  # a named tuple of a row's columns


def named(result: Result[Any]) -> list[NamedRow]:
    """All rows as named tuples, for paths that read many of their columns.

    A row of SQLAlchemy's looks for each name among its own attributes first, in vain, and makes the text of an
    exception of that: reading the columns was a fifth of a delivery.
    """
    return list(map(_kind_of_row(tuple(result.keys()))._make, result))


@functools.lru_cache(maxsize=256)
def _kind_of_row(columns: tuple[str, ...]) -> Any:
    return namedtuple("NamedRow", columns)


@contextlib.contextmanager
def for_glances() -> Iterator[Connection]:
    """What is asked on it is one statement each; with PostgreSQL a transaction would cost two round trips more. The
    driver is told, and not SQLAlchemy: that sets the level back by statements of its own, and where the server has gone
    meanwhile, its pool never gets the connection back.
    """
    with db.engine.connect() as connection:
        if db.engine.dialect.name != "postgresql":
            yield connection
            return
        driver: Any = connection.connection.dbapi_connection
        with _server_may_go(connection):
            driver.autocommit = True
        try:
            yield connection
        finally:
            if not driver.closed:
                with _server_may_go(connection):
                    driver.autocommit = False


@contextlib.contextmanager
def _server_may_go(connection: Connection) -> Iterator[None]:
    """Of what the driver is asked past SQLAlchemy. Raises OperationalError, as that does; the pool drops it then."""
    try:
        yield
    except connection.dialect.loaded_dbapi.Error as error:
        connection.invalidate()
        raise OperationalError("a look", None, error) from error


def glance(connection: Connection, statement: str, values: Mapping[str, Any]) -> Any:
    """The one row that a statement finds, as the driver has it, which also says how parameters are written: for what is
    asked several times a second by a process that sleeps in between. SQLAlchemy's own way costs three times as much.
    """
    with _server_may_go(connection):
        cursor = connection.connection.cursor()
        cursor.execute(statement, values)
        [row] = cursor.fetchall()
    return row


def set_each(table: Table, key: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Sets the other columns of the rows that have these keys, one at least, as one executemany. All `rows` have the
    same names. Inside the caller's transaction.
    """
    values = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in rows[0] if name != key}
    db.session.connection().execute(
        update(table).where(table.c[key] == bindparam("of_key")).values(values),
        [{"of_key": row[key], **{f"new_{name}": row[name] for name in row if name != key}} for row in rows],
    )


def prune(table: Table, *conditions: ColumnElement[bool]) -> int:
    """Deletes the rows for which all the conditions hold, a batch and a transaction at a time, so that no lock is held
    for long; → how many. What another transaction holds is left for the next time.
    """
    keys, gone = tuple(table.primary_key), 0
    while True:
        with transaction() as session:
            chosen = select(*keys).where(*conditions).limit(_PRUNED_AT_ONCE).with_for_update(skip_locked=True)
            rows = [tuple(row) for row in session.execute(chosen)]
            if rows:
                session.execute(delete(table).where(tuple_(*keys).in_(rows)))
        gone += len(rows)
        if len(rows) < _PRUNED_AT_ONCE:
            return gone


def is_write_refused(error: BaseException) -> bool:
    """Whether a write failed because nothing can be written at all: no room, or no right to."""
    driver = getattr(error, "orig", None)
    if isinstance(driver, sqlite3.Error):
        return str(getattr(driver, "sqlite_errorname", "")).startswith(_REFUSED_BY_SQLITE)
    return isinstance(error, DBAPIError) and sqlstate(error) in _REFUSED_BY_POSTGRESQL


def look_again() -> None:
    """Reads from here on see the database as it is now. SQLite shows a reader the state at the beginning of its
    transaction (PostgreSQL with every statement anew), so that transaction is ended; a running `transaction` has the
    newest state anyway.
    """
    if (
        db.engine.dialect.name == "sqlite"
        and db.session().in_transaction()
        and not db.session.connection().get_execution_options().get("writes")
    ):
        db.session.close()


def undone_by(work: Callable[[], None]) -> None:
    """Has `work` called if the running transaction comes to nothing, after its end:
    what it did elsewhere is taken back.
    """
    db.session.info[_UNDO].append(work)


def afterwards(work: Callable[[], None]) -> None:
    """Has `work` called after the end of the running transaction, whatever came of it."""
    db.session.info[_AFTER].append(work)


def once_committed(work: Callable[[Collection[UUID]], None], ids: Iterable[UUID]) -> None:
    """Has `work` called once the running transaction is committed, with all the ids given for it meanwhile.

    It must not raise.
    """
    wanted = set(ids)
    if wanted:
        db.session.info[_COMMITTED].setdefault(work, set()).update(wanted)


def insert(table: Any) -> Any:
    """INSERT with ON CONFLICT, which both databases have and SQLAlchemy spells twice."""
    return (sqlite if db.engine.dialect.name == "sqlite" else postgresql).insert(table)
