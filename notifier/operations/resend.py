"""Sends a message once more: a new notification with the same data and template version, on one channel, for the same
producer.

Called by the console. It goes the normal way (`intake.accept`), to the person's addresses and by their choices of now:
an opt-out since then holds. Values that were given for the first one alone are not repeated.
"""

from collections.abc import Callable
from uuid import UUID

import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.core.lifecycle import SUCCEEDED
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ledgers import audit
from notifier.models import Delivery, Notification, Producer
from notifier.pipeline.intake.accept import accept_one
from notifier.pipeline.intake.item import Caller, Item
from notifier.queries.types import keys_for_audiences


def refusal(notification: Notification, producer: Producer | None) -> str | None:
    """Why none of its messages is sent again, in a sentence; None if those that went out can be."""
    if producer is None or notification.type not in keys_for_audiences():
        return "Messages from Notifier itself, and those to every admin, are not sent again."
    if notification.is_test:
        return "Messages of test keys are not sent again."
    if notification.data is None:
        return "Its data have been deleted."
    return "Its producer is switched off." if producer.disabled_at else None


def original(key: UUID) -> tuple[Delivery, Notification]:
    """What would be sent again. Raises Rejected: `not_found`, or `conflict` with the reason in a sentence."""
    row = db.session.execute(
        sa.select(Delivery, Notification, Producer)
        .join(Notification, Notification.id == Delivery.notification_id)
        .outerjoin(Producer, Producer.id == Notification.producer_id)
        .where(Delivery.id == key)
    ).first()
    if row is None:
        raise Rejected("not_found", f"there is no {show('dlv', key)}")
    delivery, notification, producer = row
    if delivery.status not in SUCCEEDED:
        raise Rejected("conflict", "It has not been sent. What failed is retried from its failed job.")
    reason = refusal(notification, producer)
    if reason is not None:
        raise Rejected("conflict", reason)
    return delivery, notification


def send(key: UUID, caller_for: Callable[[UUID], Caller], once: str) -> str:
    """→ the id of the new notification. `caller_for`: of a producer's id. `once`: the same again is answered with the
    same notification. Raises Rejected as `original` does, and with the faults of the submission.
    """
    delivery, notification = original(key)
    assert notification.producer_id is not None
    caller = caller_for(notification.producer_id)
    submission = Submission(
        notification.type,
        (InlineRecipient(notification.user_id),),
        notification.data,
        channels=(delivery.channel,),
        dedupe=False,
        push=notification.push,
        template_id=notification.template_id,
        variant_id=notification.variant_id,
        idempotency=(f"resend:{delivery.shown_id}:{once}", delivery.id.hex),
    )
    noted = audit.Entry("delivery.resent", delivery.shown_id)  # without the person, who may be erased
    return str(accept_one(Item(caller, submission, noted)).answer["notifications"][0]["id"])
