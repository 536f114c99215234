"""By PgBouncer in transaction mode: the races of intake once more, and nothing of a session is left to others."""

import argparse
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.app import create_app
from notifier.ground import lifeline
from notifier.ground.config import Settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.programs.cli import migrate
from tests.pgbouncer import MOST_SERVERS, PgBouncer
from tests.pipeline.intake.test_accept_races import (  # noqa: F401 (run here again)
    test_addresses_changed_crosswise_block_nobody,
    test_people_named_crosswise_block_nobody,
    test_somebody_is_erased_whatever_else_is_going_on,
    test_who_comes_while_the_first_with_a_key_is_still_being_stored_is_told_to_come_back,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session"),
]


@pytest.fixture(scope="module")
def bouncer(database_url: str) -> Iterator[PgBouncer]:
    bouncer = PgBouncer(database_url)
    yield bouncer
    bouncer.stop()


@pytest.fixture
def app(app: APIFlask, settings: Settings, bouncer: PgBouncer) -> Iterator[APIFlask]:
    """Instead of the app of the tests, on the same database."""
    pooled = create_app(
        Settings.from_env({**settings.environment, "DATABASE_POOLER": bouncer.url}), socketio_queue=False
    )
    with pooled.app_context():
        yield pooled
        db.session.remove()
        db.engine.dispose()


def test_sixty_at_once_share_few_connections_and_leave_nothing_behind(app: APIFlask, bouncer: PgBouncer) -> None:
    barrier = threading.Barrier(60)
    failed: list[Exception] = []

    def work() -> None:
        with app.app_context():
            barrier.wait()
            try:
                for _ in range(3):
                    with transaction() as session:
                        session.execute(sa.text("SET LOCAL lock_timeout = '7s'"))
                        session.execute(sa.text("SELECT pg_sleep(0.001)"))
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with transaction() as session:
        # Whoever gets a connection finds it as if it were new
        assert session.scalar(sa.text("SHOW lock_timeout")) == "0"
    assert bouncer.servers() == MOST_SERVERS


def test_a_worker_shows_life_in_a_session_of_its_own_past_the_pooler(app: APIFlask) -> None:
    line = lifeline.hold(app)
    assert line.is_held
    assert line.number in lifeline.look().living
    line.let_go()
    assert line.number not in lifeline.look().living
    app.extensions.pop("lifeline")


def test_migrations_go_past_the_pooler(app: APIFlask, settings: Settings) -> None:
    dead = replace(settings, database_pooler="postgresql+psycopg2://127.0.0.1:1/nobody")
    assert migrate(dead, argparse.Namespace(first_start=False)) == 0
