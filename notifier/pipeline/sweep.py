"""What the scheduler does, again and again: nothing that was accepted is forgotten, whatever Redis or a worker forgot.

Each function takes a bounded number of rows by the index on `wake_at`, moves each row once (rows that
another scheduler holds are passed over), commits, and only then rings. Any number of schedulers may run.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import redis
import sqlalchemy as sa
import structlog

from notifier import channels
from notifier.clock import now as clock_now
from notifier.core import lifecycle
from notifier.database import transaction
from notifier.extensions import db
from notifier.models import Attempt, Delivery, EventType, IdempotencyKey, Notification, Submission
from notifier.pipeline import inbox
from notifier.pipeline.accept import EXPAND_GRACE
from notifier.pipeline.facts import load_people, load_types, no_longer_wanted
from notifier.pipeline.store import DOORBELL_GRACE, inbox_row
from notifier.pipeline.words import Wanted, put_into_words
from notifier.queueing import Doorbell, lost, ring, ring_expand
from notifier.realtime import publish

BATCH = 1_000
_LONGEST_DOORBELL_GRACE = timedelta(seconds=60)
_IDEMPOTENCY_KEPT = timedelta(hours=24)

log = structlog.get_logger()


def ring_due() -> int:
    """Deliveries whose time has come: waiting → queued (rung), or shown in the inbox, or expired. Returns how many moved."""
    now = clock_now()
    events: list[Any] = []
    with transaction() as session:
        due = session.scalars(_awake(lifecycle.WAITING, now)).all()
        expired, live = _split(due, lambda delivery: _is_expired(delivery, now))
        ours, queued = _split(live, _is_ours(live))
        _move(expired, {"status": lifecycle.EXPIRED, "reason": "expired", "wake_at": None})
        _move(queued, {"status": lifecycle.QUEUED, "reason": None, "wake_at": now + DOORBELL_GRACE})
        if ours:
            events = _show(ours, now)
    ring(_doorbells(queued))
    if events:
        publish.publish_items(events)
    return len(due)


def _is_ours(deliveries: Sequence[Delivery]) -> Callable[[Delivery], bool]:
    """Tells those that this process shows by itself: in-app items, unless a test key sent them (workers capture those)."""
    inapp = {d.notification_id for d in deliveries if channels.CHANNELS[d.channel].address is None}
    statement = sa.select(Notification.id).where(Notification.id.in_(inapp), Notification.is_test.is_(False))
    live = set(db.session.scalars(statement)) if inapp else set()
    return lambda delivery: channels.CHANNELS[delivery.channel].address is None and delivery.notification_id in live


def _show(deliveries: Sequence[Delivery], now: datetime) -> list[Any]:
    """In-app items that were to wait: asked again whether they are wanted, rendered, and put into the inbox."""
    notifications = {n.id: n for n in db.session.scalars(sa.select(Notification).where(Notification.id.in_({d.notification_id for d in deliveries})))}
    persons = load_people(n.user_id for n in notifications.values())
    types = load_types(n.type for n in notifications.values())
    wanted = []
    for delivery in deliveries:
        notification = notifications[delivery.notification_id]
        person = persons.get(notification.user_id)
        if person is None:
            _skip(delivery, "user_erased", {})
        elif skip := no_longer_wanted(types[notification.type], person, delivery.channel, delivery.address_id, is_test=False):
            _skip(delivery, skip.reason, skip.detail)
        else:
            wanted.append((delivery, notification, person))
    contents = put_into_words([Wanted(d.channel, types[n.type], n.template_id, person, n.data or {}) for d, n, person in wanted])
    shown = []
    for (delivery, notification, _), content in zip(wanted, contents, strict=True):
        if isinstance(content, str):
            _skip(delivery, "template_error", {"message": content})
        else:
            shown.append((delivery, notification, content))
    _move([d for d, *_ in shown], {"status": lifecycle.DELIVERED, "reason": None, "wake_at": None, "sent_at": now, "delivered_at": now})
    return inbox.add([inbox_row(d.id, n.id, n.user_id, types[n.type], content, n.data or {}, now) for d, n, content in shown])


def _skip(delivery: Delivery, reason: str, detail: Mapping[str, Any]) -> None:
    delivery.status, delivery.reason, delivery.detail, delivery.wake_at = lifecycle.SKIPPED, reason, dict(detail), None


def ring_lost() -> int:
    """Queued deliveries whose doorbell is lost are rung again. Returns how many there were.

    One that stands in its queue is looked at again later and later, a minute apart at most, so that a
    long backlog costs little. While Redis is away nothing is touched.
    """
    now = clock_now()
    rows = db.session.scalars(_awake(lifecycle.QUEUED, now, lock=False)).all()
    db.session.close()
    expired, live = _split(rows, lambda row: _is_expired(row, now))
    try:
        forgotten = lost(_doorbells(live)) if live else set()
    except redis.RedisError as error:
        log.warning("sweep.redis_away", error=type(error).__name__)
        return 0
    with transaction() as session:
        # What somebody else holds is being sent, or rung by another scheduler: nobody waits for anybody here.
        still = sa.select(Delivery.id).where(Delivery.id.in_([row.id for row in rows]), Delivery.status == lifecycle.QUEUED, Delivery.wake_at <= now)
        held = set(session.scalars(still.with_for_update(skip_locked=True)))
        _move([row for row in expired if row.id in held], {"status": lifecycle.EXPIRED, "reason": "expired", "wake_at": None})
        again, waiting = _split([row for row in live if row.id in held], lambda row: row.id in forgotten)
        if again:
            session.execute(sa.update(Delivery).where(Delivery.id.in_([row.id for row in again])).values(wake_at=now + DOORBELL_GRACE))
        if waiting:
            session.execute(sa.update(Delivery), [{"id": row.id, "wake_at": now + _next_grace(row, now)} for row in waiting])
    ring(_doorbells(again))
    if again:
        log.warning("sweep.doorbells_lost", deliveries=len(again))
    return len(again)


def _next_grace(row: Delivery, now: datetime) -> timedelta:
    age = now - max(row.created_at, row.due_at or row.created_at)
    return min(max(age, DOORBELL_GRACE), _LONGEST_DOORBELL_GRACE)


def free_lapsed() -> int:
    """Sends whose worker died: sent again where that is safe or the type wants it, else `unknown`. Uses up no attempt."""
    now = clock_now()
    with transaction() as session:
        lapsed = session.scalars(_awake(lifecycle.SENDING, now)).all()
        if not lapsed:
            return 0
        resends = _types_that_resend(lapsed)
        again, unknown = _split(lapsed, lambda d: _is_safe_to_repeat(d.channel) or resends[d.notification_id])
        _move(again, {"status": lifecycle.QUEUED, "reason": None, "wake_at": now + DOORBELL_GRACE})
        _move(unknown, {"status": lifecycle.UNKNOWN, "reason": None, "wake_at": None})
        session.execute(sa.insert(Attempt.__table__), [_lapsed_attempt(d, now) for d in lapsed])
    ring(_doorbells(again))
    log.warning("sweep.leases_lapsed", again=len(again), unknown=len(unknown))
    return len(lapsed)


def _is_safe_to_repeat(channel: str) -> bool:
    serving = channels.registry().adapters_for(channel, None, is_test=False)
    return bool(serving) and all(adapter.is_safe_to_repeat for adapter in serving)


def _types_that_resend(deliveries: Sequence[Delivery]) -> dict[Any, bool]:
    statement = sa.select(Notification.id, EventType).join(EventType, EventType.key == Notification.type)
    rows = db.session.execute(statement.where(Notification.id.in_({d.notification_id for d in deliveries}))).all()
    return {key: type_.resends_unknown for key, type_ in rows}


def _lapsed_attempt(delivery: Delivery, now: datetime) -> dict[str, Any]:
    return {
        "delivery_id": delivery.id,
        "number": delivery.tries,
        "provider": delivery.provider or delivery.channel,
        "outcome": "unknown",
        "code": "lease_lapsed",
        "message": "the worker died while sending",
        "duration_ms": 0,
        "at": now,
    }


def ring_expansions() -> int:
    """Submissions that are still to be expanded, in case their doorbell was lost."""
    now = clock_now()
    with transaction() as session:
        rows = session.scalars(sa.select(Submission).where(Submission.wake_at <= now).limit(BATCH).with_for_update(skip_locked=True)).all()
        for row in rows:
            row.wake_at = now + EXPAND_GRACE
        ids = [row.id for row in rows]
    ring_expand(ids)
    return len(ids)


def prune() -> int:
    """Deletes idempotency keys older than a day, a batch at a time. Returns how many."""
    oldest = clock_now() - _IDEMPOTENCY_KEPT
    pruned = 0
    while True:
        with transaction() as session:
            keys = session.execute(sa.select(IdempotencyKey.producer_id, IdempotencyKey.key).where(IdempotencyKey.created_at < oldest).limit(BATCH)).all()
            if keys:
                pair = sa.tuple_(IdempotencyKey.producer_id, IdempotencyKey.key)
                session.execute(sa.delete(IdempotencyKey).where(pair.in_([tuple(row) for row in keys])).execution_options(synchronize_session=False))
        pruned += len(keys)
        if len(keys) < BATCH:
            return pruned


def _awake(status: str, now: datetime, *, lock: bool = True) -> sa.Select[Delivery]:
    # Urgent ones first would need a wider index; the order of wake_at serves, since batches follow each other at once.
    statement = sa.select(Delivery).where(Delivery.wake_at <= now, Delivery.status == status).order_by(Delivery.wake_at).limit(BATCH)
    return statement.with_for_update(skip_locked=True) if lock else statement


def _move(deliveries: Sequence[Delivery], values: dict[str, Any]) -> None:
    """Moves the status of all of them, which the transaction holds, in one statement, if the lifecycle allows it."""
    if not deliveries:
        return
    for old in {delivery.status for delivery in deliveries}:
        if not lifecycle.may_move(old, values["status"]):
            raise ValueError(f"a delivery does not move from {old} to {values['status']}")
    statement = sa.update(Delivery).where(Delivery.id.in_([delivery.id for delivery in deliveries]))
    db.session.execute(statement.values(**values).execution_options(synchronize_session=False))


def _split(deliveries: Sequence[Delivery], is_first: Callable[[Delivery], bool]) -> tuple[list[Delivery], list[Delivery]]:
    first = [delivery for delivery in deliveries if is_first(delivery)]
    chosen = {delivery.id for delivery in first}
    return first, [delivery for delivery in deliveries if delivery.id not in chosen]


def _is_expired(delivery: Delivery, now: datetime) -> bool:
    return delivery.expires_at is not None and delivery.expires_at <= now


def _doorbells(deliveries: Sequence[Delivery]) -> list[Doorbell]:
    return [Doorbell(delivery.id, delivery.channel, delivery.priority) for delivery in deliveries]
