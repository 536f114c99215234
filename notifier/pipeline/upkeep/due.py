"""What the scheduler does, again and again: nothing that was accepted is forgotten, whatever Redis or a worker forgot.

Each function takes a bounded number of rows by the index on `wake_at`, moves each row once (rows that
another scheduler holds are passed over), commits, and only then rings. Any number of schedulers may run.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import redis
import sqlalchemy as sa
import structlog

from notifier import channels
from notifier.core import lifecycle
from notifier.core.message import Content
from notifier.core.plan import Skip
from notifier.core.reading import READ_ELSEWHERE
from notifier.core.routing import BEST, FALLBACK, NOT_NEEDED, PAUSED
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.inbox import marks as inbox
from notifier.ledgers import caps, scores, tallies
from notifier.models import Attempt, Delivery, EventType, IdempotencyKey, Notification, Submission
from notifier.pipeline.delivery import outages
from notifier.pipeline.delivery.claim import LEASE, database_time
from notifier.pipeline.intake.accept import EXPAND_GRACE
from notifier.pipeline.planning import last_look, replacing
from notifier.pipeline.planning.beforehand import SHOWN_BY_US, Beforehand
from notifier.pipeline.planning.orders import as_given, load_people, load_types, reader_as_given, recall_readers
from notifier.pipeline.planning.routing import follow, read_already, rivals
from notifier.pipeline.planning.store import DOORBELL_GRACE, Stored, announce, inbox_row
from notifier.pipeline.upkeep import pacing
from notifier.providers import pausing
from notifier.signals import publish
from notifier.signals.queueing import Doorbell, lost, memory, note_reviewed, ring, ring_expand
from notifier.words.compose import Wanted

BATCH = pacing.BATCH
LONGEST_DOORBELL_GRACE = DOORBELL_GRACE * 32
LEASE_LAPSED = "lease_lapsed"
_IDEMPOTENCY_KEPT = timedelta(hours=24)

log = structlog.get_logger()


def ring_due() -> int:
    """Deliveries whose time has come: waiting → queued (rung), or shown in the inbox, or expired. Returns how many
    moved.

    The most pressing first, and no more of each kind than its queue has room for (`pacing`). By a channel that is
    paused nothing is rung: it is held until that is resumed.
    """
    now = clock_now()
    free = pacing.room()
    stored = Stored()
    turn = {key: place for place, key in enumerate(pacing.due(now, free))}
    words = _words(turn)
    if not turn:
        return 0
    with transaction() as session:
        held = sa.select(Delivery).where(
            Delivery.id.in_(turn), Delivery.status == lifecycle.WAITING, Delivery.wake_at <= now
        )
        due = sorted(session.scalars(held.with_for_update(skip_locked=True)), key=lambda delivery: turn[delivery.id])
        expired, live = _split(due, lambda delivery: _is_expired(delivery, now))
        stopped = pausing.paused_of({delivery.channel for delivery in live})
        held_up, live = _split(live, lambda delivery: delivery.channel in stopped)
        ours, queued = _split(live, _is_ours(live))
        _move(expired, {"status": lifecycle.EXPIRED, "reason": "expired", "wake_at": None})
        caps.recount(delivery.notification_id for delivery in expired)
        _move(queued, {"status": lifecycle.QUEUED, "reason": None, "wake_at": now + DOORBELL_GRACE})
        if ours:
            stored = _show(ours, words, now)
        stored.doorbells += _wait_for_resumption(held_up, now)
    stored.doorbells += _doorbells(queued)
    announce(stored)
    return len(due)


def _wait_for_resumption(deliveries: Sequence[Delivery], now: datetime) -> list[Doorbell]:
    """They stay `waiting`, until their channel is resumed. → whom to ring of the next channels, where a routing does
    not wait so long.
    """
    if not deliveries:
        return []
    for delivery in deliveries:
        delivery.reason, delivery.held_for = PAUSED, outages.of_channel(delivery.channel)
        delivery.wake_at = outages.look_again_at(delivery.expires_at, now)
    db.session.flush()
    routed = sa.select(Notification.id, Notification.routing).where(
        Notification.id.in_({delivery.notification_id for delivery in deliveries})
    )
    return follow(db.session.execute(routed).all())


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
    """Tells those that this process shows by itself:
    in-app items, unless a test key sent them (workers capture those).
    """
    inapp = {d.notification_id for d in deliveries if channels.CHANNELS[d.channel].address is None}
    statement = sa.select(Notification.id).where(Notification.id.in_(inapp), Notification.is_test.is_(False))
    live = set(db.session.scalars(statement)) if inapp else set()
    return lambda delivery: channels.CHANNELS[delivery.channel].address is None and delivery.notification_id in live


def _words(due: Collection[UUID]) -> _Words:
    """Of the in-app items among these, before the transaction that shows them. Those whose turn does not come are left
    for the next round.
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
        db.session.execute(
            statement.where(Delivery.id.in_(due), Delivery.channel.in_(ours), Notification.is_test.is_(False))
        ).all()
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
    read = read_already(notifications.values())
    rival = rivals(deliveries, notifications.values())
    shown = []
    for delivery in deliveries:
        notification = notifications[delivery.notification_id]
        person = persons.get(notification.id)
        place = places.get(notification.id)
        if person is None:
            _skip(delivery, "user_erased", {})
        elif notification.id in read:
            _skip(delivery, READ_ELSEWHERE, {})
        elif place is not None and place.newest != notification.id:
            _skip(delivery, replacing.SUPERSEDED, replacing.told(place.newest))
        elif look := last_look.look(
            notification, types[notification.type], person, delivery.channel, delivery.address_id, now
        ):
            if isinstance(look, Skip):
                _skip(delivery, look.reason, look.detail)
            else:  # no channel that needs no worker waits for quiet to end so far
                delivery.reason, delivery.due_at, delivery.wake_at = look.reason, look.until, look.until
        elif rival.get(delivery.id) == NOT_NEEDED:
            _skip(delivery, NOT_NEEDED, {})
        elif delivery.id in rival:  # `routing.follow` says how it goes on, when the other step has ended
            delivery.reason, delivery.detail, delivery.due_at, delivery.wake_at = (
                FALLBACK,
                {"because": rival[delivery.id]},
                None,
                delivery.expires_at,
            )
        else:
            content = words.of(
                Wanted(delivery.channel, types[notification.type], notification.template_id, person, {}),
                notification.id,
            )
            if isinstance(content, str):
                _skip(delivery, "template_error", {"message": content})
            elif content is not None:  # else it waits for the next round
                shown.append((delivery, notification, content))
    _move(
        [d for d, *_ in shown],
        {"status": lifecycle.DELIVERED, "reason": None, "wake_at": None, "sent_at": now, "delivered_at": now},
    )
    caps.recount(delivery.notification_id for delivery in deliveries if delivery.status in lifecycle.LEFT_OUT)
    events = inbox.add(
        [inbox_row(d.id, n.id, n.user_id, types[n.type], content, n.data or {}, now) for d, n, content in shown]
    )
    changes = replacing.replace_items({d.id: places[n.id] for d, n, _ in shown if n.id in places})
    scores.count_sent((n.user_id, d.channel) for d, n, _ in shown if n.routing == BEST)
    arrived = (tallies.DELIVERED, tallies.latency(0))
    tallies.count((d.channel, event) for d, _, _ in shown for event in arrived)
    return Stored(inbox_events=events, inbox_changes=changes, doorbells=follow(notifications.values()))


def _skip(delivery: Delivery, reason: str, detail: Mapping[str, Any]) -> None:
    delivery.status, delivery.reason, delivery.detail, delivery.wake_at = lifecycle.SKIPPED, reason, dict(detail), None


@dataclass(frozen=True, slots=True)
class Looked:
    """How many queued deliveries were looked at, and how many of them rung again."""

    rows: int
    rung: int = 0
    last: UUID | None = None


def ring_lost() -> Looked:
    """Queued deliveries whose doorbell is lost are rung again.

    One that stands in its queue is looked at again later and later, so that a long backlog costs little:
    what a dead worker took is found by `ghosts`, and once Redis may have forgotten everything, all are
    looked at at once. While Redis is away nothing is touched.
    """
    now = clock_now()
    try:
        remembered = memory()
        if remembered.reviewed_to is None:
            looked = _look(_queued().where(Delivery.wake_at <= now).order_by(Delivery.wake_at), now)
        else:
            looked = _look(
                _queued()
                .where(Delivery.wake_at.is_not(None), Delivery.id > remembered.reviewed_to)
                .order_by(Delivery.id),
                now,
            )
            note_reviewed(remembered, looked.last if looked.rows == BATCH else None)
    except redis.RedisError as error:
        log.warning("sweep.redis_away", error=type(error).__name__)
        return Looked(0)
    if looked.rung:
        log.warning("sweep.doorbells_lost", deliveries=looked.rung)
    return looked


def _queued() -> "sa.Select[*tuple[Any, ...]]":
    columns = (Delivery.id, Delivery.notification_id, Delivery.channel, Delivery.priority)
    times = (Delivery.created_at, Delivery.due_at, Delivery.expires_at, Delivery.wake_at)
    return sa.select(*columns, *times).where(Delivery.status == lifecycle.QUEUED).limit(BATCH)


def _look(statement: "sa.Select[*tuple[Any, ...]]", now: datetime) -> Looked:
    """At these queued deliveries; says when to look at them again."""
    rows = db.session.execute(statement).all()
    db.session.close()
    if not rows:
        return Looked(0)
    forgotten = lost(_doorbells([row for row in rows if not _is_expired(row, now)]))
    with transaction() as session:
        # What somebody else holds is being sent, or looked at by another scheduler: nobody waits for anybody here.
        still = sa.select(Delivery.id, Delivery.wake_at).where(
            Delivery.id.in_([row.id for row in rows]), Delivery.status == lifecycle.QUEUED
        )
        awake = {row.id: row.wake_at for row in session.execute(still.with_for_update(skip_locked=True))}
        held = [row for row in rows if awake.get(row.id) == row.wake_at]
        expired = [row for row in held if _is_expired(row, now)]
        _set([row.id for row in expired], {"status": lifecycle.EXPIRED, "reason": "expired", "wake_at": None})
        caps.recount(row.notification_id for row in expired)
        later: dict[timedelta, list[UUID]] = {}
        for row in held:
            if not _is_expired(row, now):
                later.setdefault(DOORBELL_GRACE if row.id in forgotten else _next_grace(row, now), []).append(row.id)
        for grace, ids in later.items():
            _set(ids, {"wake_at": now + grace})
    again = [row for row in held if row.id in forgotten]
    ring(_doorbells(again))
    return Looked(len(rows), len(again), rows[-1].id)


def _next_grace(row: Any, now: datetime) -> timedelta:
    """As long again as it has been waiting, in a few steps so that one statement does for many."""
    age = now - max(row.created_at, row.due_at or row.created_at)
    grace = DOORBELL_GRACE
    while grace * 2 <= min(age, LONGEST_DOORBELL_GRACE):
        grace *= 2
    return grace


def free_lapsed() -> int:
    """Sends whose worker has not been heard of for as long as a lease. Returns how many."""
    return _free(_awake(lifecycle.SENDING, database_time()))


def free_held_by(holders: Collection[int]) -> int:
    """Sends of workers that are known to have died, however long their leases last. Returns how many."""
    # A lease ends within LEASE: the index on wake_at finds them.
    statement = sa.select(Delivery).where(
        Delivery.wake_at.between(database_time(), database_time(LEASE)), Delivery.status == lifecycle.SENDING
    )
    mine = statement.where(Delivery.holder.in_(holders)).limit(BATCH).with_for_update(skip_locked=True)
    freed = 0
    while count := _free(mine):
        freed += count
    return freed


def _free(statement: "sa.Select[Delivery]") -> int:
    """Sent again where that is safe or the type wants it, else `unknown`. Uses up no attempt."""
    now = clock_now()
    with transaction() as session:
        lapsed = session.scalars(statement).all()
        if not lapsed:
            return 0
        resends, tests = _resent_and_tests(lapsed)
        again, unknown = _split(lapsed, lambda d: _is_safe_to_repeat(d.channel) or d.notification_id in resends)
        _move(again, {"status": lifecycle.QUEUED, "reason": None, "wake_at": now + DOORBELL_GRACE})
        their_type = sa.select(Notification.type).where(Notification.id == Delivery.notification_id).scalar_subquery()
        cause = {"outcome": "unknown", "code": LEASE_LAPSED, "failed_at": now, "failed_type": their_type}
        _move(unknown, {"status": lifecycle.UNKNOWN, "reason": None, "wake_at": None, **cause})
        session.execute(sa.insert(Attempt.__table__), [_lapsed_attempt(d, now) for d in lapsed])
        tallies.count((d.channel, tallies.FAILED) for d in unknown if d.notification_id not in tests)
    ring(_doorbells(again))
    publish.hint(publish.OVERVIEW, publish.QUEUES, publish.FAILED)
    log.warning("sweep.leases_lapsed", again=len(again), unknown=len(unknown))
    return len(lapsed)


def _is_safe_to_repeat(channel: str) -> bool:
    serving = channels.registry().adapters_for(channel, None, is_test=False)
    return bool(serving) and all(adapter.is_safe_to_repeat for adapter in serving)


def _resent_and_tests(deliveries: Sequence[Delivery]) -> tuple[set[UUID], set[UUID]]:
    """The notifications of types that are sent again when they may have gone out, and those of test keys."""
    statement = sa.select(Notification.id, Notification.is_test, EventType).join(
        EventType, EventType.key == Notification.type
    )
    rows = db.session.execute(statement.where(Notification.id.in_({d.notification_id for d in deliveries}))).all()
    return {key for key, _, type_ in rows if type_.resends_unknown}, {key for key, is_test, _ in rows if is_test}


def _lapsed_attempt(delivery: Delivery, now: datetime) -> dict[str, Any]:
    return {
        "delivery_id": delivery.id,
        "number": delivery.tries,
        "provider": delivery.provider or delivery.channel,
        "outcome": "unknown",
        "code": LEASE_LAPSED,
        "message": "the worker died while sending",
        "duration_ms": 0,
        "at": now,
    }


def ring_expansions() -> int:
    """Submissions that are still to be expanded, in case their doorbell was lost."""
    now = clock_now()
    with transaction() as session:
        rows = session.scalars(
            sa.select(Submission).where(Submission.wake_at <= now).limit(BATCH).with_for_update(skip_locked=True)
        ).all()
        for row in rows:
            row.wake_at = now + EXPAND_GRACE
        ids = [row.id for row in rows]
    ring_expand(ids)
    return len(ids)


def prune() -> int:
    """Deletes idempotency keys older than a day, a batch at a time. Returns how many."""
    oldest = clock_now() - _IDEMPOTENCY_KEPT
    pruned = 0
    while True:
        with transaction() as session:
            columns = (IdempotencyKey.producer_id, IdempotencyKey.key, IdempotencyKey.is_test)
            keys = session.execute(sa.select(*columns).where(IdempotencyKey.created_at < oldest).limit(BATCH)).all()
            if keys:
                whole = sa.tuple_(*columns)
                session.execute(
                    sa.delete(IdempotencyKey)
                    .where(whole.in_([tuple(row) for row in keys]))
                    .execution_options(synchronize_session=False)
                )
        pruned += len(keys)
        if len(keys) < BATCH:
            return pruned


def _awake(status: str, at: Any) -> sa.Select[Delivery]:
    statement = (
        sa.select(Delivery)
        .where(Delivery.wake_at <= at, Delivery.status == status)
        .order_by(Delivery.wake_at)
        .limit(BATCH)
    )
    return statement.with_for_update(skip_locked=True)


def _move(deliveries: Sequence[Delivery], values: dict[str, Any]) -> None:
    """Moves the status of all of them, which the transaction holds, in one statement, if the lifecycle allows it."""
    if not deliveries:
        return
    for old in {delivery.status for delivery in deliveries}:
        if not lifecycle.may_move(old, values["status"]):
            raise ValueError(f"a delivery does not move from {old} to {values['status']}")
    _set([delivery.id for delivery in deliveries], values)


def _set(ids: Sequence[UUID], values: Mapping[str, Any]) -> None:
    if ids:
        db.session.execute(
            sa.update(Delivery)
            .where(Delivery.id.in_(ids))
            .values(**values)
            .execution_options(synchronize_session=False)
        )


def _split(
    deliveries: Sequence[Delivery], is_first: Callable[[Delivery], bool]
) -> tuple[list[Delivery], list[Delivery]]:
    first = [delivery for delivery in deliveries if is_first(delivery)]
    chosen = {delivery.id for delivery in first}
    return first, [delivery for delivery in deliveries if delivery.id not in chosen]


def _is_expired(delivery: Any, now: datetime) -> bool:
    return delivery.expires_at is not None and delivery.expires_at <= now


def _doorbells(deliveries: Sequence[Any]) -> list[Doorbell]:
    return [Doorbell(delivery.id, delivery.channel, delivery.priority) for delivery in deliveries]
