"""Sends a person the link with which they choose what they get, without signing in.

Called by the console. It goes to the main e-mail that they have confirmed, and to no other: a producer may have given
any, and whoever has the link can change their choices.
"""

import sqlalchemy as sa

from notifier.channels.addresses import PRIMARY
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient, Submission
from notifier.core.worlds import is_of_tests
from notifier.ground import tokens
from notifier.ground.config import current_settings
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ground.tokens import PreferenceLink
from notifier.ledgers import audit
from notifier.models import Address
from notifier.pipeline.intake import own
from notifier.queries import valid_tokens

TYPE = "preference_link"
_CHANNEL = PRIMARY["email"]


def destination(user_id: str) -> Address | None:
    """Where it would go. None: they have confirmed no e-mail, or it is no longer in use."""
    mine = (Address.user_id == user_id, Address.channel == _CHANNEL, Address.is_primary)
    works = (Address.confirmed_at.is_not(None), Address.verified_at.is_not(None), Address.disabled_at.is_(None))
    return None if is_of_tests(user_id) else db.session.scalar(sa.select(Address).where(*mine, *works))


def send(user_id: str) -> str:
    """→ the address, masked. Raises Rejected: `not_found`, or `conflict` with a sentence."""
    subject = valid_tokens.subject_of(user_id)
    if subject is None:
        raise Rejected("not_found", f"there is no user {user_id[:128]!r}")
    address = destination(user_id)
    if address is None:
        raise Rejected("conflict", "They have no confirmed e-mail that is in use.")
    masked, address_id = address.masked, address.id
    link = current_settings().link("p", tokens.sign_preferences(PreferenceLink(subject)))
    submission = Submission(
        TYPE, (InlineRecipient(user_id),), {"url": link}, channels=(_CHANNEL,), address_id=address_id
    )
    noted = audit.Entry("person.preference_link_sent", user_id, {"address": show("adr", address_id)})
    own.submit(submission, noted=noted)
    return masked
