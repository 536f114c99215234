"""The rate limit of a producer's key: a fixed window counted in Redis.

A call costs the notifications it asks for, and at least one. A process takes a thousandth of the limit
at a time, so that few requests wait for Redis. When Redis is away nothing is limited: a refused
notification is worse than a producer over its quota. A dead Redis is asked once a second.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import redis
import structlog
from apiflask import APIFlask
from flask import current_app, g
from limits import RateLimitItem, parse
from limits.storage import RedisStorage

from notifier.clock import now
from notifier.config import current_settings
from notifier.core.errors import Rejected

_PAUSE_S = 1.0
_PARTS = 1_000  # of the limit, one of which a process takes at a time

log = structlog.get_logger()


@dataclass(slots=True)
class _InHand:
    """What this process has taken of a key's quota and not used yet. `taken`: by all processes, as Redis said last."""

    window: int
    left: int = 0
    taken: int = 0


@dataclass(slots=True)
class Limiter:
    """The limit of this installation, and when Redis may be asked again after it failed."""

    item: RateLimitItem
    storage: RedisStorage
    asleep_until: float = field(default=0.0)
    in_hand: dict[str, _InHand] = field(default_factory=dict)

    def count(self, key_id: str, cost: int, window: int) -> int | None:
        """What the key has used in this window, `cost` included; None when Redis cannot say. A negative cost is given back."""
        hand = self.in_hand.get(key_id)
        if hand is None or hand.window != window:
            hand = self.in_hand[key_id] = _InHand(window)
        share = max(cost, self.item.amount // _PARTS) if cost > 0 else cost
        if not 0 < cost <= hand.left and not self._take(key_id, hand, share):
            return None
        hand.left -= cost
        return hand.taken - hand.left

    def _take(self, key_id: str, hand: _InHand, share: int) -> bool:
        if time.monotonic() < self.asleep_until:
            return False
        try:
            hand.taken = self.storage.incr(f"{key_id}:{hand.window}", self.item.get_expiry(), share)
            hand.left += share
            return True
        except redis.RedisError as error:
            self.asleep_until = time.monotonic() + _PAUSE_S
            log.warning("limits.redis_away", error=type(error).__name__)
            return False


def init_app(app: APIFlask) -> None:
    settings = app.extensions["settings"]
    storage = RedisStorage("redis://", connection_pool=app.extensions["redis"].connection_pool, key_prefix="notifier:limit")
    app.extensions["limiter"] = Limiter(parse(settings.rate_limit), storage)


def charge(cost: int) -> None:
    """Counts `cost` notifications against the caller's key. Raises `Rejected('rate_limited')`."""
    if cost <= 0:
        return
    limiter: Limiter = current_app.extensions["limiter"]
    seconds = limiter.item.get_expiry()
    moment = now().timestamp()
    window = int(moment // seconds)
    resets_in = max(1, int((window + 1) * seconds - moment + 0.999))
    key_id = g.key.key_id.hex
    used = limiter.count(key_id, cost, window)
    if used is None:
        return
    g.rate_limit = (max(0, limiter.item.amount - used), resets_in)
    if used > limiter.item.amount:
        if cost > 1:
            limiter.count(key_id, -cost, window)  # what was refused is not paid for, so that a smaller call may pass
        raise Rejected("rate_limited", f"at most {current_settings().rate_limit}; this call costs {cost}", retry_after=resets_in)


def headers() -> Iterator[tuple[str, str]]:
    """draft-ietf-httpapi-ratelimit-headers."""
    item = current_app.extensions["limiter"].item
    yield "RateLimit-Policy", f'"default";q={item.amount};w={item.get_expiry()}'
    if "rate_limit" in g:
        remaining, resets_in = g.rate_limit
        yield "RateLimit", f'"default";r={remaining};t={resets_in}'
