"""Who is alive: the figures of /readyz, the admin's pages and `doctor`.

Workers are those that RQ knows; schedulers leave a sign of life of their own. Every call may raise
redis.RedisError: whoever asks decides what an absent Redis means.
"""

from datetime import timedelta

import redis
from rq.utils import utcparse

from notifier.clock import now

RECENT = timedelta(seconds=30)  # a worker shows life between jobs, and a job may take a while
SCHEDULER_BEAT_S = 2.0
_SCHEDULERS = "notifier:schedulers"  # name → when it last beat, a sorted set
_SCHEDULER_RECENT_S = 10.0


def count_workers(client: redis.Redis) -> int:
    keys = sorted(client.smembers("rq:workers"))
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hget(key, "last_heartbeat")
        beats = pipe.execute()
    oldest = now() - RECENT
    return sum(1 for beat in beats if beat and utcparse(beat.decode()) >= oldest)


def beat_scheduler(client: redis.Redis, name: str) -> None:
    at = _redis_time(client)
    with client.pipeline(transaction=False) as pipe:
        pipe.zadd(_SCHEDULERS, {name: at})
        pipe.zremrangebyscore(_SCHEDULERS, "-inf", at - _SCHEDULER_RECENT_S)
        pipe.execute()


def end_scheduler(client: redis.Redis, name: str) -> None:
    client.zrem(_SCHEDULERS, name)


def count_schedulers(client: redis.Redis) -> int:
    return int(client.zcount(_SCHEDULERS, _redis_time(client) - _SCHEDULER_RECENT_S, "+inf"))


def _redis_time(client: redis.Redis) -> float:
    """Redis's clock: a host whose own is wrong must not make the others look dead."""
    seconds, micros = client.time()
    return float(seconds + micros / 1_000_000)
