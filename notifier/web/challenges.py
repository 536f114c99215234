"""Passkeys and this browser: what it was asked to sign is kept in its session until it answers.

Called by the pages of sign-in and second factor, and by `web.reauthentication`. `access.passkeys` judges the answers.
"""

from typing import Any
from uuid import UUID

from flask import request, session
from flask.typing import ResponseReturnValue

from notifier.access import passkeys
from notifier.models import Account
from notifier.web import rates
from notifier.web.language import gettext

FIELD = "passkey"  # of a form: what the device has answered, as JSON
_KEPT = "passkey_challenge"


def ask_to_use(account_id: UUID | None) -> ResponseReturnValue:
    """What the browser hands to a device. `account_id`: whose passkey it has to be, if that is known."""
    return _too_many() or _keep(*passkeys.begin_using(account_id))


def ask_to_add(account: Account) -> ResponseReturnValue:
    """Raises Rejected."""
    return _too_many() or _keep(*passkeys.begin_adding(account))


def _too_many() -> ResponseReturnValue | None:
    """Each challenge is stored."""
    if rates.may_be_challenged(request.remote_addr or "unknown"):
        return None
    body, status, headers = refuse(gettext("Too many attempts. Try again in a quarter of an hour."), 429)
    return body, status, {**headers, "Retry-After": str(rates.CHALLENGES_PER_ADDRESS.get_expiry())}


def used(answer: str) -> UUID | None:
    """The account that has answered; None for what proves nothing."""
    return passkeys.use(session.pop(_KEPT, None), answer)


def take() -> object:
    """The challenge that this browser has been given to add a passkey."""
    return session.pop(_KEPT, None)


def refuse(words: str, status: int) -> tuple[dict[str, str], int, dict[str, str]]:
    """For static/js/passkeys.js, which shows the words."""
    return {"error": words}, status, {"Cache-Control": "no-store"}


def _keep(options: dict[str, Any], challenge: str) -> ResponseReturnValue:
    session[_KEPT] = challenge
    return options, 200, {"Cache-Control": "no-store"}
