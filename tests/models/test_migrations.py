"""Migrations lead from nothing to exactly the models, and back to nothing, on both databases."""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from apiflask import APIFlask
from flask_migrate import downgrade, upgrade
from sqlalchemy.exc import DBAPIError

from notifier.app import create_app
from notifier.ground import schema
from notifier.ground.config import Settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.ledgers import audit
from notifier.models import Address, AuditEntry, Delivery, Notification, Submission, TemplateContent, User
from tests.conftest import new_postgres_database

POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")


@pytest.fixture
def postgres(environment: dict[str, str], postgres_server: str) -> Iterator[APIFlask]:
    url = new_postgres_database(postgres_server, "notifier_migrations")
    app = create_app(Settings.from_env({**environment, "DATABASE_URL": url}))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


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
    with db.engine.connect() as connection:
        is_compared = schema.compared(connection)
        found = sa.inspect(connection).get_table_names()
        return {name for name in found if is_compared(None, name, "table")} - {"alembic_version"}


@pytest.mark.slow
def test_up_gives_the_models_and_down_gives_nothing(empty_app: APIFlask) -> None:
    upgrade()
    assert tables() == set(db.metadata.tables)
    with db.engine.connect() as connection:
        differences = compare_metadata(
            MigrationContext.configure(
                connection, opts={"compare_type": False, "include_object": schema.compared(connection)}
            ),
            db.metadata,
        )
    assert differences == []
    downgrade(revision="-1")
    upgrade()
    downgrade(revision="base")
    assert tables() == set()
    upgrade()
    assert tables() == set(db.metadata.tables)


@pytest.mark.slow
def test_what_stands_in_the_audit_trail_cannot_be_changed_or_taken_out(empty_app: APIFlask) -> None:
    upgrade()
    with transaction():
        audit.write("flag.set", "sms")
    name = "era_0192"
    for change in (
        sa.update(AuditEntry).values(actor="nobody"),
        sa.update(AuditEntry).values(subject="somebody else"),
        sa.update(AuditEntry).values(subject=name, actor="nobody"),
        sa.update(AuditEntry).values(subject=name, after={"percentage": 5}),
        sa.delete(AuditEntry),
    ):
        with pytest.raises(DBAPIError, match="append-only"), transaction() as session:
            session.execute(change)
    for _ in range(2):  # who is erased goes out, once
        with contextlib.suppress(DBAPIError), transaction() as session:
            session.execute(sa.update(AuditEntry).values(subject=name))
        name = "era_0193"
    assert [(entry.actor, entry.subject) for entry in db.session.scalars(sa.select(AuditEntry))] == [
        (audit.ITSELF, "era_0192")
    ]


@pytest.mark.slow
def test_a_device_of_several_people_is_left_to_the_last(empty_app: APIFlask) -> None:
    upgrade(revision="0008")
    addresses = sa.Table("address", sa.MetaData(), autoload_with=db.engine)
    users = sa.Table("user", sa.MetaData(), autoload_with=db.engine)
    at = [datetime(2026, 12, day, tzinfo=UTC) for day in (1, 2, 3)]
    # (whose, on which channel, which value, first registered, last registered)
    given = [
        ("a", "push", b"1", at[1], None),
        ("b", "push", b"1", at[0], at[2]),
        ("c", "push", b"2", at[0], None),
        ("a", "sms", b"1", at[0], None),
        ("b", "sms", b"1", at[1], None),
        ("a", "webpush", b"1", at[0], at[1]),
        ("c", "webpush", b"1", at[2], None),
    ]
    with db.engine.begin() as connection:
        connection.execute(
            sa.insert(users),
            [{"id": name, "attributes": "{}", "created_at": at[0], "updated_at": at[0]} for name in "abc"],
        )
        common = {"value": b"", "masked": "", "is_primary": False}
        connection.execute(
            sa.insert(addresses),
            [
                {
                    **common,
                    "id": new_id().hex if db.engine.dialect.name == "sqlite" else new_id(),
                    "user_id": user,
                    "channel": channel,
                }
                | {"digest": digest, "created_at": created, "verified_at": verified}
                for user, channel, digest, created, verified in given
            ],
        )
    upgrade()
    left = [
        (row.user_id, row.channel)
        for row in db.session.execute(sa.select(Address.user_id, Address.channel).where(Address.is_device))
    ]
    assert sorted(left) == [("b", "push"), ("c", "push"), ("c", "webpush")]
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Address)) == 5
    db.session.close()
    downgrade(revision="0008")


@POSTGRESQL
def test_each_is_a_transaction_and_another_machine_waits_for_all(postgres: APIFlask) -> None:
    free: list[bool] = []
    others = sa.create_engine(db.engine.url)

    def look(_: object = None) -> None:
        with others.connect() as other:
            free.append(bool(other.scalar(sa.text("SELECT pg_try_advisory_xact_lock(7246001)"))))

    sa.event.listen(db.engine, "commit", look)
    upgrade(revision="0003")
    look()
    *meanwhile, afterwards = free
    assert meanwhile == [False, False, False]
    assert afterwards
    others.dispose()


@pytest.mark.slow
@POSTGRESQL
@pytest.mark.parametrize("order", [("delivery", "attempt"), ("event", "delivery")])
def test_partitions_are_laid_beside_who_locks_in_any_order(postgres: APIFlask, order: tuple[str, str]) -> None:
    upgrade(revision="0052")
    waits = sa.text("SELECT 1 FROM pg_locks WHERE NOT granted LIMIT 1")
    with db.engine.connect() as other, db.engine.connect() as watcher, ThreadPoolExecutor(1) as beside:
        other.execute(sa.text(f"LOCK TABLE {order[0]} IN ROW EXCLUSIVE MODE"))

        def go_on() -> None:
            while watcher.scalar(waits) is None:
                time.sleep(0.01)
            other.execute(sa.text(f"LOCK TABLE {order[1]} IN ROW EXCLUSIVE MODE"))
            other.commit()

        done = beside.submit(go_on)
        upgrade(revision="0053")
        done.result()


@pytest.mark.slow
@POSTGRESQL
def test_a_row_of_a_clock_that_was_far_ahead_is_left_until_its_time(postgres: APIFlask) -> None:
    upgrade(revision="0052")
    ids = [UUID(int=(0xFFFF << 112) + number) for number in range(2)]
    told = "INSERT INTO subscription_attempt (id, subscription_id, at, outcome) VALUES (:id, :id, now(), 'sent')"
    with db.engine.begin() as connection:
        connection.execute(sa.text(told), [{"id": key} for key in (new_id(), *ids)])
    upgrade(revision="0053")
    of = sa.text("SELECT CAST(tableoid::regclass AS text) FROM subscription_attempt ORDER BY id")
    with db.engine.connect() as connection:
        assert connection.scalars(of).all() == ["subscription_attempt_before", *["subscription_attempt_rest"] * 2]


@pytest.mark.slow
@POSTGRESQL
def test_partitioned_tables_are_open_to_whom_they_were(postgres: APIFlask) -> None:
    may_read = sa.text("SELECT has_table_privilege('reporting', 'event', 'SELECT')")
    upgrade(revision="0052")
    with db.engine.begin() as connection:
        connection.execute(sa.text("CREATE ROLE reporting"))
        connection.execute(sa.text("GRANT SELECT ON event TO reporting"))
    try:
        for change, revision in ((upgrade, "0053"), (downgrade, "0052")):
            change(revision=revision)
            with db.engine.connect() as connection:
                assert connection.scalar(may_read)
    finally:
        with db.engine.begin() as connection:
            connection.execute(sa.text("DROP OWNED BY reporting"))
            connection.execute(sa.text("DROP ROLE reporting"))


def test_migrations_are_numbered_without_gaps(root: Path) -> None:
    numbers = sorted(path.name.partition("_")[0] for path in (root / "migrations" / "versions").glob("*.py"))
    assert numbers == [f"{n:04}" for n in range(1, len(numbers) + 1)]


@pytest.mark.slow
def test_the_way_back_takes_the_people_of_test_keys_away_and_leaves_the_others(empty_app: APIFlask) -> None:
    upgrade()
    kind = {"type": "order_shipped", "category": "transactional", "priority": "high"}
    with transaction() as session:
        for user_id in ("~alice", "alice"):
            submission = Submission(type=kind["type"], recipients=1, expanded=1)
            session.add_all([User(id=user_id), submission])
            session.flush()
            notification = Notification(submission_id=submission.id, user_id=user_id, **kind)
            session.add_all(
                [
                    notification,
                    Address(
                        user_id=user_id, channel="email", value="a@x.test", digest=user_id.encode(), masked="a…@x.test"
                    ),
                ]
            )
            session.flush()
            session.add(Delivery(notification_id=notification.id, channel="email", priority="high", status="queued"))
    db.session.close()
    downgrade(revision="0012")
    with db.engine.connect() as connection:
        left = {
            name: connection.execute(sa.text(f'SELECT count(*) FROM "{name}"')).scalar_one()
            for name in ("user", "address", "notification", "delivery")
        }
    assert left == {"user": 1, "address": 1, "notification": 1, "delivery": 1}
    upgrade()


@pytest.mark.slow
def test_approved_templates_are_kept_on_the_way_up_and_down(empty_app: APIFlask) -> None:
    upgrade(revision="0033")
    template = new_id()
    id = template.hex if db.engine.dialect.name == "sqlite" else template
    with db.engine.begin() as connection:
        of = sa.Table("template", sa.MetaData(), autoload_with=connection)
        content = sa.Table("template_content", sa.MetaData(), autoload_with=connection)
        at = datetime(2026, 12, 1, tzinfo=UTC)
        connection.execute(sa.insert(of), {"id": id, "key": "k", "version": 1, "status": "draft", "created_at": at})
        texts = {"de": "order_shipped\n{{ id }}", "en": None, "fr": ""}
        rows = [
            {
                "template_id": id,
                "channel": "whatsapp",
                "locale": locale,
                "title": "t",
                "body": "b",
                "approved": approved,
            }
            for locale, approved in texts.items()
        ]
        connection.execute(sa.insert(content), rows)
    upgrade()
    found = db.session.execute(sa.select(TemplateContent.locale, TemplateContent.extra)).all()
    assert {row.locale: row.extra for row in found} == {"de": {"approved": texts["de"]}, "en": {}, "fr": {}}
    db.session.close()
    downgrade(revision="0033")
    with db.engine.connect() as connection:
        approved = connection.execute(sa.select(content.c.locale, content.c.approved)).all()
    assert {row.locale: row.approved for row in approved} == {"de": texts["de"], "en": None, "fr": None}
