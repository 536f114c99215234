"""`doctor`: looks at an installation from outside and says, for whatever is wrong, what to do about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import OperationalError

from notifier import liveness
from notifier.app import ROOT, create_app
from notifier.config import Settings

_CONNECT_S = 2


@dataclass(frozen=True, slots=True)
class Finding:
    is_ok: bool
    what: str
    remedy: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Raises KeysDoNotFit when the keys do not fit the database."""
    return [*_database(settings), *_redis(settings)]


def _database(settings: Settings) -> Iterator[Finding]:
    shown = make_url(settings.database_url).render_as_string(hide_password=True)
    engine = create_engine(settings.database_url)
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    except OperationalError as error:
        yield Finding(False, f"database {shown} cannot be reached: {str(error.orig).strip()}", "Start it, or correct DATABASE_URL.")
        return
    finally:
        engine.dispose()
    yield Finding(True, f"database {shown} answers")
    head = ScriptDirectory.from_config(_alembic(ROOT / "migrations")).get_current_head()
    if current != head:
        yield Finding(False, f"the database is at migration {current or 'none'}, the program at {head}", "Run: python -m notifier migrate")
        return
    yield Finding(True, f"migrations are up to date ({head})")
    create_app(settings)
    yield Finding(True, "the keys fit the database")


def _alembic(place: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(place))
    return config


def _redis(settings: Settings) -> Iterator[Finding]:
    client = redis.Redis.from_url(settings.redis_url, socket_connect_timeout=_CONNECT_S, socket_timeout=_CONNECT_S)
    where = "the embedded Redis" if settings.redis_is_embedded else "Redis (REDIS_URL)"
    try:
        client.ping()
    except redis.RedisError as error:
        remedy = "Start Notifier: make run" if settings.redis_is_embedded else "Start it, or correct REDIS_URL."
        yield Finding(False, f"{where} cannot be reached: {error}", f"{remedy.rstrip('.')}. Until then requests are accepted and wait.")
        return
    yield Finding(True, f"{where} answers")
    yield _eviction(client)
    for kind, count in (("worker", liveness.count_workers(client)), ("scheduler", liveness.count_schedulers(client))):
        remedy = "" if count else f"Start one: python -m notifier {kind}"
        yield Finding(count > 0, f"{count} {kind}{'' if count == 1 else 's'}", remedy)


def _eviction(client: redis.Redis) -> Finding:
    try:
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy")
    except redis.ResponseError:
        return Finding(True, "Redis does not tell its maxmemory-policy", "It must be noeviction: ask whoever runs it.")
    if policy != "noeviction":
        return Finding(False, f"Redis may throw queued work away (maxmemory-policy {policy})", "Set maxmemory-policy to noeviction.")
    return Finding(True, "Redis keeps what it is given (noeviction)")
