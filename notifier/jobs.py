"""The functions that RQ jobs name, and the same work for many jobs at once.

Their names are stored in Redis, so they must not change. One app per process, built on first use, so that a stock
`rq worker` can run the functions. Our own worker passes whole batches of `deliver` jobs to `Deliveries` instead.
"""

import functools
from collections.abc import Sequence

import redis
import structlog
from flask import Flask, current_app
from rq import get_current_job

from notifier.app import create_app
from notifier.batchworker import Ended, Job
from notifier.cells import lists
from notifier.core.errors import Rejected
from notifier.ground.database import UNAVAILABLE
from notifier.ground.ids import parse
from notifier.pipeline.delivery import deliver as delivering
from notifier.pipeline.delivery import lease
from notifier.pipeline.delivery.record import record
from notifier.pipeline.intake import expand as expanding
from notifier.subscriptions import turn

log = structlog.get_logger()


class DeadLetter(Exception):
    """A delivery that ended without success. Raised so that RQ lists its job in the FailedJobRegistry."""


@functools.cache
def app() -> Flask:
    return create_app()


def deliver(delivery_id: str) -> None:
    job = get_current_job()
    if job is not None and job.ended_at is not None:
        return  # it failed already: a second doorbell from before that. RQ's requeue would have cleared the time.
    with app().app_context():
        for outcome in delivering.deliver([parse("dlv", delivery_id)]):
            if outcome.is_dead:
                raise DeadLetter(outcome.explanation)


def expand(submission_id: str) -> None:
    with app().app_context():
        expanding.expand(parse("sub", submission_id))


def read_upload(upload_id: str) -> None:
    with app().app_context():
        lists.read(parse("upl", upload_id))


def tell(subscription_id: str) -> None:
    with app().app_context():
        turn.take(parse("sbn", subscription_id))


class Deliveries:
    """`deliver` for whole batches: the batch worker's handler. Made, and asked to begin, inside an app context."""

    outages: tuple[type[Exception], ...] = (*UNAVAILABLE, redis.RedisError)

    def __init__(self) -> None:
        self._app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]

    def begin(self, jobs: Sequence[Job]) -> list[Job]:
        by_id = {}
        for job in jobs:
            try:
                by_id[parse("dlv", str(job.args[0]))] = job
            except (Rejected, IndexError):
                log.error("job.not_understood", job=job.id)
        tasks, _ = delivering.begin(list(by_id))
        for task in tasks:
            by_id[task.delivery.id].unit = task
        return [by_id[task.delivery.id] for task in tasks]

    def run(self, job: Job) -> None:
        delivering.send(job.unit)

    def finish(self, jobs: Sequence[Job]) -> list[Ended]:
        with self._app.app_context():
            outcomes = {outcome.delivery_id: outcome for outcome in record([job.unit for job in jobs])}
        dead = {key: f"DeadLetter: {outcome.explanation}" for key, outcome in outcomes.items() if outcome.is_dead}
        return [Ended(job, failure=dead.get(job.unit.delivery.id)) for job in jobs]

    def renew(self, jobs: Sequence[Job]) -> None:
        lease.renew([job.unit.delivery.id for job in jobs])
