"""Flask extensions, unbound. Imports nothing of ours except how Redis is
reached, so that every module may import it.

`create_app` binds them and sets the async mode of `socketio` explicitly: python-socketio would otherwise choose
eventlet wherever it is importable.
"""

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

import redis
from flask import Flask, current_app, g
from flask_login import LoginManager
from flask_migrate import Migrate
from flask_socketio import SocketIO
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from flask_wtf import CSRFProtect
from sqlalchemy import Connection, Engine, MetaData, Table
from sqlalchemy.orm import DeclarativeBase

from notifier.ground.outage import ANSWER_S, Once, Outage
from notifier.ground.redis_clients import connected

_MOST_CONNECTIONS = 50
REPLICA = "reads_from"  # of `g`: the engine of the replica, while it is asked


class Base(DeclarativeBase):
    """The base class of all tables."""

    if TYPE_CHECKING:
        __table__: ClassVar[Table]

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class _Client(redis.Redis):
    outage: Outage


class RedisStore:
    """The Redis of the current app. Fails fast: Redis is the doorbell, and nobody may wait at a dead one (see
    `outage`).

    At most so many connections at a time, so that descriptors are left for those who ask; more callers wait for their
    turn.
    """

    def init_app(self, app: Flask, url: str, *, logs_outages: bool = True) -> None:
        outage = Outage(is_logged=logs_outages)
        bounds: dict[str, Any] = {
            "max_connections": _MOST_CONNECTIONS,
            "timeout": ANSWER_S,
            "socket_connect_timeout": ANSWER_S,
            "socket_timeout": ANSWER_S,
        }
        client = connected(url, _Client, retry=Once(outage), **bounds)
        client.outage = outage
        app.extensions["redis"] = client

    @property
    def client(self) -> redis.Redis:
        client: redis.Redis = current_app.extensions["redis"]
        return client

    def is_away(self) -> bool:
        """Whether Redis did not answer a moment ago: a call would be refused at once."""
        client: _Client = current_app.extensions["redis"]
        return client.outage.is_on()

    def look(self) -> None:
        """Before a transaction in which Redis will be asked: so that, if it hangs, it is waited for out here. A round
        trip once a second at most.
        """
        client: _Client = current_app.extensions["redis"]
        if not client.outage.is_on() and not client.outage.has_heard_lately():
            with contextlib.suppress(redis.RedisError):
                client.ping()


class _Session(Session):
    """Reads from the replica where `ground.replica` says so."""

    def get_bind(self, *args: Any, **options: Any) -> Engine | Connection:
        chosen: Engine | None = g.get(REPLICA)
        return chosen if chosen is not None else super().get_bind(*args, **options)


db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False, "class_": _Session})
migrate = Migrate()
login_manager = LoginManager()
csrf = CSRFProtect()
socketio = SocketIO()
redis_store = RedisStore()
