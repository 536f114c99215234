"""The last look: checks again, just before a delivery goes out, whether it is wanted and may go out now.

Called by `delivery.claim`, by `upkeep.due` for in-app items, and by `upkeep.digest_issues` for a digest's lines.
`core.plan.last_look` is the rule about the person. `people.quiet.wake` makes postponed deliveries due.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.channels import serving
from notifier.core import plan
from notifier.core.decisions import Skip, Wait
from notifier.core.facts import Facts, TypeFacts
from notifier.core.preferences import Answer
from notifier.core.reading import READ_ELSEWHERE
from notifier.core.routing import NOT_NEEDED
from notifier.ground.extensions import db
from notifier.models import EventType, User
from notifier.people.person import Person
from notifier.pipeline.planning import replacing
from notifier.pipeline.planning.orders import Order, is_tried, planner_facts
from notifier.pipeline.planning.replacing import Place

A_MOMENT = timedelta(seconds=2)  # after which somebody is asked about again who is changing their choices right now


@dataclass(frozen=True, slots=True)
class Drop:
    """The delivery is not to go out at all. `reason` and `detail` are its own."""

    reason: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Behind:
    """The delivery is not to go out now: another step of the routing is under way. When that step has ended,
    `routing.follow` says what comes next.
    """

    because: str


def overtaken(read: Iterable[UUID], places: Mapping[UUID, Place]) -> dict[UUID, Drop]:
    """By notification, the reason to drop its deliveries: it was `read` since it was planned, or a newer one has taken
    its place.
    """
    drops = {notification_id: Drop(READ_ELSEWHERE) for notification_id in read}
    for notification_id, place in places.items():
        if place.newest != notification_id:
            drops[notification_id] = Drop(replacing.SUPERSEDED, replacing.told(place.newest))
    return drops


def look(
    delivery: Any,
    notification: Any,
    type_: EventType,
    person: Person | None,
    now: datetime,
    *,
    drop: Drop | None = None,
    rival: str | None = None,
    of_type: TypeFacts | None = None,
) -> Drop | Wait | Behind | None:
    """Why a delivery is not to go out, or not now. None: it is to go out.

    `delivery` and `notification` are rows, or what has their attributes. `drop`: as `overtaken` says it of the
    notification; `rival`: as `routing.rivals` says it of the delivery. `of_type`: the facts of the type, where they are
    known.
    """
    if drop is not None:
        return drop
    if person is None:
        return Drop("user_erased")
    facts = _facts(notification, type_, person, delivery.channel, of_type)
    answer = plan.last_look(facts, delivery.channel, delivery.address_id, now)
    if isinstance(answer, Skip):
        return Drop(answer.reason, answer.detail)
    if rival is not None:
        return Drop(NOT_NEEDED) if rival == NOT_NEEDED else Behind(rival)
    return answer


def choice(notification: Any, type_: EventType, person: Person, channel: str) -> Answer:
    """Whether the person still wants this on this channel, wherever it would go there."""
    return plan.choice_of(_facts(notification, type_, person, channel), channel)


def _facts(
    notification: Any, type_: EventType, person: Person, channel: str, of_type: TypeFacts | None = None
) -> Facts:
    by_author = is_tried(type_, notification.producer_id, is_test=notification.is_test)
    order = Order(type_, notification.priority, requested=(channel,) if by_author else None, is_tried=by_author)
    return planner_facts(order, person, serving.registry().facts(is_test=notification.is_test), of_type=of_type)


def settled(user_ids: Collection[str]) -> set[str]:
    """Those people who are not changing their choices at this moment, and cannot until the transaction has ended. Waits
    for nobody.

    So nothing is put off for quiet hours that ended between check and answer.
    """
    held = (
        sa.select(User.id).where(User.id.in_(user_ids)).order_by(User.id).with_for_update(read=True, skip_locked=True)
    )
    return set(db.session.scalars(held))
