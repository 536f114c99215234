"""An index of a table in use: others go on writing while it is made."""

import ast
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from notifier.ground import indexes
from tests.conftest import new_postgres_database
from tests.running import eventually

FIRST = 59  # of the migrations that keep to it; those before have run somewhere already


@pytest.fixture
def engine(postgres_server: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(new_postgres_database(postgres_server, "notifier_indexes"))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE much (number int)"))
    yield engine
    engine.dispose()


def migrate(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
        with Operations.context(context), context.begin_transaction(_per_migration=True):
            indexes.add("ix_much_number", "much", ["number"])


def is_valid(engine: sa.Engine) -> bool | None:
    with engine.connect() as connection:
        return connection.scalar(
            sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ix_much_number')")
        )


def test_who_writes_meanwhile_does_not_wait(engine: sa.Engine) -> None:
    """Nor does it wait itself for the transaction that keeps other machines from migrating."""
    write = sa.text("INSERT INTO much VALUES (1)")
    with (
        ThreadPoolExecutor(1) as beside,
        engine.connect() as alone,
        engine.connect() as first,
        engine.connect() as second,
    ):
        alone.execute(sa.text("SELECT pg_try_advisory_xact_lock(7246001)"))
        first.execute(write)
        made = beside.submit(migrate, engine)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher:
            waits = sa.text(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'"
            )
            eventually(lambda: watcher.scalar(waits))
        second.execute(sa.text("SET lock_timeout = '10s'"))
        second.execute(write)
        second.commit()
        assert not made.done()
        first.commit()
        made.result(60)
    assert is_valid(engine)


def test_what_a_killed_run_has_left_is_made_anew(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE INDEX ix_much_number ON much (number)"))
        connection.execute(
            sa.text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass('ix_much_number')")
        )
    assert is_valid(engine) is False
    migrate(engine)
    assert is_valid(engine)


def in_the_way(source: str) -> list[str]:
    """The calls that make or drop an index, and let writers of its table wait: of those that the migration has made
    itself there are none.
    """
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    own = {_text(call.args[0]) for call in calls if ast.unparse(call.func) == "op.create_table"}
    of_indexes = [call for call in calls if ast.unparse(call.func) in ("op.create_index", "op.drop_index")]
    return [ast.unparse(call) for call in of_indexes if len(call.args) < 2 or _text(call.args[1]) not in own]


def _text(argument: ast.expr) -> str:
    return str(argument.value) if isinstance(argument, ast.Constant) else ast.unparse(argument)


@pytest.mark.parametrize(
    ("source", "is_held_up"),
    [
        ("op.create_index('ix', 'delivery', ['a'])", True),
        ("op.create_index('ix', table, ['a'])", True),
        ("op.drop_index('ix')", True),
        ("op.create_table('new')\nop.create_index('ix', 'new', ['a'])", False),
        ("indexes.add('ix', 'delivery', ['a'])", False),
    ],
)
def test_an_index_of_a_table_in_use_is_told(source: str, is_held_up: bool) -> None:
    assert bool(in_the_way(source)) == is_held_up


def test_migrations_let_nobody_wait_for_an_index(root: Path) -> None:
    later = [one for one in (root / "migrations" / "versions").glob("*.py") if int(one.name[:4]) >= FIRST]
    assert {one.name: calls for one in later if (calls := in_the_way(one.read_text()))} == {}
