"""Queues and workers for `/admin/queues`: read from Redis, in a few round trips however many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

import sqlalchemy as sa
from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.utils import utcparse

from notifier.channels import CHANNELS
from notifier.core.submission import PRIORITIES
from notifier.ground.clock import now
from notifier.ground.extensions import db, redis_store
from notifier.models import PausedChannel
from notifier.signals import liveness
from notifier.signals.queueing import OTHER_QUEUES, all_queues, queue_name


@dataclass(frozen=True, slots=True)
class QueueLine:
    """`oldest`: how long the job at its head has been waiting; `held_back`: due deliveries that wait for their turn."""

    name: str
    priority: str
    waiting: int
    oldest: timedelta | None
    running: int
    failed: int
    held_back: int

    @property
    def is_quiet(self) -> bool:
        return not (self.waiting or self.running or self.failed or self.held_back)


@dataclass(frozen=True, slots=True)
class ChannelLines:
    """`may_pause`: it sends by workers. `paused`: since when, by whom."""

    name: str
    may_pause: bool
    paused: PausedChannel | None
    queues: Sequence[QueueLine]


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """`lanes` of them `in_use`; None: a worker that does not tell."""

    name: str
    host: str
    queues: Sequence[str]
    is_alive: bool
    seen_at: datetime | None
    born_at: datetime | None
    lanes: int | None
    in_use: int | None
    done: int
    failed: int


def by_channel(held_back: dict[str, int]) -> list[ChannelLines]:
    """Every channel with its queues, most pressing first. Raises redis.RedisError."""
    by_name = {line.name: line for line in lines(held_back)}
    stopped = paused()
    found = [
        ChannelLines(
            name,
            channel.address is not None,
            stopped.get(name),
            [by_name[queue_name(name, priority)] for priority in PRIORITIES],
        )
        for name, channel in CHANNELS.items()
    ]
    return [*found, *(ChannelLines(name.partition(".")[0], False, None, [by_name[name]]) for name in OTHER_QUEUES)]


def paused() -> dict[str, PausedChannel]:
    return {row.channel: row for row in db.session.scalars(sa.select(PausedChannel))}


def lines(held_back: dict[str, int]) -> list[QueueLine]:
    """Every queue, most pressing first. Two round trips. Raises redis.RedisError."""
    names = all_queues()
    client = redis_store.client
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.llen(Queue.redis_queue_namespace_prefix + name)
            pipe.lindex(Queue.redis_queue_namespace_prefix + name, 0)
            pipe.zcard(StartedJobRegistry(name, connection=client).key)
            pipe.zcard(FailedJobRegistry(name, connection=client).key)
        answers = pipe.execute()
        for name_index in range(len(names)):
            head = answers[4 * name_index + 1]
            pipe.hget(Job.key_for(head.decode()) if head else "rq:job:", "enqueued_at")
        enqueued = pipe.execute()
    at = now()
    found = []
    for index, name in enumerate(names):
        waiting, _, running, failed = answers[4 * index : 4 * index + 4]
        since = utcparse(enqueued[index].decode()) if enqueued[index] else None
        oldest = max(at - since, timedelta(0)) if since else None
        found.append(QueueLine(name, name.rpartition(".")[2], waiting, oldest, running, failed, held_back.get(name, 0)))
    return found


def workers() -> list[WorkerLine]:
    """The workers that RQ lists; a killed one is listed until its entry expires. Raises redis.RedisError."""
    client = redis_store.client
    keys = sorted(cast("set[bytes]", client.smembers("rq:workers")))
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hgetall(key)
        rows = pipe.execute()
    found = [
        _worker(key, {name.decode(): value.decode(errors="replace") for name, value in row.items()})
        for key, row in zip(keys, rows, strict=True)
        if row
    ]
    return sorted(found, key=lambda worker: (not worker.is_alive, worker.host, worker.name))


def _worker(key: bytes, row: dict[str, str]) -> WorkerLine:
    seen_at = utcparse(row["last_heartbeat"]) if row.get("last_heartbeat") else None
    return WorkerLine(
        name=key.decode().rpartition(":")[2],
        host=row.get("hostname", "?"),
        queues=[name for name in row.get("queues", "").split(",") if name],
        is_alive=seen_at is not None and seen_at >= now() - liveness.RECENT,
        seen_at=seen_at,
        born_at=utcparse(row["birth"]) if row.get("birth") else None,
        lanes=_number(row.get("lanes")),
        in_use=_number(row.get("lanes_in_use")),
        done=_number(row.get("successful_job_count")) or 0,
        failed=_number(row.get("failed_job_count")) or 0,
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def schedulers() -> list[str]:
    """The names of those that live. Raises redis.RedisError."""
    return [sign.name for sign in liveness.scheduler_signs(redis_store.client)]
