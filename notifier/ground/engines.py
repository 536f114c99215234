"""How the engines of both databases are set up. Called by `create_app`, `ground.replica`, and by what only looks.

SQLite: WAL, foreign keys, and `BEGIN IMMEDIATE` for writers. Waiting for its lock inside the C library would freeze a
green-threaded web process, so this module waits for it, and the busy timeout of all else is short.
"""

import re
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import OperationalError

from notifier.ground.config import ROOT
from notifier.ground.fast_json import decoded, encoded_text

_DATA_EXCEPTION, _TRANSACTION_ROLLBACK = "22", "40"  # classes of SQLSTATE
_BUSY_TIMEOUT_S = 0.02
_BUSY_TIMEOUT = f"PRAGMA busy_timeout={_BUSY_TIMEOUT_S * 1000:.0f}"
_LOCK_WAIT_S = 10.0
_LOOK_S = 3
# Errors end up in the log, and the values of a statement are addresses, names, messages
_DISCREET = {"hide_parameters": True}
_JSON = {"json_serializer": encoded_text, "json_deserializer": decoded}


def engine_options(database_url: str, *, is_pooled: bool = False) -> dict[str, Any]:
    """`is_pooled`: by a pooler, which sees to its connections itself. To ask first would be a transaction more for each
    of ours, and a fourth less of them in a second.
    """
    if database_url.startswith("sqlite"):
        # One connection a thread or green thread at most; autocommit, since `_begin` speaks BEGIN itself.
        return {
            "connect_args": {"timeout": _BUSY_TIMEOUT_S, "isolation_level": None},
            "pool_size": 20,
            "max_overflow": 40,
            **_DISCREET,
            **_JSON,
        }
    options = {
        "pool_size": 10,
        "max_overflow": 20,
        "pool_pre_ping": not is_pooled,
        "pool_recycle": 1800,
        "connect_args": {"connect_timeout": 5},
        **_DISCREET,
        **_JSON,
    }
    # Many rows are updated in one round trip, as they are inserted
    return {**options, "executemany_mode": "values_plus_batch"}


def replica_engine(url: str) -> Engine:
    """Nobody waits for long at one that is away or hangs: the primary answers as well."""
    options = {**engine_options(url), "pool_size": 5, "max_overflow": 5, "pool_timeout": 2}
    return create_engine(url, **options | {"connect_args": {"connect_timeout": 2, "tcp_user_timeout": 3_000}})


def read_only(database_url: str) -> tuple[URL, dict[str, Any]]:
    """URL and engine options for a look at a database that changes nothing: not even SQLite's file, or one beside it,
    is created.

    Used by `doctor`, and by commands before they begin. No answer is waited for longer than some seconds.
    """
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite":
        return url, {"connect_args": {"connect_timeout": _LOOK_S}, **_DISCREET}
    path = sqlite_file(database_url)
    if path is not None:
        # Nobody has it open when there is no log beside it; a reader that is not told so would make one.
        alone = {} if path.with_name(f"{path.name}-wal").exists() else {"immutable": "1"}
        url = url.set(database=f"file:{quote(str(path))}").update_query_dict({"mode": "ro", "uri": "true", **alone})
    return url, {"connect_args": {"timeout": _LOOK_S}, **_DISCREET}


def sqlite_file(database_url: str) -> Path | None:
    """Where SQLite's file is. A relative one stands where Flask-SQLAlchemy puts it."""
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return ROOT / "instance" / str(url.database)


@event.listens_for(Engine, "handle_error")
def _quote_no_values(context: ExceptionContext) -> None:
    """Of every engine. `hide_parameters` knows only SQLAlchemy's own words: PostgreSQL quotes the row that broke a
    constraint in a DETAIL line, and the statement, values and all, where it could not be read.

    Only the first line is kept, without what it quotes of data it could not read. Lost deadlocks name processes and
    rows by number, and errors without a code, such as a server that is away, hold nothing of a statement.
    """
    driver: Any = context.original_exception
    told = context.sqlalchemy_exception
    code = getattr(driver, "pgcode", None)
    if code is None or code.startswith(_TRANSACTION_ROLLBACK):
        return
    whole, kept = str(driver), str(driver.diag.message_primary)
    if code.startswith(_DATA_EXCEPTION):
        kept = re.sub(r'".*"', '"…"', kept, flags=re.DOTALL)
    driver.args = (kept,)
    if told is not None:
        told.args = tuple(part.replace(whole, kept) if isinstance(part, str) else part for part in told.args)


def prepare_engine(engine: Engine) -> None:
    """Called once per engine, by `create_app`."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _on_sqlite_connect)
        event.listen(engine, "begin", _begin)


def _on_sqlite_connect(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")  # an answered 202 survives a power cut
    connection.execute("PRAGMA foreign_keys=ON")
    # Its own knows ASCII only, and a search would miss "Ändern" in "ÄNDERN".
    connection.create_function(
        "lower", 1, lambda value: None if value is None else str(value).lower(), deterministic=True
    )


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("writes"):
        connection.exec_driver_sql("BEGIN")
        return
    deadline = time.monotonic() + _LOCK_WAIT_S
    # The driver's cursor, not SQLAlchemy's: a busy lock is no error worth invalidating anything for.
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                cursor.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise OperationalError("BEGIN IMMEDIATE", None, error) from error
                time.sleep(0.002)
    finally:
        cursor.execute(_BUSY_TIMEOUT)
