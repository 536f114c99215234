"""Where tries at the sign-in, and what strangers ask for there, are counted: in Redis, under keyed digests, so that all
web processes count together. While Redis is down, each process counts for itself.
"""

from collections.abc import Callable
from typing import TypeVar

import structlog
from flask import current_app
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage

from notifier.ground.encryption import vault
from notifier.ground.extensions import redis_store
from notifier.signals.queueing import unchecked

SITE = 48  # bits of IPv6: who rents a server, or asks for a tunnel, is given 65,536 networks of 64 bits

T = TypeVar("T")
Storage = RedisStorage | MemoryStorage

log = structlog.get_logger()


def key_of(kind: str, *parts: str) -> str:
    return f"sign-in-{kind}/{vault.digest(chr(0).join((kind, *parts))).hex()}"


def ask(question: Callable[[Storage], T]) -> T:
    """The answer of what all processes share; of this process's own counts while Redis is down. `question` may have
    counted something in Redis when that fails, and is asked again.
    """
    shared, own = storages()
    if not redis_store.is_away():
        try:
            return question(shared)
        except StorageError as error:
            log.warning("sign_in.throttle_is_local", error=type(error.storage_error).__name__)
    unchecked("sign_in")
    return question(own)


def storages() -> tuple[RedisStorage, MemoryStorage]:
    """What all processes share, and this one's own."""
    found = current_app.extensions.get("sign_in_throttle")
    if found is None:
        pool = redis_store.client.connection_pool
        found = (
            RedisStorage("redis://", connection_pool=pool, key_prefix="throttle", wrap_exceptions=True),
            MemoryStorage(),
        )
        current_app.extensions["sign_in_throttle"] = found
    return found
