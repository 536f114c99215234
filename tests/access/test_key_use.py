"""When a key was used last: right to the minute, and no write a request."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.access import key_use
from notifier.access.keys import create_key, create_producer
from notifier.ground.extensions import db
from notifier.models import ApiKey
from tests.conftest import Api
from tests.stored import missing

NOON = datetime.fromisoformat("2026-11-20T12:00:40+00:00")
MINUTE = timedelta(minutes=1)


@contextmanager
def listening(listener: Callable[..., None]) -> Iterator[None]:
    """To what is written into the keys, before it is."""

    def hear(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, is_many: bool) -> None:
        if statement.startswith("UPDATE api_key"):
            listener(connection, cursor, statement, parameters if is_many else [parameters])

    sa.event.listen(db.engine, "before_cursor_execute", hear)
    yield
    sa.event.remove(db.engine, "before_cursor_execute", hear)


@pytest.fixture
def writes(app: APIFlask) -> Iterator[list[int]]:
    """How many keys each statement wrote."""
    found: list[int] = []
    with listening(lambda _connection, _cursor, _statement, parameters: found.append(len(parameters))):
        yield found


def new_key(scope: str = "read", **options: Any) -> tuple[ApiKey, str]:
    return create_key(create_producer("Shop").id, scopes=[scope], **options)


def last_uses() -> dict[str, datetime | None]:
    db.session.rollback()
    return {row.prefix: row.last_used_at for row in db.session.execute(sa.select(ApiKey.prefix, ApiKey.last_used_at))}


def test_a_key_that_was_made_has_not_been_used(app: APIFlask) -> None:
    key, _ = new_key()
    assert last_uses() == {key.prefix: None}


def test_a_request_says_when_to_the_minute_and_the_next_ones_of_it_write_nothing(
    client: FlaskClient, writes: list[int]
) -> None:
    key, plain = new_key()
    api = Api(client, plain)
    with time_machine.travel(NOON, tick=False) as clock:
        for _ in range(3):
            api.get("/api/v1/types")
        assert (last_uses(), writes) == ({key.prefix: NOON.replace(second=0)}, [1])
        clock.shift(MINUTE)
        for _ in range(3):
            api.get("/api/v1/types")
    assert (last_uses(), writes) == ({key.prefix: NOON.replace(second=0) + MINUTE}, [1, 1])


def test_it_never_goes_back(app: APIFlask) -> None:
    key, _ = new_key()
    with time_machine.travel(NOON, tick=False) as clock:
        key_use.note(key.id)
        clock.shift(-MINUTE)
        key_use.note(key.id)
    assert last_uses() == {key.prefix: NOON.replace(second=0)}


@pytest.mark.parametrize(
    "options", [{"networks": ()}, {"expires_at": NOON - timedelta(days=1)}], ids=["network", "expired"]
)
def test_a_key_that_is_refused_has_not_been_used(client: FlaskClient, options: dict[str, Any]) -> None:
    key, plain = new_key(**options)
    with time_machine.travel(NOON, tick=False):
        assert Api(client, plain).get("/api/v1/types").status_code in (401, 403)
    assert last_uses() == {key.prefix: None}


def test_what_comes_while_another_is_written_is_written_with_it_and_nobody_waits(
    app: APIFlask, writes: list[int]
) -> None:
    keys = [new_key(plain=f"{number:04}" * 10)[0] for number in range(5)]
    meeting = threading.Barrier(5)

    def come_and_go(key: ApiKey) -> None:
        with app.app_context():
            meeting.wait(60)
            key_use.note(key.id)
            meeting.wait(60)

    def hold(_connection: Any, _cursor: Any, _statement: str, parameters: Any, *_: Any) -> None:
        if len(parameters) == 1:
            meeting.wait(60)
            meeting.wait(60)

    threads = [threading.Thread(target=come_and_go, args=(key,)) for key in keys[1:]]
    with time_machine.travel(NOON, tick=False), listening(hold):
        for thread in threads:
            thread.start()
        key_use.note(keys[0].id)
        for thread in threads:
            thread.join()
    assert writes == [1, 4]
    assert set(last_uses().values()) == {NOON.replace(second=0)}


def test_a_database_that_is_away_is_no_reason_to_refuse(app: APIFlask) -> None:
    key, _ = new_key()
    with missing("api_key"):
        key_use.note(key.id)
    with time_machine.travel(NOON + timedelta(days=3650), tick=False):
        key_use.note(key.id)
    assert last_uses() == {key.prefix: NOON.replace(second=0) + timedelta(days=3650)}
