"""A newer notification with the same collapse key replaces an older one that was not sent, or not read.

One row per key holds the newest notification and its inbox item. Each notification writes that row in its own
transaction, so of two processes the second sees the first one's. Called by `decide` and `store` (T1), by
`delivery.claim`, by upkeep when a waiting item or digest is due, and by `intake.cancel`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core import lifecycle
from notifier.core.routing import ESCALATION, FALLBACK
from notifier.ground import database
from notifier.ground.clock import now as clock_now
from notifier.ground.database import insert
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.inbox import items
from notifier.ledgers.moves import Move, move_each
from notifier.models import CollapseHead, Delivery

_MOST_AT_ONCE = 1_000  # keys in a statement: of 10,000, PostgreSQL says that its stack is too small
SUPERSEDED = "superseded"
WAITED_AS = "waited_as"  # in the detail of a delivery superseded while it waited: the reason it waited for
SCHEDULED = "scheduled"
_KEPT_REASONS = (ESCALATION, SCHEDULED, "quiet_hours", "muted", "retry")  # others are found anew
KEPT = timedelta(days=30)  # since its latest notification

_heads: sa.Table = CollapseHead.__table__
_deliveries: sa.Table = Delivery.__table__
_KEY = (_heads.c.user_id, _heads.c.scope, _heads.c.collapse_key)

Key = tuple[str, str, str]  # user, scope, collapse key


@dataclass(frozen=True, slots=True)
class Contender:
    """A notification that would be the newest of its key. `submitted_at` None: just now; else it comes later than it
    was submitted.
    """

    notification_id: UUID
    key: Key
    sequence: int
    submitted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Place:
    """The state of a key: its newest notification, the one before that, and its item in the inbox."""

    key: Key
    newest: UUID
    previous: UUID | None
    item_id: UUID | None


def key_of(user_id: str, producer_id: UUID | None, is_test: bool, collapse_key: str) -> Key:
    """Keys of two producers never meet, nor do those of a test key and a live one."""
    return user_id, f"{producer_id.hex if producer_id else 'notifier'}{':test' if is_test else ''}", collapse_key


def overtaken(contenders: Sequence[Contender]) -> dict[UUID, UUID]:
    """Notification → the newer one that goes before it: in the same batch, or stored already. Given in the order of
    their submission. One query.
    """
    newest: dict[Key, Contender] = {}
    for contender in contenders:
        best = newest.get(contender.key)
        if best is None or contender.sequence >= best.sequence:
            newest[contender.key] = contender
    stored = _stored(newest) if newest else {}
    first = {key: _first(contender, stored.get(key)) for key, contender in newest.items()}
    return {c.notification_id: first[c.key] for c in contenders if first[c.key] != c.notification_id}


def _first(contender: Contender, stored: Any) -> UUID:
    if stored is None or contender.sequence > stored.sequence:
        return contender.notification_id
    is_late = contender.submitted_at is not None and contender.submitted_at < stored.updated_at
    return stored.notification_id if is_late or contender.sequence < stored.sequence else contender.notification_id


def take(contenders: Sequence[Contender], now: datetime) -> tuple[dict[UUID, Place], dict[UUID, UUID]]:
    """Makes each the newest of its key, inside the caller's transaction. One of a key at most, and all submitted now or
    all before.

    → by notification, the place it has taken; and the newer one of those for which somebody else was faster.
    """
    if not contenders:
        return {}, {}
    statement = insert(_heads)
    new = statement.excluded
    is_newer: Any = new.sequence >= _heads.c.sequence
    if contenders[0].submitted_at is not None:
        is_newer = sa.or_(new.sequence > _heads.c.sequence, sa.and_(is_newer, new.updated_at >= _heads.c.updated_at))
    values = {
        "previous_id": _heads.c.notification_id,
        "notification_id": new.notification_id,
        "sequence": new.sequence,
        "updated_at": new.updated_at,
    }
    # Sorted, so that two batches lock in one order.
    rows = db.session.execute(
        statement.on_conflict_do_update(index_elements=list(_KEY), set_=values, where=is_newer).returning(
            *_heads.columns
        ),
        [_row(contender, now) for contender in sorted(contenders, key=lambda contender: contender.key)],
    )
    places = {row.notification_id: _place(row) for row in rows}
    missed = {
        contender.key: contender.notification_id for contender in contenders if contender.notification_id not in places
    }
    return places, {missed[key]: row.notification_id for key, row in (_stored(missed) if missed else {}).items()}


def _row(contender: Contender, now: datetime) -> dict[str, Any]:
    user_id, scope, collapse_key = contender.key
    return {
        "user_id": user_id,
        "scope": scope,
        "collapse_key": collapse_key,
        "notification_id": contender.notification_id,
        "previous_id": None,
        "item_id": None,
        "sequence": contender.sequence,
        "updated_at": contender.submitted_at or now,
    }


def _stored(keys: Iterable[Key], *, lock: bool = False) -> dict[Key, Any]:
    found, wanted = dict[Key, Any](), sorted(keys)
    for start in range(0, len(wanted), _MOST_AT_ONCE):
        some = sa.tuple_(*_KEY).in_(wanted[start : start + _MOST_AT_ONCE])
        statement = sa.select(*_heads.columns).where(some).order_by(*_KEY)
        for row in db.session.execute(statement.with_for_update() if lock else statement):
            found[row.user_id, row.scope, row.collapse_key] = row
    return found


def _place(row: Any) -> Place:
    return Place((row.user_id, row.scope, row.collapse_key), row.notification_id, row.previous_id, row.item_id)


def places_of(notifications: Iterable[Any], *, lock: bool = False) -> dict[UUID, Place]:
    """By notification, the place it has or had: it is superseded when another one is the newest. One query, none
    without a key.

    Takes notifications, or rows of their columns. `lock`: nobody takes the place until the transaction ends.
    """
    keys = {
        n.id: key_of(n.user_id, n.producer_id, n.is_test, n.collapse_key)
        for n in notifications
        if n.collapse_key is not None
    }
    stored = _stored(set(keys.values()), lock=lock) if keys else {}
    return {key: _place(stored[of]) for key, of in keys.items() if of in stored}


def drop_older(places: Iterable[Place]) -> None:
    """Skips deliveries of replaced notifications that have not gone out. Two statements.

    Deliveries that a worker or scheduler holds at this moment are left to it: claim and upkeep check the place
    themselves.
    """
    newer = {place.previous: place.newest for place in places if place.previous is not None}
    if not newer:
        return
    columns = [_deliveries.c[name] for name in ("id", "notification_id", "broadcast_id", "status", "reason", "detail")]
    unsent = _deliveries.c.notification_id.in_(newer) & _deliveries.c.status.in_((lifecycle.WAITING, lifecycle.QUEUED))
    moved = []
    for row in db.session.execute(sa.select(*columns).where(unsent).with_for_update(skip_locked=True)):
        detail = {**row.detail, **told(newer[row.notification_id]), WAITED_AS: row.reason}
        changed = {"reason": SUPERSEDED, "wake_at": None, "detail": detail}
        moved.append(Move(row.id, row.notification_id, row.broadcast_id, row.status, lifecycle.SKIPPED, changed))
    move_each(moved)


def bring_back(notification: Any) -> UUID | None:
    """Makes the replaced notification the newest again, if only this one had replaced it.

    For a cancelled notification of which nothing has gone out; inside the caller's transaction. → the older one, None
    if there is none. It waits again for whatever it waited for when it was replaced; queued deliveries are due at once.
    """
    place = places_of([notification], lock=True).get(notification.id)
    if place is None or place.newest != notification.id or place.previous is None:
        return None
    mine = [column == part for column, part in zip(_KEY, place.key, strict=True)]
    db.session.execute(sa.update(_heads).where(*mine).values(notification_id=place.previous, previous_id=None))
    columns = [_deliveries.c[name] for name in ("id", "broadcast_id", "detail", "due_at", "expires_at")]
    skipped = sa.and_(_deliveries.c.status == lifecycle.SKIPPED, _deliveries.c.reason == SUPERSEDED)
    older = sa.select(*columns).where(_deliveries.c.notification_id == place.previous, skipped)
    now, moved = clock_now(), []
    for row in db.session.execute(older.with_for_update()).all():
        if row.detail.get("superseded_by") != told(notification.id)["superseded_by"]:
            continue
        waited_as = row.detail.get(WAITED_AS)
        detail = {name: value for name, value in row.detail.items() if name not in ("superseded_by", WAITED_AS)}
        changed = {"detail": detail, "held_for": None, "reason": SCHEDULED, "wake_at": row.due_at or now}
        if waited_as == FALLBACK:
            changed |= {"reason": FALLBACK, "wake_at": row.due_at or row.expires_at}
        elif waited_as in _KEPT_REASONS:
            changed["reason"] = waited_as
        moved.append(Move(row.id, place.previous, row.broadcast_id, lifecycle.SKIPPED, lifecycle.WAITING, changed))
    move_each(moved)
    return place.previous


def told(newer: UUID) -> dict[str, str]:
    """The detail of a superseded delivery."""
    return {"superseded_by": show("ntf", newer)}


def replace_items(shown: Mapping[UUID, Place]) -> list[tuple[str, dict[str, Any]]]:
    """New item → the place it takes in the inbox; the older item of that place goes, unless it was read.

    After `items.add` and in its transaction. → the changes to tell browsers of, after the commit.
    """
    if not shown:
        return []
    table_key: dict[str, Any] = {column.name: sa.bindparam(f"key_{column.name}") for column in _KEY}
    db.session.connection().execute(
        sa.update(_heads)
        .where(*(column == table_key[column.name] for column in _KEY))
        .values(item_id=sa.bindparam("item")),
        [
            {"item": item_id, **{f"key_{column.name}": part for column, part in zip(_KEY, place.key, strict=True)}}
            for item_id, place in shown.items()
        ],
    )
    return items.replace({place.item_id: item_id for item_id, place in shown.items() if place.item_id is not None})


def prune(now: datetime) -> int:
    """Forgets the keys that were silent for KEPT and have nothing to come; → how many. Called by the scheduler."""
    to_come = sa.exists().where(
        _deliveries.c.notification_id == _heads.c.notification_id, _deliveries.c.wake_at.is_not(None)
    )
    return database.prune(_heads, _heads.c.updated_at <= now - KEPT, ~to_come)
