"""What the database may tell the log, and what a transaction takes back."""

import sqlite3
import traceback
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from flask import Flask
from sqlalchemy.exc import DBAPIError, OperationalError

from notifier.ground import database
from notifier.ground.clock import now
from notifier.ground.database import (
    UNAVAILABLE,
    for_glances,
    glance,
    look_now,
    look_often,
    named,
    once_committed,
    prune,
    transaction,
    undone_by,
)
from notifier.ground.extensions import db
from notifier.models import Flag, Tally
from tests.stored import sent_statements

HOUR = timedelta(hours=1)


SECRET = "marked-secret@example.test"
MARKED = {"secret": SECRET}
SAYS_A_VALUE: dict[str, tuple[Any, Any, str]] = {
    "a value that is there already": (sa.insert(Flag), [{"name": SECRET, "percentage": one} for one in (1, 2)], "flag"),
    "a row that lacks one": (sa.text("INSERT INTO flag (name) VALUES (:secret)"), MARKED, "percentage"),
    "no number": (sa.text("SELECT CAST(:secret AS integer) / 0"), MARKED, "invalid input syntax"),
    "no such table": (sa.text("SELECT :secret, nothing FROM nowhere"), MARKED, "nowhere"),
}


@pytest.mark.parametrize("case", SAYS_A_VALUE)
def test_no_value_of_a_row_gets_into_the_trace_of_an_error(app: APIFlask, case: str) -> None:
    statement, values, says = SAYS_A_VALUE[case]
    if db.engine.dialect.name == "sqlite" and case == "no number":
        pytest.skip("it makes a number of everything")
    with pytest.raises(DBAPIError) as caught, transaction() as session:
        session.execute(statement, values)

    assert says in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_named_rows_hold_what_the_database_said_under_the_names_of_the_columns() -> None:
    with sa.create_engine("sqlite://").connect() as connection:
        [row] = named(connection.execute(sa.select(sa.literal(1).label("id"), sa.literal("x").label("count"))))

    assert (row.id, row.count, tuple(row)) == (1, "x", (1, "x"))


def test_who_only_reads_does_not_wait_again_and_again_for_a_database_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database, "LOOK_S", 1e9)
    app, looks = Flask(__name__), list[str]()

    def look() -> None:
        looks.append("away")
        raise OperationalError("a look", None, Exception())

    look_often(app, look)
    for _ in range(3):
        look_now(app)
    assert looks == ["away"]


@pytest.mark.parametrize("ends_well", [True, False])
def test_what_was_done_elsewhere_is_taken_back_with_the_transaction_and_only_then(
    app: APIFlask, ends_well: bool
) -> None:
    done: list[str] = []
    with suppress(RuntimeError), transaction():
        undone_by(lambda: done.append(f"undone, in a transaction: {db.session().in_transaction()}"))
        if not ends_well:
            raise RuntimeError

    assert done == ([] if ends_well else ["undone, in a transaction: False"])


def test_the_next_transaction_takes_back_nothing_of_the_last(app: APIFlask) -> None:
    done: list[str] = []
    with transaction():
        undone_by(lambda: done.append("undone"))
    with suppress(RuntimeError), transaction():
        raise RuntimeError

    assert done == []


@pytest.mark.parametrize("ends_well", [True, False])
def test_what_follows_a_commit_is_done_once_for_all_that_was_given_and_only_then(
    app: APIFlask, ends_well: bool
) -> None:
    done: list[tuple[set[UUID], bool]] = []

    def follow(ids: Collection[UUID]) -> None:
        done.append((set(ids), db.session().in_transaction()))

    first, second = UUID(int=1), UUID(int=2)
    with suppress(RuntimeError), transaction():
        for ids in ([first], [first, second], []):
            once_committed(follow, ids)
        assert done == []
        if not ends_well:
            raise RuntimeError

    assert done == ([({first, second}, False)] if ends_well else [])


@pytest.mark.parametrize("many", [0, 1, 1_000, 2_500])
def test_old_rows_go_in_batches_of_a_thousand_and_the_others_stay(app: APIFlask, many: int) -> None:
    at = now()
    rows = [{"at": at - HOUR, "channel": "email", "event": "sent", "count": 1}] * many
    with transaction() as session:
        session.execute(sa.insert(Tally), [*rows, {"at": at, "channel": "sms", "event": "sent", "count": 1}])

    with sent_statements() as sent:
        assert prune(Tally.__table__, Tally.at < at) == many
    assert sum(text.startswith("DELETE") for text in sent) == -(-many // 1_000)
    assert [row.channel for row in db.session.scalars(sa.select(Tally))] == ["sms"]


def test_whoever_waits_to_write_does_so_outside_of_sqlite_which_would_freeze_green_threads(app: APIFlask) -> None:
    if db.engine.dialect.name == "postgresql":
        pytest.skip("the server does the waiting")
    said = list[str]()
    with db.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.set_trace_callback(said.append)
        with connection.execution_options(writes=True).begin():
            pass
        driver.set_trace_callback(None)
    assert said[:3] == ["PRAGMA busy_timeout=0", "BEGIN IMMEDIATE", "PRAGMA busy_timeout=20"]


def test_what_another_transaction_holds_is_left_for_the_next_time(app: APIFlask) -> None:
    if db.engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time")
    with transaction() as session:
        session.execute(sa.insert(Flag), [{"name": name, "percentage": 0} for name in ("sms", "push")])

    with db.engine.connect() as other:
        other.execute(sa.select(Flag.name).where(Flag.name == "sms").with_for_update())
        assert prune(Flag.__table__, Flag.percentage == 0) == 1
    assert prune(Flag.__table__, Flag.percentage == 0) == 1


@pytest.mark.parametrize("has_had_a_level", [False, True])
def test_a_server_that_goes_during_a_glance_leaves_the_pool_whole(app: APIFlask, *, has_had_a_level: bool) -> None:
    """`has_had_a_level`: then the driver tells the server whenever autocommit changes."""
    if db.engine.dialect.name == "sqlite":
        pytest.skip("it has no server")
    db.engine.dispose()
    if has_had_a_level:
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("SELECT 1"))
    before = db.engine.pool.checkedout()  # type: ignore[attr-defined]
    for _ in range(2):  # a connection that has been used so before
        with for_glances() as connection:
            glance(connection, "SELECT 1", {})
    with suppress(*UNAVAILABLE), for_glances() as connection:
        [own] = glance(connection, "SELECT pg_backend_pid()", {})
        with db.engine.connect() as other:
            other.execute(sa.text("SELECT pg_terminate_backend(:own, 10000)"), {"own": own})  # and waits for its end
    assert db.engine.pool.checkedout() == before  # type: ignore[attr-defined]
    with for_glances() as connection:
        assert glance(connection, "SELECT 1", {}) == (1,)
        assert connection.connection.dbapi_connection.autocommit  # type: ignore[union-attr]
    with transaction() as session:
        assert session.scalar(sa.text("SELECT 1")) == 1


def test_a_server_that_goes_before_a_glance_is_away(app: APIFlask) -> None:
    if db.engine.dialect.name == "sqlite":
        pytest.skip("it has no server")
    db.engine.dispose()
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("SELECT 1"))
    others = sa.create_engine(db.engine.url, poolclass=sa.NullPool)

    def end(driver: Any, *_: Any) -> None:
        """After the pool has found it alive."""
        with others.connect() as other:
            other.execute(sa.text("SELECT pg_terminate_backend(:own, 10000)"), {"own": driver.info.backend_pid})

    sa.event.listen(db.engine, "checkout", end)
    with pytest.raises(UNAVAILABLE), for_glances() as connection:
        glance(connection, "SELECT 1", {})
    sa.event.remove(db.engine, "checkout", end)
    with for_glances() as connection:
        assert glance(connection, "SELECT 1", {}) == (1,)
