"""Migrations lead from nothing to exactly the models, and back to nothing, on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from apiflask import APIFlask
from flask_migrate import downgrade, upgrade
from sqlalchemy.exc import DBAPIError

from notifier.app import create_app
from notifier.config import Settings
from notifier.database import transaction
from notifier.extensions import db
from notifier.models import AuditEntry
from notifier.pipeline import audit
from tests.conftest import new_postgres_database


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_app(request: pytest.FixtureRequest, environment: dict[str, str], tmp_path: Path) -> Iterator[APIFlask]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        url = new_postgres_database(request.getfixturevalue("postgres_server"), "notifier_migrations")
    app = create_app(Settings.from_env({**environment, "DATABASE_URL": url}))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def tables() -> set[str]:
    return set(sa.inspect(db.engine).get_table_names()) - {"alembic_version"}


def test_up_gives_the_models_and_down_gives_nothing(empty_app: APIFlask) -> None:
    upgrade()
    assert tables() == set(db.metadata.tables)
    with db.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": False}), db.metadata)
    assert differences == []
    downgrade(revision="-1")
    upgrade()
    downgrade(revision="base")
    assert tables() == set()
    upgrade()
    assert tables() == set(db.metadata.tables)


def test_what_stands_in_the_audit_trail_cannot_be_changed_or_taken_out(empty_app: APIFlask) -> None:
    upgrade()
    with transaction():
        audit.write("flag.set", "sms")
    for change in (sa.update(AuditEntry).values(actor="nobody"), sa.delete(AuditEntry)):
        with pytest.raises(DBAPIError, match="append-only"), transaction() as session:
            session.execute(change)
    assert [entry.actor for entry in db.session.scalars(sa.select(AuditEntry))] == [audit.ITSELF]


def test_migrations_are_numbered_without_gaps(root: Path) -> None:
    numbers = sorted(path.name.partition("_")[0] for path in (root / "migrations" / "versions").glob("*.py"))
    assert numbers == [f"{n:04}" for n in range(1, len(numbers) + 1)]
