"""/readyz says when nothing can be written, finds out without writing, and recovers by itself."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from flask_migrate import upgrade

from notifier.access import keys
from notifier.app import create_app
from notifier.ground.config import Settings
from notifier.ground.database import WRITE_REFUSED
from notifier.ground.extensions import db
from notifier.models.producer import SCOPES
from notifier.operations import installation
from notifier.queries import writable
from tests.conftest import Api, new_postgres_database

SUBMITTED = {
    "type": "order_shipped",
    "recipients": [{"id": "alice", "email": "alice@example.test"}],
    "data": {"order_id": "A1"},
}


@pytest.fixture(params=["sqlite", "postgresql"])
def own_app(
    request: pytest.FixtureRequest, app: APIFlask, environment: dict[str, str], tmp_path: Path
) -> Iterator[APIFlask]:
    url = f"sqlite:///{tmp_path / 'own.db'}"
    if request.param == "postgresql":
        url = new_postgres_database(request.getfixturevalue("postgres_server"), "notifier_writable")
    own = create_app(Settings.from_env({**environment, "DATABASE_URL": url}), socketio_queue=False)
    with own.app_context():
        upgrade()
        installation.prepare()
        yield own
        db.session.remove()
        db.engine.dispose()
    with app.app_context():
        installation.open_vault()  # the keys of the process are those of its own database again


on_sqlite = pytest.mark.parametrize("own_app", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("own_app", ["postgresql"], indirect=True)
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")


@pytest.fixture
def api(own_app: APIFlask) -> Api:
    producer = keys.create_producer("Shop")
    _, key = keys.create_key(producer.id, scopes=SCOPES)
    return Api(own_app.test_client(), key)


def readiness(api: Api) -> tuple[int, str, str]:
    answer = api.client.get("/readyz")
    return answer.status_code, answer.json["status"], answer.json["database"]


def let_another_try(app: APIFlask) -> None:
    if WRITE_REFUSED in app.extensions:
        app.extensions[WRITE_REFUSED] -= writable.TRY_EVERY_S


NOT_WRITABLE = (503, "unavailable", "not_writable")
READY = (200, "degraded", "ok")  # no worker runs


def test_asking_writes_nothing(own_app: APIFlask, api: Api) -> None:
    written: list[str] = []
    sa.event.listen(db.engine, "before_cursor_execute", lambda _c, _u, statement, *_: written.append(statement))
    assert [readiness(api) for _ in range(3)] == [READY] * 3
    assert [statement for statement in written if not statement.startswith(("SELECT", "BEGIN"))] == []


@pytest.mark.slow
@on_sqlite
def test_a_full_file_is_said_after_a_refused_write_and_until_one_works(own_app: APIFlask, api: Api) -> None:
    def limit(connection: object, *_: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # type: ignore[attr-defined] (as many as there are)

    sa.event.listen(db.engine, "connect", limit)
    db.session.remove()
    db.engine.dispose()
    statuses = {api.post("/api/v1/notifications", SUBMITTED).status_code for _ in range(60)}
    assert statuses <= {202, 503}
    assert readiness(api) == NOT_WRITABLE
    assert readiness(api) == NOT_WRITABLE
    sa.event.remove(db.engine, "connect", limit)
    db.session.remove()
    db.engine.dispose()
    let_another_try(own_app)
    assert readiness(api) == READY
    assert api.post("/api/v1/notifications", SUBMITTED).status_code == 202


@on_sqlite
def test_a_disk_with_hardly_any_room_is_said_before_a_write_fails(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writable, "LEAST_ROOM", shutil.disk_usage("/").total * 1000)
    assert readiness(api) == NOT_WRITABLE


@pytest.mark.slow
@on_postgresql
def test_a_read_only_server_is_said_and_refuses_with_503(own_app: APIFlask, api: Api) -> None:
    name = db.engine.url.database
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    db.session.remove()
    db.engine.dispose()
    assert readiness(api) == NOT_WRITABLE
    assert api.post("/api/v1/notifications", SUBMITTED).status_code == 503
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("SET default_transaction_read_only = off"))
        connection.execute(sa.text(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'))
    db.session.remove()
    db.engine.dispose()
    let_another_try(own_app)
    assert readiness(api) == READY
