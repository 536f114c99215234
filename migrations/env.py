"""Runs the migrations inside the app (`python -m notifier migrate`): its engine, its models, a transaction each."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import context
from flask import current_app

import notifier.models  # noqa: F401 (fills the metadata)
from notifier.ground import schema

database = current_app.extensions["migrate"].db


def run() -> None:
    with database.engine.connect() as connection, alone():
        is_compared = schema.compared(connection)
        connection.rollback()  # Alembic would make no transactions inside of another
        options = {
            **current_app.extensions["migrate"].configure_args,
            "render_as_batch": connection.dialect.name == "sqlite",  # it alters a table by copying it
            "compare_type": False,  # encrypted and JSON columns differ by database on purpose
        }
        context.configure(
            connection=connection,
            target_metadata=database.metadata,
            transaction_per_migration=True,
            include_object=is_compared,
            **options,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


@contextmanager
def alone() -> Iterator[None]:
    """Two machines may migrate at once: the second waits, and then finds nothing left to do. By a connection of its
    own, since the lock ends with a transaction. (With SQLite the command waits, before it makes the file.)

    It asks again and again: an index that is made beside writers (`ground/indexes.py`) waits for all statements that
    have begun before, and so for one that waits for the lock.
    """
    if database.engine.dialect.name == "sqlite":
        yield
        return
    with database.engine.connect() as guard:
        while not guard.exec_driver_sql("SELECT pg_try_advisory_xact_lock(7246001)").scalar():
            guard.rollback()
            time.sleep(0.2)
        yield


if context.is_offline_mode():
    raise SystemExit("migrations run against a database only")
run()
