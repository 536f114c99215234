"""Delivers a batch: claim (T2), send with no transaction open, record (T3).

Called by workers with the ids their jobs carry. A delivery that is not there to be claimed (sent
already, cancelled, somebody else's) is dropped quietly: doorbells may ring twice.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from uuid import UUID

import sqlalchemy as sa
import structlog
from flask import current_app

from notifier.clock import now as clock_now
from notifier.core import lifecycle
from notifier.core.errors import DeliveryError, Permanent
from notifier.core.message import Content, Message, Recipient
from notifier.database import transaction
from notifier.ids import show
from notifier.models import Delivery
from notifier.pipeline.claim import LEASE, Outcome, Task, claim
from notifier.pipeline.record import record
from notifier.pipeline.words import unsubscribe_url

_RENEW_EVERY_S = 5.0

log = structlog.get_logger()


def deliver(ids: Sequence[UUID]) -> list[Outcome]:
    """Takes each delivery as far as it goes now. The number of statements does not depend on how many there are."""
    tasks, outcomes = claim(ids)
    if tasks:
        with _leases_renewed([task.delivery.id for task in tasks]):
            for task in tasks:
                _send(task)
        outcomes += record(tasks)
    return outcomes


def _send(task: Task) -> None:
    """One provider call. What it raises becomes the task's error; nothing escapes, or its neighbours would suffer."""
    task.started_at, begun = clock_now(), time.monotonic()
    try:
        if isinstance(task.content, str):
            raise Permanent(task.content, code="template_error")
        task.receipt = task.adapter.send(_message(task, task.content), _recipient(task))
    except DeliveryError as error:
        task.error = error
    except Exception as error:
        log.exception("delivery.adapter_broke", delivery=show("dlv", task.delivery.id), provider=task.adapter.provider)
        task.error = Permanent(f"the adapter broke: {type(error).__name__}", code="internal_error")
    task.duration_ms = round((time.monotonic() - begun) * 1000)


def _message(task: Task, content: Content) -> Message:
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


def _recipient(task: Task) -> Recipient:
    person, address = task.person, task.address
    return Recipient(
        address=address.value if address else task.notification.user_id,
        secret=address.secret if address else None,
        name=person.name,
        locale=person.locale,
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
