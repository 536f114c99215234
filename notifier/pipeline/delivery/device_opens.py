"""What people's apps and browsers tell: that somebody has opened what was pushed to them.

Called by the inbox's door, which knows whose app it is. An open is a receipt like any provider's, from `DEVICE`.
"""

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa

from notifier.channels import CHANNELS
from notifier.channels.receipts import Event
from notifier.core.receipts import DEVICE, PERSON
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Delivery, Notification
from notifier.pipeline.delivery import receipts

# Whatever else a person opens is known by better means: the inbox by its marks, mails by links and providers
_OF_DEVICES = [name for name, channel in CHANNELS.items() if channel.address and not channel.address.is_typed]


def note(user_id: str, delivery_ids: Collection[UUID]) -> None:
    """Takes in that this person has opened these. Other people's, and what was not pushed, mean nothing; a repeat
    changes nothing. Raises one of UNAVAILABLE.
    """
    mine = (
        sa.select(Delivery.id, Delivery.channel)
        .join(Notification, Notification.id == Delivery.notification_id)
        # An expression, so that no index is used for it, as in the inbox's marks
        .where(Delivery.id.in_(delivery_ids), Notification.user_id.concat("") == user_id)
        .where(Delivery.channel.in_(_OF_DEVICES))
    )
    at = now()
    events: dict[str, list[Event]] = {}
    for row in db.session.execute(mine):
        reference = show("dlv", row.id)
        event = Event(f"{reference} opened", "opened", at, delivery_id=reference, by=PERSON)
        events.setdefault(row.channel, []).append(event)
    for channel, told in events.items():
        receipts.submit(receipts.Call(DEVICE, channel, tuple(told), at))
