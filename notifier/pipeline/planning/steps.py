"""The steps of a routing: when each has its turn, and how much later it comes where one before it is kept waiting.

Called by `routing` and `store`, and by `delivery.claim` as it puts a step off.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier import channels
from notifier.core import lifecycle
from notifier.core.facts import Facts
from notifier.core.plan import turn_of
from notifier.core.questions import outlived
from notifier.core.routing import ESCALATION, FALLBACK, OUTAGE, Step, is_held, is_stuck
from notifier.ground import shapes
from notifier.ground.extensions import db
from notifier.ledgers.moves import Move, move_each
from notifier.models import Delivery
from notifier.signals.queueing import DOORBELL_GRACE

_deliveries: sa.Table = Delivery.__table__
STEP = [
    _deliveries.c[name]
    for name in (
        *("id", "notification_id", "channel", "priority", "step", "status", "reason", "detail", "outcome", "failures"),
        *("due_at", "expires_at", "broadcast_id"),
    )
]


@dataclass(frozen=True, slots=True)
class Held:
    """A step that waits `until` quiet hours or a mute end, so much `late`, and how long it lives."""

    step: int
    until: datetime
    late: timedelta
    expires_at: datetime | None


def steps_of(deliveries: Iterable[Any], read: Collection[UUID] = ()) -> list[Step]:
    """Deliveries, or rows of their columns, as `next_move` takes them. `read`: those that a person has opened."""
    return [
        Step(
            d.id,
            d.step,
            d.status,
            is_held(d.status, d.reason),
            d.due_at,
            is_stuck(d.status, d.reason, d.outcome, d.failures),
            d.id in read,
        )
        for d in deliveries
    ]


def turns_taken(
    deliveries: Iterable[Any], turns: Mapping[Any, datetime], facts: Facts | None, now: datetime
) -> dict[Any, tuple[str, dict[str, Any]]]:
    """As `begun`, for each of one notification whose turn comes. Behind a step that waits for the end of quiet hours
    the others come as much later, and not all at once when these are over.
    """
    taken = {}
    step, late, latest = 0, timedelta(0), timedelta(0)
    for delivery in sorted((one for one in deliveries if one.id in turns), key=attrgetter("step")):
        if delivery.step != step:
            step, late = delivery.step, latest
        status, columns = begun(delivery, facts, turns[delivery.id] + late, now)
        latest = max(latest, columns["due_at"] - turns[delivery.id])
        taken[delivery.id] = status, columns
    return taken


def put_off_behind(held: Mapping[UUID, Held]) -> None:
    """By notification, whose rows are locked: what is behind a step that waits for the end of quiet hours lives as
    long, and where it would come before, it comes as much later. As if they had been known of at planning. Two
    statements, none where nothing is held.
    """
    if not held:
        return
    behind = sa.select(*STEP).where(
        _deliveries.c.notification_id.in_(held),
        _deliveries.c.status == lifecycle.WAITING,
        _deliveries.c.reason.in_((FALLBACK, ESCALATION)),
    )
    moved = []
    for row in db.session.execute(behind.order_by(_deliveries.c.id).with_for_update(skip_locked=True, key_share=True)):
        one = held[row.notification_id]
        if row.step <= one.step:
            continue
        due_at, detail = row.due_at, row.detail
        if row.reason == ESCALATION and due_at is not None and due_at <= one.until:
            due_at += one.late
            detail = {**detail, "until": shapes.timestamp(due_at)}
        expires_at = max(row.expires_at, one.expires_at) if row.expires_at and one.expires_at else None
        columns = {"due_at": due_at, "wake_at": due_at or expires_at, "expires_at": expires_at, "detail": detail}
        about = (row.id, row.notification_id, row.broadcast_id)
        moved.append(Move(*about, lifecycle.WAITING, lifecycle.WAITING, columns))
    move_each(moved)


def begun(delivery: Any, facts: Facts | None, at: datetime, now: datetime) -> tuple[str, dict[str, Any]]:
    """The status and columns of a step whose turn comes `at`: it goes out, or waits until then, or for the end of quiet
    hours. No facts: nobody to disturb.
    """
    until, reason = turn_of(facts, delivery.channel, at) if facts else (None, None)
    due_at = until or at
    if due_at > now:
        because = {"because": OUTAGE} if delivery.reason == FALLBACK and not until else {}
        detail = {**delivery.detail, "until": shapes.timestamp(due_at), **because}
        values = {
            "reason": reason or delivery.reason,
            "due_at": due_at,
            "detail": detail,
            "expires_at": delivery.expires_at,
        }
        if until and facts:
            values["expires_at"] = outlived(delivery.expires_at, until - at, is_perishable=facts.is_perishable)
        return lifecycle.WAITING, {**values, "wake_at": due_at}
    values = {"reason": None, "due_at": now, "detail": delivery.detail, "expires_at": delivery.expires_at}
    if channels.CHANNELS[delivery.channel].address is None:
        return lifecycle.WAITING, {**values, "wake_at": now}  # in-app: the scheduler shows it
    return lifecycle.QUEUED, {**values, "wake_at": now + DOORBELL_GRACE}
