"""A value that is made anew from time to time, such as an access token. One for each account and process."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_PAUSE_S = 10.0


class Expiring(Generic[T]):
    """`make()` → the value and for how many seconds it holds. It is made anew `early_s` before that ends.

    Threads share the value: one makes it while the others go on with the old one, or wait where there is none. An error
    of `make` reaches all who waited for it: if each tried by itself, a server that hangs would hold them one after the
    other.
    """

    def __init__(self, make: Callable[[], tuple[T, float]], *, early_s: float = 300.0) -> None:
        self._make = make
        self._early_s = early_s
        self._lock = threading.Lock()
        self._held: tuple[T, float, float] | None = None  # the value, when to renew it, when it ends
        self._failed: tuple[Exception, float] | None = None  # the latest error of `make`, and when it came

    def get(self) -> T:
        held, asked_at = self._held, time.monotonic()
        if held is not None and asked_at < held[1]:
            return held[0]
        is_usable = held is not None and asked_at < held[2]
        if not self._lock.acquire(blocking=not is_usable):
            assert held is not None
            return held[0]
        try:
            held = self._held
            if held is None or time.monotonic() >= held[1]:
                if self._failed is not None and self._failed[1] > asked_at:
                    raise self._failed[0]
                begun = time.monotonic()
                try:
                    value, lifetime_s = self._make()
                except Exception as error:
                    if held is not None and time.monotonic() < held[2]:
                        # It holds still: it serves until it ends, and a new one is asked for again in a while.
                        renew_at = min(time.monotonic() + _PAUSE_S, held[2])
                        self._held = (held[0], renew_at, held[2])
                        return held[0]
                    self._failed = error, time.monotonic()
                    raise
                held = self._held = (value, begun + max(lifetime_s - self._early_s, 0), begun + lifetime_s)
            return held[0]
        finally:
            self._lock.release()

    def forget(self, value: T) -> None:
        """The provider has refused it. A newer one stays."""
        with self._lock:
            if self._held is not None and self._held[0] == value:
                self._held = None
