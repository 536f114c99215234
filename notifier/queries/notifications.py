"""Notifications for producers, limited to those in their sight."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core import lifecycle
from notifier.core.errors import Rejected
from notifier.core.explain import story, told, unpacked
from notifier.core.worlds import MARK, SYNTHETIC, shown_id, stored_id
from notifier.ground import shapes
from notifier.ground.extensions import db
from notifier.ground.ids import parse, show
from notifier.ledgers import broadcast_counts
from notifier.models import Attempt, Broadcast, Delivery, Notification, Receipt, Schedule, Submission, Subscription
from notifier.queries.search import furthest, narrowed, of_window
from notifier.queries.types import internal_keys


@dataclass(frozen=True, slots=True)
class Sight:
    """The notifications that a caller may see: one producer's (None: everybody's, scope admin), and for a test key only
    those that test keys sent to their own people.
    """

    producer_id: UUID | None = None
    tests_only: bool = False

    def conditions(
        self, table: type[Notification] | type[Submission] | type[Schedule] | type[Subscription] | type[Broadcast]
    ) -> list[sa.ColumnElement[bool]]:
        own: list[sa.ColumnElement[bool]] = [] if self.producer_id is None else [table.producer_id == self.producer_id]
        if table is Notification:
            own.append(table.user_id != SYNTHETIC)
        if not self.tests_only:
            return own
        return [*own, table.is_test.is_(True), *([table.user_id.startswith(MARK)] if table is Notification else [])]

    def stored_ids(self, user_ids: Iterable[str]) -> list[str]:
        """The stored ids of a user that a filter names: with a live key two, since notifications to test keys' people
        are in sight too.
        """
        tests = [stored_id(user_id, is_test=True) for user_id in user_ids]
        return tests if self.tests_only else [*user_ids, *tests]


@dataclass(frozen=True, slots=True)
class Filters:
    """Each a tuple of wanted values, empty for any. `after` is a notification id; newest first.

    `is_narrow`: some are passed over that no index passes over.
    """

    user: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    channel: tuple[str, ...] = ()
    after: str | None = None
    limit: int = 50

    @property
    def is_narrow(self) -> bool:
        return bool(self.type or self.status or self.channel)


def one(notification_id: UUID, sight: Sight) -> dict[str, Any]:
    """API.md, GET /notifications/{id}. Raises Rejected('not_found'), also for a notification out of sight."""
    row = db.session.scalar(
        sa.select(Notification).where(Notification.id == notification_id, *sight.conditions(Notification))
    )
    if row is None:
        raise Rejected("not_found", "there is no such notification")
    shown = _in_full([row])[0]
    return {**shown, "decision": told(story(unpacked(row.decision), shown["deliveries"]))}


def page(filters: Filters, sight: Sight) -> dict[str, Any]:
    """API.md, Pages. A page looks at `search.WINDOW` notifications, however few of them are wanted."""
    statement = sa.select(Notification).where(*sight.conditions(Notification)).order_by(Notification.id.desc())
    if filters.after:
        statement = statement.where(Notification.id < parse("ntf", filters.after))
    if filters.user:
        statement = statement.where(Notification.user_id.in_(sight.stored_ids(filters.user)))
    looked_to = furthest(statement) if filters.is_narrow else None
    chosen = _narrowed(of_window(statement, looked_to), filters) if filters.is_narrow else statement
    rows = list(db.session.scalars(chosen.limit(filters.limit + 1)))
    shown = rows[: filters.limit]
    last = shown[-1].id if len(rows) > filters.limit else looked_to
    return {"data": _in_full(shown), "next": show("ntf", last) if last else None}


def _narrowed(looked_at: "sa.Select[UUID, str]", filters: Filters) -> "sa.Select[Notification]":
    """Those that are wanted of a window."""
    window = looked_at.subquery()
    chosen = sa.select(Notification).join(window, window.c.id == Notification.id).order_by(window.c.id.desc())
    return narrowed(chosen, window, filters.type, filters.status, filters.channel)


def submission(submission_id: UUID, sight: Sight) -> dict[str, Any]:
    """A submission of any size with all its notifications, as far as it has been expanded. Those of a broadcast are
    None: there may be a million, and `queries.broadcasts` has them.
    """
    found = db.session.execute(
        sa.select(Submission, Broadcast.id.is_not(None).label("is_broadcast"))
        .outerjoin(Broadcast, Broadcast.id == Submission.id)
        .where(Submission.id == submission_id, *sight.conditions(Submission))
    ).one_or_none()
    if found is None:
        raise Rejected("not_found", "there is no such submission")
    row = found.Submission
    return {
        **shapes.submission(row.id, row.status, None if found.is_broadcast else _summaries(submission_id, sight)),
        "type": row.type,
        "recipients": row.recipients,
        "expanded": row.expanded,
        "created_at": shapes.timestamp(row.created_at),
    }


def _summaries(submission_id: UUID, sight: Sight) -> list[dict[str, Any]]:
    notifications = db.session.execute(
        sa.select(Notification.id, Notification.user_id)
        .where(Notification.submission_id == submission_id, *sight.conditions(Notification))
        .order_by(Notification.id)
    ).all()
    deliveries = _deliveries(n.id for n in notifications)
    return [shapes.notification_summary(n.id, n.user_id, deliveries.get(n.id, [])) for n in notifications]


def status(shown_id: str, sight: Sight) -> dict[str, Any]:
    """The seeds' GET /notify/status/{id}: of a notification or of a whole submission."""
    if shown_id.startswith("sub_"):
        key = parse("sub", shown_id)
        whole = submission(key, sight)
        if whole["notifications"] is None:
            deliveries, statuses = [], [status for status, count in broadcast_counts.of([key])[key].items() if count]
        else:
            deliveries = [delivery for one in whole["notifications"] for delivery in one["deliveries"]]
            statuses = [delivery["status"] for delivery in deliveries]
        pending = not statuses and whole["status"] != "expanded"
        furthest = lifecycle.QUEUED if pending else lifecycle.furthest(statuses)
    else:
        deliveries = one(parse("ntf", shown_id), sight)["deliveries"]
        furthest = lifecycle.furthest([d["status"] for d in deliveries])
    return {"id": shown_id, "status": furthest, "deliveries": deliveries}


def _in_full(rows: Sequence[Notification]) -> list[dict[str, Any]]:
    deliveries = _deliveries(row.id for row in rows)
    receipts = _receipts(row.id for row in rows)
    secret = internal_keys()
    return [
        {
            "id": show("ntf", row.id),
            "submission": show("sub", row.submission_id),
            "user": shown_id(row.user_id),
            "test": row.is_test,
            "type": row.type,
            "category": row.category,
            "priority": row.priority,
            "data": None if row.type in secret else row.data,
            "collapse_key": row.collapse_key,
            "created_at": shapes.timestamp(row.created_at),
            "send_at": shapes.timestamp(row.send_at),
            "expires_at": shapes.timestamp(row.expires_at),
            "deliveries": deliveries.get(row.id, []),
            "receipts": receipts.get(row.id, []),
        }
        for row in rows
    ]


def _deliveries(notification_ids: Iterable[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    wanted = list(notification_ids)
    rows = (
        db.session.scalars(sa.select(Delivery).where(Delivery.notification_id.in_(wanted)).order_by(Delivery.id)).all()
        if wanted
        else []
    )
    attempts: dict[UUID, list[dict[str, Any]]] = {}
    if any(row.tries for row in rows):
        statement = (
            sa.select(Attempt)
            .where(Attempt.delivery_id.in_([row.id for row in rows if row.tries]))
            .order_by(Attempt.number)
        )
        for attempt in db.session.scalars(statement):
            attempts.setdefault(attempt.delivery_id, []).append(shapes.attempt(attempt))
    found: dict[UUID, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.notification_id, []).append(shapes.delivery(row, attempts.get(row.id, ())))
    return found


def _receipts(notification_ids: Iterable[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    wanted = list(notification_ids)
    statement = sa.select(Receipt, Delivery.id, Delivery.notification_id).join(
        Delivery, Delivery.id == Receipt.delivery_id
    )
    found: dict[UUID, list[dict[str, Any]]] = {}
    rows = (
        db.session.execute(statement.where(Delivery.notification_id.in_(wanted)).order_by(Receipt.id)) if wanted else ()
    )
    for receipt, delivery_id, notification_id in rows:
        found.setdefault(notification_id, []).append(
            {
                "delivery": show("dlv", delivery_id),
                "provider": receipt.provider,
                "status": receipt.status,
                "code": receipt.code,
                "by": receipt.by,
                "at": shapes.timestamp(receipt.at),
            }
        )
    return found
