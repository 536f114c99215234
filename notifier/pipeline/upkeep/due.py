"""Finds due deliveries and items, and rings or shows them, again and again; and deletes old rows.

Called by the scheduler. Each function takes a bounded number of rows by the index on `wake_at`, moves each row once
(rows that another scheduler holds are passed over), commits, and only then rings.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier import channels
from notifier.catalogue.known import load_types
from notifier.core import broadcasts, lifecycle
from notifier.core.decisions import Wait
from notifier.core.latency import promise
from notifier.core.message import Content
from notifier.core.routing import FALLBACK, PAUSED
from notifier.core.worlds import SYNTHETIC
from notifier.ground import database, metrics, partitions
from notifier.ground.apart import AGAIN_AFTER, all_or_apart
from notifier.ground.clock import now as clock_now
from notifier.ground.config import current_settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import first_at
from notifier.ground.ids import show as shown
from notifier.ledgers import tallies
from notifier.ledgers.meters import Shown
from notifier.ledgers.moves import Move, move, move_each
from notifier.models import Capture, Delivery, EventType, IdempotencyKey, Notification
from notifier.people.person import Person, as_given, load_people, reader_as_given, recall_readers
from notifier.pipeline.delivery import outages
from notifier.pipeline.planning import last_look, pacing, replacing
from notifier.pipeline.planning.beforehand import SHOWN_BY_US, Beforehand
from notifier.pipeline.planning.halted import halted
from notifier.pipeline.planning.last_look import Behind, Drop
from notifier.pipeline.planning.replacing import Place
from notifier.pipeline.planning.routing import follow, read_already, rivals
from notifier.pipeline.planning.show import Fate, Showing, left_out, show
from notifier.pipeline.planning.store import Stored, announce
from notifier.providers import pausing
from notifier.signals.pressing import give_way, has_pressing
from notifier.signals.queueing import DOORBELL_GRACE, Doorbell
from notifier.words.compose import Wanted

BATCH = pacing.BATCH
BESIDE_PRESSING = 100  # released in one transaction while there is urgent work
_TURN_S = 0.25  # of such releases, beside the other tasks
_IDEMPOTENCY_KEPT = timedelta(hours=24)
_HAS_INBOX = sa.or_(Notification.is_test.is_(False), Notification.user_id == SYNTHETIC)  # `worlds.has_inbox`

log = structlog.get_logger()


def ring_due() -> int:
    """Deliveries whose time has come: waiting → queued (rung), or shown in the inbox, or expired. Returns how many
    moved: BATCH at most, and while there is urgent work a few at a time, with pauses, for a moment.

    The most pressing first, and no more of each kind than its queue has room for (`pacing`). Deliveries on a paused
    channel, or of a paused broadcast, are held until it is resumed.
    """
    until, moved = time.monotonic() + _TURN_S, 0
    while moved < BATCH and time.monotonic() < until:
        begun = time.monotonic()
        ids = pacing.due(clock_now(), pacing.room())[: BATCH - moved]
        db.session.close()
        gives_way = len(ids) > BESIDE_PRESSING and has_pressing()
        if ids:
            moved += all_or_apart(ids[:BESIDE_PRESSING] if gives_way else ids, _release, _put_off)
        if not gives_way:
            break
        give_way(begun)
    return moved


def _put_off(id: UUID) -> None:
    log.exception("due.not_released", delivery=shown("dlv", id))
    again_at = clock_now() + AGAIN_AFTER
    with transaction() as session:
        session.execute(
            sa.update(Delivery.__table__)
            .where(Delivery.id == id, Delivery.status == lifecycle.WAITING)
            .values(wake_at=again_at)
        )


def _release(ids: Sequence[UUID]) -> int:
    """One transaction."""
    now = clock_now()
    stored = Stored()
    turn = {key: place for place, key in enumerate(ids)}
    words = _words(turn)
    with transaction() as session:
        # By their ids: by a bare status and time, SQLite would read all that has come due
        is_waiting = Delivery.status.concat("") == lifecycle.WAITING
        held = sa.select(Delivery).where(Delivery.id.in_(turn), is_waiting, Delivery.wake_at <= now)
        due = sorted(session.scalars(held.with_for_update(skip_locked=True)), key=lambda delivery: turn[delivery.id])
        expired, live = split(due, lambda delivery: is_expired(delivery, now))
        stopped = pausing.paused_of({delivery.channel for delivery in live})
        ended = halted(delivery.broadcast_id for delivery in live)
        held_up, live = split(live, lambda d: d.channel in stopped or ended.get(d.broadcast_id) == broadcasts.PAUSED)
        cancelled, live = split(live, lambda delivery: delivery.broadcast_id in ended)
        ours, queued = split(live, _is_ours(live))
        move([d.id for d in expired], lifecycle.EXPIRED, reason="expired", wake_at=None)
        move([d.id for d in cancelled], lifecycle.CANCELLED, reason="cancelled", wake_at=None)
        move([d.id for d in queued], lifecycle.QUEUED, reason=None, wake_at=now + DOORBELL_GRACE)
        if ours:
            stored = _show(ours, words, now)
        stored.doorbells += _wait_for_resumption(held_up, stopped, now)
    stored.doorbells += doorbells(queued)
    for delivery in queued:
        if delivery.reason == FALLBACK:  # of those that have waited for the end of an outage long enough
            metrics.series(metrics.fallbacks, delivery.channel).inc()
    announce(stored)
    if due:
        log.info("due.released", queued=len(queued), inapp=len(ours), expired=len(expired), paused=len(held_up))
    return len(due)


def _wait_for_resumption(
    deliveries: Sequence[Delivery], paused_channels: Collection[str], now: datetime
) -> list[Doorbell]:
    """Leaves them `waiting` until their channel, or else their broadcast, is resumed. → doorbells of the next channels,
    where a routing does not wait so long.
    """
    if not deliveries:
        return []
    for delivery in deliveries:
        delivery.reason, delivery.held_for = PAUSED, _held_for(delivery, paused_channels)
        delivery.wake_at = outages.look_again_at(delivery.expires_at, now)
    db.session.flush()
    routed = sa.select(Notification.id, Notification.routing).where(
        Notification.id.in_({delivery.notification_id for delivery in deliveries})
    )
    return follow(db.session.execute(routed).all())


def _held_for(delivery: Delivery, paused_channels: Collection[str]) -> str:
    if delivery.channel in paused_channels or delivery.broadcast_id is None:
        return outages.of_channel(delivery.channel)
    return outages.of_broadcast(delivery.broadcast_id)


@dataclass(frozen=True, slots=True)
class _Words:
    """`data` by notification, as the words were made of them."""

    made: Beforehand
    data: Mapping[UUID, Mapping[str, Any]]

    def of(self, wanted: Wanted, notification_id: UUID) -> Content | str | None:
        return (
            self.made.find(replace(wanted, data=self.data[notification_id])) if notification_id in self.data else None
        )


def _is_ours(deliveries: Sequence[Delivery]) -> Callable[[Delivery], bool]:
    """Selects deliveries that this process shows itself: in-app items, except those of test keys (workers capture
    those).
    """
    inapp = {d.notification_id for d in deliveries if channels.CHANNELS[d.channel].address is None}
    statement = sa.select(Notification.id).where(Notification.id.in_(inapp), _HAS_INBOX)
    live = set(db.session.scalars(statement)) if inapp else set()
    return lambda delivery: channels.CHANNELS[delivery.channel].address is None and delivery.notification_id in live


def _words(due: Collection[UUID]) -> _Words:
    """Renders the in-app items among these, before the transaction that shows them. Those that do not fit into the
    budget wait for the next round.
    """
    columns = (
        Notification.id,
        Notification.user_id,
        Notification.type,
        Notification.template_id,
        Notification.data,
        Notification.given,
    )
    ours = [name for name, channel in channels.CHANNELS.items() if channel.address is None]
    statement = sa.select(*columns).join(Delivery, Delivery.notification_id == Notification.id)
    rows = (
        db.session.execute(statement.where(Delivery.id.in_(due), Delivery.channel.in_(ours), _HAS_INBOX)).all()
        if due
        else []
    )
    known, types = recall_readers(row.user_id for row in rows) if rows else {}, load_types(row.type for row in rows)
    readers = {row.id: reader_as_given(known[row.user_id], row.given) for row in rows if row.user_id in known}
    made, data = Beforehand(), {row.id: row.data or {} for row in rows}
    made.make(
        Wanted(SHOWN_BY_US, types[row.type], row.template_id, readers[row.id], data[row.id])
        for row in rows
        if row.id in readers
    )
    db.session.close()
    return _Words(made, data)


def _show(deliveries: Sequence[Delivery], words: _Words, now: datetime) -> Stored:
    """In-app items that were to wait: asked again whether they are wanted, and put into the inbox.

    → what is to follow the commit. A routing goes on from here, as it does after a send.
    """
    notifications = {
        n.id: n
        for n in db.session.scalars(
            sa.select(Notification).where(Notification.id.in_({d.notification_id for d in deliveries}))
        )
    }
    known = load_people(n.user_id for n in notifications.values())
    there = [n for n in notifications.values() if n.user_id in known]
    persons = dict(zip((n.id for n in there), as_given([(known[n.user_id], n.given) for n in there]), strict=True))
    types = load_types(n.type for n in notifications.values())
    places = replacing.places_of(notifications.values(), lock=True)
    drops = last_look.overtaken(read_already(notifications.values()), places)
    rival = rivals(deliveries, notifications.values())
    moves: list[Move] = []
    showings: list[Showing] = []
    counted: list[Shown] = []
    for delivery in deliveries:
        notification = notifications[delivery.notification_id]
        type_, person = types[notification.type], persons.get(notification.id)
        drop = drops.get(notification.id)
        match last_look.look(delivery, notification, type_, person, now, drop=drop, rival=rival.get(delivery.id)):
            case Drop(reason, detail):
                moves.append(_move(delivery, left_out(reason, detail)))
            case Wait(until, reason):  # no channel that needs no worker waits for quiet to end so far
                delivery.reason, delivery.due_at, delivery.wake_at = reason, until, until
            case Behind(because):
                delivery.reason, delivery.detail = FALLBACK, {"because": because}
                delivery.due_at, delivery.wake_at = None, delivery.expires_at
            case None:
                assert person is not None
                showing = _showing(delivery, notification, type_, person, places.get(notification.id), words)
                if fate := showing.fate(now):  # else it waits for the next round
                    moves.append(_move(delivery, fate))
                    showings.append(showing)
                    if fate[0] == lifecycle.DELIVERED and not notification.is_test:
                        since = max(delivery.due_at or notification.created_at, notification.created_at)
                        counted.append(Shown(delivery.channel, delivery.priority, notification.producer_id, since))
    move_each(moves)
    shown = show(showings, now)
    promises = ((one.channel, promise(one.priority, (now - one.since).total_seconds())) for one in counted)
    tallies.count([*shown.happened, *promises])
    bells = follow(notifications.values())
    return Stored(doorbells=bells, inbox_events=shown.events, inbox_changes=shown.changes, shown=counted)


def _move(delivery: Delivery, fate: Fate) -> Move:
    status, columns = fate
    about = (delivery.id, delivery.notification_id, delivery.broadcast_id)
    return Move(*about, delivery.status, status, columns)


def _showing(
    delivery: Delivery, notification: Notification, type_: EventType, person: Person, place: Place | None, words: _Words
) -> Showing:
    wanted = Wanted(delivery.channel, type_, notification.template_id, person, {})
    return Showing(
        delivery.id,
        notification.id,
        notification.user_id,
        delivery.channel,
        delivery.detail,
        type_,
        notification.data or {},
        notification.routing,
        place,
        words.of(wanted, notification.id),
    )


def prune() -> int:
    """Deletes idempotency keys older than a day; → how many."""
    return database.prune(IdempotencyKey.__table__, IdempotencyKey.created_at < clock_now() - _IDEMPOTENCY_KEPT)


def prune_captures() -> int:
    """Drops and deletes captured messages that are older than `RETENTION` says; → how many were deleted one by one.
    Their keys are in the order of time, so only old ones are read.
    """
    kept = current_settings().retention["captures"]
    partitions.drop(Capture.__table__.c.id, clock_now() - kept)
    oldest = clock_now() - kept - partitions.spare(kept)
    return database.prune(Capture.__table__, Capture.id < first_at(oldest), Capture.at < oldest)


def awake(status: str, at: Any) -> sa.Select[Delivery]:
    statement = (
        sa.select(Delivery)
        .where(Delivery.wake_at <= at, Delivery.status == status)
        .order_by(Delivery.wake_at)
        .limit(BATCH)
    )
    return statement.with_for_update(skip_locked=True)


def split(
    deliveries: Sequence[Delivery], is_first: Callable[[Delivery], bool]
) -> tuple[list[Delivery], list[Delivery]]:
    first = [delivery for delivery in deliveries if is_first(delivery)]
    chosen = {delivery.id for delivery in first}
    return first, [delivery for delivery in deliveries if delivery.id not in chosen]


def is_expired(delivery: Any, now: datetime) -> bool:
    return delivery.expires_at is not None and delivery.expires_at <= now


def doorbells(deliveries: Sequence[Any]) -> list[Doorbell]:
    return [Doorbell.of(delivery) for delivery in deliveries]
