"""The last look: checks again, just before a delivery goes out, whether it is wanted and may go out now.

Called by `delivery.claim` and `upkeep.due`. `core.plan.last_look` is the rule. `people.quiet.wake` makes postponed
deliveries due.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.channels import serving
from notifier.core import plan
from notifier.core.plan import Skip, Wait
from notifier.ground.extensions import db
from notifier.models import EventType, User
from notifier.people.person import Person
from notifier.pipeline.planning.orders import Order, is_tried, planner_facts

A_MOMENT = timedelta(seconds=2)  # after which somebody is asked about again who is changing their choices right now


def look(
    notification: Any, type_: EventType, person: Person, channel: str, address_id: UUID | None, now: datetime
) -> Skip | Wait | None:
    """Why a delivery is not to be made, or not now. `notification`: its row, of which priority, producer and `is_test`
    are used.
    """
    by_author = is_tried(type_, notification.producer_id, is_test=notification.is_test)
    order = Order(type_, notification.priority, requested=(channel,) if by_author else None, is_tried=by_author)
    return plan.last_look(
        planner_facts(order, person, serving.registry().facts(is_test=notification.is_test)), channel, address_id, now
    )


def settled(user_ids: Collection[str]) -> set[str]:
    """Those people who are not changing their choices at this moment, and cannot until the transaction has ended. Waits
    for nobody.

    So nothing is put off for quiet hours that ended between check and answer.
    """
    held = (
        sa.select(User.id).where(User.id.in_(user_ids)).order_by(User.id).with_for_update(read=True, skip_locked=True)
    )
    return set(db.session.scalars(held))
