"""The marks a person puts on inbox items: read, seen, archived, snoozed.

Called by the inbox API, the sockets and the scheduler, and by `pipeline.delivery.consequences` for what was opened on
another channel. An item and its user's row of counts change in the same transaction, and every change locks that row
first, so the counts are exact and every changed item gets its own `seq`. Browsers are told after the commit.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.channels.table import INAPP
from notifier.core import events as names
from notifier.core import lifecycle, reading
from notifier.ground import shapes
from notifier.ground.clock import now
from notifier.ground.database import set_each, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.inbox.items import ITEMS, STATES
from notifier.ledgers import events, moves, scores, tallies
from notifier.models import Delivery, InboxItem, InboxState
from notifier.signals import publish

MAX_IDS = 1000
MAX_SHOWN = 500  # a change of more items is told without them: the client sees the gap and reads again
_WAKE_AT_ONCE = 500

_COUNTED = sa.and_(InboxItem.archived_at.is_(None), InboxItem.snoozed_until.is_(None))
_IS_UNREAD = sa.and_(_COUNTED, InboxItem.read_at.is_(None))
_IS_UNSEEN = sa.and_(_COUNTED, InboxItem.seen_at.is_(None))
_COUNTS = ("unread", "unseen", "seq")
# In the order of their bytes, as Python sorts the people of `items.add`; a database's language may have another
_LOCKED = (
    sa.select(InboxState.user_id, InboxState.seq, InboxState.unread, InboxState.unseen)
    .where(InboxState.user_id.in_(sa.bindparam("users", expanding=True)))
    .order_by(sa.cast(InboxState.user_id, sa.LargeBinary))
    .with_for_update()
)

_Changed = tuple[list[UUID] | None, list[dict[str, Any]]]


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


@dataclass(frozen=True, slots=True)
class _Marked:
    """A person's counts after a mark, and which items have changed, oldest change first (None: more than MAX_IDS)."""

    counts: dict[str, int]
    ids: list[UUID] | None = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)
    is_changed: bool = False

    @property
    def told(self) -> dict[str, Any]:
        """What browsers hear of it."""
        return {**self.counts, "changed": self.shown}


def seen(user_id: str, chosen: Chosen) -> dict[str, int]:
    """→ `{unread, unseen, seq}`. As with every mark, `seq` stays if nothing changes."""
    meant = [*chosen.conditions(user_id), InboxItem.seen_at.is_(None)]
    return _mark(user_id, meant, {"seen_at": now()}, told=names.SEEN).counts


def read(user_id: str, chosen: Chosen) -> dict[str, Any]:
    """Marks items as read, and so as seen; their deliveries count as opened, and deliveries that would only remind of
    them are dropped.

    This mark and those below answer `{unread, unseen, seq, changed_ids}`, so that they can be undone. At most MAX_IDS
    are named: None stands for more.
    """
    at = now()
    meant = [*chosen.conditions(user_id), InboxItem.read_at.is_(None)]
    return _named(_mark(user_id, meant, _read_at(at), told=names.READ, opened_at=at))


def read_elsewhere(notification_ids: Collection[UUID]) -> list[tuple[str, dict[str, Any]]]:
    """Their people have opened these on other channels: marks their items as read, and drops deliveries that would only
    remind of them. The items' own deliveries do not count as opened.

    Inside the caller's transaction, which has locked what it needs of the deliveries and notifications: people's rows
    of counts are locked here, after those. → the changes for `publish_states`, after the commit. A constant number of
    statements, few where nobody has such an item unread; none without notifications.
    """
    if not notification_ids:
        return []
    _drop_reminders(notification_ids)
    unread = [InboxItem.notification_id.in_(notification_ids), InboxItem.read_at.is_(None)]
    whose = sa.select(InboxItem.user_id).where(*unread, InboxItem.replaced_by.is_(None)).distinct()
    user_ids = set(db.session.scalars(whose))
    if not user_ids:
        return []
    # An expression, as in `Chosen.conditions`
    theirs = InboxItem.user_id.concat("").in_(user_ids)
    marked = _mark_each(user_ids, [*unread, theirs], _read_at(now()), told=names.READ)
    return [(user_id, one.told) for user_id, one in marked.items() if one.is_changed]


def _read_at(at: datetime) -> dict[str, Any]:
    return {"read_at": at, "seen_at": sa.func.coalesce(InboxItem.seen_at, at)}


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
    # The first ones by the time, and then whose they are: SQLite would look for people among all that is snoozed
    first = sa.select(InboxItem.user_id).where(due).order_by(InboxItem.snoozed_until).limit(_WAKE_AT_ONCE).subquery()
    user_ids = db.session.scalars(sa.select(first.c.user_id).distinct().order_by(first.c.user_id)).all()
    for user_id in user_ids:
        _mark(user_id, [InboxItem.user_id == user_id, due], {"snoozed_until": None})
    return len(user_ids)


def _named(marked: _Marked) -> dict[str, Any]:
    return {**marked.counts, "changed_ids": None if marked.ids is None else [show("dlv", key) for key in marked.ids]}


def _mark(
    user_id: str,
    conditions: Sequence[sa.ColumnElement[bool]],
    values: Mapping[str, Any],
    *,
    told: str | None = None,
    opened_at: datetime | None = None,
) -> _Marked:
    """One transaction: changes the user's items, and then tells the browsers."""
    with transaction():
        marked = _mark_each([user_id], conditions, values, told=told, opened_at=opened_at)
    mine = marked.get(user_id, _Marked(dict.fromkeys(_COUNTS, 0)))  # nothing has ever reached them
    if mine.is_changed:
        publish.publish_state(user_id, mine.told)
    return mine


def _mark_each(
    user_ids: Collection[str],
    conditions: Sequence[sa.ColumnElement[bool]],
    values: Mapping[str, Any],
    *,
    told: str | None,
    opened_at: datetime | None = None,
) -> dict[str, _Marked]:
    """Changes those items of these people that meet the conditions (which may not mean anybody else's), the counts with
    them, and tells the event `told` of each. `opened_at`: the items were opened themselves, in the inbox.

    Inside the caller's transaction; the number of statements does not depend on that of the people.
    """
    states = {row.user_id: row for row in db.session.execute(_LOCKED, {"users": list(user_ids)})}
    meant = [*conditions, InboxItem.replaced_by.is_(None)]
    before = _tally(*meant) if states else {}
    marked = {key: _Marked({name: getattr(state, name) for name in _COUNTS}) for key, state in states.items()}
    if not before:
        return marked
    _change(meant, values)
    since = _beyond_counts(before)
    after = _tally(since)
    if told is not None:
        events.tell_marked(told, [since])
    if opened_at is not None:
        scores.count_opened(sa.select(InboxItem.id).where(since))
        _open_deliveries(since, opened_at)
        _drop_reminders(sa.select(InboxItem.notification_id).where(since))
    changed = _changed(since, {key: tally.items for key, tally in before.items()})
    for key in before:
        counts = {
            "unread": states[key].unread + after[key].unread - before[key].unread,
            "unseen": states[key].unseen + after[key].unseen - before[key].unseen,
            "seq": states[key].seq + before[key].items,
        }
        marked[key] = _Marked(counts, *changed[key], is_changed=True)
    set_each(STATES, "user_id", [{"user_id": key, **marked[key].counts} for key in before])
    return marked


def _tally(*conditions: sa.ColumnElement[bool]) -> "dict[str, sa.Row[str, int, int, int]]":
    """By person, how many items meet the conditions, and how many of them count as unread and unseen. Nobody is named
    who has none.
    """
    count = sa.func.count()
    columns = (
        count.label("items"),
        count.filter(_IS_UNREAD).label("unread"),
        count.filter(_IS_UNSEEN).label("unseen"),
    )
    counted = sa.select(InboxItem.user_id, *columns).where(*conditions).group_by(InboxItem.user_id)
    return {row.user_id: row for row in db.session.execute(counted)}


def _change(conditions: Sequence[sa.ColumnElement[bool]], values: Mapping[str, Any]) -> None:
    """Sets the values, and a new seq for each item in the order of their old ones, in one statement."""
    place = sa.func.row_number().over(partition_by=InboxItem.user_id, order_by=InboxItem.seq)
    ranked = (
        sa.select(InboxItem.id, (InboxState.seq + place).label("seq"))
        .join(InboxState, InboxState.user_id == InboxItem.user_id)
        .where(*conditions)
        .subquery("ranked")
    )
    db.session.execute(sa.update(ITEMS).where(ITEMS.c.id == ranked.c.id).values(seq=ranked.c.seq, **values))


def _beyond_counts(user_ids: Collection[str]) -> "sa.ColumnElement[bool]":
    """The items that were changed just now: later than their people's rows of counts know."""
    changed = sa.select(InboxItem.id).join(
        InboxState, sa.and_(InboxState.user_id == InboxItem.user_id, InboxState.seq < InboxItem.seq)
    )
    return InboxItem.id.in_(changed.where(InboxState.user_id.in_(user_ids)))


def _changed(since: "sa.ColumnElement[bool]", counts: Mapping[str, int]) -> dict[str, _Changed]:
    """By person, the ids of the changed items, oldest change first, and the items as browsers are shown them: each
    unless there are too many.
    """
    count = sum(counts.values())
    if count > MAX_IDS:
        return dict.fromkeys(counts, (None, []))
    is_shown = count <= MAX_SHOWN
    columns = ITEMS.columns if is_shown else (ITEMS.c.id, ITEMS.c.user_id)
    found: dict[str, tuple[list[UUID], list[dict[str, Any]]]] = {key: ([], []) for key in counts}
    for row in db.session.execute(sa.select(*columns).where(since).order_by(InboxItem.seq)).mappings():
        ids, shown = found[row["user_id"]]
        ids.append(row["id"])
        shown += [shapes.inbox_item(row)] if is_shown else []
    return {**found}


def _open_deliveries(items: "sa.ColumnElement[bool]", at: datetime) -> None:
    opened = moves.move(Delivery.id.in_(sa.select(InboxItem.id).where(items)), lifecycle.OPENED, opened_at=at)
    tallies.count((INAPP.name, tallies.OPENED) for _ in opened)


def _drop_reminders(notification_ids: "Collection[UUID] | sa.Select[UUID]") -> None:
    """Skips waiting deliveries that would only repeat what has now been read. A delivery that a worker holds at this
    moment is already under way.
    """
    waiting = (
        sa.select(Delivery.id)
        .where(
            Delivery.notification_id.in_(notification_ids),
            Delivery.status == lifecycle.WAITING,
            Delivery.reason.in_(reading.REMINDERS),
        )
        .with_for_update(skip_locked=True)
    )
    moves.move(Delivery.id.in_(waiting), lifecycle.SKIPPED, reason=reading.READ_ELSEWHERE, wake_at=None)
