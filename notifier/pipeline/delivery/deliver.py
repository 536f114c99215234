"""Delivers a batch: claim (T2), admit, send with no transaction open, record (T3).

Called by `jobs` with the ids of their deliveries. A delivery that cannot be claimed (already sent, cancelled, claimed
by another worker) is dropped quietly: doorbells may ring twice.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import UUID

import structlog
from flask import current_app

from notifier.channels.contract import Adapter
from notifier.core.errors import DeliveryError, Permanent
from notifier.core.message import Receipt
from notifier.core.people import storable
from notifier.core.retry import fails_over
from notifier.ground import metrics, tracing
from notifier.ground.clock import now as clock_now
from notifier.ground.database import UNAVAILABLE
from notifier.pipeline.delivery import gate
from notifier.pipeline.delivery.admit import admit
from notifier.pipeline.delivery.claim import claim
from notifier.pipeline.delivery.lease import renew
from notifier.pipeline.delivery.record import record
from notifier.pipeline.delivery.said import ids_of
from notifier.pipeline.delivery.task import LONGEST_CODE, LONGEST_MESSAGE_ID, Outcome, Task, Try
from notifier.providers import accounts as providers

_RENEW_EVERY_S = 5.0

log = structlog.get_logger()


def deliver(ids: Sequence[UUID]) -> list[Outcome]:
    """Takes each delivery as far as it goes now, one send after the other. The number of statements is constant."""
    tasks, outcomes = begin(ids)
    if tasks:
        with _leases_renewed([task.delivery.id for task in tasks]):
            for task in tasks:
                send(task)
        outcomes += record(tasks)
    return outcomes


def begin(ids: Sequence[UUID]) -> tuple[list[Task], list[Outcome]]:
    """→ the tasks to be sent now, and the outcomes of the other deliveries."""
    begun = clock_now()
    providers.refresh()
    metrics.series(metrics.batch_items, "claim").observe(len(ids))
    claimed, dropped = claim(ids)
    admitted, postponed = admit(claimed)
    traces = (task.notification.traceparent for task in admitted)
    tracing.batch("deliver.batch", traces, begun, asked_for=len(ids), admitted=len(admitted))
    paid, stopped = gate.pay(admitted)
    return paid, [*dropped, *postponed, *stopped]


def send(task: Task) -> None:
    """Tries the providers in turn until one has taken it, or refused it for good. On any thread; nothing escapes."""
    for adapter in task.adapters:
        latest = _call(task, adapter)
        task.tries.append(latest)
        if (
            latest.error is None
            or task.obstacle
            or not fails_over(latest.error, safe_to_repeat=adapter.is_safe_to_repeat)
        ):
            return


def _call(task: Task, adapter: Adapter) -> Try:
    """One provider call. Whatever it raises becomes its error: its neighbours must not suffer."""
    latest, begun = Try(task.delivery.tries + len(task.tries), adapter, clock_now()), time.monotonic()
    span = _span(task, latest)
    try:
        if task.obstacle is not None:
            raise task.obstacle
        if isinstance(task.message, str):
            raise Permanent(task.message, code="template_error")
        message = task.message
        if message.try_number != latest.number or span.traceparent is not None:
            message = replace(message, try_number=latest.number, traceparent=span.traceparent)
        with adapter.http.within(task.lists) if task.lists else contextlib.nullcontext():
            latest.receipt = _storable(adapter.send(message, task.recipient))
    except DeliveryError as error:
        error.code = storable(str(error.code), LONGEST_CODE)
        latest.error = error
    except Exception as error:
        log.exception(
            "delivery.adapter_broke",
            **ids_of(task.notification, task.notification.id, task.delivery.id),
            channel=task.delivery.channel,
            provider=adapter.name,
        )
        latest.error = Permanent(f"the adapter broke: {type(error).__name__}", code="internal_error")
    latest.duration_ms = round((time.monotonic() - begun) * 1000)
    span.end(latest.error.code or type(latest.error).__name__ if latest.error else None)
    return latest


def _storable(receipt: Receipt) -> Receipt:
    """Providers' answers are strangers' words: what could not be recorded would be sent again and again."""
    said = receipt.provider_message_id
    return receipt if said is None else replace(receipt, provider_message_id=storable(str(said), LONGEST_MESSAGE_ID))


def _span(task: Task, latest: Try) -> tracing.Span:
    if task.notification.traceparent is None:
        return tracing.NOTHING  # most are not traced, and spelling their ids would cost as much as the rest here
    return tracing.follow(
        "send",
        task.notification.traceparent,
        latest.started_at,
        **ids_of(task.notification, task.notification.id, task.delivery.id),
        channel=task.delivery.channel,
        provider=latest.adapter.name,
        attempt=latest.number,
    )


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
                except Exception as error:  # whatever it is, the next try may succeed
                    log.warning(
                        "delivery.lease_not_renewed",
                        error=type(error).__name__,
                        exc_info=not isinstance(error, UNAVAILABLE),
                    )

    threading.Thread(target=keep_renewing, name="lease-renewal", daemon=True).start()
    try:
        yield
    finally:
        finished.set()
