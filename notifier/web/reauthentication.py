"""Asks people again who they are, before what a stolen cookie or an unattended browser must not do.

`web.access` asks here for the views that it lists as `recent`. The question is the answer to the request itself, and
holds what was sent with it: the right password, code of the second factor or passkey lets the same request go on. It
counts for this session alone, for `sessions.PROVEN_FOR`.
"""

from collections.abc import Callable
from typing import NamedTuple

from flask import make_response, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from notifier.access import accounts, openid_accounts, passkeys, second_factor, sessions
from notifier.ground.config import current_settings
from notifier.ground.extensions import db
from notifier.models import Account
from notifier.web import challenges, throttle
from notifier.web.forms import is_storable
from notifier.web.language import gettext

FIELD = "proof"  # the password or the code, beside the fields of the form that waits
PASSKEY_FIELD = "proof_passkey"

_LONGEST = 1024
_NOT_KEPT = (FIELD, PASSKEY_FIELD, "csrf_token")


class Refusal(NamedTuple):
    """`retry_after_s` 0: the next try may come at once."""

    words: str
    retry_after_s: int = 0


def ask() -> ResponseReturnValue | None:
    """The page with the question; None: it is answered, or the sign-in is recent."""
    session_id = session.get(sessions.KEY)
    if sessions.is_proven(session_id):
        return None
    fields = request.form if request.method == "POST" else {}
    if FIELD in fields:
        refusal = _refuse(current_user._get_current_object(), fields[FIELD])
    elif PASSKEY_FIELD in fields:
        refusal = _refuse_passkey(fields[PASSKEY_FIELD])
    else:
        return _page(None)
    if refusal is not None:
        return _page(refusal)
    sessions.prove(session_id)
    return None


def refuse_password(email: str, password: str) -> Refusal | None:
    """None: it is the account's."""
    return _refuse_unless(
        lambda: accounts.check_password(email, password) is not None,
        email,
        gettext("That is not your password."),
        throttle.PER_DEVICE,
    )


def _refuse(account: Account, given: str) -> Refusal | None:
    if account.second_factor_at is None:
        is_possible = len(given) <= _LONGEST and is_storable(given)
        return refuse_password(account.email, given if is_possible else "")
    return _refuse_unless(
        lambda: second_factor.use(account.id, given[:_LONGEST]),
        account.email,
        gettext("That is not a valid code."),
        throttle.PER_CODE,
    )


def _refuse_passkey(answer: str) -> Refusal | None:
    """Nothing to guess, and so nothing to count."""
    account_id = current_user.id
    return None if challenges.used(answer) == account_id else Refusal(gettext("That passkey was not accepted."))


def _refuse_unless(is_right: Callable[[], bool], email: str, words: str, waits: throttle.Waits) -> Refusal | None:
    """Tries count for this session: a copy of its cookie uses up none of the owner's tries elsewhere."""
    db.session.close()  # nothing is held while it waits for its turn; what was read stays readable
    with throttle.attempt(email, request.remote_addr or "unknown", session.get(sessions.KEY), waits) as one:
        is_proven = not one.retry_after_s and is_right()
    if is_proven:
        throttle.succeed(one)
        return None
    if one.retry_after_s:
        wait = throttle.in_words(one.retry_after_s)
        return Refusal(gettext("Too many attempts. Wait %(wait)s, then try again.", wait=wait), one.retry_after_s)
    return Refusal(words)


def _page(refusal: Refusal | None) -> ResponseReturnValue:
    """What was only to be looked at is opened by `account.go_on`, once the question is answered."""
    if request.method == "POST":
        target = request.full_path.rstrip("?")
        kept = [(name, text) for name, text in request.form.items(multi=True) if name not in _NOT_KEPT]
    else:
        target, kept = url_for("account.go_on"), [("next", request.full_path.rstrip("?"))]
    page = render_template(
        "sign_in_again.html",
        target=target,
        kept=kept,
        field=FIELD,
        error=refusal and refusal.words,
        has_app=second_factor.has_app(current_user.id),
        has_passkeys=bool(passkeys.of_account(current_user.id)),
        passkey_field=PASSKEY_FIELD,
        takes_links=accounts.may_sign_in_here(current_user.email),
        provider=current_settings().oidc_issuer if openid_accounts.of_account(current_user.id) else None,
        provider_next=request.full_path.rstrip("?") if request.method == "GET" else None,
        minutes=int(sessions.PROVEN_FOR.total_seconds() // 60),
    )
    if refusal is None or not refusal.retry_after_s:
        return make_response(page, 403)
    return make_response(page, 429, {"Retry-After": str(refusal.retry_after_s)})
