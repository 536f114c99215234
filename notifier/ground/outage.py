"""A process's memory of a Redis that does not answer, so that only one caller waits for it.

Redis is the doorbell: every caller can do without it. The first caller whose wait was in vain marks the outage for the
whole process; for AWAY_S all others are refused at once, then one of them tries again. Every command of the app's
client passes here, since redis-py runs each command and each connect through its `Retry`.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

import redis
import structlog
from flask import g, has_request_context
from redis.backoff import NoBackoff
from redis.retry import Retry

ANSWER_S = 1.0  # how long one answer is waited for
REQUEST_S = 1.0  # what the answers of one request may take together, should Redis be slow
AWAY_S = 2.0
_HEARD_LATELY_S = 1.0

# A command may connect first: one question, not two
_is_asking: ContextVar[bool] = ContextVar("is_asking_redis", default=False)

log = structlog.get_logger()
T = TypeVar("T")


class RedisIsAway(redis.ConnectionError):
    """Redis did not answer a moment ago, or has kept this request waiting for too long: it was not called."""


class Outage:
    """One per client, and so per process. `is_logged`: False for callers that log it themselves."""

    def __init__(self, *, is_logged: bool = True) -> None:
        self._is_logged = is_logged
        self._ask_again_at: float | None = None  # monotonic; None: Redis is there
        self._heard_at = float("-inf")

    def is_on(self) -> bool:
        """Whether the next caller would be refused. Claims nothing."""
        return self._ask_again_at is not None and time.monotonic() < self._ask_again_at

    def has_heard_lately(self) -> bool:
        return time.monotonic() < self._heard_at + _HEARD_LATELY_S

    def claim(self) -> None:
        """Raises RedisIsAway while Redis is away, except to the one caller who may try it again."""
        if self.is_on() or _waited_s() > REQUEST_S:
            raise RedisIsAway("Redis did not answer a moment ago")
        if self._ask_again_at is not None:
            self._ask_again_at = time.monotonic() + AWAY_S

    def begin(self, error: Exception) -> None:
        if self._ask_again_at is None and self._is_logged:
            log.warning("redis.is_away", error=type(error).__name__)
        self._ask_again_at = time.monotonic() + AWAY_S

    def end(self) -> None:
        self._heard_at = time.monotonic()
        if self._ask_again_at is not None:
            self._ask_again_at = None
            if self._is_logged:
                log.info("redis.is_back")


class Once(Retry):
    """Tries once, and not at all while the outage lasts."""

    def __init__(self, outage: Outage) -> None:
        super().__init__(NoBackoff(), 0)
        self.outage = outage

    def __deepcopy__(self, _memo: Any) -> "Once":
        return self  # redis-py gives each connection a copy; the outage is everybody's

    def call_with_retry(
        self,
        do: Callable[[], T],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        if _is_asking.get():
            return super().call_with_retry(do, fail, is_retryable, with_failure_count)
        self.outage.claim()
        try:
            with _asking():
                answer = super().call_with_retry(do, fail, is_retryable, with_failure_count)
        except self._supported_errors as error:
            self.outage.begin(error)
            raise
        self.outage.end()
        return answer


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    token, began_at = _is_asking.set(True), time.monotonic()
    try:
        yield
    finally:
        _is_asking.reset(token)
        if has_request_context():
            g.waited_for_redis_s = _waited_s() + time.monotonic() - began_at


def _waited_s() -> float:
    return float(g.get("waited_for_redis_s", 0.0)) if has_request_context() else 0.0
