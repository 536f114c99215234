"""A person's inbox: lists, search and counts.

The row of counts is always read first: an item that arrives in between then appears twice, in the list and by its
event, and never not at all.
"""

import base64
import struct
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core.errors import Fault, Rejected
from notifier.ground import shapes
from notifier.ground.extensions import db
from notifier.models import InboxItem, InboxState

MAX_BEHIND = 500  # a client that has missed more than this reads its list again

_items: sa.Table = InboxItem.__table__
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def counts(user_id: str) -> dict[str, int]:
    """→ `{unread, unseen, seq}`; zeros for somebody whom nothing has ever reached."""
    row = db.session.execute(
        sa.select(InboxState.unread, InboxState.unseen, InboxState.seq).where(InboxState.user_id == user_id)
    ).first()
    return (
        {"unread": 0, "unseen": 0, "seq": 0}
        if row is None
        else {"unread": row.unread, "unseen": row.unseen, "seq": row.seq}
    )


def unread_of(user_ids: Collection[str]) -> dict[str, int]:
    """How many unread items each of these people has: for whom nothing has ever reached, nothing. One query."""
    rows = db.session.execute(sa.select(InboxState.user_id, InboxState.unread).where(InboxState.user_id.in_(user_ids)))
    return {row.user_id: row.unread for row in rows}


def page(
    user_id: str,
    *,
    filter: str = "all",
    category: str | None = None,
    q: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> dict[str, Any]:
    """API.md, GET /api/v1/inbox: newest first. Raises Rejected for an `after` that is no cursor."""
    statement = (
        sa.select(_items)
        .where(InboxItem.user_id == user_id, *InboxItem.in_view(filter, category, q))
        .order_by(InboxItem.created_at.desc(), InboxItem.id.desc())
        .limit(limit + 1)
    )
    if after is not None:
        statement = statement.where(sa.tuple_(InboxItem.created_at, InboxItem.id) < sa.tuple_(*_position(after)))
    state = counts(user_id)
    rows = db.session.execute(statement).mappings().all()
    shown = rows[:limit]
    return {
        "data": [shapes.inbox_item(row) for row in shown],
        "next": _cursor(shown[-1]["created_at"], shown[-1]["id"]) if len(rows) > limit else None,
        **state,
    }


def changes(user_id: str, since: int) -> dict[str, Any]:
    """Changes after `since`, oldest first, in the shape of a `state` event; or that the list must be read again."""
    state = counts(user_id)
    if not 0 <= state["seq"] - since <= MAX_BEHIND:
        return {"reset": True}
    rows = db.session.execute(
        sa.select(_items).where(InboxItem.user_id == user_id, InboxItem.seq > since).order_by(InboxItem.seq)
    ).mappings()
    return {**state, "changed": [shapes.inbox_item(row) for row in rows]}


def _cursor(created_at: datetime, key: UUID) -> str:
    return base64.urlsafe_b64encode(struct.pack(">q", (created_at - _EPOCH) // _MICROSECOND) + key.bytes).decode()


def _position(cursor: str) -> tuple[Any, Any]:
    try:
        packed = base64.urlsafe_b64decode(cursor)
        (microseconds,) = struct.unpack(">q", packed[:8])
        created_at, key = _EPOCH + microseconds * _MICROSECOND, UUID(bytes=packed[8:])
    except (ValueError, OverflowError, struct.error):
        fault = Fault("/after", "invalid_cursor", "send the `next` of the page before")
        raise Rejected("validation_failed", "after is not a cursor of this list", (fault,)) from None
    return sa.literal(created_at, _items.c.created_at.type), sa.literal(key, _items.c.id.type)
