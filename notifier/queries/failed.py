"""RQ's failed-job registries, joined with the deliveries of their jobs.

Read by `/admin/failed/registry`. Registries are paged by rank, never loaded whole: they may hold hundreds of thousands
of jobs. `queries.causes` reads the deliveries themselves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import redis
from rq.exceptions import NoSuchJobError
from rq.job import Job
from sqlalchemy import func, select

from notifier.core.errors import Rejected
from notifier.core.lifecycle import DEAD, DISCARDED
from notifier.core.masking import masked
from notifier.ground.clock import now
from notifier.ground.extensions import db, redis_store
from notifier.ground.ids import parse, show
from notifier.models import Attempt, Delivery, Notification, Receipt
from notifier.queries.story import receipts_of
from notifier.queries.types import internal_keys
from notifier.signals.queueing import SERIALIZER, all_queues, failed_registry, queue_name

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class FailedJob:
    """One dead letter. The fields after `queue` are None or empty for a job that is about no delivery we know.

    `provider`, `outcome`, `code` and `failed_at` are the delivery's, by which `causes` groups and sorts; `message` is
    its last attempt's.
    """

    job_id: str
    queue: str
    notification: str | None = None
    user: str | None = None
    type: str | None = None
    channel: str | None = None
    address: str | None = None
    status: str | None = None
    provider: str | None = None
    tries: int = 0
    outcome: str | None = None
    code: str | None = None
    message: str | None = None
    failed_at: datetime | None = None
    expires_at: datetime | None = None
    is_expired: bool = False
    is_discarded: bool = False

    @property
    def is_dead(self) -> bool:
        return self.status in DEAD and not self.is_discarded

    @property
    def can_retry(self) -> bool:
        """Whether it can be retried: it failed, has not expired, was not deleted, and was not sent meanwhile."""
        return self.is_dead and not self.is_expired


@dataclass(frozen=True, slots=True)
class Page:
    """`queues` holds (name, failed jobs) of the queues that have any."""

    jobs: list[FailedJob]
    total: int
    number: int
    queues: list[tuple[str, int]]

    @property
    def last(self) -> int:
        return max(1, math.ceil(self.total / PAGE_SIZE))


@dataclass(frozen=True, slots=True)
class Story:
    """One dead letter with its attempts, what providers told of it, and, while Redis has it, the trace. `payload`: its
    masked data; None if nobody may see them.
    """

    job: FailedJob
    attempts: Sequence[Attempt]
    receipts: Sequence[Receipt]
    trace: str | None
    payload: dict[str, Any] | None


def failed_story(job_id: str) -> Story:
    """Raises Rejected('not_found') unless the id is that of a delivery we have."""
    key = parse("dlv", job_id)
    delivery = db.session.get(Delivery, key)
    if delivery is None:
        raise Rejected("not_found", f"there is no {job_id}")
    queue = queue_name(delivery.channel, delivery.priority)
    attempts = db.session.scalars(select(Attempt).where(Attempt.delivery_id == key).order_by(Attempt.number)).all()
    notification = db.session.get_one(Notification, delivery.notification_id)
    payload = None if notification.type in internal_keys() else masked(notification.data or {})
    return Story(describe([(queue, job_id)])[0], attempts, receipts_of([key]), _trace(job_id), payload)


def failed_page(queue: str | None, number: int) -> Page:
    """The registries' jobs: most urgent queue first, newest first in each. Raises redis.RedisError."""
    names = all_queues()
    keys = [failed_registry(name).key for name in names]
    with redis_store.client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.zcard(key)
        counts = pipe.execute()
    filled = [(name, count) for name, count in zip(names, counts, strict=True) if count]
    shown = [entry for entry in filled if queue in (None, entry[0])]
    found: list[tuple[str, str]] = []
    with redis_store.client.pipeline(transaction=False) as pipe:
        ranges = _ranges(shown, (number - 1) * PAGE_SIZE)
        for name, first, last in ranges:
            pipe.zrevrange(failed_registry(name).key, first, last)
        for (name, _, _), ids in zip(ranges, pipe.execute(), strict=True):
            found += [(name, job_id.decode()) for job_id in ids]
    return Page(describe(found), sum(count for _, count in shown), number, filled)


def _ranges(queues: Sequence[tuple[str, int]], offset: int) -> list[tuple[str, int, int]]:
    """Which ranks of which queues make up the page that starts at `offset` of their concatenation."""
    ranges, wanted = [], PAGE_SIZE
    for name, count in queues:
        if offset < count and wanted:
            take = min(count - offset, wanted)
            ranges.append((name, offset, offset + take - 1))
            wanted -= take
        offset = max(0, offset - count)
    return ranges


def describe(found: Sequence[tuple[str, str]]) -> list[FailedJob]:
    """Joins jobs with their deliveries and last attempts: two queries, however many."""
    keys = {job_id: key for _, job_id in found if (key := _delivery_key(job_id))}
    if not keys:
        return [FailedJob(job_id, queue) for queue, job_id in found]
    pairs = (
        select(Delivery, Notification)
        .join(Notification, Notification.id == Delivery.notification_id)
        .where(Delivery.id.in_(keys.values()))
    )
    deliveries = {delivery.id: (delivery, notification) for delivery, notification in db.session.execute(pairs)}
    latest = (
        select(Attempt.delivery_id, func.max(Attempt.number).label("number"))
        .where(Attempt.delivery_id.in_(keys.values()))
        .group_by(Attempt.delivery_id)
    )
    last = latest.subquery()
    query = select(Attempt).join(last, (Attempt.delivery_id == last.c.delivery_id) & (Attempt.number == last.c.number))
    query = query.where(Attempt.delivery_id.in_(keys.values()))  # said once more: PostgreSQL leaves out partitions
    attempts = {attempt.delivery_id: attempt for attempt in db.session.scalars(query)}
    jobs = []
    for queue, job_id in found:
        key = keys.get(job_id)
        jobs.append(_job(queue, job_id, deliveries.get(key) if key else None, attempts.get(key) if key else None))
    return jobs


def _job(queue: str, job_id: str, pair: Any, attempt: Attempt | None) -> FailedJob:
    if pair is None:
        return FailedJob(job_id, queue)
    delivery, notification = pair
    return FailedJob(
        job_id,
        queue,
        notification=show("ntf", notification.id),
        user=notification.user_id,
        type=notification.type,
        channel=delivery.channel,
        address=delivery.address_masked,
        status=delivery.status,
        provider=delivery.provider,
        tries=delivery.tries,
        outcome=delivery.outcome,
        code=delivery.code,
        message=attempt.message if attempt else None,
        failed_at=delivery.failed_at,
        expires_at=delivery.expires_at,
        is_expired=delivery.expires_at is not None and delivery.expires_at <= now(),
        is_discarded=delivery.reason == DISCARDED,
    )


def _delivery_key(job_id: str) -> UUID | None:
    try:
        return parse("dlv", job_id)
    except Rejected:
        return None


def _trace(job_id: str) -> str | None:
    try:
        result = Job.fetch(job_id, connection=redis_store.client, serializer=SERIALIZER).latest_result()
    except (redis.RedisError, NoSuchJobError):
        return None
    return result.exc_string if result else None
