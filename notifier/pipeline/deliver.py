"""Delivers a batch: claim (T2), send with no transaction open, record (T3).

Called by workers with the ids their jobs carry. A delivery that is not there to be claimed (sent
already, cancelled, somebody else's) is dropped quietly: doorbells may ring twice.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from uuid import UUID

import structlog
from flask import current_app
from sqlalchemy.exc import DBAPIError

from notifier.clock import now as clock_now
from notifier.core.errors import DeliveryError, Permanent
from notifier.ids import show
from notifier.pipeline.claim import Outcome, Task, claim, renew
from notifier.pipeline.record import record

_RENEW_EVERY_S = 5.0

log = structlog.get_logger()


def deliver(ids: Sequence[UUID]) -> list[Outcome]:
    """Takes each delivery as far as it goes now, one send after the other. The number of statements is constant."""
    tasks, outcomes = claim(ids)
    if tasks:
        with _leases_renewed([task.delivery.id for task in tasks]):
            for task in tasks:
                send(task)
        outcomes += record(tasks)
    return outcomes


def send(task: Task) -> None:
    """One provider call, on any thread. What it raises becomes the task's error; nothing escapes, or its neighbours would suffer."""
    task.started_at, begun = clock_now(), time.monotonic()
    try:
        if isinstance(task.message, str):
            raise Permanent(task.message, code="template_error")
        task.receipt = task.adapter.send(task.message, task.recipient)
    except DeliveryError as error:
        task.error = error
    except Exception as error:
        log.exception("delivery.adapter_broke", delivery=show("dlv", task.delivery.id), provider=task.adapter.provider)
        task.error = Permanent(f"the adapter broke: {type(error).__name__}", code="internal_error")
    task.duration_ms = round((time.monotonic() - begun) * 1000)


@contextlib.contextmanager
def _leases_renewed(ids: Sequence[UUID]) -> Iterator[None]:
    """Renews from a thread of its own for as long as the sends take."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    finished = threading.Event()

    def keep_renewing() -> None:
        with app.app_context():
            while not finished.wait(_RENEW_EVERY_S):
                try:
                    renew(ids)
                except DBAPIError as error:
                    log.warning("delivery.lease_not_renewed", error=type(error).__name__)

    threading.Thread(target=keep_renewing, name="lease-renewal", daemon=True).start()
    try:
        yield
    finally:
        finished.set()
