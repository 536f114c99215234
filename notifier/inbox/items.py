"""Adds items to inboxes, and replaces older items by newer ones, with the counts in the same transaction.

Called by planning, upkeep and `inbox.marks`. The caller publishes the changes after the commit.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.ground import shapes
from notifier.ground.clock import now
from notifier.ground.database import insert, set_each
from notifier.ground.extensions import db
from notifier.ground.many_rows import insert_rows
from notifier.models import InboxItem, InboxState
from notifier.signals.publish import ItemEvent

ITEMS: sa.Table = InboxItem.__table__


STATES: sa.Table = InboxState.__table__


COLUMNS = tuple(column.name for column in ITEMS.columns)


IS_OPEN = sa.and_(InboxItem.read_at.is_(None), InboxItem.archived_at.is_(None))


def add(rows: Sequence[Mapping[str, Any]]) -> list[ItemEvent]:
    """Stores new items, given as the columns of `InboxItem` without `seq`, inside the caller's transaction.

    Two statements whatever their number. The events are for `publish_items`, after the commit.
    """
    if not rows:
        return []
    items = [{**dict.fromkeys(COLUMNS), "created_at": now(), **row} for row in rows]
    mine: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        mine.setdefault(item["user_id"], []).append(item)
    statement = insert(STATES)
    raised = {name: STATES.c[name] + statement.excluded[name] for name in ("seq", "unread", "unseen")}
    # Sorted, so that two batches lock the same users in the same order.
    growth = [
        {"user_id": user_id, "seq": len(mine[user_id]), "unread": len(mine[user_id]), "unseen": len(mine[user_id])}
        for user_id in sorted(mine)
    ]
    states = db.session.execute(
        statement.on_conflict_do_update(index_elements=["user_id"], set_=raised).returning(*STATES.columns),
        growth,
    ).all()
    events = {}
    for state in states:
        for still_to_come, item in enumerate(reversed(mine[state.user_id])):
            item["seq"] = state.seq - still_to_come
            events[item["id"]] = ItemEvent(
                state.user_id,
                shapes.inbox_item(item),
                item["seq"],
                state.unread - still_to_come,
                state.unseen - still_to_come,
            )
    insert_rows(ITEMS, items)
    return [events[item["id"]] for item in items]


def replace(older: Mapping[UUID, UUID]) -> list[tuple[str, dict[str, Any]]]:
    """Unread item → the newer one that takes its place, just added in the same transaction, which holds its user's row
    of counts.

    → the changes for `publish_states`, after the commit. Four statements; one when all of them were read or archived.
    """
    unread = sa.select(ITEMS).where(ITEMS.c.id.in_(older), IS_OPEN).order_by(ITEMS.c.user_id, ITEMS.c.seq)
    found = [dict(row) for row in db.session.execute(unread).mappings()] if older else []
    if not found:
        return []
    rows = db.session.execute(
        sa.select(STATES).where(STATES.c.user_id.in_({item["user_id"] for item in found}))
    ).mappings()
    states = {row["user_id"]: {name: row[name] for name in ("seq", "unread", "unseen")} for row in rows}
    changed: dict[str, list[dict[str, Any]]] = {}
    at = now()
    for item in found:
        state = states[item["user_id"]]
        state["seq"] += 1
        if item["snoozed_until"] is None:
            state["unread"] -= 1
            state["unseen"] -= item["seen_at"] is None
        item |= {"seq": state["seq"], "archived_at": at, "snoozed_until": None, "replaced_by": older[item["id"]]}
        changed.setdefault(item["user_id"], []).append(item)
    set_each(
        ITEMS,
        "id",
        [{name: item[name] for name in ("id", "seq", "archived_at", "snoozed_until", "replaced_by")} for item in found],
    )
    set_each(STATES, "user_id", [{"user_id": user_id, **state} for user_id, state in states.items()])
    return [
        (user_id, {**states[user_id], "changed": [shapes.inbox_item(item) for item in items]})
        for user_id, items in changed.items()
    ]
