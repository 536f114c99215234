"""Rate limits of producers' keys, of network addresses for all other calls, and of guesses; fixed windows counted in
Redis.

A call with a key costs the number of notifications it asks for, and at least one. A process takes a thousandth of the
limit at a time, so that few requests wait for Redis. While Redis is down nothing is limited, since a refused
notification is worse than a producer over its limit; Redis is tried once a second, and the calls let through are
counted.

A call without a key counts for its network address: a /64 of IPv6 is one address, and behind proxies (TRUSTED_PROXIES)
it is the client's. Pages and inboxes of signed-in people get _KNOWN times the limit, since a whole office may share one
address. Invalid keys and tokens are counted apart, and never lock out a valid one.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import redis
import structlog
from apiflask import APIFlask
from flask import current_app, g, has_request_context, request
from limits import RateLimitItem, parse
from limits.storage import RedisStorage

from notifier.core.errors import Rejected
from notifier.core.limit_policies import default_of
from notifier.core.networks import neighbourhood
from notifier.ground import metrics
from notifier.ground.clock import now
from notifier.ground.encryption import vault
from notifier.ground.extensions import redis_store
from notifier.signals.queueing import unchecked

CELL_CALL = "notifier.cell_call"  # in the environ of what another cell has passed on: the id it has there
_PAUSE_S = 1.0
_PARTS = 1_000  # of the limit, one of which a process takes at a time
_KNOWN = 10
_MOST_IN_HAND = 50_000  # keys and addresses that a process remembers
_GUESSES = parse(default_of("guess"))

log = structlog.get_logger()


@dataclass(slots=True)
class _InHand:
    """The part of a key's quota that this process has taken and not used yet. `taken`: the use by all processes, when
    Redis was last asked.
    """

    window: int
    left: int = 0
    taken: int = 0


@dataclass(slots=True)
class Limiter:
    """One limit of this installation, its name in headers and metrics, and when Redis may be asked again after it
    failed.
    """

    item: RateLimitItem
    storage: RedisStorage
    policy: str = "default"
    asleep_until: float = field(default=0.0)
    in_hand: dict[str, _InHand] = field(default_factory=dict)

    def count(self, key_id: str, cost: int, window: int) -> int | None:
        """The key's use in this window, `cost` included; None while Redis is down. A negative cost gives back."""
        hand = self.in_hand.get(key_id)
        if hand is None or hand.window != window:
            if len(self.in_hand) >= _MOST_IN_HAND:
                self.in_hand.clear()  # they lose what was in hand: a thousandth of their limit
            hand = self.in_hand[key_id] = _InHand(window)
        share = max(cost, self.item.amount // _PARTS) if cost > 0 else cost
        if not 0 < cost <= hand.left and not self._take(key_id, hand, share):
            return None
        hand.left -= cost
        return hand.taken - hand.left

    def _take(self, key_id: str, hand: _InHand, share: int) -> bool:
        if time.monotonic() < self.asleep_until or redis_store.is_away():
            unchecked(self.policy)
            return False
        try:
            hand.taken = self.storage.incr(f"{key_id}:{hand.window}", self.item.get_expiry(), share)
            hand.left += share
            return True
        except redis.RedisError as error:
            self.asleep_until = time.monotonic() + _PAUSE_S
            unchecked(self.policy)
            log.warning("limits.redis_away", error=type(error).__name__)
            return False


def init_app(app: APIFlask) -> None:
    settings = app.extensions["settings"]
    storage = RedisStorage(
        "redis://", connection_pool=app.extensions["redis"].connection_pool, key_prefix="notifier:limit"
    )
    of_address = parse(settings.address_limit)
    app.extensions["limiter"] = Limiter(parse(settings.rate_limit), storage)
    app.extensions["address_limiters"] = {
        "address": Limiter(of_address, storage, "address"),
        "known": Limiter(type(of_address)(of_address.amount * _KNOWN, of_address.multiples), storage, "known"),
        "guess": Limiter(_GUESSES, storage, "guess"),
    }
    app.extensions["alerts_limiter"] = Limiter(parse(default_of("alerts")), storage, "alerts")


def charge(cost: int) -> None:
    """Counts `cost` notifications against the caller's key. Raises `Rejected('rate_limited')`. What another cell
    has passed on was counted there.
    """
    if cost > 0 and not (has_request_context() and CELL_CALL in request.environ):  # a message of a bus is no request
        _charge(current_app.extensions["limiter"], g.key.key_id.hex, cost)


def charge_alert() -> None:
    """Counts an alert against the caller's key: whoever has stolen it shall not ring admins' phones all night, since no
    other limit holds for what they are told. Raises `Rejected('rate_limited')`; a monitoring comes again.
    """
    _charge(current_app.extensions["alerts_limiter"], f"alerts:{g.key.key_id.hex}", 1)


def charge_address(*, known: bool) -> None:
    """Counts one call against the address it came from. `known`: only signed-in people can make it. Raises
    `Rejected('rate_limited')`.
    """
    _charge_address("known" if known else "address")


def charge_guess() -> None:
    """Counts an invalid key or token. Raises `Rejected('rate_limited')` after too many; otherwise the caller answers
    that it is invalid.
    """
    _charge_address("guess")


def _charge_address(policy: str) -> None:
    place = vault.digest(f"{policy}\0{neighbourhood(request.remote_addr or '')}").hex()
    _charge(current_app.extensions["address_limiters"][policy], place, 1)


def _charge(limiter: Limiter, key: str, cost: int) -> None:
    seconds = limiter.item.get_expiry()
    moment = now().timestamp()
    window = int(moment // seconds)
    resets_in = max(1, int((window + 1) * seconds - moment + 0.999))
    used = limiter.count(key, cost, window)
    if used is None:
        return
    g.rate_limit = (limiter, max(0, limiter.item.amount - used), resets_in)
    if used > limiter.item.amount:
        metrics.limited.labels(limiter.policy).inc()
        if cost > 1:
            limiter.count(key, -cost, window)  # a refused call costs nothing, so that a smaller one may pass
        raise Rejected("rate_limited", f"at most {_said(limiter.item)}; this call costs {cost}", retry_after=resets_in)


def _said(item: RateLimitItem) -> str:
    """`200000/minute`, as the setting is written."""
    return f"{item.amount}/{item.multiples if item.multiples > 1 else ''} {item.GRANULARITY.name}".replace("/ ", "/")


def headers() -> Iterator[tuple[str, str]]:
    """draft-ietf-httpapi-ratelimit-headers; of the limit that this call was counted against."""
    limiter, *counted = g.get("rate_limit") or (current_app.extensions["limiter"],)
    yield "RateLimit-Policy", f'"{limiter.policy}";q={limiter.item.amount};w={limiter.item.get_expiry()}'
    if counted:
        remaining, resets_in = counted
        yield "RateLimit", f'"{limiter.policy}";r={remaining};t={resets_in}'
