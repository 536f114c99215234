"""Redis: does it answer, and will it keep its data?

A Redis that is down or loses its data loses no notification, since the database is the truth and the scheduler rings
again. It is still a fault, because nothing is sent meanwhile.
"""

import time
from collections.abc import Iterator
from typing import Any

import redis

from notifier.ground.extensions import redis_store
from notifier.ground.redis_clients import sentinels_of
from notifier.ground.redis_urls import parse_redis
from notifier.programs.doctor.findings import Finding, fault, ok, warning
from notifier.programs.doctor.patient import Patient

OLDEST = (6, 2)  # LPOP of several at once
_FULL, _NEARLY_FULL = 0.95, 0.8


def answering(patient: Patient) -> Iterator[Finding]:
    """Everything else that asks Redis waits for this."""
    is_embedded = patient.settings.redis_is_embedded
    where = "the embedded Redis" if is_embedded else "Redis (REDIS_URL)"
    begun = time.monotonic()
    try:
        info = redis_store.client.info()
    except redis.RedisError as error:
        start = "Start Notifier: make run" if is_embedded else "Start it, or correct REDIS_URL"
        yield fault(f"{where} cannot be reached: {error}", f"{start}. Until then requests are accepted and wait.")
        return
    patient.decide("redis", answers=True)
    yield ok(f"{where} answers in {(time.monotonic() - begun) * 1000:.0f} ms")
    yield from _sentinels(patient.settings.redis_url, info)
    yield _version(info)
    yield _eviction(info)
    yield from _persistence(info)
    yield _memory(info)
    if info.get("role") == "slave":
        yield fault("this Redis is a replica: nothing can be written", "Point REDIS_URL at the primary server.")


def _sentinels(url: str, info: dict[str, Any]) -> Iterator[Finding]:
    """Whether another server takes over if this one is lost."""
    target, asked = parse_redis(url), sentinels_of(url)
    if not asked:
        return
    answers = [_quorum(sentinel, target.service) for sentinel in asked]
    there = [answer for answer in answers if answer is not None]
    pool: Any = redis_store.client.connection_pool
    host, port = pool.master_address
    yield ok(f"Sentinel calls {host}:{port} the master")
    if len(there) < len(asked):
        yield warning(f"{len(there)} of {len(asked)} Sentinels answer", "Start the others, or correct REDIS_URL.")
    if not all(there):
        yield fault("the Sentinels are too few to agree on a new master", "Start the others, or lower their quorum.")
    if not info.get("connected_slaves"):
        yield fault("the master has no replica: nothing can take over from it", "Start one: replicaof HOST PORT.")


def _quorum(sentinel: "redis.Redis", service: str) -> bool | None:
    """Whether enough Sentinels see each other; None: this one does not answer."""
    try:
        sentinel.execute_command("SENTINEL", "CKQUORUM", service)  # type: ignore[no-untyped-call]
    except redis.ResponseError:
        return False
    except redis.RedisError:
        return None
    finally:
        sentinel.close()
    return True


def _version(info: dict[str, Any]) -> Finding:
    """Valkey tells 7.2.4 as `redis_version`, whatever it is, and its own in fields of its own."""
    text = str(info.get("redis_version", ""))
    parts = text.split(".")
    if len(parts) > 1 and parts[0].isdecimal() and parts[1].isdecimal() and (int(parts[0]), int(parts[1])) < OLDEST:
        return fault(f"Redis {text} is too old: workers cannot take jobs from it", "Upgrade it to 6.2 or newer.")
    if info.get("valkey_version"):
        return ok(f"it is {str(info.get('server_name', 'valkey')).capitalize()} {info['valkey_version']}")
    return ok(f"it is Redis {text or 'of an unknown version'}")


def _eviction(info: dict[str, Any]) -> Finding:
    policy = info.get("maxmemory_policy")
    if policy is None:
        return warning("Redis does not say what its maxmemory-policy is", "It must be noeviction: ask whoever runs it.")
    if policy != "noeviction":
        return fault(
            f"Redis may discard queued work (maxmemory-policy {policy})",
            "Set maxmemory-policy to noeviction, in redis.conf too.",
        )
    return ok("it keeps what it is given (noeviction)")


def _persistence(info: dict[str, Any]) -> Iterator[Finding]:
    """RDB alone loses minutes, and no persistence loses everything. Neither is a fault: the scheduler rings again from
    the database.
    """
    if info.get("aof_enabled"):
        if info.get("aof_last_write_status") == "err":
            yield fault("Redis cannot write its append-only file, and refuses work", "Check its log and its disk.")
        else:
            yield ok("it writes an append-only file")
    elif info.get("rdb_last_bgsave_status") == "err":
        yield fault("Redis cannot write its snapshot, and may refuse work", "Check its log and its disk.")
    elif not _takes_snapshots():
        what = (
            "Redis keeps nothing on disk: after its restart all open deliveries are rung again from the database, "
            "and traces of failed jobs are gone"
        )
        yield warning(what, "Set appendonly yes.")
    else:
        yield warning(
            "Redis keeps snapshots only: a crash forgets its last minutes, which are rung again from the database",
            "Set appendonly yes.",
        )


def _takes_snapshots() -> bool:
    try:
        return bool(redis_store.client.config_get("save").get("save"))
    except redis.ResponseError:  # a service that does not let its settings be read
        return True


def _memory(info: dict[str, Any]) -> Finding:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    said = f"it uses {used / 1024**2:,.0f} MiB" + (f" of {most / 1024**2:,.0f} MiB" if most else "")
    if most and used >= _NEARLY_FULL * most:
        complain = fault if used >= _FULL * most else warning
        return complain(
            f"Redis is almost full: {said}",
            "Raise maxmemory, or add workers so that the queues get shorter: when it is full it refuses work.",
        )
    return ok(said)
