"""Counts hour by hour what happens to broadcasts, from the event stream: complaints and unsubscribing are no statuses.
And by the variants of experiments, over all hours.

Called by the scheduler.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core import events as names
from notifier.core.lifecycle import BOUNCED, CLICKED, DELIVERED, FAILED, OPENED, SENT, SUCCEEDED
from notifier.ground.database import insert
from notifier.ground.extensions import db
from notifier.ledgers import event_readers
from notifier.models import (
    Broadcast,
    BroadcastHour,
    BroadcastVariant,
    Delivery,
    Event,
    Experiment,
    Notification,
)
from notifier.pipeline.upkeep import counting

UNSUBSCRIBED, COMPLAINED = "unsubscribed", "complained"
COUNTED = {
    **{names.OF_STATUS[status]: status for status in (SENT, DELIVERED, OPENED, CLICKED, FAILED, BOUNCED)},
    names.COMPLAINED: COMPLAINED,
    names.UNSUBSCRIBED: UNSUBSCRIBED,
}
LOOKED_BACK = timedelta(days=7)  # somebody who unsubscribes later does so for another reason

_e = Event.__table__.c
_hours: sa.Table = BroadcastHour.__table__
_variants: sa.Table = BroadcastVariant.__table__

Place = tuple[UUID, str, str, datetime]  # broadcast, channel, event, hour


Counts = tuple[Counter[Place], Counter[tuple[UUID, UUID, str, str]]]


def count() -> int:
    """Counts the next window of the stream. → as `counting.count`."""
    return counting.count(event_readers.BROADCASTS, _read, _store, _begin) or 0


def _begin(last: int) -> int:
    """What happened before there was any broadcast concerns none."""
    has_some = db.session.scalar(sa.select(Broadcast.id).limit(1)) is not None
    return 0 if has_some else last


def _read(after: int, upto: int) -> Counts:
    counts = _counts(after, upto)
    return counts, _by_variant(after, upto) if counts else Counter()


def _store(found: Counts) -> None:
    counts, by_variant = found
    _add(_hours, counts)
    _add(_variants, by_variant)


def _counts(after: int, upto: int) -> Counter[Place]:
    is_of_one = _e.submission_id.in_(sa.select(Broadcast.id))
    columns = (_e.kind, _e.at, _e.submission_id, _e.channel, _e.category, _e.user_id)
    wanted = sa.select(*columns).where(_e.id > after, _e.id <= upto, _e.kind.in_(COUNTED))
    rows = db.session.execute(wanted.where(sa.or_(is_of_one, _e.kind == names.UNSUBSCRIBED))).all()
    left = [row for row in rows if row.kind == names.UNSUBSCRIBED]
    counts: Counter[Place] = Counter(
        (row.submission_id, row.channel, COUNTED[row.kind], _hour(row.at))
        for row in rows
        if row.kind != names.UNSUBSCRIBED and row.channel is not None
    )
    counts.update(_causes(left))
    return counts


def _causes(left: Sequence[Any]) -> list[Place]:
    """The broadcasts that people have unsubscribed from: the last ones that reached them there. One query, none where
    nobody has.
    """
    people = {row.user_id for row in left if row.user_id is not None}
    if not people:
        return []
    oldest = min(row.at for row in left) - LOOKED_BACK
    reached = (
        sa.select(Notification.user_id, Notification.category, Delivery.channel, Delivery.broadcast_id)
        .add_columns(Notification.created_at)
        .join(Delivery, Delivery.notification_id == Notification.id)
        .where(Notification.user_id.in_(people), Notification.created_at >= oldest)
        .where(Delivery.broadcast_id.is_not(None), Delivery.status.in_(SUCCEEDED))
        .order_by(Notification.id.desc())
    )
    had = defaultdict[tuple[str, str, str], list[Any]](list)
    for one in db.session.execute(reached):
        had[one.user_id, one.category, one.channel].append(one)
    found = []
    for row in left:
        for one in had[row.user_id, row.category, row.channel]:
            if row.at - LOOKED_BACK <= one.created_at <= row.at:
                found.append((one.broadcast_id, row.channel, UNSUBSCRIBED, _hour(row.at)))
                break
    return found


def _by_variant(after: int, upto: int) -> Counter[tuple[UUID, UUID, str, str]]:
    """By broadcast, variant, channel and event. One query where there has never been an experiment. What is told as
    delivered, or opened, without having been told as sent counts as sent, too.
    """
    if db.session.scalar(sa.select(Experiment.id).limit(1)) is None:
        return Counter()
    columns = (_e.kind, Delivery.broadcast_id, Notification.variant_id, _e.channel)
    statement = (
        sa.select(*columns, counting.shows_sent().label("is_first"))
        .join(Delivery, Delivery.id == _e.delivery_id)
        .join(Notification, Notification.id == _e.notification_id)
        .where(_e.id > after, _e.id <= upto, _e.kind.in_(COUNTED), _e.kind != names.UNSUBSCRIBED)
        .where(Delivery.broadcast_id.is_not(None), Notification.variant_id.is_not(None))
    )
    counts: Counter[tuple[UUID, UUID, str, str]] = Counter()
    for row in db.session.execute(statement):
        place = (row.broadcast_id, row.variant_id, row.channel)
        counts[*place, COUNTED[row.kind]] += 1
        if row.is_first:
            counts[*place, SENT] += 1
    return counts


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _add(table: sa.Table, counts: Counter[Any]) -> None:
    """By the primary key, in its order. One statement, none without any."""
    if not counts:
        return
    key = [column.name for column in table.primary_key]
    rows = [{**dict(zip(key, place, strict=True)), "count": number} for place, number in sorted(counts.items())]
    statement = insert(table)
    more = {"count": table.c["count"] + statement.excluded["count"]}
    db.session.execute(statement.on_conflict_do_update(index_elements=key, set_=more), rows)
