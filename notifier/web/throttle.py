"""Slows down guessing at the sign-in: by e-mail and network address together, and by each of them alone.

The count for one e-mail from everywhere is high: a stranger's guesses must not lock its owner out so soon.
Asking for sign-in links is counted likewise, and apart, whether anybody has that e-mail or not.

Counts in Redis, so that all web processes count together; while Redis is away each process counts for itself.
"""

from collections.abc import Callable
from typing import TypeVar

import structlog
from flask import current_app
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import FixedWindowRateLimiter

from notifier.core.networks import neighbourhood
from notifier.extensions import redis_store

PER_PAIR = RateLimitItemPerMinute(10, 15, namespace="sign-in-pair")
PER_EMAIL = RateLimitItemPerMinute(200, 15, namespace="sign-in-email")
PER_ADDRESS = RateLimitItemPerMinute(50, 15, namespace="sign-in-address")
LINKS_PER_PAIR = RateLimitItemPerMinute(5, 15, namespace="sign-in-link-pair")
LINKS_PER_EMAIL = RateLimitItemPerMinute(20, 15, namespace="sign-in-link-email")
LINKS_PER_ADDRESS = RateLimitItemPerMinute(50, 15, namespace="sign-in-link-address")

log = structlog.get_logger()
T = TypeVar("T")


def may_try(email: str, address: str) -> bool:
    """Counts this try against the e-mail; False when there were too many. Failures alone count against the network address."""
    place = neighbourhood(address)
    return _ask(lambda limiter: limiter.test(PER_ADDRESS, place) and limiter.hit(PER_PAIR, email, place) and limiter.hit(PER_EMAIL, email))


def may_ask_for_link(email: str, address: str) -> bool:
    place = neighbourhood(address)
    return _ask(lambda limiter: all(limiter.hit(*limit) for limit in ((LINKS_PER_ADDRESS, place), (LINKS_PER_PAIR, email, place), (LINKS_PER_EMAIL, email))))


def may_use_invitation(address: str) -> bool:
    """Counts nothing: a link that is of no use is a failure."""
    return _ask(lambda limiter: limiter.test(PER_ADDRESS, neighbourhood(address)))


def note_failure(address: str) -> None:
    _ask(lambda limiter: limiter.hit(PER_ADDRESS, neighbourhood(address)))


def note_success(email: str, address: str) -> None:
    _ask(lambda limiter: limiter.clear(PER_PAIR, email, neighbourhood(address)))


def seconds_left() -> int:
    """The longest one may have to wait."""
    return int(PER_PAIR.get_expiry())


def _ask(question: Callable[[FixedWindowRateLimiter], T]) -> T:
    shared, own = _storages()
    try:
        return question(FixedWindowRateLimiter(shared))
    except StorageError as error:
        log.warning("sign_in.throttle_is_local", error=str(error.storage_error))
        return question(FixedWindowRateLimiter(own))


def _storages() -> tuple[Storage, Storage]:
    found = current_app.extensions.get("sign_in_throttle")
    if found is None:
        pool = redis_store.client.connection_pool
        found = RedisStorage("redis://", connection_pool=pool, key_prefix="throttle", wrap_exceptions=True), MemoryStorage()
        current_app.extensions["sign_in_throttle"] = found
    return found
