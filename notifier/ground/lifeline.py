"""Shows at once, and reliably, that a worker has died: a living worker holds a lock, which the kernel or PostgreSQL
releases at its end.

A worker takes a number and locks it for as long as it lives; the deliveries that it claims carry the number.
`upkeep.abandoned` checks which numbers are still locked. A slow, busy or suspended worker keeps its lock, so none of
its deliveries is sent twice. With PostgreSQL it is an advisory lock in a session of its own, which ends with the
process. With SQLite, which lives on one host, it is a lock on a file beside the database. Where neither is possible,
only the leases decide.
"""

import contextlib
import fcntl
import os
import secrets
import select
import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
import structlog
from flask import Flask, current_app
from sqlalchemy.exc import DBAPIError

from notifier.ground import vital
from notifier.ground.config import current_settings
from notifier.ground.database import for_glances, glance
from notifier.ground.engines import sqlite_file

_CLASS = 0x4E544659  # our advisory locks among those of others in the same database
_AGAIN_S = 0.1
_PING_S = 30.0
_SURE_AFTER_S = 0.7
YOUNG_S = 20.0
_EXTENSION = "lifeline"

_LOOK = (
    "SELECT ARRAY(SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid = %(class)s"
    " AND objsubid = 2 AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())),"
    " concat_ws(' ', pg_postmaster_start_time(), inet_server_addr(), inet_server_port()),"
    " pg_postmaster_start_time() > now() - make_interval(secs => %(young)s)"
)

log = structlog.get_logger()


class Lifeline:
    """Held by a worker for as long as it lives. `number` is the holder of what it claims."""

    def __init__(self, app: Flask) -> None:
        self.number = secrets.randbits(31)
        self.is_held = False
        self._app = app

    def take(self) -> None:
        """Returns once the lock is held, or cannot be had for now."""
        raise NotImplementedError

    def let_go(self) -> None:
        """When nothing is in flight any more."""
        raise NotImplementedError


class _File(Lifeline):
    def __init__(self, app: Flask, database: Path) -> None:
        super().__init__(app)
        self._path = _beside(database, self.number)
        self._file: IO[str] | None = None

    def take(self) -> None:
        try:
            while not self.is_held:
                self._file = open(self._path, "w")  # noqa: SIM115 (open for as long as we live)
                # Whoever looks holds it for a moment, and removes what nobody has locked
                fcntl.flock(self._file, fcntl.LOCK_EX)
                self.is_held = self._path.exists() and os.path.samestat(
                    self._path.stat(), os.fstat(self._file.fileno())
                )
        except OSError as error:
            log.warning("lifeline.cannot_be_held", error=error.strerror)
        os.register_at_fork(after_in_child=self._forget)  # a child that outlived us would hold it for us

    def let_go(self) -> None:
        if self.is_held:
            self._path.unlink(missing_ok=True)
            self._forget()

    def _forget(self) -> None:
        self.is_held = False
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()


class _Session(Lifeline):
    def __init__(self, app: Flask) -> None:
        super().__init__(app)
        # Closed with the process, and so by its death; a server that is gone without a word is noticed by the pings.
        # Never by a pooler: in its transaction mode no session is ours.
        self._engine = sa.create_engine(
            current_settings().database_url,
            poolclass=sa.NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"connect_timeout": 5},
        )
        self._is_over = threading.Event()
        self._end, self._tell_end = os.pipe()
        self._tried = threading.Event()
        keep = vital.kept("lifeline", self._keep, self._is_over.is_set)
        self._thread = threading.Thread(target=keep, name="lifeline", daemon=True)

    def take(self) -> None:
        self._thread.start()
        self._tried.wait()

    def let_go(self) -> None:
        self._is_over.set()
        os.write(self._tell_end, b"x")
        self._thread.join()

    def _keep(self) -> None:
        """Takes the lock again as soon as the session is lost:
        others wait for a while before they believe in a death.
        """
        while not self._is_over.is_set():
            try:
                with self._engine.connect() as connection:
                    locked = connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_CLASS, self.number)))
                    self.is_held = bool(locked)
                    self._tried.set()
                    while locked and not self._is_over.is_set():
                        self._wait(connection)
            except DBAPIError as error:
                if self.is_held:
                    log.warning("lifeline.lost", error=type(error.orig).__name__)
            self.is_held = False
            self._tried.set()
            self._is_over.wait(_AGAIN_S)

    def _wait(self, connection: sa.Connection) -> None:
        """The server says nothing of its own accord, but for the end of the session. Raises DBAPIError when it has
        ended.
        """
        driver: Any = connection.connection.dbapi_connection
        select.select([driver.fileno(), self._end], [], [], _PING_S)
        connection.execute(sa.text("SELECT 1"))


def hold(app: Flask) -> Lifeline:
    """For a worker, before its first claim."""
    with app.app_context():
        database = sqlite_file(str(app.config["SQLALCHEMY_DATABASE_URI"]))
        lifeline = _Session(app) if database is None else _File(app, database)
    lifeline.take()
    app.extensions[_EXTENSION] = lifeline
    return lifeline


def name_begins(number: int) -> str:
    """The name of the worker in RQ's eyes begins with its number, so that what it had only just taken is found, too."""
    return f"{number:08x}"


def number() -> int | None:
    """The number with which this process claims; None: nobody can tell whether it lives, so only its leases count."""
    lifeline: Lifeline | None = current_app.extensions.get(_EXTENSION)
    return lifeline.number if lifeline is not None and lifeline.is_held else None


@dataclass(frozen=True, slots=True)
class Look:
    """The numbers that are held. `sure_after_s`: one that is not held for so long is a dead worker's, and no session
    that was lost and is taken again.

    `server`: with another one all sessions were lost. `is_young`: it has just been started, and sessions are still
    coming back.
    """

    living: frozenset[int]
    sure_after_s: float = 0.0
    server: str = ""
    is_young: bool = False


def look() -> Look:
    """Raises DBAPIError, OSError."""
    database = sqlite_file(str(current_app.config["SQLALCHEMY_DATABASE_URI"]))
    if database is not None:
        return Look(frozenset(found for found in _files(database) if not _is_free(_beside(database, found))))
    with for_glances() as connection:
        living, server, is_young = glance(connection, _LOOK, {"class": _CLASS, "young": YOUNG_S})
    return Look(frozenset(living), _SURE_AFTER_S, server, is_young)


def left_behind() -> frozenset[int]:
    """Numbers that nobody holds any more, as their files show: a file exists, but is not locked."""
    database = sqlite_file(str(current_app.config["SQLALCHEMY_DATABASE_URI"]))
    return (
        frozenset()
        if database is None
        else frozenset(found for found in _files(database) if _is_free(_beside(database, found)))
    )


def clear(dead: Collection[int]) -> None:
    """Removes their files."""
    database = sqlite_file(str(current_app.config["SQLALCHEMY_DATABASE_URI"]))
    if database is None:
        return
    for found in dead:
        _is_free(_beside(database, found), remove=True)


def _beside(database: Path, number: int) -> Path:
    return database.with_name(f"{database.name}-worker-{number:08x}")


def _files(database: Path) -> list[int]:
    start = f"{database.name}-worker-"
    return [int(name.removeprefix(start), 16) for name in os.listdir(database.parent) if name.startswith(start)]


def _is_free(path: Path, *, remove: bool = False) -> bool:
    """Whether no worker holds it. The file is removed while it is locked, so a worker that is about to lock it takes
    another.
    """
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if remove:
                path.unlink(missing_ok=True)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True
