"""Which processes are alive: for /readyz, metrics, the console and `doctor`.

Workers are those that RQ lists; schedulers leave a sign of life of their own. Every call may raise redis.RedisError:
the caller decides what to do without Redis.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import redis
from rq.utils import utcparse

from notifier.ground.clock import of_this_host

RECENT = timedelta(seconds=30)  # a worker shows life between jobs, and a job may take a while
SCHEDULER_BEAT_S = 2.0
_SCHEDULERS = "notifier:schedulers"  # name → when it last beat, a sorted set
_SCHEDULER_RECENT_S = 10.0
_CLOCK = "notifier:scheduler_clock:"  # and its name → by how much its clock was ahead of Redis' when it last beat
WORKER_TTL_S = 30  # how long RQ lets our workers be silent, and another _RQ_GRACE_S
_RQ_GRACE_S = 60


@dataclass(frozen=True, slots=True)
class Sign:
    """The last sign of life of a worker or a scheduler, `age_s` ago by Redis' clock. `ahead_s`: its own clock was ahead
    by so much (None: unknown).

    `queues`: those a worker takes from.
    """

    name: str
    host: str
    age_s: float
    ahead_s: float | None
    queues: frozenset[str] = frozenset()

    @property
    def is_recent(self) -> bool:
        return self.age_s <= RECENT.total_seconds()


def worker_signs(client: redis.Redis) -> list[Sign]:
    """The signs of all workers that RQ lists, other worker classes included. Two round trips."""
    keys = sorted(cast("set[bytes]", client.smembers("rq:workers")))
    with client.pipeline(transaction=False) as pipe:
        pipe.time()
        for key in keys:
            pipe.hmget(key, "last_heartbeat", "hostname", "queues", "lanes")
            pipe.pttl(key)
        (seconds, micros), *answers = pipe.execute()
    at = float(seconds + micros / 1_000_000)
    found = []
    for index, key in enumerate(keys):
        (beat, host, queues, lanes), left_ms = answers[2 * index : 2 * index + 2]
        if beat is None:
            continue
        told = utcparse(beat.decode()).timestamp()
        # A heartbeat prolongs the entry by a known time, so the time left shows when it was, by Redis' clock.
        age_s = max(0.0, WORKER_TTL_S + _RQ_GRACE_S - left_ms / 1000) if lanes and left_ms >= 0 else None
        ahead_s = None if age_s is None else told - (at - age_s)
        names = frozenset((queues or b"").decode().split(","))
        found.append(
            Sign(
                key.decode().rpartition(":")[2],
                (host or b"?").decode(),
                at - told if age_s is None else age_s,
                ahead_s,
                names,
            )
        )
    return found


def scheduler_signs(client: redis.Redis) -> list[Sign]:
    """The signs of living schedulers."""
    at = _redis_time(client)
    beats = cast(
        "list[tuple[bytes, float]]",
        client.zrangebyscore(_SCHEDULERS, at - _SCHEDULER_RECENT_S, "+inf", withscores=True),
    )
    ahead = client.mget([_CLOCK + name.decode() for name, _ in beats]) if beats else []
    named = [(name.decode(), beat, clock) for (name, beat), clock in zip(beats, ahead, strict=True)]
    return [
        Sign(name, name.rpartition(":")[0], max(0.0, at - beat), float(clock) if clock else None)
        for name, beat, clock in named
    ]


def count_workers(client: redis.Redis) -> int:
    """The number of living workers."""
    return sum(sign.is_recent for sign in worker_signs(client))


def beat_scheduler(client: redis.Redis, name: str) -> None:
    at = _redis_time(client)
    with client.pipeline(transaction=False) as pipe:
        pipe.zadd(_SCHEDULERS, {name: at})
        pipe.zremrangebyscore(_SCHEDULERS, "-inf", at - _SCHEDULER_RECENT_S)
        pipe.set(_CLOCK + name, of_this_host().timestamp() - at, px=int(_SCHEDULER_RECENT_S * 1000))
        pipe.execute()


def end_scheduler(client: redis.Redis, name: str) -> None:
    with client.pipeline(transaction=False) as pipe:
        pipe.zrem(_SCHEDULERS, name)
        pipe.delete(_CLOCK + name)
        pipe.execute()


def count_schedulers(client: redis.Redis) -> int:
    return int(client.zcount(_SCHEDULERS, _redis_time(client) - _SCHEDULER_RECENT_S, "+inf"))


def _redis_time(client: redis.Redis) -> float:
    """Redis's clock: a host whose own is wrong must not make the others look dead."""
    seconds, micros = client.time()
    return float(seconds + micros / 1_000_000)
