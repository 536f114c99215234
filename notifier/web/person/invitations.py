"""Accepting an invitation.

Opening the link changes nothing, since mail scanners do; its button makes the account and signs in. The page of a valid
link names the invited e-mail. All other visitors are told what to do, and nothing about accounts.
"""

from flask import flash, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import PasswordField

from notifier.access import accounts, invitations, sessions
from notifier.core.errors import Rejected
from notifier.ground.extensions import csrf
from notifier.ground.languages import N_
from notifier.ledgers import audit
from notifier.web import rates, throttle
from notifier.web.access import ANYONE, allow, page_blueprint
from notifier.web.errors import error_page
from notifier.web.forms import PersonForm, check_token
from notifier.web.language import gettext
from notifier.web.person.login import let_in

pages = page_blueprint("invitations", url_prefix="/invitation")


class Accept(PersonForm):
    password = PasswordField(N_("Password"))


@pages.get("/<secret>")
@allow(ANYONE)
def show(secret: str) -> ResponseReturnValue:
    return _page(_find(secret), Accept(formdata=None))


@pages.post("/<secret>")
@csrf.exempt
@allow(ANYONE)
def use(secret: str) -> ResponseReturnValue:
    check_token()
    found, form = _find(secret), Accept()
    if found is None or found.state != "open":
        return _page(found, form)
    try:
        password_hash = None if found.had else _hash(form.password.data)
    except ValueError as error:
        form.password.errors = [str(error)]
        return _page(found, form, 422)
    with audit.acting_as(found.email, request.remote_addr):
        try:
            account = invitations.accept(secret, password_hash)
        except Rejected:
            account = None
    if account is None:  # another request was faster
        return _page(_find(secret), form)
    answer = let_in(account, sessions.INVITATION, url_for("admin.index"))
    flash(f"Welcome. Your role here is {account.role}.")  # in the console, which speaks English
    return answer


def _hash(password: str | None) -> str | None:
    """None for none: a link by mail signs in, too. Raises ValueError with a sentence."""
    if not password:
        return None
    if len(password) < accounts.SHORTEST_PASSWORD:
        raise ValueError(
            gettext("Use at least %(number)s characters, or leave it empty.", number=accounts.SHORTEST_PASSWORD)
        )
    try:
        return accounts.hash_password(password)
    except ValueError:
        raise ValueError(gettext("Choose a shorter password.")) from None


def _find(secret: str) -> invitations.Found | None:
    """A link that was never sent counts as a failed sign-in from that network address."""
    found = invitations.find(secret)
    if found is None:
        throttle.note_failure(_address())
    return found


def _address() -> str:
    return request.remote_addr or "unknown"


def _page(found: invitations.Found | None, form: Accept, status: int = 200) -> ResponseReturnValue:
    if found is None and not throttle.may_try_again(_address()):
        refused = make_response(error_page(429))
        refused.headers["Retry-After"] = str(rates.seconds_left())
        return refused
    is_good = found is not None and found.state == "open"
    words = {"days": invitations.LIFETIME.days, "shortest": accounts.SHORTEST_PASSWORD}
    response = make_response(
        render_template("invitation.html", found=found, is_good=is_good, form=form, **words), status if is_good else 404
    )
    response.headers["Referrer-Policy"] = "no-referrer"  # the address is the secret
    return response
