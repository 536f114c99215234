"""Runs the migrations inside the app (`python -m notifier migrate`): its engine, its models, one transaction."""

from alembic import context
from flask import current_app

import notifier.models  # noqa: F401 (fills the metadata)
from notifier.ground import schema

database = current_app.extensions["migrate"].db


def run() -> None:
    with database.engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        options = {
            **current_app.extensions["migrate"].configure_args,
            "render_as_batch": is_sqlite,  # SQLite alters a table by copying it
            "compare_type": False,  # encrypted and JSON columns differ by database on purpose
        }
        context.configure(
            connection=connection,
            target_metadata=database.metadata,
            transaction_per_migration=True,
            include_object=schema.compared(connection),
            **options,
        )
        with context.begin_transaction():
            if not is_sqlite:
                # Two machines may migrate at once: the second waits, and then finds nothing left to do.
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7246001)")
            context.run_migrations()
        connection.commit()


if context.is_offline_mode():
    raise SystemExit("migrations run against a database only")
run()
