"""The examination as a whole: it changes nothing, ends in time, and one check that breaks or hangs leaves the others
alone.
"""

import re
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.batchworker import BatchWorker
from notifier.ground.config import Settings
from notifier.ground.encryption import Vault
from notifier.ground.extensions import db
from notifier.programs.doctor.examination import CHECKS, examine
from notifier.programs.doctor.findings import Finding, ok
from notifier.programs.doctor.tasks import Task
from tests.programs.doctor.conftest import PASSWORD, Doctor

NAMES = [check.name for check in CHECKS]

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")


@on_sqlite
@pytest.mark.parametrize("has_home", [False, True])
def test_an_installation_that_was_never_set_up_stays_so(doctor: Doctor, tmp_path: Path, has_home: bool) -> None:
    home = tmp_path / "home"
    if has_home:
        home.mkdir()
    told = doctor(
        NOTIFIER_HOME=str(home),
        DATABASE_URL=None,
        REDIS_URL=None,
        SECRET_KEY=None,
        ENCRYPTION_KEYS=None,
        PUBLIC_URL="http://127.0.0.1:1",
    )

    assert told.code == 1
    assert [what.partition(": ")[0] for what in told.of("fault")] == ["keys", "database", "redis", "public-url"]
    assert sorted(tmp_path.rglob("*")) == ([home] if has_home else [])


@on_sqlite
def test_a_database_and_the_files_beside_it_are_not_touched(app: APIFlask, doctor: Doctor, tmp_path: Path) -> None:
    with (
        closing(sqlite3.connect(db.engine.url.database or "")) as source,
        closing(sqlite3.connect(tmp_path / "copy.db")) as copy,
    ):
        source.backup(copy)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    told = doctor("secrets", "orphans", "late", DATABASE_URL=f"sqlite:///{tmp_path}/copy.db")

    assert told.of("fault") == []
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Somebody takes connections there and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.slow
@on_sqlite
def test_a_check_that_hangs_is_given_up_and_the_others_go_on(
    app: APIFlask, environment: dict[str, str], silent_port: int
) -> None:
    settings = Settings.from_env(
        {**environment, "SMTP_URL": f"smtp://127.0.0.1:{silent_port}", "PUBLIC_URL": f"http://127.0.0.1:{silent_port}"}
    )

    found = list(examine(settings, within_s=2.0))

    assert list(dict.fromkeys(name for name, _ in found)) == NAMES
    assert [finding.what.partition(":")[0] for name, finding in found if name == "public-url"] == ["no answer in time"]
    assert "no answer in time: this check was abandoned" in [
        finding.what for name, finding in found if name == "providers"
    ]


@on_sqlite
def test_a_check_that_breaks_says_so_and_the_others_go_on(app: APIFlask, doctor: Doctor, tmp_path: Path) -> None:
    path = tmp_path / "torn.db"
    with closing(sqlite3.connect(db.engine.url.database or "")) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
        copy.execute("DROP TABLE digest")

    told = doctor("orphans", "late", "registries", DATABASE_URL=f"sqlite:///{path}")

    broke_off = "what this check asks broke off, or took too long: OperationalError"
    assert told.of("fault") == [f"orphans: {broke_off}", f"late: {broke_off}"]
    assert "registries: RQ and the database agree: 0 failed deliveries" in told.of("ok")


def test_a_check_with_a_bug_says_where() -> None:
    def work() -> Iterator[Finding]:
        yield ok("this was found before")
        settings_of_nobody = Settings.from_env({"NOTIFIER_HOME": "/nowhere"}, makes_secrets=False)
        Vault().open(settings_of_nobody.encryption_keys)

    found = Task(work).findings(time.monotonic() + 60)

    assert [re.sub(r"\d+", "…", finding.what) for finding in found] == [
        "this was found before",
        "this check broke: IndexError (encryption.py:…)",
    ]


@on_sqlite
def test_everything_that_is_dead_is_told_once(doctor: Doctor) -> None:
    away = {
        "DATABASE_URL": f"postgresql://me:{PASSWORD}@127.0.0.1:1/none",
        "REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:1",
        "PUBLIC_URL": "http://127.0.0.1:1",
    }
    told = doctor(**away)

    assert [line.partition(":")[0] for line in told.of("fault")] == ["database", "redis", "public-url"]
    assert [line.partition(":")[0] for line in told.of("skipped")] == [
        "secrets",
        "clocks",
        "processes",
        "providers",
        "cells",
        "events",
        "bus",
        "status-webhooks",
        "orphans",
        "late",
        "registries",
    ]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")
def test_postgresql_is_only_looked_at_and_by_indexes(
    app: APIFlask, doctor: Doctor, worker: BatchWorker, url: str
) -> None:
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        told = doctor(PUBLIC_URL=url)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)

    assert (told.code, told.of("fault"), told.of("skipped")) == (0, [], [])
    assert [", the database," in line for line in told.of("ok") if line.startswith("clocks: ")] == [True]
    db.session.execute(sa.text("SET LOCAL enable_seqscan = off"))
    connection = db.session.connection()
    plans = {
        statement: "\n".join(line for (line,) in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters))
        for statement, parameters in asked
        if "FROM " in statement and "alembic" not in statement and "pg_" not in statement
    }
    assert len(plans) > 40
    assert [statement for statement, plan in plans.items() if "Seq Scan" in plan] == []
    assert sum(statement == "SET TRANSACTION READ ONLY" for statement, _ in asked) > 5
