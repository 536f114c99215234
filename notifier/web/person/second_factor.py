"""Passkeys and second factor of one's own account: shown, set up, and taken away again.

All of it asks for a recent sign-in: a copy of a cookie, or an unattended browser, must not shut the owner out. What is
sent about passkeys goes to `person.passkeys`.
"""

import segno
from flask import flash, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from markupsafe import Markup
from wtforms import StringField

from notifier.access import notices, passkeys, recovery_codes, second_factor, sessions
from notifier.core.errors import Rejected
from notifier.web.access import SECOND_FACTOR, allow, page_blueprint
from notifier.web.forms import PersonForm
from notifier.web.language import gettext

pages = page_blueprint(SECOND_FACTOR, url_prefix="/account/second-factor")


class CodeForm(PersonForm):
    code = StringField()


@pages.get("")
@allow("person", recent=True)
def show() -> ResponseReturnValue:
    return _page(CodeForm(formdata=None))


@pages.post("")
@allow("person", recent=True)
def add() -> ResponseReturnValue:
    form, account = CodeForm(), current_user._get_current_object()
    try:
        codes = second_factor.confirm(account.id, form.code.data or "", here=session[sessions.KEY])
    except Rejected as error:
        form.code.errors = [gettext(error.detail)]
        return _page(form), 422
    notices.tell(account, notices.FACTOR_ADDED)
    if codes:
        return render_template("second_factor_codes.html", codes=codes, is_first=True)
    flash(gettext("The authenticator app is set up."))
    return redirect(url_for("second_factor.show"), 303)


@pages.post("/remove")
@allow("person", recent=True)
def remove() -> ResponseReturnValue:
    account = current_user._get_current_object()
    if second_factor.remove_app(account.id, here=session[sessions.KEY]):
        notices.tell(account, notices.FACTOR_REMOVED)
        flash(gettext("The authenticator app has been removed. You have been signed out everywhere else."))
    return redirect(url_for("second_factor.show"), 303)


@pages.post("/codes")
@allow("person", recent=True)
def renew_codes() -> ResponseReturnValue:
    account = current_user._get_current_object()
    codes = second_factor.renew_codes(account.id)
    if not codes:
        return redirect(url_for("second_factor.show"), 303)
    notices.tell(account, notices.CODES_RENEWED)
    return render_template("second_factor_codes.html", codes=codes, is_first=False)


def _page(form: CodeForm) -> str:
    account = current_user._get_current_object()
    words: dict[str, object] = {
        "is_missing": second_factor.is_missing(account),
        "is_on": account.second_factor_at is not None,
        "has_app": second_factor.has_app(account.id),
        "codes_left": recovery_codes.left(account.id),
        "passkeys": passkeys.of_account(account.id),
        "takes_passkeys": passkeys.is_possible(),
        "longest_name": passkeys.LONGEST_NAME,
        "most": passkeys.MOST,
    }
    if not words["has_app"]:
        secret = second_factor.begin(account.id)
        picture = segno.make(second_factor.app_address(secret, account.email), error="m")
        words["secret"] = " ".join(secret[place : place + 4] for place in range(0, len(secret), 4))
        words["picture"] = Markup(picture.svg_inline(scale=4, light="#fff"))
    return render_template("second_factor.html", form=form, **words)
