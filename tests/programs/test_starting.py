"""A long-running process waits for its database to be migrated."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from apiflask import APIFlask

from notifier.app import create_app
from notifier.ground.config import Settings
from notifier.programs.starting import wait_for_app

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")


@pytest.mark.parametrize("stands_at", [None, "0001"])
def test_it_says_what_it_waits_for(settings: Settings, tmp_path: Path, stands_at: str | None) -> None:
    path = tmp_path / "other.db"
    if stands_at is not None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
            connection.execute("INSERT INTO alembic_version VALUES (?)", (stands_at,))
    asked = iter([False, True])

    with structlog.testing.capture_logs() as logs:
        app = wait_for_app(
            lambda: create_app(replace(settings, database_url=f"sqlite:///{path}"), socketio_queue=False),
            lambda: next(asked),
        )

    assert app is None
    [line] = [line for line in logs if line["event"] != "settings.not_read"]
    assert (line["event"], line["stands_at"], "python -m notifier migrate" in line["remedy"]) == (
        "database.not_migrated",
        stands_at,
        True,
    )


def test_a_setting_that_nothing_reads_is_logged_once(settings: Settings, app: APIFlask) -> None:
    odd = replace(
        settings, environment={**settings.environment, "NOTIFIER_COLOUR": "blue", "PUBLIC_ULR": "https://example.test"}
    )

    with structlog.testing.capture_logs() as logs:
        wait_for_app(lambda: create_app(odd, socketio_queue=False), lambda: False)

    told = [line for line in logs if line["event"] == "settings.not_read"]
    assert [(line["setting"], line.get("did_you_mean")) for line in told] == [
        ("NOTIFIER_COLOUR", None),
        ("PUBLIC_ULR", "PUBLIC_URL"),
    ]
