"""The marks a person puts on inbox items: read, seen, archived, snoozed.

Called by the inbox API, the sockets and the scheduler. An item and its user's row of counts change in the same
transaction, and every change locks that row first, so the counts are exact and every changed item gets its own `seq`.
Browsers are told after the commit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, scoped_session

from notifier.channels.table import INAPP
from notifier.core import events as names
from notifier.core import lifecycle, reading
from notifier.ground import shapes
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.inbox.items import ITEMS
from notifier.ledgers import events, moves, scores, tallies
from notifier.models import Delivery, InboxItem, InboxState
from notifier.signals import publish

MAX_IDS = 1000
MAX_SHOWN = 500  # a change of more items is told without them: the client sees the gap and reads again
_WAKE_AT_ONCE = 500

_COUNTED = sa.and_(InboxItem.archived_at.is_(None), InboxItem.snoozed_until.is_(None))
_IS_UNREAD = sa.and_(_COUNTED, InboxItem.read_at.is_(None))
_IS_UNSEEN = sa.and_(_COUNTED, InboxItem.seen_at.is_(None))


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which of a person's items are meant: those of `ids`, or (None) all in view. Other people's ids mean nothing."""

    ids: tuple[UUID, ...] | None = None
    filter: str = "all"
    category: str | None = None
    q: str | None = None

    def conditions(self, user_id: str) -> list[sa.ColumnElement[bool]]:
        if self.ids is None:
            return [InboxItem.user_id == user_id, *InboxItem.in_view(self.filter, self.category, self.q)]
        # An expression, so that no index is used for it: SQLite would rather walk all that the person has than look up
        # the ids.
        return [InboxItem.id.in_(self.ids), InboxItem.user_id.concat("") == user_id]


def seen(user_id: str, chosen: Chosen) -> dict[str, int]:
    """→ `{unread, unseen, seq}`. As with every mark, `seq` stays if nothing changes."""
    meant = [*chosen.conditions(user_id), InboxItem.seen_at.is_(None)]
    return _mark(user_id, meant, {"seen_at": now()}, told=names.SEEN)[0]


def read(user_id: str, chosen: Chosen) -> dict[str, Any]:
    """Marks items as read, and so as seen; their deliveries count as opened, and deliveries that would only remind of
    them are dropped.

    This mark and those below answer `{unread, unseen, seq, changed_ids}`, so that they can be undone. At most MAX_IDS
    are named: None stands for more.
    """
    at = now()
    values = {"read_at": at, "seen_at": sa.func.coalesce(InboxItem.seen_at, at)}
    meant = [*chosen.conditions(user_id), InboxItem.read_at.is_(None)]
    return _named(_mark(user_id, meant, values, told=names.READ, read_at=at))


def unread(user_id: str, chosen: Chosen) -> dict[str, Any]:
    return _named(_mark(user_id, [*chosen.conditions(user_id), InboxItem.read_at.is_not(None)], {"read_at": None}))


def archive(user_id: str, chosen: Chosen) -> dict[str, Any]:
    meant = [*chosen.conditions(user_id), InboxItem.archived_at.is_(None)]
    return _named(_mark(user_id, meant, {"archived_at": now()}, told=names.ARCHIVED))


def unarchive(user_id: str, chosen: Chosen) -> dict[str, Any]:
    return _named(
        _mark(user_id, [*chosen.conditions(user_id), InboxItem.archived_at.is_not(None)], {"archived_at": None})
    )


def snooze(user_id: str, chosen: Chosen, until: datetime | None) -> dict[str, Any]:
    """Puts items away until then; None brings them back."""
    return _named(
        _mark(
            user_id,
            [*chosen.conditions(user_id), InboxItem.snoozed_until.is_distinct_from(until)],
            {"snoozed_until": until},
        )
    )


def wake_snoozed(at: datetime) -> int:
    """Brings back items snoozed until `at` or before; → for how many people. Called by the scheduler, in any number of
    processes.
    """
    due = InboxItem.snoozed_until <= at
    user_ids = db.session.scalars(
        sa.select(InboxItem.user_id).where(due).distinct().order_by(InboxItem.user_id).limit(_WAKE_AT_ONCE)
    ).all()
    for user_id in user_ids:
        _mark(user_id, [InboxItem.user_id == user_id, due], {"snoozed_until": None})
    return len(user_ids)


def _named(marked: tuple[dict[str, int], list[UUID] | None]) -> dict[str, Any]:
    counts, changed = marked
    return {**counts, "changed_ids": None if changed is None else [show("dlv", key) for key in changed]}


def _mark(
    user_id: str,
    conditions: Sequence[sa.ColumnElement[bool]],
    values: Mapping[str, Any],
    *,
    told: str | None = None,
    read_at: datetime | None = None,
) -> tuple[dict[str, int], list[UUID] | None]:
    """One transaction: changes the user's items that meet the conditions, the counts with them, and tells the event
    `told` of each; then tells the browsers.

    → the counts, and which items have changed, oldest change first (None: more than MAX_IDS).
    """
    changed: list[UUID] | None = []
    shown: list[dict[str, Any]] = []
    with transaction() as session:
        state = session.execute(
            sa.select(InboxState.seq, InboxState.unread, InboxState.unseen)
            .where(InboxState.user_id == user_id)
            .with_for_update()
        ).first()
        if state is None:  # nothing has ever reached them
            return {"unread": 0, "unseen": 0, "seq": 0}, []
        meant = [*conditions, InboxItem.replaced_by.is_(None)]
        before = _tally(session, meant)
        counts = {"unread": state.unread, "unseen": state.unseen, "seq": state.seq}
        if before.items:
            _change(session, meant, state.seq, values)
            since = [InboxItem.user_id == user_id, InboxItem.seq > state.seq]
            after = _tally(session, since)
            counts = {
                "unread": state.unread + after.unread - before.unread,
                "unseen": state.unseen + after.unseen - before.unseen,
                "seq": state.seq + before.items,
            }
            session.execute(sa.update(InboxState).where(InboxState.user_id == user_id).values(**counts))
            if told is not None:
                events.tell_marked(told, since)
            if read_at is not None:
                scores.count_opened(sa.select(InboxItem.id).where(*since))
                _open_deliveries(since, read_at)
                _drop_reminders(since)
            changed, shown = _changed(session, since, before.items)
    if before.items:
        publish.publish_state(user_id, {**counts, "changed": shown})
    return counts, changed


def _changed(
    session: scoped_session[Session], conditions: Sequence[sa.ColumnElement[bool]], count: int
) -> tuple[list[UUID] | None, list[dict[str, Any]]]:
    """The ids of the changed items, and the items as browsers are shown them: each unless there are too many."""
    if count > MAX_IDS:
        return None, []
    columns = ITEMS.columns if count <= MAX_SHOWN else [ITEMS.c.id]
    rows = session.execute(sa.select(*columns).where(*conditions).order_by(InboxItem.seq)).mappings().all()
    return [row["id"] for row in rows], [shapes.inbox_item(row) for row in rows] if count <= MAX_SHOWN else []


def _tally(session: scoped_session[Session], conditions: Sequence[sa.ColumnElement[bool]]) -> sa.Row[int, int, int]:
    """How many items meet the conditions, and how many of them count as unread and unseen."""
    count = sa.func.count()
    return session.execute(
        sa.select(
            count.label("items"), count.filter(_IS_UNREAD).label("unread"), count.filter(_IS_UNSEEN).label("unseen")
        )
        .select_from(InboxItem)
        .where(*conditions)
    ).one()


def _change(
    session: scoped_session[Session], conditions: Sequence[sa.ColumnElement[bool]], seq: int, values: Mapping[str, Any]
) -> None:
    """Sets the values, and a new seq for each item in the order of their old ones, in one statement."""
    ranked = (
        sa.select(InboxItem.id, (seq + sa.func.row_number().over(order_by=InboxItem.seq)).label("seq"))
        .where(*conditions)
        .subquery("ranked")
    )
    session.execute(sa.update(ITEMS).where(ITEMS.c.id == ranked.c.id).values(seq=ranked.c.seq, **values))


def _open_deliveries(conditions: Sequence[sa.ColumnElement[bool]], at: datetime) -> None:
    items = sa.select(InboxItem.id).where(*conditions)
    opened = moves.move(Delivery.id.in_(items), lifecycle.OPENED, opened_at=at)
    tallies.count((INAPP.name, tallies.OPENED) for _ in opened)


def _drop_reminders(conditions: Sequence[sa.ColumnElement[bool]]) -> None:
    """Skips waiting deliveries that would only repeat what has now been read. A delivery that a worker holds at this
    moment is already under way.
    """
    waiting = (
        sa.select(Delivery.id)
        .join(InboxItem, InboxItem.notification_id == Delivery.notification_id)
        .where(*conditions, Delivery.status == lifecycle.WAITING, Delivery.reason.in_(reading.REMINDERS))
        .with_for_update(of=Delivery, skip_locked=True)
    )
    moves.move(Delivery.id.in_(waiting), lifecycle.SKIPPED, reason=reading.READ_ELSEWHERE, wake_at=None)
