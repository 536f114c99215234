"""Work on many rows, of which one that cannot be worked on must not keep the others back."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import redis

from notifier.ground.database import UNAVAILABLE
from notifier.ground.extensions import db

AGAIN_AFTER = timedelta(minutes=10)  # a row that has a fault of ours: what is wrong may have been mended by then

K = TypeVar("K")  # a row's key
_OUTAGES = (*UNAVAILABLE, redis.RedisError)  # of all rows alike


def all_or_apart(ids: Sequence[K], work: Callable[[Sequence[K]], int], put_off: Callable[[K], None]) -> int:
    """→ what `work` returns for all of them; if it fails, for each half, until the rows that it fails for are alone and
    `put_off` is called for each, while its exception is handled. `work` commits, or changes nothing. An outage is
    raised.
    """
    try:
        return work(ids)
    except _OUTAGES:
        raise
    except Exception:
        db.session.rollback()
        if len(ids) == 1:
            put_off(ids[0])
            return 0
    half = len(ids) // 2
    return sum(all_or_apart(part, work, put_off) for part in (ids[:half], ids[half:]))
