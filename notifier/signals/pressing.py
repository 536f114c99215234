"""Giving way to urgent work: whoever does much at once asks whether there is any, does less at a time, and then pauses.

Called by what makes, releases and reads a lot: expansions, the scheduler's releases, uploaded lists. Workers say that
they take urgent jobs (`rq:pressing`), and give way themselves (`batchworker`).
"""

import time

import redis

from notifier.batchworker.take import LONGEST_WAY_GIVEN_S, PRESSING
from notifier.ground.extensions import redis_store


def has_pressing() -> bool:
    """Whether some worker has taken an urgent job within the last seconds. False while Redis is away."""
    try:
        return bool(redis_store.client.exists(PRESSING))
    except redis.RedisError:
        return False


def give_way(begun: float) -> None:
    """The others' turn, with no transaction open: as long as it took since then (`time.monotonic`)."""
    time.sleep(min(time.monotonic() - begun, LONGEST_WAY_GIVEN_S))
