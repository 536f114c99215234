"""Records the results of finished sends (T3) and what follows from them: retries, the next channel, tallies, captures,
alarms.

Called by `delivery.deliver` and by the worker's handler in `jobs`.
"""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.core import lifecycle
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited
from notifier.core.retry import RetryAt, Situation, Stop, decide_next
from notifier.core.routing import BEST
from notifier.ground.clock import now as clock_now
from notifier.ground.config import current_settings
from notifier.ground.database import insert, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, show
from notifier.ledgers import scores, tallies
from notifier.ledgers.moves import Move, move_each
from notifier.models import Address, Attempt, Capture, Delivery, Suppression
from notifier.people.profiles import forget_bounces, known_ids
from notifier.pipeline.delivery import alarm
from notifier.pipeline.delivery.claim import Outcome, Task, Try
from notifier.pipeline.planning.routing import follow
from notifier.providers import health
from notifier.providers.health import Tally
from notifier.signals.queueing import ring

_LONGEST_MESSAGE = 1_000

log = structlog.get_logger()


def record(tasks: Sequence[Task]) -> list[Outcome]:
    """T3: attempts, status moves and next steps, for all finished sends.

    A retry waits for the scheduler even when it is due at once: a doorbell rung now would be removed again with the job
    that is just ending, since both have the delivery's id.
    """
    now = clock_now()
    happened = health.report(_tallies([task for task in tasks if not task.is_reported]))
    for task in tasks:
        task.is_reported = True
    follows = {task.delivery.id: _what_follows(task, now) for task in tasks}
    with transaction() as session:
        # By id alone: for pairs of id and tries SQLite would read the whole table.
        sending = sa.select(Delivery.id, Delivery.tries).where(
            Delivery.id.in_([task.delivery.id for task in tasks]), Delivery.status == lifecycle.SENDING
        )
        held = {tuple(row) for row in session.execute(sending.with_for_update())}
        ours = [
            task for task in tasks if (task.delivery.id, task.delivery.tries) in held
        ]  # the others lost their lease and belong to another worker now
        if ours:
            still_here = known_ids(task.notification.user_id for task in ours)
            session.execute(
                sa.insert(Attempt.__table__),
                [_attempt_row(task, latest, still_here) for task in ours for latest in task.tries],
            )
            move_each([_move(task, follows[task.delivery.id], now) for task in ours])
            captures = [
                _capture_row(task, now)
                for task in ours
                if _has_capture(task) and task.notification.user_id in still_here
            ]
            if captures:
                session.execute(sa.insert(Capture.__table__), captures)
        tallies.count(_happened(ours, follows, now))
        scores.count_sent(
            (task.notification.user_id, task.delivery.channel)
            for task in ours
            if _is_trial(task, follows[task.delivery.id])
        )
        _switch_on(
            [
                task
                for task in ours
                if task.was_dead and follows[task.delivery.id] is None and not task.notification.is_test
            ]
        )
        _switch_off([task for task in ours if _is_dead_address(task, follows[task.delivery.id], happened)], now)
        started = follow([task.notification for task in ours])
    ring(started)
    alarm.tell(happened, ours)
    return [_outcome(task, _status(task, follows[task.delivery.id])) for task in ours]


Follows = RetryAt | Stop | None  # None: it has gone out


def _tallies(tasks: Sequence[Task]) -> dict[str, Tally]:
    """The batch's results for its providers. The sandbox's faults are simulated, and do not count."""
    tallies: dict[str, Tally] = {}
    for task in tasks:
        for latest in task.tries:
            if latest.adapter.is_sandbox or (
                latest.error and latest.error.code in ("template_error", "internal_error")
            ):
                continue
            if isinstance(
                latest.error, RateLimited
            ):  # of whom it counts: not of others who are served by the same host
                slowed = tallies.setdefault(latest.adapter.receiver(task.recipient), Tally())
                slowed.blocked_ms = max(slowed.blocked_ms, round(latest.error.retry_after * 1000))
                continue
            tally = tallies.setdefault(latest.adapter.scope(task.recipient), Tally())
            match latest.error:
                case None | Permanent():
                    tally.good += 1
                    tally.invalid += isinstance(latest.error, InvalidRecipient)
                case Misconfigured(is_certain=is_certain):
                    tally.bad += 1
                    tally.is_misconfigured = tally.is_misconfigured or is_certain
                case _:
                    tally.bad += 1
    return tallies


def _what_follows(task: Task, now: datetime) -> Follows:
    error = task.tries[-1].error
    if error is None:
        return None
    return decide_next(
        error,
        Situation(
            priority=task.delivery.priority,
            failures=task.delivery.failures + _used_up(task),
            now=now,
            expires_at=task.delivery.expires_at,
            safe_to_repeat=task.tries[-1].adapter.is_safe_to_repeat,
            resend_unknown=task.type.resends_unknown,
            spread=random.uniform(-1, 1),
            delays_s=current_settings().retry_delays,
        ),
    )


def _used_up(task: Task) -> int:
    """Attempts used up: one for a round through the providers, none when all they said was to slow down."""
    return int(any(latest.error and not isinstance(latest.error, RateLimited) for latest in task.tries))


def _status(task: Task, follows: Follows) -> str:
    if follows is None:
        receipt = task.tries[-1].receipt
        assert receipt is not None
        return receipt.status
    return follows.status if isinstance(follows, Stop) else lifecycle.WAITING


def _move(task: Task, follows: Follows, now: datetime) -> Move:
    """The delivery after this round."""
    latest, status = task.tries[-1], _status(task, follows)
    error = latest.error
    due_at = follows.at if isinstance(follows, RetryAt) else task.delivery.due_at
    columns = {
        "reason": "retry" if isinstance(follows, RetryAt) else None,
        "provider": latest.adapter.name,
        "provider_message_id": ((latest.receipt and latest.receipt.provider_message_id) or "")[:255] or None,
        "tries": latest.number,
        "failures": task.delivery.failures + (_used_up(task) if follows else 0),
        "outcome": _outcome_of(error) if error else None,
        "code": (error.code[:64] or None) if error else None,
        "failed_at": now if error else None,
        "failed_type": task.type.key if error else None,
        "due_at": due_at,
        "wake_at": due_at if isinstance(follows, RetryAt) else None,
        "sent_at": None if follows else now,
        "delivered_at": now if status == lifecycle.DELIVERED else None,
    }
    return Move(task.delivery.id, task.notification.id, lifecycle.SENDING, status, columns)


def _is_dead_address(task: Task, follows: Follows, happened: Mapping[str, str]) -> bool:
    """Switched off, unless its provider calls so many dead that the fault must be ours."""
    is_dead = task.address is not None and isinstance(follows, Stop) and follows.disables_address
    return is_dead and task.tries[-1].adapter.scope(task.recipient) not in happened


def _switch_off(tasks: Sequence[Task], now: datetime) -> None:
    """Switches addresses off with the provider's word for it, and remembers them, should they be given again."""
    if not tasks:
        return
    reasons: dict[str, list[Task]] = {}
    for task in tasks:
        error = task.tries[-1].error
        reasons.setdefault(((error.code if error else "") or "invalid_recipient")[:64], []).append(task)
    rows = []
    for reason, dead in reasons.items():
        addresses = [task.address for task in dead if task.address]
        db.session.execute(
            sa.update(Address)
            .where(
                Address.id.in_([address.id for address in addresses if address.id])
            )  # none: it came with the notification
            .values(disabled_at=now, disabled_reason=reason)
            .execution_options(synchronize_session=False)
        )
        rows += [
            {"digest": a.digest, "scope": "*", "channel": a.channel, "reason": reason, "created_at": now}
            for a in addresses
        ]
    statement = insert(Suppression)
    again = statement.on_conflict_do_update(
        index_elements=["digest", "scope"], set_={name: statement.excluded[name] for name in ("reason", "created_at")}
    )
    db.session.execute(again, sorted({row["digest"]: row for row in rows}.values(), key=lambda row: str(row["digest"])))


def _switch_on(tasks: Sequence[Task]) -> None:
    """The address was tried once more, and works again."""
    addresses = [task.address for task in tasks if task.address]
    if not addresses:
        return
    db.session.execute(
        sa.update(Address)
        .where(Address.id.in_([address.id for address in addresses]))
        .values(disabled_at=None, disabled_reason=None)
        .execution_options(synchronize_session=False)
    )
    forget_bounces(address.digest for address in addresses)


def _happened(tasks: Sequence[Task], follows: Mapping[UUID, Follows], now: datetime) -> Iterator[tallies.Happened]:
    """The events that the counters get for ended deliveries."""
    for task in tasks:
        if task.notification.is_test or isinstance(follows[task.delivery.id], RetryAt):
            continue
        channel, status = task.delivery.channel, _status(task, follows[task.delivery.id])
        if status in (lifecycle.SENT, lifecycle.DELIVERED):
            yield channel, tallies.SENT
            since = (
                task.delivery.due_at
                if task.delivery.due_at and not task.delivery.failures
                else task.notification.created_at
            )
            yield channel, tallies.latency((now - max(since, task.notification.created_at)).total_seconds() * 1000)
        if status == lifecycle.DELIVERED:
            yield channel, tallies.DELIVERED
        if status in lifecycle.DEAD:
            yield channel, tallies.FAILED


def _is_trial(task: Task, follows: Follows) -> bool:
    """Whether it is a trial of a channel from which routing `best` learns."""
    return follows is None and task.notification.routing == BEST and not task.notification.is_test


def _has_capture(task: Task) -> bool:
    receipt = task.tries[-1].receipt
    return bool(receipt and receipt.captured)


def _attempt_row(task: Task, latest: Try, still_here: Collection[str]) -> dict[str, Any]:
    """Without the provider's message if the person was erased during the send."""
    error = latest.error
    message = str(error)[:_LONGEST_MESSAGE] if error and task.notification.user_id in still_here else None
    return {
        "delivery_id": task.delivery.id,
        "number": latest.number,
        "provider": latest.adapter.name,
        "outcome": latest.receipt.status if latest.receipt else _outcome_of(error),
        "code": (error.code[:64] or None) if error else None,
        "message": message,
        "duration_ms": latest.duration_ms,
        "at": latest.started_at,
    }


def _capture_row(task: Task, now: datetime) -> dict[str, Any]:
    receipt = task.tries[-1].receipt
    return {
        "id": new_id(),
        "delivery_id": task.delivery.id,
        "user_id": task.notification.user_id,
        "channel": task.delivery.channel,
        "content": dict((receipt and receipt.captured) or {}),
        "at": now,
    }


def _outcome(task: Task, status: str) -> Outcome:
    latest = task.tries[-1]
    event = {
        "delivery": show("dlv", task.delivery.id),
        "channel": task.delivery.channel,
        "provider": latest.adapter.name,
        "status": status,
    }
    event["request_id"] = task.notification.request_id
    if latest.error is None:
        log.info("delivery.sent", **event, duration_ms=latest.duration_ms)
        return Outcome(task.delivery.id, status)
    log.warning(
        "delivery.try_failed",
        **event,
        outcome=type(latest.error).__name__,
        code=latest.error.code,
        attempt=latest.number,
    )
    return Outcome(task.delivery.id, status, f"{type(latest.error).__name__}: {latest.error}"[:_LONGEST_MESSAGE])


def _outcome_of(error: DeliveryError | None) -> str:
    """The class of an error as it is stored and shown: `rate_limited`."""
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in type(error).__name__).lstrip("_")
