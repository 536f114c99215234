"""Lists and figures come from a replica while that is fit for it. Nothing is decided by it, and nobody misses what they
have just changed.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from sqlalchemy import event
from structlog.testing import capture_logs

from notifier.access import keys
from notifier.app import create_app
from notifier.ground import replica
from notifier.ground.config import Settings
from notifier.ground.engines import replica_engine
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, show
from notifier.ground.replica import Replica
from tests.running import eventually
from tests.standby import Standby
from tests.web.conftest import Visitor

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")

LISTS = ["/admin/", "/admin/notifications", "/admin/failed", "/admin/failed/jobs", "/admin/users", "/admin/broadcasts"]
LATE = "come from a copy of the database, up to"


@pytest.fixture(scope="module")
def standby(database_url: str, migrated_app: APIFlask) -> Iterator[Standby]:
    standby = Standby(database_url)
    yield standby
    standby.end()


@pytest.fixture
def copy(app: APIFlask, standby: Standby, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replica]:
    """Of the app, as with DATABASE_REPLICA_URL; looked at whenever it is needed, and caught up to begin with."""
    monkeypatch.setattr(replica, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(replica, "_AWAY_S", 0.0)
    monkeypatch.setattr(replica, "MOST_LAG_S", 600.0)
    copy = Replica(replica_engine(standby.url))
    monkeypatch.setitem(app.extensions, "replica", copy)
    eventually(lambda: copy.is_fit() and copy.lag_s == 0)
    yield copy
    copy.engine.dispose()


@pytest.fixture
def asked(copy: Replica) -> list[str]:
    """The statements that the replica gets, but for those about itself."""
    statements: list[str] = []

    @event.listens_for(copy.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "pg_is_in_recovery" not in statement:
            statements.append(statement)

    return statements


@pytest.fixture
def admin(signed_in: Callable[..., Visitor], copy: Replica) -> Visitor:
    """Whose sign-in has reached the replica."""
    admin = signed_in("admin")
    eventually(lambda: copy.is_fit() and copy.lag_s == 0)
    return admin


@pytest.mark.slow
def test_lists_come_from_the_replica_and_who_may_see_them_is_asked_of_the_primary(
    admin: Visitor, asked: list[str]
) -> None:
    for path in [*LISTS, "/admin/audit"]:
        asked.clear()
        assert admin.get(path).status_code == 200
        assert asked, path
        assert not [statement for statement in asked if "FROM account" in statement], path
    asked.clear()
    by_id = f"/admin/notifications?q={show('sub', new_id())}"  # of a moment ago, maybe
    for path in ("/admin/producers", "/admin/accounts", "/admin/providers", "/admin/queues", "/preferences", by_id):
        admin.get(path)
    assert asked == []


@pytest.mark.slow
def test_who_has_changed_something_sees_it_at_once_and_others_within_seconds(
    admin: Visitor, standby: Standby, copy: Replica
) -> None:
    eventually(lambda: copy.is_fit() and copy.lag_s == 0)
    standby.pause()
    try:
        admin.post("/admin/producers", {"name": "Corner shop"})
        assert "Corner shop" in admin.get("/admin/audit").text
        admin.client.delete_cookie("notifier_wrote", path="/admin")
        eventually(lambda: LATE in admin.get("/admin/audit").text)
        assert "Corner shop" not in admin.get("/admin/audit").text
    finally:
        standby.resume()
    eventually(lambda: "Corner shop" in admin.get("/admin/audit").text)


@pytest.mark.slow
def test_one_that_lags_is_not_used_until_it_has_caught_up(
    admin: Visitor, standby: Standby, copy: Replica, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    standby.pause()
    try:
        keys.create_producer("Corner shop")
        monkeypatch.setattr(replica, "MOST_LAG_S", 0.05)
        with capture_logs() as logs:
            eventually(lambda: not copy.is_fit() and copy.fault)
        assert [(line["event"], line["reason"]) for line in logs] == [("replica.not_used", "lags")]
        asked.clear()
        page = admin.get("/admin/notifications").text
        assert (asked, LATE in page) == ([], False)
        metrics = admin.get("/metrics").text
        assert "notifier_database_replica_up 0.0" in metrics
        [lag] = [line.split()[1] for line in metrics.splitlines() if line.startswith("notifier_database_replica_lag_")]
        assert float(lag) > 0.05
    finally:
        standby.resume()
    monkeypatch.setattr(replica, "MOST_LAG_S", 600.0)
    with capture_logs() as logs:
        eventually(copy.is_fit)
    assert [line["event"] for line in logs] == ["replica.used_again"]
    admin.get("/admin/notifications")
    assert asked
    assert "notifier_database_replica_up 1.0" in admin.get("/metrics").text


def test_while_it_is_away_the_primary_answers_all(
    admin: Visitor, standby: Standby, copy: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "_LOOK_EVERY_S", 600.0)  # it is found out by the page
    standby.stop()
    try:
        assert copy.fault is None
        for path in LISTS:
            assert admin.get(path).status_code == 200
        assert copy.fault == "away"
    finally:
        standby.start()
    monkeypatch.setattr(replica, "_LOOK_EVERY_S", 0.0)
    eventually(copy.is_fit)


def test_a_setting_is_all_it_takes(app: APIFlask, settings: Settings, standby: Standby) -> None:
    own = create_app(
        Settings.from_env({**settings.environment, "DATABASE_REPLICA_URL": standby.url}), socketio_queue=False
    )
    with own.app_context():
        found = replica.standing()
        assert found is not None
        assert found.engine.url.port == standby.port
        db.engine.dispose()


def test_a_server_that_is_none_is_not_used(app: APIFlask) -> None:
    """DATABASE_REPLICA_URL leads to the primary, or the replica has been promoted."""
    copy = Replica(db.engine)
    assert not copy.is_fit()
    assert copy.fault == "is_no_replica"


def test_a_query_that_the_replica_ends_is_asked_again_of_the_primary(copy: Replica, app: APIFlask) -> None:
    """As when it has to replay something that the query is in the way of."""
    turns: list[sa.Engine | sa.Connection] = []

    @replica.may_lag
    def question() -> object:
        bind = db.session.get_bind()
        turns.append(bind)
        if bind is copy.engine:
            db.session.execute(sa.text("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$"))
        return db.session.scalar(sa.text("SELECT 1"))

    with app.test_request_context():
        replica.permit()
        assert question() == 1
    assert turns == [copy.engine, db.engine]
    assert copy.fault is None


@pytest.mark.slow
def test_a_question_within_another_is_part_of_it(copy: Replica, app: APIFlask) -> None:
    inner = replica.may_lag(lambda: db.session.get_bind())

    @replica.may_lag
    def outer() -> list[object]:
        return [inner(), db.session.get_bind()]

    with app.test_request_context():
        assert outer() == [db.engine, db.engine]
        replica.permit()
        assert outer() == [copy.engine, copy.engine]
