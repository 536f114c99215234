"""Delivers a batch: claim (T2), send with no transaction open, record (T3).

Called by workers with the ids their jobs carry. A delivery that is not there to be claimed (sent
already, cancelled, somebody else's) is dropped quietly: doorbells may ring twice.
"""

import contextlib
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from flask import current_app

from notifier import channels
from notifier.clock import now as clock_now
from notifier.config import current_settings
from notifier.core import lifecycle
from notifier.core.errors import DeliveryError, Permanent, RateLimited
from notifier.core.message import Content, Message, Receipt, Recipient
from notifier.core.plan import still_wanted
from notifier.core.retry import RetryAt, Situation, Stop, decide_next
from notifier.database import transaction
from notifier.extensions import db
from notifier.ids import new_id, show
from notifier.models import Address, Attempt, Capture, Delivery, EventType, Notification
from notifier.pipeline.facts import Order, Person, load_people, load_types, planner_facts
from notifier.pipeline.store import DOORBELL_GRACE
from notifier.pipeline.words import Wanted, put_into_words, unsubscribe_url
from notifier.queueing import Doorbell, ring

LEASE = timedelta(seconds=20)
_RENEW_EVERY_S = 5.0
_LONGEST_MESSAGE = 1_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one delivery. `is_dead`: it ended without success and belongs to the dead letters."""

    delivery_id: UUID
    status: str
    explanation: str = ""

    @property
    def is_dead(self) -> bool:
        return self.status in (lifecycle.FAILED, lifecycle.UNKNOWN)


@dataclass(slots=True)
class _Task:
    """One claimed delivery with all it takes to send it, free of database objects that could expire."""

    delivery: Delivery
    notification: Notification
    type: EventType
    address: Address | None
    person: Person | None
    content: Content | str | None = None
    adapter: Any = None
    receipt: Receipt | None = None
    error: DeliveryError | None = None
    started_at: datetime | None = None
    duration_ms: int = 0


def deliver(ids: Sequence[UUID]) -> list[Outcome]:
    """Takes each delivery as far as it goes now. The number of statements does not depend on how many there are."""
    tasks, outcomes = _claim(ids)
    if tasks:
        with _leases_renewed([task.delivery.id for task in tasks]):
            for task in tasks:
                _send(task)
        outcomes += record(tasks)
    return outcomes


# ---- claim ----------------------------------------------------------------------------------------------------------


def _claim(ids: Sequence[UUID]) -> tuple[list[_Task], list[Outcome]]:
    """T2: queued → sending with a lease. A failed one is claimed too: RQ's own tools requeue jobs from its registry."""
    now = clock_now()
    claimable = (lifecycle.QUEUED, lifecycle.FAILED, lifecycle.UNKNOWN)
    with transaction() as session:
        claimed = session.scalars(
            sa.update(Delivery)
            .where(Delivery.id.in_(ids), Delivery.status.in_(claimable))
            .values(
                status=lifecycle.SENDING,
                reason=None,
                wake_at=now + LEASE,
                tries=Delivery.tries + 1,
                failures=sa.case((Delivery.status == lifecycle.QUEUED, Delivery.failures), else_=0),
            )
            .returning(Delivery)
            .execution_options(populate_existing=True)
        ).all()
        if not claimed:
            return [], []
        tasks = _load(claimed)
        dropped = [(task, *verdict) for task in tasks if (verdict := _verdict(task, now))]
        for task, status, reason, detail in dropped:
            task.delivery.status, task.delivery.reason, task.delivery.detail = status, reason, {**task.delivery.detail, **detail}
            task.delivery.wake_at, task.delivery.tries = None, task.delivery.tries - 1
    kept = [task for task in tasks if task.delivery.status == lifecycle.SENDING]
    _prepare(kept)
    db.session.close()  # no transaction is open while sending
    return kept, [Outcome(task.delivery.id, task.delivery.status, task.delivery.reason or "") for task, *_ in dropped]


def _load(claimed: Sequence[Delivery]) -> list[_Task]:
    session = db.session
    notifications = {row.id: row for row in session.scalars(sa.select(Notification).where(Notification.id.in_({d.notification_id for d in claimed})))}
    address_ids = {d.address_id for d in claimed if d.address_id}
    addresses = {row.id: row for row in session.scalars(sa.select(Address).where(Address.id.in_(address_ids)))} if address_ids else {}
    types = load_types(row.type for row in notifications.values())
    persons = load_people(row.user_id for row in notifications.values())
    return [
        _Task(
            delivery=delivery,
            notification=(notification := notifications[delivery.notification_id]),
            type=types[notification.type],
            address=addresses.get(delivery.address_id) if delivery.address_id else None,
            person=persons.get(notification.user_id),
        )
        for delivery in claimed
    ]


def _verdict(task: _Task, now: datetime) -> tuple[str, str, dict[str, Any]] | None:
    """Why a claimed delivery is not to be sent after all: (status, reason, detail)."""
    if task.delivery.expires_at is not None and task.delivery.expires_at <= now:
        return lifecycle.EXPIRED, "expired", {}
    if task.person is None:
        return lifecycle.SKIPPED, "user_erased", {}
    order = Order(task.type, task.notification.priority, None, None, None, None)
    skip = still_wanted(planner_facts(order, task.person, channels.registry().facts()), task.delivery.channel, task.delivery.address_id)
    return (lifecycle.SKIPPED, skip.reason, dict(skip.detail)) if skip else None


def _prepare(tasks: Sequence[_Task]) -> None:
    """Puts the batch into words and chooses each one's adapter."""
    wanted = [Wanted(t.delivery.channel, t.type, t.notification.template_id, t.person, t.notification.data or {}) for t in tasks if t.person]
    for task, content in zip(tasks, put_into_words(wanted), strict=True):
        task.content = content
        address = task.address.value if task.address else task.notification.user_id
        task.adapter = channels.registry().adapter_for(task.delivery.channel, address, is_test=task.notification.is_test)


# ---- send -----------------------------------------------------------------------------------------------------------


def _send(task: _Task) -> None:
    """One provider call. What it raises becomes the task's error; nothing escapes, or its neighbours would suffer."""
    task.started_at, begun = clock_now(), time.monotonic()
    try:
        if isinstance(task.content, str) or task.content is None:
            raise Permanent(task.content or "there is no content", code="template_error")
        task.receipt = task.adapter.send(_message(task, task.content), _recipient(task))
    except DeliveryError as error:
        task.error = error
    except Exception as error:
        log.exception("delivery.adapter_broke", delivery=show("dlv", task.delivery.id), provider=task.adapter.provider)
        task.error = Permanent(f"the adapter broke: {type(error).__name__}", code="internal_error")
    task.duration_ms = round((time.monotonic() - begun) * 1000)


def _message(task: _Task, content: Content) -> Message:
    delivery, notification = task.delivery, task.notification
    return Message(
        delivery_id=show("dlv", delivery.id),
        notification_id=show("ntf", notification.id),
        user_id=notification.user_id,
        try_number=delivery.tries,
        type=notification.type,
        category=notification.category,
        priority=notification.priority,
        created_at=notification.created_at,
        content=content,
        data=notification.data or {},
        unsubscribe_url=unsubscribe_url(notification.user_id, notification.category, delivery.channel),
        collapse_key=notification.collapse_key,
        expires_at=notification.expires_at,
    )


def _recipient(task: _Task) -> Recipient:
    person, address = task.person, task.address
    return Recipient(
        address=address.value if address else task.notification.user_id,
        secret=address.secret if address else None,
        name=person.name if person else None,
        locale=person.locale if person else None,
    )


@contextlib.contextmanager
def _leases_renewed(ids: Sequence[UUID]) -> Iterator[None]:
    """Keeps the leases alive from a thread of its own for as long as the sends take."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    finished = threading.Event()

    def renew() -> None:
        with app.app_context():
            while not finished.wait(_RENEW_EVERY_S):
                try:
                    with transaction() as session:
                        session.execute(
                            sa.update(Delivery).where(Delivery.id.in_(ids), Delivery.status == lifecycle.SENDING).values(wake_at=clock_now() + LEASE)
                        )
                except sa.exc.DBAPIError as error:
                    log.warning("delivery.lease_not_renewed", error=type(error).__name__)

    thread = threading.Thread(target=renew, name="lease-renewal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()


# ---- record ---------------------------------------------------------------------------------------------------------


def record(tasks: Sequence[_Task]) -> list[Outcome]:
    """T3: attempts, status moves and what follows from them, for all that have finished. Then rings what is due at once."""
    now = clock_now()
    changes = {task.delivery.id: _consequence(task, now) for task in tasks}
    with transaction() as session:
        held = set(
            session.scalars(
                sa.select(Delivery.id)
                .where(
                    sa.tuple_(Delivery.id, Delivery.tries).in_([(t.delivery.id, t.delivery.tries) for t in tasks]),
                    Delivery.status == lifecycle.SENDING,
                )
                .with_for_update()
            )
        )
        ours = [task for task in tasks if task.delivery.id in held]  # the rest lost their lease and are somebody else's now
        if ours:
            session.execute(sa.insert(Attempt), [_attempt_row(task) for task in ours])
            for task in ours:  # one executemany: the same columns for all
                changes[task.delivery.id].setdefault("provider", task.adapter.provider)
            session.execute(sa.update(Delivery), [{"id": task.delivery.id, **changes[task.delivery.id]} for task in ours])
        captures = [_capture_row(task, now) for task in ours if task.receipt and task.receipt.captured]
        if captures:
            session.execute(sa.insert(Capture), captures)
        dead = {t.address.id: t.error.code or "invalid_recipient" for t in ours if t.address and t.error and _disables(t, now)}
        for code in sorted(set(dead.values())):
            ids = [key for key, value in dead.items() if value == code]
            session.execute(sa.update(Address).where(Address.id.in_(ids)).values(disabled_at=now, disabled_reason=code[:64]))
    ring([Doorbell(t.delivery.id, t.delivery.channel, t.delivery.priority) for t in ours if changes[t.delivery.id]["status"] == lifecycle.QUEUED])
    return [_outcome(task, changes[task.delivery.id]["status"]) for task in ours]


def _consequence(task: _Task, now: datetime) -> dict[str, Any]:
    """The columns of the delivery after this try."""
    delivery = task.delivery
    if task.receipt is not None:
        delivered_at = now if task.receipt.status == "delivered" else None
        return {
            "status": task.receipt.status,
            "reason": None,
            "failures": delivery.failures,
            "due_at": delivery.due_at,
            "wake_at": None,
            "sent_at": now,
            "delivered_at": delivered_at,
            "provider_message_id": task.receipt.provider_message_id,
        }
    failures = delivery.failures + (0 if isinstance(task.error, RateLimited) else 1)
    columns = {"failures": failures, "sent_at": None, "delivered_at": None, "provider_message_id": None, "due_at": delivery.due_at}
    follows = _decide(task, failures, now)
    if isinstance(follows, Stop):
        return {**columns, "status": follows.status, "reason": None, "wake_at": None}
    if follows.at <= now:
        return {**columns, "status": lifecycle.QUEUED, "reason": None, "due_at": now, "wake_at": now + DOORBELL_GRACE}
    return {**columns, "status": lifecycle.WAITING, "reason": "retry", "due_at": follows.at, "wake_at": follows.at}


def _decide(task: _Task, failures: int, now: datetime) -> RetryAt | Stop:
    assert task.error is not None
    return decide_next(
        task.error,
        Situation(
            priority=task.delivery.priority,
            failures=failures,
            now=now,
            expires_at=task.delivery.expires_at,
            safe_to_repeat=task.adapter.is_safe_to_repeat,
            resend_unknown=task.type.resends_unknown,
            spread=random.uniform(-1, 1),
            delays_s=current_settings().retry_delays,
        ),
    )


def _disables(task: _Task, now: datetime) -> bool:
    follows = _decide(task, task.delivery.failures, now)
    return isinstance(follows, Stop) and follows.disables_address


def _attempt_row(task: _Task) -> dict[str, Any]:
    outcome = task.receipt.status if task.receipt else _snake(type(task.error).__name__)
    return {
        "delivery_id": task.delivery.id,
        "number": task.delivery.tries,
        "provider": task.adapter.provider,
        "outcome": outcome,
        "code": (task.error.code or None) if task.error else None,
        "message": str(task.error)[:_LONGEST_MESSAGE] if task.error else None,
        "duration_ms": task.duration_ms,
        "at": task.started_at,
    }


def _capture_row(task: _Task, now: datetime) -> dict[str, Any]:
    captured = task.receipt.captured if task.receipt else None
    return {
        "id": new_id(),
        "delivery_id": task.delivery.id,
        "user_id": task.notification.user_id,
        "channel": task.delivery.channel,
        "content": dict(captured or {}),
        "at": now,
    }


def _outcome(task: _Task, status: str) -> Outcome:
    event = {"delivery": show("dlv", task.delivery.id), "channel": task.delivery.channel, "provider": task.adapter.provider, "status": status}
    if task.error is None:
        log.info("delivery.sent", **event, duration_ms=task.duration_ms)
        return Outcome(task.delivery.id, status)
    log.warning("delivery.try_failed", **event, outcome=type(task.error).__name__, code=task.error.code, attempt=task.delivery.tries)
    return Outcome(task.delivery.id, status, f"{type(task.error).__name__}: {task.error}"[:_LONGEST_MESSAGE])


def _snake(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")
