"""A test message to a person's own webhook, for those who build its receiver.

Called by the console. The message goes the normal way (`intake.own`), to that address alone: its page shows what was
answered, and from there it is sent once more.
"""

from uuid import UUID

import sqlalchemy as sa

from notifier.channels.table import WEBHOOK
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient, Submission
from notifier.core.worlds import is_of_tests
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import Address
from notifier.operations import provider_trial
from notifier.pipeline.intake import own


def find(user_id: str, address_id: UUID) -> Address:
    """The person's webhook. Raises Rejected('not_found')."""
    theirs = (Address.id == address_id, Address.user_id == user_id, Address.channel == WEBHOOK.name)
    address = db.session.scalar(sa.select(Address).where(*theirs))
    if address is None:
        raise Rejected("not_found", "there is no such webhook")
    return address


def why_not(address: Address) -> str | None:
    """Why nothing can be sent to it now, in a sentence; None if it can."""
    if is_of_tests(address.user_id):
        return "It belongs to somebody made by a test key: nothing live is sent to it."
    if address.disabled_at is not None:
        return "It is switched off. Use it again first, on the person's page."
    if address.verified_at is None:
        return "It has not been confirmed yet."
    return None


def send(user_id: str, address_id: UUID, by: str) -> str:
    """`by`: who asks, for the limit of tests. → the notification's id. Raises Rejected: `not_found`, `conflict` with a
    sentence, `rate_limited`, `unavailable`.
    """
    address = find(user_id, address_id)
    reason = why_not(address)
    if reason is not None:
        raise Rejected("conflict", reason)
    provider_trial.count(by)
    submission = Submission(
        provider_trial.TYPE,
        (InlineRecipient(user_id),),
        {"account": WEBHOOK.label},
        channels=(WEBHOOK.name,),
        expires_in=provider_trial.EXPIRES_IN_S,
        address_id=address.id,
    )
    noted = audit.Entry("webhook.tested", user_id, {"to": address.masked})
    [notification] = own.submit(submission, noted=noted).answer["notifications"]
    return str(notification["id"])
