"""Drafts the delivery rows of a decided notification: one for each address, or for the channel that is left out.

Called by `planning.store`, which may still change a draft before it stores the row.
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from notifier import channels
from notifier.core import lifecycle
from notifier.core.decisions import Route, Skip
from notifier.core.routing import FALLBACK
from notifier.core.worlds import has_inbox
from notifier.ground.ids import new_id
from notifier.pipeline.planning.decide import Decided
from notifier.pipeline.planning.orders import Target
from notifier.signals.queueing import DOORBELL_GRACE

ONLY_THROUGH = "only_through"  # in a delivery's detail: the account of a provider that is to send it, and no other


@dataclass(slots=True)
class DeliveryDraft:
    """A delivery row in the making; has the attributes of `models.Delivery` that its JSON shape needs."""

    id: UUID
    notification_id: UUID
    broadcast_id: UUID | None
    channel: str
    priority: str
    address_id: UUID | None
    address_masked: str | None
    status: str
    reason: str | None
    step: int
    detail: Mapping[str, Any]
    due_at: datetime | None
    wake_at: datetime | None
    expires_at: datetime | None
    created_at: datetime
    is_at_once: bool = False  # shown by ourselves in this very transaction, if its words are at hand
    provider: str | None = None
    delivered_at: datetime | None = None
    sent_at: datetime | None = None
    opened_at: None = None
    clicked_at: None = None
    outcome: None = None
    failures: int = 0

    def become(self, status: str, **columns: Any) -> None:
        """Before it is stored: nothing has moved yet."""
        self.status = status
        for name, value in columns.items():
            setattr(self, name, value)

    def row(self) -> dict[str, Any]:
        return dict(zip(_COLUMNS, _VALUES(self), strict=True))


_COLUMNS = (
    *("id", "notification_id", "broadcast_id", "channel", "priority", "address_id", "address_masked", "status"),
    *("reason", "step", "detail", "provider", "due_at", "wake_at", "expires_at"),
    *("delivered_at", "sent_at", "created_at"),
)
_VALUES = operator.attrgetter(*_COLUMNS)


def drafts_of(decided: Decided, now: datetime) -> list[DeliveryDraft]:
    """A draft of each decision, in order."""
    drafts = []
    target = decided.target
    only = {ONLY_THROUGH: target.order.only_through} if target.order.only_through else {}
    for decision in decided.plan.decisions:
        status, is_at_once = lifecycle.SKIPPED, False
        due_at = wake_at = None
        if isinstance(decision, Route):
            due_at = decision.due_at
            if decision.reason == FALLBACK:
                status, wake_at = lifecycle.WAITING, decision.expires_at  # nothing may wait for ever
            elif due_at is not None:
                status, wake_at = lifecycle.WAITING, due_at
            elif channels.CHANNELS[decision.channel].address is None and has_inbox(
                target.person.id, is_test=target.is_test
            ):
                # In-app: no worker, no attempt.
                status, due_at, wake_at, is_at_once = lifecycle.WAITING, now, now, True
            else:
                status, wake_at = lifecycle.QUEUED, now + DOORBELL_GRACE
        drafts.append(
            DeliveryDraft(
                id=new_id(),
                notification_id=decided.notification_id,
                broadcast_id=target.broadcast_id,
                channel=decision.channel,
                priority=target.order.priority,
                address_id=decision.address.id if decision.address else None,
                address_masked=decision.address.masked if decision.address else None,
                status=status,
                reason=decision.reason,
                step=decision.step if isinstance(decision, Route) else 0,
                detail={**decision.detail, **only} if only else decision.detail,
                due_at=due_at,
                wake_at=wake_at,
                expires_at=_expiry(decision, target),
                created_at=now,
                is_at_once=is_at_once,
            )
        )
    return drafts


def _expiry(decision: Route | Skip, target: Target) -> datetime | None:
    if isinstance(decision, Route):
        return decision.expires_at
    # A digest may be days away
    return None if decision.summary is not None and not target.order.is_perishable else target.order.expires_at
