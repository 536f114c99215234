"""Slows down guessing at the sign-in, more and more, by account and by network address; and asking for sign-in links.

Nobody is locked out of a right password for long, least of all an office behind one address:

- a browser in which the account has signed in before (it holds a *device cookie*, which opens nothing) has tries of its own,
  and is not concerned by anybody else's (https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies);
- from any other browser the tries at one account from one address wait for each other, longer each time, and so, much later,
  do all tries at one account;
- an address with many failures at whatever accounts is answered late, and a right password all the same.

A try counts before it is looked at, so that none can be made beside it, and is given back when it was right. Counts are in
Redis, by keyed digests, so that all web processes count together; while Redis is away each process counts for itself.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import structlog
from flask import current_app
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter

from notifier.clock import now
from notifier.core.networks import neighbourhood
from notifier.encryption import vault
from notifier.extensions import redis_store
from notifier.queueing import unchecked

LINKS_PER_PAIR = RateLimitItemPerMinute(5, 15, namespace="sign-in-link-pair")
LINKS_PER_EMAIL = RateLimitItemPerMinute(20, 15, namespace="sign-in-link-email")
LINKS_PER_ADDRESS = RateLimitItemPerMinute(50, 15, namespace="sign-in-link-address")

_FORGOTTEN_AFTER_S = 15 * 60
_MOST_HELD = 8  # of one address at a time, by one process
_BUSY_RETRY_S = 5

log = structlog.get_logger()
T = TypeVar("T")
Storage = RedisStorage | MemoryStorage


@dataclass(frozen=True, slots=True)
class Waits:
    """`free` tries in a quarter of an hour; after each further one it takes twice as long, `longest_s` at most."""

    free: int
    first_s: float
    longest_s: float
    doubled_every: int = 1

    def after(self, tries: int) -> float:
        """Seconds until the next one."""
        if tries < self.free:
            return 0
        return float(min(self.longest_s, self.first_s * 2 ** min((tries - self.free) // self.doubled_every, 32)))


PER_PAIR = Waits(free=5, first_s=1, longest_s=900)
PER_DEVICE = Waits(free=10, first_s=1, longest_s=900)
PER_EMAIL = Waits(free=100, first_s=1, longest_s=30, doubled_every=20)
PER_ADDRESS = Waits(free=30, first_s=0.25, longest_s=2, doubled_every=20)  # held, not refused
MOST_FAILURES = 100  # of an address, at links that are no invitations


@dataclass(slots=True)
class Try:
    """One try at a password. `retry_after_s` > 0: it is not looked at before then; otherwise after `hold_s`."""

    keys: tuple[str, ...]
    place: str
    retry_after_s: int = 0
    hold_s: float = 0


def begin(email: str, address: str, device: str | None = None) -> Try:
    """Counts it. `device`: what the browser's device cookie says, if it is one of that account."""
    place = _key("address", neighbourhood(address))
    account = _key("email", email)
    own = [(_key("device", device), PER_DEVICE)] if device else [(_key("pair", email, neighbourhood(address)), PER_PAIR), (account, PER_EMAIL)]
    one = Try(tuple(key for key, _ in own), place)

    def count(storage: Storage) -> Try:
        one.retry_after_s = max(_blocked_for(storage, key) for key, _ in own)
        if one.retry_after_s:
            return one
        for key, waits in own:
            wait = waits.after(storage.incr(key, _FORGOTTEN_AFTER_S))
            if wait and storage.incr(f"{key}/blocked", int(wait)) > 1:  # another one was faster, of many at once
                storage.incr(key, _FORGOTTEN_AFTER_S, -1)
                one.retry_after_s = max(1, _blocked_for(storage, key))
                return one
        failures = storage.incr(place, _FORGOTTEN_AFTER_S)
        one.hold_s = 0 if device else PER_ADDRESS.after(failures - 1)
        return one

    return _ask(count)


@contextmanager
def held(one: Try) -> Iterator[bool]:
    """Waits as long as the try has to. False where too many of its address wait already: it has to come again."""
    holding: Counter[str] = current_app.extensions.setdefault("sign_ins_held", Counter())
    if one.hold_s and holding[one.place] >= _MOST_HELD:
        one.retry_after_s = _BUSY_RETRY_S
        yield False
        return
    if one.hold_s:
        holding[one.place] += 1
        try:
            time.sleep(one.hold_s)
        finally:
            holding[one.place] -= 1
            holding += Counter()  # forgets those of whom none waits
    yield True


def succeed(one: Try) -> None:
    """It was right: it is given back, and the account's other tries from there are forgotten."""

    def forget(storage: Storage) -> None:
        storage.clear(one.keys[0])
        for key in one.keys:
            storage.clear(f"{key}/blocked")
        storage.incr(one.place, _FORGOTTEN_AFTER_S, -1)

    _ask(forget)


def may_ask_for_link(email: str, address: str) -> bool:
    """Counts it, whether anybody has that e-mail or not."""
    place, whose = _key("address", neighbourhood(address)), _key("email", email)
    asked = ((LINKS_PER_ADDRESS, place), (LINKS_PER_PAIR, whose, place), (LINKS_PER_EMAIL, whose))
    return _ask(lambda storage: all(FixedWindowRateLimiter(storage).hit(*limit) for limit in asked))


def may_use_invitation(address: str) -> bool:
    """Whether the next link that is none is looked at. Counts nothing: see `note_failure`."""
    return _ask(lambda storage: storage.get(_key("address", neighbourhood(address))) <= MOST_FAILURES)


def note_failure(address: str) -> None:
    _ask(lambda storage: storage.incr(_key("address", neighbourhood(address)), _FORGOTTEN_AFTER_S))


def seconds_left() -> int:
    """The longest one may have to wait for a link."""
    return int(LINKS_PER_PAIR.get_expiry())


def _key(kind: str, *parts: str) -> str:
    return f"sign-in-{kind}/{vault.digest(chr(0).join((kind, *parts))).hex()}"


def _blocked_for(storage: Storage, key: str) -> int:
    if not storage.get(f"{key}/blocked"):
        return 0
    return max(1, round(storage.get_expiry(f"{key}/blocked") - now().timestamp()))


def _ask(question: Callable[[Storage], T]) -> T:
    shared, own = _storages()
    if not redis_store.is_away():
        try:
            return question(shared)
        except StorageError as error:
            log.warning("sign_in.throttle_is_local", error=str(error.storage_error))
    unchecked("sign_in")
    return question(own)


def _storages() -> tuple[RedisStorage, MemoryStorage]:
    found = current_app.extensions.get("sign_in_throttle")
    if found is None:
        pool = redis_store.client.connection_pool
        found = RedisStorage("redis://", connection_pool=pool, key_prefix="throttle", wrap_exceptions=True), MemoryStorage()
        current_app.extensions["sign_in_throttle"] = found
    return found
