"""Which deliveries the events of providers are about: found, locked, and judged by the account that speaks.

Called by `delivery.receipts` and `delivery.kept_receipts`, inside their transactions.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core import lifecycle
from notifier.core.receipts import BY_ADDRESS, DEVICE
from notifier.core.tracking import ACCOUNT, SETTLED_AFTER
from notifier.ground.extensions import db
from notifier.models import Attempt, Delivery, Notification, Preference, Receipt, Submission
from notifier.pipeline.delivery.consequences import Word
from notifier.pipeline.delivery.task import LEASE_LAPSED

_FIRST_LOOK = timedelta(seconds=2)
_LOOKED_FOR = timedelta(days=1)  # then only a record or a lapsed lease finds it

_OURS = (ACCOUNT, DEVICE)  # a signed token names the delivery; or it was looked up among the person's own

_receipts: sa.Table = Receipt.__table__
_deliveries: sa.Table = Delivery.__table__
_notifications: sa.Table = Notification.__table__
_submissions: sa.Table = Submission.__table__
_preferences: sa.Table = Preference.__table__
DELIVERY: tuple[sa.ColumnElement[Any], ...] = (
    *(
        _deliveries.c[name]
        for name in (
            *("id", "notification_id", "broadcast_id", "channel", "priority", "status", "reason"),
            *("address_id", "address_masked"),
            *("provider", "provider_message_id", "tries", "outcome", "code", "failed_at", "failed_type", "wake_at"),
            *("held_for", "sent_at", "delivered_at", "opened_at", "clicked_at", "due_at", "failures"),
        )
    ),
    *(
        _notifications.c[name]
        for name in ("user_id", "type", "category", "is_test", "routing", "created_at", "producer_id")
    ),
    # For the log and for traces
    *(_notifications.c.submission_id, _submissions.c.request_id, _submissions.c.traceparent),
    _preferences.c.document["do_not_track"].as_boolean().label("do_not_track"),
)

# Made once: building them takes as long as running them. Without the empty lists, which would keep indexes from being
# used.
GIVEN: tuple[tuple[str, ...], ...] = (("ids",), ("messages",), ("ids", "messages"))
_BY = {"ids": _deliveries.c.id, "messages": _deliveries.c.provider_message_id}
_LOCKED = {
    names: sa.select(*DELIVERY)
    .join(_notifications, _notifications.c.id == _deliveries.c.notification_id)
    .join(_submissions, _submissions.c.id == _notifications.c.submission_id)
    .outerjoin(_preferences, _preferences.c.user_id == _notifications.c.user_id)
    .where(sa.or_(*(_BY[name].in_(sa.bindparam(name, expanding=True)) for name in names)))
    .order_by(_deliveries.c.id)
    .with_for_update(of=_deliveries, key_share=True)
    for names in GIVEN
}


@dataclass(frozen=True, slots=True)
class Found:
    """The deliveries that events are about, locked, and those that were tried through which accounts."""

    by_id: dict[UUID, "sa.Row[Any]"]
    by_message: dict[tuple[str, str], "sa.Row[Any]"]
    accounts: dict[UUID, set[str]]
    lapsed: set[UUID]

    def delivery_of(self, word: Word) -> "sa.Row[Any] | None":
        """By the id that the provider says back; else by what it called the message."""
        mine = self.by_id.get(word.reference) if word.reference else None
        if mine is None and word.provider_message_id:
            mine = self.by_message.get((word.provider, word.provider_message_id))
        return mine

    def is_about(self, word: Word, delivery: "sa.Row[Any]") -> bool:
        """Whether the delivery was tried through the account that speaks. Nobody knows through which one a worker that
        died was sending.
        """
        return (
            word.provider in _OURS
            or delivery.provider == word.provider
            or word.provider in self.accounts.get(delivery.id, ())
            or (delivery.id in self.lapsed and delivery.channel == word.channel)
        )

    def is_refused(self, word: Word) -> bool:
        """Whether it tells of an open or a click of somebody who does not want to be tracked: it is not to be stored,
        nor to have any effect.
        """
        delivery = self.delivery_of(word)
        return word.kind in lifecycle.READ and delivery is not None and bool(delivery.do_not_track)


def match(words: Collection[Word]) -> Found:
    """Two statements, the second only where an account has to be looked up among the attempts. All lock deliveries in
    the order of their ids.
    """
    ids = {word.reference for word in words if word.reference}
    messages = {word.provider_message_id for word in words if word.provider_message_id}
    given: dict[str, list[Any]] = {
        name: list(values) for name, values in (("ids", ids), ("messages", messages)) if values
    }
    rows = db.session.execute(_LOCKED[tuple(given)], given).all() if given else []
    by_message = {(row.provider, row.provider_message_id): row for row in rows if row.provider_message_id}
    found = Found({row.id: row for row in rows}, by_message, {}, set())
    unsure = {
        row.id
        for word in words
        if (row := found.delivery_of(word)) is not None and word.provider not in (row.provider, *_OURS)
    }
    if unsure:
        tried = sa.select(Attempt.delivery_id, Attempt.provider, Attempt.code).where(Attempt.delivery_id.in_(unsure))
        for attempt in db.session.execute(tried):
            found.accounts.setdefault(attempt.delivery_id, set()).add(attempt.provider)
            if attempt.code == LEASE_LAPSED:
                found.lapsed.add(attempt.delivery_id)
    return found


def outcome(word: Word, found: Found, received_at: datetime, now: datetime) -> dict[str, Any]:
    """The columns that say what became of an event. What is about a delivery that was never tried through its account
    is about nothing of ours, and settled.
    """
    delivery = found.delivery_of(word)
    is_settled = word.kind in BY_ADDRESS and word.digest is not None
    if delivery is not None and delivery.status != lifecycle.SENDING:
        is_settled = True
    is_ours = delivery is not None and found.is_about(word, delivery)
    if delivery is not None and word.provider == ACCOUNT:
        return _outcome_of_hit(delivery.id, received_at, now, is_settled=is_settled)
    return {
        "delivery_id": delivery.id if delivery is not None and is_ours and is_settled else None,
        "received_at": received_at,
        "applied_at": now if is_settled else None,
        "wake_at": None if is_settled else next_look(received_at, now),
    }


def _outcome_of_hit(delivery_id: UUID, received_at: datetime, now: datetime, *, is_settled: bool) -> dict[str, Any]:
    """Of our own links: it belongs to its delivery at once, and counts once the hits beside it are known."""
    is_settled = is_settled and now >= received_at + SETTLED_AFTER
    return {
        "delivery_id": delivery_id,
        "received_at": received_at,
        "applied_at": now if is_settled else None,
        "wake_at": None if is_settled else now + SETTLED_AFTER,
    }


def next_look(received_at: datetime, now: datetime) -> datetime | None:
    """When to look again for the delivery of an event that was not applied: ever less often, and after a day never."""
    waited = now - received_at
    return None if waited > _LOOKED_FOR else now + max(_FIRST_LOOK, waited)
