"""Claims deliveries (T2) and reads everything needed to send them, so that no transaction is open during the send.

Called by `delivery.deliver`. The worker whose UPDATE moves the row to `sending` has the delivery, until its lease ends.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.catalogue.known import load_types
from notifier.channels import serving
from notifier.channels.contract import Adapter
from notifier.core import lifecycle
from notifier.core.decisions import Wait
from notifier.core.errors import DeliveryError
from notifier.core.facts import AddressFacts
from notifier.core.message import Content, Message, Receipt, Recipient
from notifier.core.questions import outlived
from notifier.core.routing import FALLBACK, PAUSED
from notifier.core.worlds import shown_id
from notifier.ground import lifeline, shapes
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ledgers.moves import Move, move, move_each
from notifier.models import Address, Delivery, EventType, Notification, Submission
from notifier.people import quiet
from notifier.people.person import GivenAddress, Person, as_given, given_address, load_people
from notifier.pipeline.delivery import outages
from notifier.pipeline.planning import last_look, replacing
from notifier.pipeline.planning.last_look import Behind, Drop
from notifier.pipeline.planning.routing import follow, read_already, rivals
from notifier.pipeline.planning.store import ONLY_THROUGH
from notifier.providers import pausing
from notifier.signals.queueing import ring
from notifier.words.compose import Wanted, put_into_words, unsubscribe_url

LEASE = timedelta(seconds=20)
THROUGH = "through"  # in a delivery's detail: the account of a provider that somebody chose for another try

# Rows of the columns that are needed, not entities: those would cost more than all the rest of a claim.
_deliveries: sa.Table = Delivery.__table__
_delivery, _notification, _address = _deliveries.c, Notification.__table__.c, Address.__table__.c
_DELIVERY: tuple[sa.Column[Any], ...] = (
    *(_delivery.channel, _delivery.priority, _delivery.address_id, _delivery.detail, _delivery.tries),
    *(_delivery.failures, _delivery.due_at, _delivery.expires_at, _delivery.step),
)
_NOTIFICATION: tuple[sa.Column[Any], ...] = (
    *(
        _notification.id,
        _notification.user_id,
        _notification.type,
        _notification.category,
        _notification.priority,
        _notification.template_id,
    ),
    *(
        _notification.data,
        _notification.given,
        _notification.is_test,
        _notification.routing,
        _notification.is_perishable,
        _notification.created_at,
    ),
    *(_notification.producer_id, _notification.collapse_key),
    Submission.__table__.c.request_id,  # for the log: what became of a request is found by its id
)
_ADDRESS: tuple[sa.Column[Any], ...] = (_address.id, _address.channel, _address.value, _address.secret, _address.digest)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one delivery. `is_dead`: it ended without success and is a dead letter."""

    delivery_id: UUID
    status: str
    explanation: str = ""

    @property
    def is_dead(self) -> bool:
        return self.status in lifecycle.DEAD


@dataclass(slots=True)
class Try:
    """One provider call and its result."""

    number: int
    adapter: Adapter
    started_at: datetime
    duration_ms: int = 0
    receipt: Receipt | None = None
    error: DeliveryError | None = None


@dataclass(slots=True)
class Task:
    """One claimed delivery with all that the send needs, and later its result. Nothing in it needs the database.

    `delivery` (after the claim), `notification` and `address` are rows with the needed columns. `adapters` are tried in
    this order. `message` is a sentence where the template could not be filled.
    """

    delivery: sa.Row[Any]
    notification: sa.Row[Any]
    type: EventType
    address: sa.Row[Any] | GivenAddress | None
    adapters: list[Adapter]
    message: Message | str
    recipient: Recipient
    was_dead: bool = False  # its address: tried once more
    tries: list[Try] = field(default_factory=list)
    is_reported: bool = (
        False  # to the health of its providers: recording may have to be repeated, and must not count twice
    )


@dataclass(frozen=True, slots=True)
class _Claimed:
    delivery: sa.Row[Any]
    notification: sa.Row[Any]
    type: EventType
    address: sa.Row[Any] | GivenAddress | None
    person: Person | None
    adapters: list[Adapter]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Why a claimed delivery is not to be sent now, or at all. One that waits is due at `due_at` (None: not by the
    clock), and looked at again at `wake_at`; `held_for`: for what, as `outages` says it."""

    status: str
    reason: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    due_at: datetime | None = None
    wake_at: datetime | None = None
    held_for: str | None = None
    expires_at: datetime | None = None  # a later one than it had


def claim(ids: Sequence[UUID]) -> tuple[list[Task], list[Outcome]]:
    """T2: queued → sending with a lease. A failed one is claimed too: RQ's own tools requeue jobs from its registry.

    → what is to be sent, and what became of those that are not to be after all. The number of statements is constant.
    """
    now = clock_now()
    kept: list[_Claimed] = []
    dropped: list[tuple[_Claimed, _Verdict]] = []
    with transaction():
        rows = move(
            ids,
            lifecycle.SENDING,
            *_DELIVERY,
            reason=None,
            held_for=None,
            wake_at=database_time(LEASE),
            holder=lifeline.number(),
            tries=_delivery.tries + 1,
            failures=sa.case((_delivery.status == lifecycle.QUEUED, _delivery.failures), else_=0),
        )
        loaded = _load(rows)
        notifications = [claimed.notification for claimed in loaded]
        drops = last_look.overtaken(read_already(notifications), replacing.places_of(notifications))
        rival = rivals(rows, notifications)
        paused = pausing.paused_of({claimed.delivery.channel for claimed in loaded})
        for claimed in loaded:
            drop = drops.get(claimed.notification.id)
            verdict = _verdict(claimed, now, paused, rival.get(claimed.delivery.id), drop)
            if verdict is None:
                kept.append(claimed)
            else:
                dropped.append((claimed, verdict))
        dropped, found = _settled(dropped, now, paused, rival)
        kept += found
        _drop(dropped)
        started = follow([claimed.notification for claimed, _ in dropped])
    ring(started)
    tasks = _put_into_words(kept)
    db.session.close()  # no transaction is open while sending
    return tasks, [Outcome(claimed.delivery.id, verdict.status, verdict.reason) for claimed, verdict in dropped]


def _settled(
    dropped: Sequence[tuple[_Claimed, _Verdict]], now: datetime, paused: Collection[str], rival: Mapping[UUID, str]
) -> tuple[list[tuple[_Claimed, _Verdict]], list[_Claimed]]:
    """Checks deliveries that are to be put off once more, with the people's choices locked: → those to drop, and those
    to send after all.

    Without the lock, quiet hours could end between check and answer, and the delivery would wait until morning. People
    whose choices are being changed at this moment are checked again shortly.
    """
    asked: list[tuple[_Claimed, _Verdict]] = []
    settled: list[tuple[_Claimed, _Verdict]] = []
    for claimed, verdict in dropped:
        (asked if verdict.status == lifecycle.WAITING and verdict.reason in quiet.REASONS else settled).append(
            (claimed, verdict)
        )
    if not asked:
        return settled, []
    still = last_look.settled({claimed.notification.user_id for claimed, _ in asked})
    persons = _persons([claimed.notification for claimed, _ in asked if claimed.notification.user_id in still])
    found = []
    for claimed, verdict in asked:
        if claimed.notification.id not in persons:
            settled.append((claimed, replace(verdict, wake_at=now + last_look.A_MOMENT)))
            continue
        again = replace(claimed, person=persons[claimed.notification.id])
        answer = _verdict(again, now, paused, rival.get(claimed.delivery.id))
        if answer is None:
            found.append(again)
        else:
            settled.append((again, answer))
    return settled, found


def _drop(dropped: Sequence[tuple[_Claimed, _Verdict]]) -> None:
    """Takes the claim back: they have not been tried."""
    moved = []
    for claimed, verdict in dropped:
        delivery = claimed.delivery
        columns = {
            "reason": verdict.reason,
            "detail": {**delivery.detail, **verdict.detail},
            "due_at": verdict.due_at if verdict.status == lifecycle.WAITING else delivery.due_at,
            "wake_at": verdict.wake_at,
            "held_for": verdict.held_for,
            "expires_at": verdict.expires_at or delivery.expires_at,
            "tries": delivery.tries - 1,
        }
        moved.append(Move(delivery.id, delivery.notification_id, lifecycle.SENDING, verdict.status, columns))
    move_each(moved)


def _load(deliveries: Sequence[sa.Row[Any]]) -> list[_Claimed]:
    if not deliveries:
        return []
    session, registry = db.session, serving.registry()
    submitted = sa.select(*_NOTIFICATION).join(Submission, Submission.id == _notification.submission_id)
    notified = session.execute(submitted.where(_notification.id.in_({d.notification_id for d in deliveries})))
    notifications = {row.id: row for row in notified}
    address_ids = {d.address_id for d in deliveries if d.address_id}
    addresses = (
        {row.id: row for row in session.execute(sa.select(*_ADDRESS).where(_address.id.in_(address_ids)))}
        if address_ids
        else {}
    )
    types = load_types(row.type for row in notifications.values())
    persons = _persons(notifications.values())
    found = []
    for delivery in deliveries:
        notification = notifications[delivery.notification_id]
        address = (
            addresses.get(delivery.address_id)
            if delivery.address_id
            else given_address(notification.given, notification.user_id, delivery.channel)
        )
        adapters = registry.adapters_for(
            delivery.channel,
            address.value if address else None,
            is_test=notification.is_test,
            user_id=notification.user_id,
            only=delivery.detail.get(ONLY_THROUGH),
        )
        # Whoever retried it has chosen
        through = [adapter for adapter in adapters if adapter.name == delivery.detail.get(THROUGH)]
        adapters = through or adapters
        found.append(
            _Claimed(delivery, notification, types[notification.type], address, persons.get(notification.id), adapters)
        )
    return found


def _persons(notifications: Collection[sa.Row[Any]]) -> dict[UUID, Person]:
    """Person by notification: values given with each may differ, with another address."""
    known = load_people(row.user_id for row in notifications)
    there = [row for row in notifications if row.user_id in known]
    return dict(
        zip((row.id for row in there), as_given([(known[row.user_id], row.given) for row in there]), strict=True)
    )


def _verdict(
    claimed: _Claimed, now: datetime, paused: Collection[str], rival: str | None, drop: Drop | None = None
) -> _Verdict | None:
    """Why a claimed delivery is not to be sent after all. `rival` and `drop`: as `last_look.look` takes them."""
    delivery, notification = claimed.delivery, claimed.notification
    if delivery.expires_at is not None and delivery.expires_at <= now:
        return _Verdict(lifecycle.EXPIRED, "expired")
    match last_look.look(delivery, notification, claimed.type, claimed.person, now, drop=drop, rival=rival):
        case Drop(reason, detail):
            return _Verdict(lifecycle.SKIPPED, reason, detail)
        case Behind(because):
            return _Verdict(lifecycle.WAITING, FALLBACK, {"because": because}, wake_at=delivery.expires_at)
        case Wait(until, reason):
            expires_at = outlived(delivery.expires_at, until - now, is_perishable=notification.is_perishable)
            wake_at = min(until, expires_at or until)
            told = {"until": shapes.timestamp(until)}
            return _Verdict(lifecycle.WAITING, reason, told, until, wake_at, expires_at=expires_at)
    if delivery.channel in paused:
        times = delivery.due_at or now, outages.look_again_at(delivery.expires_at, now)
        return _Verdict(
            lifecycle.WAITING, PAUSED, {"because": notification.routing}, *times, outages.of_channel(delivery.channel)
        )
    return None if claimed.adapters else _Verdict(lifecycle.SKIPPED, "channel_off")


def _put_into_words(kept: Sequence[_Claimed]) -> list[Task]:
    ready = [(c, c.person) for c in kept if c.person is not None]
    wanted = [_wanted(c, person) for c, person in ready]
    contents = put_into_words(wanted)
    return [
        Task(
            c.delivery,
            c.notification,
            c.type,
            c.address,
            c.adapters,
            _message(c, person, content),
            _recipient(c, person),
            _was_dead(one),
        )
        for (c, person), one, content in zip(ready, wanted, contents, strict=True)
    ]


def _was_dead(wanted: Wanted) -> bool:
    address = wanted.address
    return address is not None and (address.disabled_reason is not None or "*" in address.suppressed_for)


def _wanted(claimed: _Claimed, person: Person) -> Wanted:
    delivery, notification = claimed.delivery, claimed.notification
    goes_to = _goes_to(delivery, person)
    return Wanted(
        delivery.channel,
        claimed.type,
        notification.template_id,
        person,
        notification.data or {},
        goes_to,
        notification.producer_id,
    )


def _goes_to(delivery: sa.Row[Any], person: Person) -> AddressFacts | None:
    return next(
        (
            address
            for address in person.addresses
            if address.id == delivery.address_id and address.channel == delivery.channel
        ),
        None,
    )


def _message(claimed: _Claimed, person: Person, content: Content | str) -> Message | str:
    if isinstance(content, str):
        return content
    delivery, notification = claimed.delivery, claimed.notification
    return Message(
        delivery_id=show("dlv", delivery.id),
        notification_id=show("ntf", notification.id),
        user_id=shown_id(notification.user_id),
        try_number=delivery.tries,
        type=notification.type,
        category=notification.category,
        priority=notification.priority,
        created_at=notification.created_at,
        content=content,
        data=notification.data or {},
        unsubscribe_url=unsubscribe_url(person.subject, claimed.type, delivery.channel, _goes_to(delivery, person)),
        collapse_key=notification.collapse_key,
        expires_at=delivery.expires_at,
    )


def _recipient(claimed: _Claimed, person: Person) -> Recipient:
    address = claimed.address
    return Recipient(
        address=address.value if address else shown_id(claimed.notification.user_id),
        secret=address.secret if address else None,
        name=person.name,
        locale=person.locale,
    )


def renew(ids: Sequence[UUID]) -> None:
    """Keeps the leases of deliveries that are being sent alive. Called every few seconds while they are."""
    with transaction() as session:
        session.execute(
            sa.update(Delivery)
            .where(Delivery.id.in_(ids), Delivery.status == lifecycle.SENDING)
            .values(wake_at=database_time(LEASE))
            .execution_options(synchronize_session=False)
        )


def database_time(after: timedelta = timedelta(0)) -> "sa.ColumnElement[datetime]":
    """The time by the clock that all hosts share: leases hold although one of them is wrong. SQLite has but one host,
    and its clock.
    """
    if db.engine.dialect.name == "postgresql":
        return sa.func.now() + after
    return sa.literal(clock_now() + after, Delivery.__table__.c.wake_at.type)
