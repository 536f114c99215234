"""A person's own account: their password, and where they are signed in.

A new password asks for the old one. People who signed in by a mailed link a few minutes ago need not know it: they have
shown that the mailbox is theirs, and may have forgotten the password or never had one. Both ways end all other
sessions, and copies of this one's cookie.
"""

from flask import abort, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from wtforms import PasswordField

from notifier.access import accounts, openid_accounts, sessions
from notifier.ground.config import current_settings
from notifier.models import Account, AccountSession
from notifier.web import reauthentication
from notifier.web.access import allow, is_local, page_blueprint
from notifier.web.forms import ConsoleForm
from notifier.web.language import gettext
from notifier.web.person.login import enter, leave
from notifier.web.person.openid import found_here

pages = page_blueprint("account", url_prefix="/account")


class PasswordForm(ConsoleForm):
    old = PasswordField("Old password")
    new = PasswordField("New password")


@pages.get("")
@allow("person")
def show() -> ResponseReturnValue:
    return _page(PasswordForm(formdata=None))


@pages.post("/password")
@allow("person")
def change_password() -> ResponseReturnValue:
    form, account = PasswordForm(), current_user._get_current_object()
    if not accounts.may_sign_in_here(account.email):
        abort(403)
    if not form.validate():
        return _page(form), 422
    if not _is_proven(form, account):
        return _page(form), 422
    if len(form.new.data or "") < accounts.SHORTEST_PASSWORD:
        form.new.errors = [gettext("Use at least %(number)s characters.", number=accounts.SHORTEST_PASSWORD)]
        return _page(form), 422
    try:
        accounts.set_password(account.id, form.new.data)
    except ValueError:
        form.new.errors = [gettext("Choose a shorter password.")]
        return _page(form), 422
    enter(account, sessions.PASSWORD)
    flash(gettext("Your password has been changed. You have been signed out everywhere else."))
    return redirect(url_for("account.show"), 303)


@pages.post("/confirm")
@allow("person", recent=True)
def go_on() -> ResponseReturnValue:
    """To the page that asked who they are: by now they have answered."""
    target = request.form.get("next")
    return redirect(target if target and is_local(target) else url_for("account.show"), 303)


@pages.post("/sign-out")
@allow("person")
def sign_out_everywhere() -> ResponseReturnValue:
    sessions.sign_out_everywhere(current_user)
    leave()
    flash(gettext("You have been signed out everywhere."))
    return redirect(url_for("login.form"), 303)


@pages.post("/sessions/<session_id>/end")
@allow("person")
def end_session(session_id: str) -> ResponseReturnValue:
    if sessions.end_own(current_user, session_id):
        flash(gettext("That browser has been signed out."))
    return redirect(url_for("account.show"), 303)


def _is_proven(form: PasswordForm, account: Account) -> bool:
    """Whether the account's owner is sitting here, and not somebody at an unattended browser or with a copy of its
    cookie. If not, the form says why.
    """
    if _came_by_mail(sessions.of_account(account.id)):
        return True
    if account.password_hash is None:
        form.faults.append(
            gettext("You do not have a password yet. To choose one, sign out and sign in with an e-mailed link.")
        )
        return False
    refusal = reauthentication.refuse_password(account.email, form.old.data or "")
    if refusal is not None and refusal.retry_after_s:
        form.old.errors = [refusal.words]
        return False
    if refusal is not None:
        form.old.errors = [
            gettext(
                "That is not your password. If you have forgotten it, sign out and sign in with an e-mailed link: you "
                "can then choose a new one without it."
            )
        ]
        return False
    return True


def _came_by_mail(theirs: list[AccountSession]) -> bool:
    return any(one.id.hex == session.get(sessions.KEY) and sessions.is_fresh_by_mail(one) for one in theirs)


def _page(form: PasswordForm) -> str:
    theirs = sessions.of_account(current_user.id)
    words = {
        "shortest": accounts.SHORTEST_PASSWORD,
        "asks_old": not _came_by_mail(theirs),
        "has_password": current_user.password_hash is not None,
        "may_sign_in_here": accounts.may_sign_in_here(current_user.email),
        "provider": current_settings().oidc_issuer,
        "is_connected": openid_accounts.of_account(current_user.id) is not None,
        "found_at_provider": found_here(),
    }
    return render_template("account.html", form=form, sessions=theirs, here=session.get(sessions.KEY), **words)
