"""Wakes an idle worker within milliseconds, without polling Redis.

Code that enqueues may also call `ring`; an idle worker waits for it on a thread of its own. A job enqueued without
`ring` (for example by RQ's own requeue) is found by the next poll, at most a second later.
"""

import threading
from collections.abc import Callable, Iterable, Sequence

import redis

from notifier.batchworker.take import WAKE
from notifier.ground import vital

_LONGEST_WAIT_S = 1
_MOST_WORKERS = 64  # more need not be woken for one batch of jobs


def ring(pipe: "redis.client.Pipeline", queues: Iterable[str]) -> None:
    """Adds the wake-up calls to the pipeline that enqueues, after the jobs themselves."""
    for name in queues:
        pipe.lpush(WAKE + name, 1)
        pipe.ltrim(WAKE + name, 0, _MOST_WORKERS - 1)


class Bell:
    """Calls `wake` once for every time it was armed: at a ring, or after a second."""

    def __init__(self, connection: redis.Redis, queues: Sequence[str], wake: Callable[[], None]) -> None:
        self._connection, self._wake = connection, wake
        self._keys = [WAKE + name for name in queues]
        self._armed = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(
            target=vital.kept("bell", self._listen, lambda: self._stopped), name="bell", daemon=True
        )
        self._thread.start()

    def arm(self) -> None:
        self._armed.set()

    def stop(self) -> None:
        self._stopped = True
        self._armed.set()

    def _listen(self) -> None:
        while self._armed.wait() and not self._stopped:
            try:
                self._connection.blpop(self._keys, timeout=_LONGEST_WAIT_S)
            except redis.RedisError:
                self._pause()
            self._armed.clear()
            self._wake()

    def _pause(self) -> None:
        threading.Event().wait(_LONGEST_WAIT_S)
