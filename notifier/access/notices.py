"""Tells people, by mail and in their inbox, that the way they sign in has changed.

Called after the change is stored, so a message that cannot be submitted is logged and undoes nothing; the audit trail
has the change in any case. The mail goes to the account's own e-mail: a producer's key could have changed the person's.
"""

import structlog

from notifier.access import sign_in
from notifier.channels import addresses, serving
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.config import current_settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Account
from notifier.pipeline.intake import own

TYPE = "account_security"
FACTOR_ADDED, FACTOR_REMOVED = "two_factor_enabled", "two_factor_disabled"
CODES_RENEWED = "recovery_codes_renewed"
PASSKEY_ADDED, PASSKEY_REMOVED = "passkey_added", "passkey_removed"
PROVIDER_CONNECTED = "provider_connected"
_CHANNEL = addresses.PRIMARY["email"]

log = structlog.get_logger()


def tell(account: Account, event: str, **more: str) -> None:
    """`event`: a code that `words.phrases` has words for. `more`: the type's other data."""
    user_id, email = account.user_id, account.email
    db.session.close()  # `submit` is a transaction of its own; what was read of the account stays readable
    try:
        address = serving.normalise(_CHANNEL, email)
        with transaction():
            sign_in.own_address(user_id, address)
        data = {"event": event, "url": current_settings().link("account"), **more}
        own.submit(Submission(TYPE, (InlineRecipient(user_id, {"email": address}),), data))
    except Exception:  # the change itself is done
        log.exception("account.not_told", account_event=event)
