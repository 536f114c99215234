"""An accepted submission's orders: the notification to plan for each recipient, with its facts.

Built by `intake`, `upkeep` and the last look; read by everything in `planning`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core.facts import ESCALATE_AFTER, Facts, TypeFacts
from notifier.core.routing import ALL
from notifier.ground.extensions import db
from notifier.models import Account, EventType
from notifier.people.person import Given, Person


@dataclass(frozen=True, slots=True)
class Order:
    """One submission as far as it concerns planning: the same for each of its recipients. `submitted_at` None: just
    now.

    `dedupe_window_s`: how long it is remembered as said, None: not at all. `is_deduplicated`: left out if it was said
    before.
    """

    type: EventType
    priority: str
    template_id: UUID | None
    requested: tuple[str, ...] | None
    send_at: Any
    expires_at: Any
    is_perishable: bool = False
    routing: str = ALL
    escalate_after: timedelta = ESCALATE_AFTER
    sequence: int | None = None
    submitted_at: datetime | None = None
    address_id: UUID | None = None
    only_through: str | None = None
    dedupe_window_s: int | None = None
    is_deduplicated: bool = False
    is_tried: bool = False  # by its author, in the sandbox


@dataclass(frozen=True, slots=True)
class Target:
    """One notification to be made: who submitted it, for whom, with what."""

    submission_id: UUID
    producer_id: UUID | None
    is_test: bool
    order: Order
    person: Person
    data: Mapping[str, Any]
    collapse_key: str | None
    is_flooded: bool = False
    given: Given | None = None


def admin_user_ids() -> list[str]:
    """The users behind every admin account, for the types that go to them."""
    return list(
        db.session.scalars(
            sa.select(Account.user_id)
            .where(Account.role == "admin", Account.disabled_at.is_(None))
            .order_by(Account.user_id)
        )
    )


def type_facts(row: EventType) -> TypeFacts:
    return TypeFacts(
        row.key, row.category, row.priority, tuple(row.channels), row.is_mandatory, row.is_internal, row.to_admins
    )


def planner_facts(order: Order, person: Person, channel_facts: Mapping[str, Any], *, is_flooded: bool = False) -> Facts:
    """What `core.plan.plan` is asked about one person."""
    return Facts(
        type=_as_mandatory(order) if order.is_tried else type_facts(order.type),
        priority=order.priority,
        zone=person.zone,
        preferences=person.preferences,
        addresses=person.addresses,
        channels=channel_facts,
        requested=order.requested,
        send_at=order.send_at,
        expires_at=order.expires_at,
        is_perishable=order.is_perishable,
        routing=order.routing,
        escalate_after=order.escalate_after,
        is_flooded=is_flooded,
        only_address=order.address_id,
        user_id=person.id,
    )


def _as_mandatory(order: Order) -> TypeFacts:
    facts = type_facts(order.type)
    return replace(facts, mandatory=True, channels=tuple(dict.fromkeys((*facts.channels, *(order.requested or ())))))


def is_tried(type_: EventType, producer_id: UUID | None, *, is_test: bool) -> bool:
    """Whether an author has sent their words to the sandbox: to look at them, whatever they want to get otherwise."""
    return is_test and producer_id is None and not type_.is_internal
