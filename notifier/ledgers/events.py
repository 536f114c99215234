"""Writes the event stream, inside the transaction that makes an event so: one insert a batch, whatever the number.

Called by whatever moves, marks or switches off; nothing else writes these rows, and `queries.events` reads them. The
rows are made of those that the database holds, in one INSERT … SELECT, so that none travels.
"""

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core import events
from notifier.core.worlds import SYNTHETIC, is_of_tests
from notifier.ground import partitions
from notifier.ground.clock import now as clock_now
from notifier.ground.config import current_settings
from notifier.ground.database import afterwards, transaction
from notifier.ground.extensions import db
from notifier.ledgers import event_readers
from notifier.models import Address, Broadcast, Delivery, Event, EventStream, InboxItem, Notification, User
from notifier.signals import news

PRUNED_AT_ONCE = 1_000
_MOST_AT_ONCE = 10_000  # SQLite takes 32,766 values in a statement

_events: sa.Table = Event.__table__
_delivery = Delivery.__table__.c
_notification = Notification.__table__.c
_user = User.__table__.c
_item = InboxItem.__table__.c
_address = Address.__table__.c

# Whose deliveries are told: not the synthetic person's. The second join leaves out who has been erased: deliveries
# outlive them, and so would the id.
_SENT = Delivery.__table__.join(
    Notification.__table__,
    sa.and_(
        _notification.id == _delivery.notification_id,
        _notification.user_id != sa.literal(SYNTHETIC, literal_execute=True),
    ),
)
_DELIVERIES = _SENT.outerjoin(User.__table__, _user.id == _notification.user_id)
_OF_NOTIFICATION: Mapping[str, sa.ColumnElement[Any]] = {
    "producer_id": _notification.producer_id,
    "submission_id": _notification.submission_id,
    "notification_id": _notification.id,
    "user_id": _user.id,
    "is_test": _notification.is_test,
    "type": _notification.type,
    "category": _notification.category,
}
_OF_DELIVERY: Mapping[str, sa.ColumnElement[Any]] = {
    **_OF_NOTIFICATION,
    "delivery_id": _delivery.id,
    "channel": _delivery.channel,
    "address_masked": _delivery.address_masked,
    "provider": _delivery.provider,
    "reason": _delivery.reason,
    "code": _delivery.code,
}


def _insert(
    told: Mapping[str, "sa.ColumnElement[Any]"], source: sa.FromClause, *conditions: "sa.ColumnElement[bool]"
) -> sa.Insert:
    """Made once and kept where it can be: making one takes longer than sending it."""
    columns = {**told, "at": sa.bindparam("at", type_=_events.c.at.type)}
    rows = sa.select(*columns.values()).select_from(source).where(*conditions)
    return sa.insert(_events).from_select(list(columns), rows, include_defaults=False)


def _among(name: str) -> "sa.ColumnElement[bool]":
    return _delivery.id.in_(sa.bindparam(name, expanding=True, type_=_delivery.id.type))


def _given(name: str) -> "sa.ColumnElement[str]":
    return sa.bindparam(name, type_=sa.String)


def _execute(statement: sa.Insert, values: Mapping[str, Any]) -> None:
    db.session.execute(statement, {"at": clock_now(), **values})
    afterwards(news.tell)


_TELL = _insert({**_OF_DELIVERY, "kind": _given("kind")}, _DELIVERIES, _among("deliveries"))
_TELL_DISABLED = _insert(
    {
        **_OF_DELIVERY,
        "kind": sa.literal(events.ADDRESS_DISABLED, sa.String),
        "reason": _given("reason"),
        "code": sa.null(),
    },
    _DELIVERIES.join(Address.__table__, _address.id == _delivery.address_id),
    _among("deliveries"),
    _address.disabled_at.is_(None),
)


def tell_statuses(reached: Iterable[tuple[UUID, str]]) -> None:
    """These deliveries have just been stored with that status, or moved to it: tells those whose status is an event.
    One statement, none without any.
    """
    told = [(key, status) for key, status in reached if status in events.OF_STATUS]
    for start in range(0, len(told), _MOST_AT_ONCE):
        groups: dict[str, list[UUID]] = {}
        for key, status in told[start : start + _MOST_AT_ONCE]:
            groups.setdefault(status, []).append(key)
        values: dict[str, Any] = {}
        for number, (status, keys) in enumerate(groups.items()):
            values |= {f"status_{number}": status, f"deliveries_{number}": keys}
        _execute(_of_statuses(len(groups)), values)


@functools.cache
def _of_statuses(groups: int) -> sa.Insert:
    # With the status, since some may not have moved
    moved = (
        sa.and_(_among(f"deliveries_{number}"), _delivery.status == _given(f"status_{number}"))
        for number in range(groups)
    )
    told = {**_OF_DELIVERY, "kind": sa.literal("delivery.", sa.String).concat(_delivery.status)}
    return _insert(told, _DELIVERIES, sa.or_(*moved))


def tell(kind: str, deliveries: Collection[UUID]) -> None:
    """Something has happened to these that is no status of theirs. One statement, none without any."""
    if deliveries:
        _execute(_TELL, {"kind": kind, "deliveries": sorted(deliveries)})


def tell_disabled(deliveries: Collection[UUID], reason: str) -> None:
    """The addresses that these went to are about to be switched off: tells those that have not been yet. One
    statement.
    """
    _execute(_TELL_DISABLED, {"reason": reason, "deliveries": sorted(deliveries)})


def tell_marked(kind: str, conditions: Sequence[sa.ColumnElement[bool]]) -> None:
    """The inbox items that meet the conditions have just been marked. One statement."""
    told = {
        "kind": sa.literal(kind, sa.String),
        **_OF_NOTIFICATION,
        "user_id": _item.user_id,
        "delivery_id": _item.id,
        "channel": _delivery.channel,
        "provider": _delivery.provider,
    }
    _execute(_insert(told, _SENT.join(InboxItem.__table__, _item.id == _delivery.id), *conditions), {})


def tell_unsubscribed(wishes: Collection[tuple[str | None, str, str]]) -> None:
    """(person, category, channel) of what people have unsubscribed from by themselves: no message of a producer's is
    known to be the cause. Person None: an address that is nobody's here. One statement, none without any.
    """
    if not wishes:
        return
    at = clock_now()
    rows = [
        {
            "kind": events.UNSUBSCRIBED,
            "at": at,
            "user_id": user_id,
            "is_test": user_id is not None and is_of_tests(user_id),
            "category": category,
            "channel": channel,
        }
        for user_id, category, channel in wishes
    ]
    db.session.execute(sa.insert(_events), rows)
    afterwards(news.tell)


def tell_broadcast(kind: str, broadcast: Broadcast, reason: str | None = None) -> None:
    """A broadcast has finished or been paused. One statement."""
    about = {"producer_id": broadcast.producer_id, "submission_id": broadcast.id, "is_test": broadcast.is_test}
    said = {"type": broadcast.type, "category": broadcast.category, "reason": reason and reason[:64]}
    db.session.execute(sa.insert(_events).values(kind=kind, at=clock_now(), **about, **said))
    afterwards(news.tell)


def forget(user_id: str) -> None:
    """Erases the person from their events, inside the caller's transaction; what happened, and when, stays."""
    db.session.execute(sa.update(_events).where(_events.c.user_id == user_id).values(user_id=None, address_masked=None))


def prune() -> int:
    """Drops the partitions of events that are older than `RETENTION` says, and deletes some of them otherwise:
    PRUNED_AT_ONCE at most, in a transaction of its own; → how many of these.

    Positions follow time but for moments, so the old ones are the first: no index by time is needed.
    """
    kept = current_settings().retention["events"]
    oldest = clock_now() - kept
    partitions.drop_positions(_events.c.id, oldest, _let_go)
    oldest -= partitions.spare(kept)
    with transaction() as session:
        first = sa.select(_events.c.id, _events.c.at).order_by(_events.c.id).limit(PRUNED_AT_ONCE)
        old = [row.id for row in session.execute(first.with_for_update(skip_locked=True)) if row.at < oldest]
        if old:
            event_readers.miss(sa.select(_events.c.id).where(_events.c.id.in_(old)).subquery(), max(old))
            session.execute(sa.delete(_events).where(_events.c.id.in_(old)))
            _pruned_to(max(old))
    return len(old)


def _let_go(partition: sa.TableClause) -> None:
    """Inside the transaction that drops it."""
    last = db.session.scalar(sa.select(partition.c.id).order_by(partition.c.id.desc()).limit(1))
    if last is not None:
        event_readers.miss(partition, last)
        _pruned_to(last)


def _pruned_to(last: int) -> None:
    pruned = EventStream.__table__.c.pruned
    db.session.execute(sa.update(EventStream.__table__).where(pruned < last).values(pruned=last))
