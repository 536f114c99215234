"""Removes ghosts: jobs that RQ still lists although their rows say something else. Called by the scheduler.

A killed worker leaves its jobs in the StartedJobRegistry. RQ would list them as failed minutes later, long after they
have been sent again. The row is the truth: this settles them as their worker would have. It never runs RQ's own
clean-up, and every call looks at a bounded number of entries.

If the worker lives after all and settles the same job, the second time changes nothing.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import redis
import sqlalchemy as sa
import structlog

from notifier.batchworker import Ended, Job
from notifier.batchworker.life import LEASE_S
from notifier.batchworker.settle import settle
from notifier.batchworker.take import JOB, WIP
from notifier.core import lifecycle
from notifier.core.lifecycle import DISCARDED
from notifier.ground import lifeline
from notifier.ground.clock import now
from notifier.ground.extensions import db, redis_store
from notifier.ground.ids import parse_many, show
from notifier.models import Delivery, Submission, Subscription, Upload
from notifier.signals.queueing import Doorbell, all_queues, failed_registry, ring
from notifier.subscriptions import lease

SILENT_S = 15.0  # a worker that lives says so for every job it runs, three times in this
PAGE_STARTED, PAGE_FAILED = 1_000, 100  # entries of one registry at a time

_TOLD = "told"
_UNFINISHED = frozenset({"expanding", "running", _TOLD})  # submissions, uploads, subscriptions
_RUNNING = _UNFINISHED | {lifecycle.SENDING}

log = structlog.get_logger()


class Ghosts:
    """Remembers how far it has read the FailedJobRegistries, which may be long."""

    def __init__(self) -> None:
        self._read_to = dict.fromkeys(all_queues(), 0)

    def lay(self) -> int:
        """→ how many there were. Raises redis.RedisError."""
        laid = lay_started() + self._lay_failed()
        if laid:
            log.warning("ghosts.removed", jobs=laid)
        return laid

    def _lay_failed(self) -> int:
        """Dead letters that are none: somebody retried them, or RQ took their worker's death for theirs."""
        client = redis_store.client
        keys = {name: failed_registry(name).key for name in self._read_to}
        with client.pipeline(transaction=False) as pipe:
            for name, start in self._read_to.items():
                pipe.zrange(keys[name], start, start + PAGE_FAILED - 1)
            pages = {
                name: [_text(entry) for entry in page] for name, page in zip(self._read_to, pipe.execute(), strict=True)
            }
        statuses = _statuses(job_id for page in pages.values() for job_id in page)
        laid = 0
        with client.pipeline(transaction=False) as pipe:
            for name, page in pages.items():
                ghosts = [
                    job_id
                    for job_id in page
                    if job_id in statuses and statuses[job_id] not in lifecycle.DEAD | _UNFINISHED
                ]
                for job_id in ghosts:
                    pipe.zrem(keys[name], job_id)
                    if statuses[job_id] not in lifecycle.OPEN:  # an open one will need its job
                        pipe.delete(JOB + job_id, f"rq:results:{job_id}")
                laid += len(ghosts)
                self._read_to[name] = self._read_to[name] + PAGE_FAILED - len(ghosts) if len(page) == PAGE_FAILED else 0
            pipe.execute()
        return laid


def lay_started() -> int:
    """Jobs whose worker has been silent: ended as their rows say, or rung again when nobody has claimed them."""
    return _lay(_silent(redis_store.client))


def lay_started_by(holders: Collection[int]) -> int:
    """The same for those of workers that are known to have died (see `abandoned`)."""
    client = redis_store.client
    started = _started(client, "+inf")
    with client.pipeline(transaction=False) as pipe:
        for job in started:
            pipe.hget(JOB + job.id, "worker_name")
        names = pipe.execute()
    starts = tuple(map(lifeline.name_begins, holders))
    return _lay(
        [job for job, name in zip(started, names, strict=True) if name is not None and _text(name).startswith(starts)]
    )


def _lay(started: Sequence[Job]) -> int:
    statuses = _statuses(job.id for job in started)
    laid = [job for job in started if job.id in statuses and statuses[job.id] not in _RUNNING]
    if not laid:
        return 0
    settle(redis_store.client, [_ended(job, statuses[job.id]) for job in laid], worker_name="")
    _ring_unclaimed(laid, statuses)
    return len(laid)


def _silent(client: redis.Redis) -> list[Job]:
    """Entries of the StartedJobRegistries that have not been renewed for a while."""
    return _started(client, now().timestamp() + LEASE_S - SILENT_S)


def _started(client: redis.Redis, until: float | str) -> list[Job]:
    """Entries of the StartedJobRegistries whose lease ends before then."""
    names = all_queues()
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.zrangebyscore(WIP + name, "-inf", until, start=0, num=PAGE_STARTED)
        pages = pipe.execute()
    found = []
    for name, page in zip(names, pages, strict=True):
        for entry in page:
            job_id, _, execution = _text(entry).partition(":")
            found.append(Job(job_id, name, execution, []))
    return found


def _ended(job: Job, status: str) -> Ended:
    if status in lifecycle.DEAD:
        return Ended(job, failure=f"DeadLetter: {status}; its worker ended before it could say more")
    return Ended(job, keeps_job=status in lifecycle.OPEN)


def _ring_unclaimed(jobs: Iterable[Job], statuses: Mapping[str, str]) -> None:
    doorbells = []
    for job in jobs:
        if statuses[job.id] == lifecycle.QUEUED:
            channel, _, priority = job.queue.partition(".")
            doorbells += [Doorbell(key, channel, priority) for key in parse_many("dlv", [job.id])]
    ring(doorbells)


def _statuses(job_ids: Iterable[str]) -> dict[str, str]:
    """Job id → the status of its row, `discarded`, or `gone` if there is none. Jobs that are not ours are left out."""
    ids = list(job_ids)
    found: dict[str, str] = {}
    models = {"dlv": Delivery, "sub": Submission, "upl": Upload, "sbn": Subscription}
    for kind, model in models.items():
        keys = parse_many(kind, ids)
        if keys:
            found |= {show(kind, key): status for key, status in _read(model, keys).items()}
    db.session.close()
    return found


def _read(model: Any, keys: list[UUID]) -> dict[UUID, str]:
    found = dict.fromkeys(keys, "gone")
    reason = model.reason if model is Delivery else sa.null()
    # Of a subscription: whether somebody has it
    status = sa.case((lease.is_free(), "gone"), else_=_TOLD) if model is Subscription else model.status
    for start in range(0, len(keys), 1_000):
        statement = sa.select(model.id, status.label("status"), reason.label("reason")).where(
            model.id.in_(keys[start : start + 1_000])
        )
        found |= {
            row.id: row.reason if row.reason == DISCARDED else row.status for row in db.session.execute(statement)
        }
    return found


def _text(entry: Any) -> str:
    return bytes(entry).decode()
