"""Passkeys on pages: signing in with one, adding and removing them.

static/js/passkeys.js asks for the options, hands them to the browser and sends its answer with the form. Adding and
removing ask for a recent sign-in, as everything about the second factor does.
"""

from flask import flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from notifier.access import accounts, notices, passkeys, sessions
from notifier.core import devices
from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.web import challenges
from notifier.web.access import ANYONE, allow, page_blueprint
from notifier.web.forms import is_storable
from notifier.web.language import gettext
from notifier.web.person import login

pages = page_blueprint("passkeys")


@pages.post("/login/passkey/options")
@allow(ANYONE)
def ask_to_use() -> ResponseReturnValue:
    """Also where somebody is asked again who they are: then it has to be a passkey of theirs."""
    if current_user.is_authenticated:
        return challenges.ask_to_use(current_user.id)
    halfway = login.halfway()
    return challenges.ask_to_use(halfway[0].id if halfway else None)


@pages.post("/login/passkey")
@allow(ANYONE)
def sign_in() -> ResponseReturnValue:
    """Counts as both factors: the device has asked for its owner."""
    halfway = login.halfway()
    account_id = challenges.used(request.form.get(challenges.FIELD, ""))
    account = None if account_id is None else accounts.find(account_id)
    if account is None:
        flash(gettext("That passkey was not accepted. Try again, or sign in another way."), "error")
        return redirect(url_for("login.ask_for_code" if halfway else "login.form"), 303)
    target = halfway[2] if halfway else login.target()
    # After the provider it is the second factor, and no way in of its own
    is_second = halfway is not None and (halfway[0].id, halfway[1]) == (account.id, sessions.PROVIDER)
    if not is_second and not accounts.may_sign_in_here(account.email):
        return login.refuse_local()
    login.enter(account, sessions.PROVIDER if is_second else sessions.PASSKEY, proven_at=now())
    return redirect(target, 303)


@pages.post("/account/second-factor/passkeys/options")
@allow("person", recent=True)
def ask_to_add() -> ResponseReturnValue:
    try:
        return challenges.ask_to_add(current_user._get_current_object())
    except Rejected as error:
        return challenges.refuse(gettext(error.detail), 409)


@pages.post("/account/second-factor/passkeys")
@allow("person", recent=True)
def add() -> ResponseReturnValue:
    account, name = current_user._get_current_object(), _name()
    answer = request.form.get(challenges.FIELD, "")
    try:
        codes = passkeys.add(account.id, challenges.take(), answer, name, here=session[sessions.KEY])
    except Rejected as error:
        flash(gettext(error.detail), "error")
        return redirect(url_for("second_factor.show"), 303)
    notices.tell(account, notices.PASSKEY_ADDED, name=name)
    if codes:
        return render_template("second_factor_codes.html", codes=codes, is_first=True)
    flash(gettext("The passkey has been added."))
    return redirect(url_for("second_factor.show"), 303)


@pages.post("/account/second-factor/passkeys/<passkey_id>/remove")
@allow("person", recent=True)
def remove(passkey_id: str) -> ResponseReturnValue:
    account = current_user._get_current_object()
    name = passkeys.remove(account.id, passkey_id, here=session[sessions.KEY])
    if name is not None:
        notices.tell(account, notices.PASSKEY_REMOVED, name=name)
        flash(gettext("The passkey has been removed. You have been signed out everywhere else."))
    return redirect(url_for("second_factor.show"), 303)


def _name() -> str:
    """As it was typed, or the browser's: people recognise a passkey by where they made it."""
    typed = " ".join(request.form.get("name", "").split())[: passkeys.LONGEST_NAME]
    if typed and is_storable(typed):
        return typed
    return (devices.name_of(request.user_agent.string) or gettext("Passkey"))[: passkeys.LONGEST_NAME]
