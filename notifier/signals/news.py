"""Tells those who wait for events that there are some, from any process. A hint, that may be lost: they look at the
database again all the same, a moment later.
"""

import contextlib
import time
from datetime import timedelta

import redis
from flask import current_app

from notifier.ground.clock import now
from notifier.ground.extensions import redis_store

LOOK_AGAIN_S = 1.0  # without a hint
_HINT_EVERY = timedelta(milliseconds=100)  # of a process
_ASK_EVERY_S = 0.1  # by a process, however many wait in it
_NEWS = "notifier:events"


def tell() -> None:
    """After the commit, as often as you like."""
    silent = current_app.extensions.setdefault("hints", {})
    at = now()
    if at < silent.get(_NEWS, at) <= at + _HINT_EVERY or redis_store.is_away():
        return
    silent[_NEWS] = at + _HINT_EVERY
    with contextlib.suppress(redis.RedisError):
        redis_store.client.incr(_NEWS)


def latest() -> str | bytes | None:
    """A value that changes with every hint; None without Redis."""
    asked_at: float
    value: str | bytes | None
    asked_at, value = current_app.extensions.get("news", (float("-inf"), None))
    if time.monotonic() - asked_at >= _ASK_EVERY_S:
        value = None
        if not redis_store.is_away():
            with contextlib.suppress(redis.RedisError):
                value = redis_store.client.get(_NEWS)
        current_app.extensions["news"] = (time.monotonic(), value)
    return value


def wait(known: str | bytes | None, most_s: float) -> None:
    """Waits for another value than `known`, no longer than so long and LOOK_AGAIN_S. Holds no connection meanwhile."""
    deadline = time.monotonic() + min(most_s, LOOK_AGAIN_S)
    while (left := deadline - time.monotonic()) > 0 and latest() == known:
        time.sleep(min(left, _ASK_EVERY_S))
