"""Which migration a database stands at, asked without changing it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.ground import schema
from notifier.ground.config import NotReady
from notifier.ground.extensions import db
from notifier.ground.schema import Standing


@pytest.mark.parametrize(
    ("stands_at", "standing", "can_be_used", "can_be_migrated"),
    [
        ("head", Standing.CURRENT, True, True),
        ("0001", Standing.BEHIND, False, True),
        ("9999", Standing.NEWER, False, False),
        (None, Standing.EMPTY, False, True),
    ],
)
def test_a_database_is_used_and_migrated_where_it_fits(
    app: APIFlask, stands_at: str | None, standing: Standing, can_be_used: bool, can_be_migrated: bool
) -> None:
    head = db.session.scalar(sa.text("SELECT version_num FROM alembic_version"))
    url = app.extensions["settings"].database_url

    def stand_at(revision: str | None) -> None:
        db.session.execute(sa.text("DELETE FROM alembic_version"))
        if revision is not None:
            db.session.execute(sa.text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision})
        db.session.commit()

    stand_at(head if stands_at == "head" else stands_at)
    try:
        found = schema.look(url)
        verdicts = (is_ready(url), is_ready(url, may_be_older=True))
    finally:
        stand_at(head)

    assert (found.standing, found.stands_at, found.wanted) == (
        standing,
        head if stands_at == "head" else stands_at,
        head,
    )
    assert verdicts == (can_be_used, can_be_migrated)


def is_ready(url: str, *, may_be_older: bool = False) -> bool:
    try:
        schema.require(url, may_be_older=may_be_older)
    except NotReady:
        return False
    return True


def test_a_database_that_is_locked_is_waited_for_and_not_started(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "some.db")) as one, closing(sqlite3.connect(tmp_path / "some.db")) as other:
        one.execute("BEGIN EXCLUSIVE")
        other.execute("PRAGMA busy_timeout=0")
        with pytest.raises(sqlite3.OperationalError) as locked:
            other.execute("BEGIN EXCLUSIVE")
    away = schema.DatabaseAway(f"sqlite:///{tmp_path / 'some.db'}", locked.value)
    assert "wait for its end" in away.remedy


def test_a_file_that_cannot_be_opened_is_nothing_to_start() -> None:
    assert "rights to the file" in schema.DatabaseAway("sqlite:////proc/x.db", OSError("no")).remedy
