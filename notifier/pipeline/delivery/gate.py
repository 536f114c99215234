"""The last gate before a send, of what costs money: the guard against SMS pumping, and the producer's daily spend.

Called between `delivery.admit` and the send, once per batch; nothing is asked for channels that are not charged for,
nor for the sandbox and test keys. What does not pass is skipped for good: a code that is sent at midnight helps nobody.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from notifier.channels import CHANNELS
from notifier.channels.contract import MESSAGE
from notifier.core import lifecycle
from notifier.core.reasons import NEW_PHONES, SPEND_LIMIT
from notifier.core.segments import Price, segments
from notifier.core.spend import micros
from notifier.ground import metrics
from notifier.ground.clock import now as clock_now
from notifier.ground.config import current_settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import limit_stops, new_phones, spend
from notifier.ledgers.limit_stops import Stop
from notifier.ledgers.moves import Move, move_each
from notifier.ledgers.new_phones import NewPhone
from notifier.ledgers.spend import Charge
from notifier.pipeline.delivery import held_up
from notifier.pipeline.delivery.task import Outcome, Task
from notifier.pipeline.planning.routing import follow
from notifier.queries.producer_limits import ceiling_of
from notifier.signals.queueing import ring

NOBODY = UUID(int=0)  # the product itself, in the place of a producer
NEW_FOR = timedelta(days=1)
_POLICY_OF = {NEW_PHONES: "new_phones", SPEND_LIMIT: "spend"}

log = structlog.get_logger()


def pay(tasks: Sequence[Task]) -> tuple[list[Task], list[Outcome]]:
    """→ those that may be sent, and what became of the others. What cannot be counted is held up."""
    charged = [task for task in tasks if _is_charged(task)]
    if not charged:
        return list(tasks), []
    try:
        return _pay(tasks, charged)
    except Exception as error:
        obstacle = held_up.obstacle(error, "what it costs could not be counted", len(charged))
        for task in charged:
            task.obstacle = obstacle
        return list(tasks), []


def _pay(tasks: Sequence[Task], charged: Sequence[Task]) -> tuple[list[Task], list[Outcome]]:
    stopped = _too_many_new([task for task in charged if CHANNELS[task.delivery.channel].charged_by != MESSAGE])
    stopped |= _not_afforded([task for task in charged if task.delivery.id not in stopped], stopped, charged)
    outcomes = _skip([task for task in charged if task.delivery.id in stopped], stopped)
    return [task for task in tasks if task.delivery.id not in stopped], outcomes


def _is_charged(task: Task) -> bool:
    """What the product itself tells those who run the installation passes, whatever has been spent. Producers may
    alert them, too, as often as they like: that costs them as all else does.
    """
    unit = CHANNELS[task.delivery.channel].charged_by
    if unit is None or task.notification.is_test or (unit == MESSAGE and _price(task) is None):
        return False
    if task.type.to_admins and task.notification.producer_id is None:
        return False
    return not task.adapters[0].is_sandbox and not isinstance(task.message, str)


def _producer(task: Task) -> UUID:
    found: UUID | None = task.notification.producer_id
    return found or NOBODY


def _too_many_new(tasks: Sequence[Task]) -> dict[UUID, str]:
    """Broadcasts go to people who are on record, many of them new to SMS: they are not guarded."""
    oldest = clock_now() - NEW_FOR
    fresh = [
        task
        for task in tasks
        if task.delivery.broadcast_id is None
        and task.address is not None
        and (task.address.created_at is None or task.address.created_at > oldest)
    ]
    over = new_phones.over_limit([_phone(task) for task in fresh])
    return {fresh[index].delivery.id: NEW_PHONES for index in over}


def _phone(task: Task) -> NewPhone:
    assert task.address is not None
    return NewPhone(_producer(task), task.address.value, task.address.digest)


def _not_afforded(tasks: Sequence[Task], stopped: dict[UUID, str], charged: Sequence[Task]) -> dict[UUID, str]:
    """Reserves what the rest cost, and notes what has been stopped. No statement where no price is known, no ceiling
    set and nothing stopped.
    """
    now = clock_now()
    ceilings = {key: ceiling_of(key) for key in {_producer(task) for task in tasks}}
    charges = [
        Charge(task.delivery.id, task.delivery.tries, _producer(task), _cost(task))
        for task in tasks
        if _price(task) is not None or ceilings[_producer(task)] is not None
    ]
    db.session.close()  # the ceilings may have been read: no transaction is open while sending
    if not charges and not stopped:
        return {}
    with transaction():
        refused = {charges[index] for index in spend.reserve(charges, ceilings, now)} if charges else set()
        found = {charge.delivery_id: SPEND_LIMIT for charge in refused}
        blocks = (_phone(task) for task in charged if task.delivery.id in stopped)
        notes = {Stop(_POLICY_OF[NEW_PHONES], phone.producer_id, phone.block) for phone in blocks}
        notes |= {Stop(_POLICY_OF[SPEND_LIMIT], charge.producer_id) for charge in refused}
        limit_stops.note(notes, now)
    for task in tasks:
        task.is_reserved = bool(charges) and task.delivery.id not in found
    return found


def _price(task: Task) -> Price | None:
    channel, settings = CHANNELS[task.delivery.channel], current_settings()
    if channel.charged_by == MESSAGE:
        return settings.message_prices.get(channel.name)
    return settings.prices.get(channel.charged_by or "")


def _cost(task: Task) -> int | None:
    price, unit = _price(task), CHANNELS[task.delivery.channel].charged_by
    if price is None or isinstance(task.message, str):
        return None
    return micros(price.amount * (segments(task.message.content.body).count if unit == "segment" else 1))


def _skip(tasks: Sequence[Task], reasons: dict[UUID, str]) -> list[Outcome]:
    """A transaction of its own: the ledger's rows are never locked together with deliveries, which `record` locks
    first.
    """
    if not tasks:
        return []
    moved = []
    for task in tasks:
        delivery, reason = task.delivery, reasons[task.delivery.id]
        metrics.limited.labels(_POLICY_OF[reason]).inc()
        columns = {"tries": delivery.tries - 1, "reason": reason, "wake_at": None}
        still = {"tries": delivery.tries}  # or it is somebody else's now
        about = (delivery.id, task.notification.id, delivery.broadcast_id)
        moved.append(Move(*about, lifecycle.SENDING, lifecycle.SKIPPED, columns, still))
    with transaction():
        move_each(moved)
        started = follow([task.notification for task in tasks])
    ring(started)
    return [Outcome(task.delivery.id, lifecycle.SKIPPED, reasons[task.delivery.id]) for task in tasks]
