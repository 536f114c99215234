"""The database: does it answer, is it at this release's migration, can it be written to, is there room on the disk?"""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from notifier.ground import schema
from notifier.ground.engines import read_only, sqlite_file
from notifier.ground.extensions import db
from notifier.pipeline.upkeep import partitions
from notifier.programs.doctor.findings import Finding, fault, ok, warning
from notifier.programs.doctor.patient import Patient

LEAST_FREE = 200 * 1024**2
LITTLE_FREE = 1024**3
_WHICH = sa.text("SELECT current_database(), system_identifier FROM pg_control_system()")
_STANDS = sa.text("SELECT pg_current_wal_lsn()::text")
_IS_BEHIND = sa.text("SELECT pg_is_in_recovery(), CAST(:stands AS pg_lsn) - pg_last_wal_replay_lsn()")
_OLDEST_POSTGRESQL = 120_000  # as the server writes its version: 12.0


def database(patient: Patient) -> Iterator[Finding]:
    """Everything else that asks the database waits for this."""
    url = patient.settings.database_url
    begun = time.monotonic()
    try:
        found = schema.look(url)
    except schema.DatabaseAway as away:
        yield fault(away.what, away.remedy)
        return
    took_ms = (time.monotonic() - begun) * 1000
    if found.standing is schema.Standing.CURRENT:
        patient.decide("database", answers=True)
    if found.standing is schema.Standing.EMPTY:
        yield fault(*found.fault)
        return
    yield ok(f"{schema.shown(url)} answers in {took_ms:.0f} ms")
    if found.standing is schema.Standing.CURRENT:
        yield ok(f"its migrations are up to date ({found.wanted})")
        yield from _version()
        yield from _pooler(patient)
        yield from _replica(patient)
        yield from partitions_ahead()
    else:
        yield fault(*found.fault)


def _version() -> Iterator[Finding]:
    if db.engine.dialect.name != "postgresql":
        return
    number, text = db.session.execute(
        sa.text("SELECT current_setting('server_version_num')::int, current_setting('server_version')")
    ).one()
    if number < _OLDEST_POSTGRESQL:
        yield warning(f"PostgreSQL {text} is no longer maintained", "Upgrade it.")
    if db.session.scalar(sa.text("SELECT pg_is_in_recovery()")):
        yield fault("this PostgreSQL is a standby: nothing can be written", "Point DATABASE_URL at the primary server.")


def _pooler(patient: Patient) -> Iterator[Finding]:
    url = patient.settings.database_pooler
    if not url:
        return
    try:
        is_same = _ask(url, _WHICH) == tuple(db.session.execute(_WHICH).one())
    except DBAPIError as error:
        yield fault(
            f"the database cannot be reached by the pooler {schema.shown(url)}: {schema.reason(error)}",
            "Start it, or correct DATABASE_POOLER: all processes go by it.",
        )
        return
    if is_same:
        yield ok(f"the pooler {schema.shown(url)} leads to it")
    else:
        yield fault(f"the pooler {schema.shown(url)} leads to another database", "Correct DATABASE_POOLER.")


def _replica(patient: Patient) -> Iterator[Finding]:
    """Only a warning: without it the primary answers everything."""
    url = patient.settings.database_replica_url
    if not url:
        return
    stands = db.session.scalar(_STANDS)
    try:
        is_replica, is_behind = _ask(url, _IS_BEHIND.bindparams(stands=stands))
        is_same = _ask(url, _WHICH) == tuple(db.session.execute(_WHICH).one())
    except DBAPIError as error:
        yield warning(
            f"the replica {schema.shown(url)} cannot be reached: {schema.reason(error)}",
            "Start it, or correct DATABASE_REPLICA_URL: the primary answers for it meanwhile.",
        )
        return
    if not is_replica or not is_same:
        yield warning(f"{schema.shown(url)} is no replica of the database", "Correct DATABASE_REPLICA_URL.")
    else:
        yield ok(f"the replica {schema.shown(url)} is {max(0, is_behind) / 1024**2:,.1f} MiB behind")


def _ask(url: str, question: sa.TextClause) -> tuple[Any, ...]:
    where, options = read_only(url)
    engine = sa.create_engine(where, poolclass=sa.NullPool, **options)
    with engine.connect() as connection:
        return tuple(connection.execute(question).one())


def partitions_ahead() -> Iterator[Finding]:
    if db.engine.dialect.name == "postgresql":
        ahead = {key.table.name: partitions.ahead(key) for key in (*partitions.BY_TIME, partitions.BY_POSITION)}
        if few := [name for name, left in ahead.items() if left < partitions.LEAST_AHEAD]:
            yield warning(
                f"there are no partitions for the coming days: {', '.join(few)}",
                "A running scheduler makes them; if it does, its log says why it cannot (partitions.not_made).",
            )


def disk(patient: Patient) -> Iterator[Finding]:
    """Where this machine keeps the database or the embedded Redis' queues."""
    path = sqlite_file(patient.settings.database_url)
    places = [path.parent] if path else []
    if patient.settings.redis_is_embedded:
        places.append(patient.settings.notifier_home)
    looked_at = set()
    for place in places:
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        device = there.stat().st_dev
        if device not in looked_at:
            looked_at.add(device)
            yield room(place, shutil.disk_usage(there).free)
    if path and path.exists():
        yield from _may_write(path)


def room(place: Path, free: int) -> Finding:
    """`free`: bytes on its disk."""
    said = f"{free / 1024**3:,.1f} GiB are free on the disk of {place}"
    remedy = "Make room, or move it to a larger disk: once it is full, nothing can be accepted or sent."
    return fault(said, remedy) if free < LEAST_FREE else warning(said, remedy) if free < LITTLE_FREE else ok(said)


def _may_write(path: Path) -> Iterator[Finding]:
    if not all(os.access(place, os.W_OK) for place in (path, path.parent)):
        who = f"user {os.getuid()}"
        yield warning(
            f"{path} cannot be written by {who}",
            f"Let Notifier run as its owner; if it does, run this as that user ({path.stat().st_uid}) too.",
        )
