"""Records what became of the sends that have finished (T3), and what follows from it. Called by `deliver`."""

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import structlog

from notifier.clock import now as clock_now
from notifier.config import current_settings
from notifier.core import lifecycle
from notifier.core.errors import RateLimited
from notifier.core.retry import RetryAt, Situation, Stop, decide_next
from notifier.database import transaction
from notifier.ids import new_id, show
from notifier.models import Address, Attempt, Capture, Delivery
from notifier.pipeline.claim import Outcome, Task

_LONGEST_MESSAGE = 1_000

log = structlog.get_logger()


def record(tasks: Sequence[Task]) -> list[Outcome]:
    """T3: attempts, status moves and what follows from them, for all that have finished.

    A retry waits for the scheduler even when it is due at once: a doorbell rung now would be taken down
    again with the job that is just ending, since both have the delivery's id.
    """
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
            session.execute(sa.insert(Attempt.__table__), [_attempt_row(task) for task in ours])
            for task in ours:  # one executemany: the same columns for all
                changes[task.delivery.id].setdefault("provider", task.adapter.provider)
            session.execute(sa.update(Delivery), [{"id": task.delivery.id, **changes[task.delivery.id]} for task in ours])
        captures = [_capture_row(task, now) for task in ours if task.receipt and task.receipt.captured]
        if captures:
            session.execute(sa.insert(Capture.__table__), captures)
        dead = {t.address.id: t.error.code or "invalid_recipient" for t in ours if t.address and t.error and _disables(t, now)}
        for code in sorted(set(dead.values())):
            ids = [key for key, value in dead.items() if value == code]
            session.execute(sa.update(Address).where(Address.id.in_(ids)).values(disabled_at=now, disabled_reason=code[:64]))
    return [_outcome(task, changes[task.delivery.id]["status"]) for task in ours]


def _consequence(task: Task, now: datetime) -> dict[str, Any]:
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
    return {**columns, "status": lifecycle.WAITING, "reason": "retry", "due_at": follows.at, "wake_at": follows.at}


def _decide(task: Task, failures: int, now: datetime) -> RetryAt | Stop:
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


def _disables(task: Task, now: datetime) -> bool:
    follows = _decide(task, task.delivery.failures, now)
    return isinstance(follows, Stop) and follows.disables_address


def _attempt_row(task: Task) -> dict[str, Any]:
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


def _capture_row(task: Task, now: datetime) -> dict[str, Any]:
    captured = task.receipt.captured if task.receipt else None
    return {
        "id": new_id(),
        "delivery_id": task.delivery.id,
        "user_id": task.notification.user_id,
        "channel": task.delivery.channel,
        "content": dict(captured or {}),
        "at": now,
    }


def _outcome(task: Task, status: str) -> Outcome:
    event = {"delivery": show("dlv", task.delivery.id), "channel": task.delivery.channel, "provider": task.adapter.provider, "status": status}
    if task.error is None:
        log.info("delivery.sent", **event, duration_ms=task.duration_ms)
        return Outcome(task.delivery.id, status)
    log.warning("delivery.try_failed", **event, outcome=type(task.error).__name__, code=task.error.code, attempt=task.delivery.tries)
    return Outcome(task.delivery.id, status, f"{type(task.error).__name__}: {task.error}"[:_LONGEST_MESSAGE])


def _snake(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")
