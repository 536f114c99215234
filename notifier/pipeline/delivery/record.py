"""Records the results of finished sends (T3) and what follows from them: retries, the next channel, tallies, captures,
alarms.

Called by `delivery.deliver` and by the worker's handler in `jobs`.
"""

from collections.abc import Sequence
from itertools import chain
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.core import lifecycle
from notifier.core.errors import InvalidRecipient, Misconfigured, OptedOut, Permanent, RateLimited
from notifier.ground import logs, metrics
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import scores, spend, tallies
from notifier.ledgers.moves import move_each
from notifier.models import Address, Attempt, Capture, Delivery
from notifier.people import suppressions
from notifier.people.profiles import known_ids
from notifier.pipeline.delivery import alarm, kept_receipts, metering
from notifier.pipeline.delivery.finished import Finished, finished
from notifier.pipeline.delivery.said import ids_of
from notifier.pipeline.delivery.task import Outcome, Task
from notifier.pipeline.planning.routing import follow
from notifier.providers import health
from notifier.providers.health import Tally
from notifier.signals.queueing import ring

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
    done = [finished(task, now) for task in tasks]
    with transaction() as session:
        # By id alone: for pairs of id and tries SQLite would read the whole table.
        sending = sa.select(Delivery.id, Delivery.tries).where(
            Delivery.id.in_([task.delivery.id for task in tasks]), Delivery.status == lifecycle.SENDING
        )
        held = {tuple(row) for row in session.execute(sending.order_by(Delivery.id).with_for_update())}
        # The others lost their lease and belong to another worker now.
        ours = [one for one in done if (one.task.delivery.id, one.task.delivery.tries) in held]
        if ours:
            known = known_ids(one.task.notification.user_id for one in ours)
            still_here = [one.task.notification.user_id in known for one in ours]
            attempts = [one.attempts(with_messages=here) for one, here in zip(ours, still_here, strict=True)]
            session.execute(sa.insert(Attempt.__table__), list(chain.from_iterable(attempts)))
            move_each([one.move() for one in ours])
            captures = [row for one, here in zip(ours, still_here, strict=True) if here and (row := one.capture())]
            if captures:
                session.execute(sa.insert(Capture.__table__), captures)
            kept_receipts.foretell(ours)
            spend.settle({one.place: one.may_have_gone_out for one in ours if one.task.is_reserved})
        tallies.count(event for one in ours for event in one.happened())
        scores.count_sent((one.task.notification.user_id, one.task.delivery.channel) for one in ours if one.is_trial)
        _switch_on([one.task for one in ours if one.revives_its_address])
        # Unless the provider calls so many addresses dead that the fault must be ours.
        condemned = [one for one in ours if one.condemns_its_address]
        condemned = [one for one in condemned if one.latest.adapter.scope(one.task.recipient) not in happened]
        suppressions.switch_off([dead for one in condemned if (dead := _dead(one))])
        stopped = [one for one in ours if isinstance(one.latest.error, OptedOut)]
        suppressions.stop(
            (address.digest, address.channel, one.task.delivery.channel, one.latest.adapter.name)
            for one in stopped
            if (address := one.task.address)
        )
        started = follow([one.task.notification for one in ours])
        heard_of = [one for one in ours if any(t.adapter.tells for t in one.task.tries)]
        told = kept_receipts.told_already(*_traces(heard_of))
    ring(started)
    if told:
        kept_receipts.apply_now(told)
    alarm.tell(happened, [one.task for one in ours])
    metrics.series(metrics.batch_items, "record").observe(len(tasks))
    metering.count_sends(ours)
    with logs.at_once():
        for one in ours:
            _log(one)
    return [one.outcome() for one in ours]


def _log(one: Finished) -> None:
    task, latest = one.task, one.latest
    event = {
        **ids_of(task.notification, task.notification.id, task.delivery.id),
        "channel": task.delivery.channel,
        "provider": latest.adapter.name,
        "status": one.status,
    }
    if latest.error is None:
        log.info("delivery.sent", **event, duration_ms=latest.duration_ms)
    else:
        failure = {"outcome": type(latest.error).__name__, "code": latest.error.code, "attempt": latest.number}
        log.warning("delivery.try_failed", **event, **failure)


def _tallies(tasks: Sequence[Task]) -> dict[str, Tally]:
    """The batch's results for its providers. The sandbox's faults are simulated, and do not count."""
    tallies: dict[str, Tally] = {}
    for task in tasks:
        for latest in task.tries:
            if latest.adapter.is_sandbox or (
                latest.error and latest.error.code in ("template_error", "internal_error")
            ):
                continue
            if isinstance(latest.error, RateLimited) and latest.error.is_of_recipient:
                continue  # the delivery waits, and nobody else does
            # Of whom it counts: not of others who are served by the same host
            if isinstance(latest.error, RateLimited):
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


def _traces(ours: Sequence[Finished]) -> tuple[list[UUID], list[str]]:
    """By what their providers may have spoken of them already: the delivery's id, and what they called the message."""
    said = (one.latest.receipt.provider_message_id for one in ours if one.latest.receipt)
    return [one.task.delivery.id for one in ours], [message_id for message_id in said if message_id]


def _dead(one: Finished) -> suppressions.Dead | None:
    """The address that the provider says will never work."""
    address, error = one.task.address, one.latest.error
    if address is None:
        return None
    reason = (error.code if error else "") or "invalid_recipient"
    delivery, provider = one.task.delivery, one.latest.adapter.name
    found_at = (error.since if isinstance(error, InvalidRecipient) else None) or one.latest.started_at
    return suppressions.Dead(
        address.id, address.digest, address.channel, delivery.channel, reason, provider, delivery.id, found_at
    )


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
    suppressions.forget_bounces(address.digest for address in addresses)
