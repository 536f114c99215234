"""Flask extensions, unbound. Imports nothing of ours, so that anything may import it.

`create_app` binds them. `socketio` has its async mode set explicitly by `create_app`: python-socketio
would otherwise choose eventlet wherever that is importable.
"""

from typing import Any

import redis
from flask import Flask, current_app
from flask_login import LoginManager
from flask_migrate import Migrate
from flask_socketio import SocketIO
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

_MOST_CONNECTIONS = 50


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class RedisStore:
    """The Redis of the current app. Fails fast: Redis is the doorbell, and nobody may wait at a dead one.

    At most so many connections at a time, so that descriptors are left for those who ask; more callers wait for their turn.
    """

    def init_app(self, app: Flask, url: str) -> None:
        bounds: dict[str, Any] = {"max_connections": _MOST_CONNECTIONS, "timeout": 2, "socket_connect_timeout": 1, "socket_timeout": 2}
        pool = redis.BlockingConnectionPool.from_url(url, retry=Retry(NoBackoff(), 0), **bounds)
        app.extensions["redis"] = redis.Redis.from_pool(pool)

    @property
    def client(self) -> redis.Redis:
        client: redis.Redis = current_app.extensions["redis"]
        return client


db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})
migrate = Migrate()
login_manager = LoginManager()
csrf = CSRFProtect()
socketio = SocketIO()
redis_store = RedisStore()
