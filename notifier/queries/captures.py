"""Messages that the sandbox captured. Read by `GET /api/v1/sandbox` and `/admin/sandbox`.

The product's own messages contain codes and sign-in links. `with_secrets` includes them, for callers that may act as
anybody; without it they are left out.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select, true

from notifier.core.timestamps import timestamp
from notifier.core.worlds import MARK, is_of_tests, shown_id
from notifier.ground import partitions
from notifier.ground.extensions import db
from notifier.ground.ids import first_at, made_at, parse, show
from notifier.models import Address, Capture, Delivery, EventType, Notification
from notifier.queries.notifications import Sight
from notifier.queries.people import digests_of

KIND = "cap"
_CLOCKS = timedelta(hours=1)  # may differ by that
WINDOW = 10_000  # captures that a page of one type looks at
_FIELDS = ("to", "subject", "text", "html", "payload", "headers")


def of_deliveries(ids: Collection[UUID]) -> ColumnElement[bool]:
    """The condition that a capture is of one of these, one at least. None is older than the first of them, but for the
    clocks of two machines: older partitions stay unread.
    """
    return and_(partitions.among(Capture.delivery_id, ids), Capture.id >= first_at(made_at(min(ids)) - _CLOCKS))


def list_captures(
    *,
    with_secrets: bool,
    tests_only: bool = False,
    user: str | None = None,
    to: str | None = None,
    channel: str | None = None,
    type: str | None = None,
    since: datetime | None = None,
    after: str | None = None,
    limit: int = 50,
) -> tuple[list[dict[str, Any]], str | None]:
    """Newest first, as in API.md, and the cursor of the next page. Raises Rejected for an invalid cursor.

    `to`: a user's id, or a whole address; an address that its user no longer has finds nothing. `tests_only`: only
    those of people of test keys. `type`: of the notification; a page of it may hold less than `limit`, since it looks
    at WINDOW captures at most.
    """
    query = select(Capture).order_by(Capture.id.desc())
    if tests_only:
        query = query.where(Capture.user_id.startswith(MARK))
    if user:
        query = query.where(Capture.user_id.in_(Sight(tests_only=tests_only).stored_ids([user])))
    if to:
        is_meant = Address.digest.in_(digests_of(to))
        addressed = select(Delivery.id).join(Address, Address.id == Delivery.address_id).where(is_meant)
        # By people, whom an index leads to: a capture of that address is one of somebody who has it
        owners = db.session.scalars(select(Address.user_id).where(is_meant).distinct()).all()
        named = Sight().stored_ids([to])
        query = query.where(
            Capture.user_id.in_([*named, *owners]), or_(Capture.user_id.in_(named), Capture.delivery_id.in_(addressed))
        )
    if channel:
        query = query.where(Capture.channel == channel)
    if after:
        query = query.where(Capture.id < parse(KIND, after))
    if since:
        query = query.where(Capture.id >= first_at(since), Capture.at >= since)
    edge: UUID | None = None
    if type:
        # No index leads from a type to its captures: a rare one would be looked for among all of them
        window = query.with_only_columns(Capture.id).limit(WINDOW)
        edge = db.session.scalar(window.limit(1).offset(WINDOW - 1))
        sent = select(Delivery.id).join(Notification, Notification.id == Delivery.notification_id)
        query = query.where(
            *([Capture.id >= edge] if edge else []),
            sent.where(Delivery.id == Capture.delivery_id, Notification.type == type).exists(),
        )
    rows = list(db.session.scalars(query.where(_visible(with_secrets)).limit(limit + 1)))
    page = rows[:limit]
    last = page[-1].id if len(rows) > limit else edge
    return [capture_json(row) for row in page], show(KIND, last) if last else None


def find_capture(key: UUID, *, with_secrets: bool) -> dict[str, Any] | None:
    """A capture as in API.md, with `notification` (its id) and `stored_user` (the person's stored id)."""
    statement = select(Capture, Delivery.notification_id).join(Delivery, Delivery.id == Capture.delivery_id)
    row = db.session.execute(statement.where(Capture.id == key, _visible(with_secrets))).first()
    return (
        {
            **capture_json(row.Capture),
            "notification": show("ntf", row.notification_id),
            "stored_user": row.Capture.user_id,
        }
        if row
        else None
    )


def _visible(with_secrets: bool) -> ColumnElement[bool]:
    if with_secrets:
        return true()
    sent = (
        select(Delivery.id)
        .join(Notification, Notification.id == Delivery.notification_id)
        .join(EventType, EventType.key == Notification.type)
    )
    return ~sent.where(Delivery.id == Capture.delivery_id, EventType.is_internal).exists()


def capture_json(row: Capture) -> dict[str, Any]:
    content = row.content or {}
    return {
        "id": show(KIND, row.id),
        "delivery": show("dlv", row.delivery_id),
        "user": shown_id(row.user_id),
        "test": is_of_tests(row.user_id),
        "channel": row.channel,
        **{field: content.get(field) for field in _FIELDS},
        "at": timestamp(row.at),
    }
