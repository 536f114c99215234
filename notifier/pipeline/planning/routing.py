"""Starts or drops the later steps of routed notifications, in the transaction in which an earlier step ended or was
read.

Called by `delivery` for sent, failed and dropped deliveries, by `intake.cancel` and by `upkeep.due`; `planning.store`
takes the steps of what it is about to store with the same `steps_of` and `turns_taken`. (A read in the inbox drops
needless deliveries in `inbox.marks`.)
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier import channels
from notifier.catalogue.known import load_types
from notifier.channels import serving
from notifier.core import lifecycle
from notifier.core.facts import Facts
from notifier.core.receipts import PERSON
from notifier.core.routing import (
    ALL,
    BEST,
    ESCALATE,
    FALLBACK,
    FIRST,
    PATIENCE,
    next_move,
    overtaken,
)
from notifier.ground import metrics
from notifier.ground.clock import now as clock_now
from notifier.ground.database import named
from notifier.ground.extensions import db
from notifier.ledgers.moves import Move, move_each
from notifier.models import Delivery, Notification, Receipt
from notifier.people.person import load_people
from notifier.pipeline.planning.orders import Order, planner_facts
from notifier.pipeline.planning.steps import STEP, Held, put_off_behind, steps_of, turns_taken
from notifier.signals.queueing import Doorbell

_deliveries: sa.Table = Delivery.__table__
_notifications: sa.Table = Notification.__table__
_NOTIFICATION = [
    _notifications.c[name] for name in ("id", "user_id", "type", "priority", "is_test", "routing", "is_perishable")
]
# Opened in the inbox, or by a person elsewhere: a mail client that opens by itself moves the status, but reads nothing
_MARKED_BY_PEOPLE = [name for name, channel in channels.CHANNELS.items() if channel.address is None]
_IS_READ = sa.and_(
    _deliveries.c.status.in_(lifecycle.READ),
    sa.or_(
        _deliveries.c.channel.in_(_MARKED_BY_PEOPLE),
        sa.exists().where(
            Receipt.delivery_id == _deliveries.c.id,
            Receipt.status.in_(lifecycle.READ),
            Receipt.by == PERSON,
            Receipt.applied_at.is_not(None),
        ),
    ),
)


def follow(notifications: Iterable[Any]) -> list[Doorbell]:
    """Starts the next step where its turn has come, or says when it will be, and drops the rest where nothing is left
    to do.

    → the doorbells to ring after the commit. A constant number of statements; none when no notification is routed.
    """
    routed = _lock(notifications)
    if not routed:
        return []
    rows = named(
        db.session.execute(
            sa.select(*STEP, _IS_READ.label("is_read"))
            .where(_deliveries.c.notification_id.in_(routed))
            .order_by(_deliveries.c.step, _deliveries.c.id)
        )
    )
    now, read = clock_now(), {row.id for row in rows if row.is_read}
    mine: dict[UUID, list[Any]] = {}
    for row in rows:
        mine.setdefault(row.notification_id, []).append(row)
    moves = {
        key: next_move(one.routing, steps_of(mine.get(key, ()), read), now, PATIENCE[one.priority])
        for key, one in routed.items()
    }
    facts = _facts([routed[key] for key, move in moves.items() if move.turns])
    taken: dict[UUID, tuple[str, dict[str, Any]]] = {}
    for key, move in moves.items():
        there = [row for row in mine.get(key, ()) if row.channel in channels.CHANNELS]
        taken |= turns_taken(there, move.turns, facts.get(key), now)
    held: dict[UUID, Held] = {}
    moved: dict[UUID, Move] = {}
    gone: dict[UUID, Any] = {}  # steps on channels that no adapter has any more → their notifications
    for row in rows:
        move = moves[row.notification_id]
        if row.id in move.turns and row.channel not in channels.CHANNELS:
            gone[row.id] = routed[row.notification_id]
        if row.id in move.drop or row.id in gone:
            kept = {name: getattr(row, name) for name in ("detail", "due_at", "expires_at")}
            dropped = {"reason": "channel_off" if row.id in gone else move.reason, "wake_at": None, **kept}
            moved[row.id] = Move(
                row.id, row.notification_id, row.broadcast_id, lifecycle.WAITING, lifecycle.SKIPPED, dropped
            )
        elif row.id in move.turns:
            status, columns = taken[row.id]
            if columns["due_at"] > max(move.turns[row.id], now):
                late = columns["due_at"] - move.turns[row.id]
                held[row.notification_id] = Held(row.step, columns["due_at"], late, columns["expires_at"])
            moved[row.id] = Move(row.id, row.notification_id, row.broadcast_id, lifecycle.WAITING, status, columns)
            has_begun = columns["reason"] is None  # a batch that is rolled back counts once more
            if has_begun and row.reason == FALLBACK and not routed[row.notification_id].is_test:
                metrics.series(metrics.fallbacks, row.channel).inc()
    ours = _hold([key for key, one in moved.items() if one.new == lifecycle.SKIPPED])
    moved = {key: one for key, one in moved.items() if one.new != lifecycle.SKIPPED or key in ours}
    move_each(list(moved.values()))
    put_off_behind(held)
    bells = [Doorbell.of(row) for row in rows if row.id in moved and moved[row.id].new == lifecycle.QUEUED]
    return bells + follow(one for key, one in gone.items() if key in moved)  # the steps behind those


def _lock(notifications: Iterable[Any]) -> dict[UUID, Any]:
    """Locks the routed ones, until the end of the transaction.

    Two workers may end, or begin, two deliveries of one notification: its row decides whose turn it is, and the second
    sees the first one's changes. All lock the rows in one order, after their own deliveries.
    """
    wanted = {notification.id for notification in notifications if notification.routing != ALL}
    if not wanted:
        return {}
    locked = (
        sa.select(*_NOTIFICATION)
        .where(_notifications.c.id.in_(wanted))
        .order_by(_notifications.c.id)
        .with_for_update(key_share=True)
    )
    return {row.id: row for row in named(db.session.execute(locked))}


def rivals(deliveries: Sequence[Any], notifications: Iterable[Any]) -> dict[UUID, str]:
    """Delivery → why it is not to go out now: another step has (`not_needed`), or is being tried (`being_tried`). One
    statement beside the lock.

    `deliveries` are about to be sent, or shown, by this very transaction; of two of one notification the earlier step
    goes.
    """
    routed = {key for key, one in _lock(notifications).items() if one.routing in (FIRST, BEST)}
    if not routed:
        return {}
    ours = {delivery.id for delivery in deliveries}
    begun_ones = lifecycle.SUCCEEDED | {lifecycle.SENDING, lifecycle.UNKNOWN}
    found = sa.select(_deliveries.c.id, _deliveries.c.notification_id, _deliveries.c.step, _deliveries.c.status)
    others: dict[UUID, list[Any]] = {}
    for row in db.session.execute(
        found.where(_deliveries.c.notification_id.in_(routed), _deliveries.c.status.in_(begun_ones))
    ):
        others.setdefault(row.notification_id, []).append(row)
    answers = {
        delivery.id: overtaken(
            delivery.step,
            [
                (row.step, row.status)
                for row in others.get(delivery.notification_id, ())
                if row.id not in ours or row.step < delivery.step
            ],
        )
        for delivery in deliveries
    }
    return {key: answer for key, answer in answers.items() if answer is not None}


def _facts(notifications: Sequence[Any]) -> dict[UUID, Facts]:
    """The facts needed before a step starts: whether the person may be disturbed. None for erased people."""
    if not notifications:
        return {}
    persons = load_people(notification.user_id for notification in notifications)
    types = load_types(notification.type for notification in notifications)
    registry = serving.registry()
    return {
        n.id: planner_facts(
            Order(types[n.type], n.priority, is_perishable=n.is_perishable, routing=n.routing),
            persons[n.user_id],
            registry.facts(is_test=n.is_test),
        )
        for n in notifications
        if n.user_id in persons
    }


def _hold(needless: Sequence[UUID]) -> set[UUID]:
    """Locks those that still wait. A transaction that holds one at this moment is sending it, and checks its `rivals`
    first.
    """
    still = sa.select(_deliveries.c.id).where(_deliveries.c.id.in_(needless), _deliveries.c.status == lifecycle.WAITING)
    return set(db.session.scalars(still.with_for_update(skip_locked=True, key_share=True))) if needless else set()


def read_already(notifications: Iterable[Any]) -> set[UUID]:
    """Those that end when they are read, and have been read. One query, none when nothing is escalated."""
    wanted = {notification.id for notification in notifications if notification.routing == ESCALATE}
    if not wanted:
        return set()
    return set(
        db.session.scalars(
            sa.select(_deliveries.c.notification_id).where(_deliveries.c.notification_id.in_(wanted), _IS_READ)
        )
    )
