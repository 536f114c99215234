"""The second factor of those who work in the console: set up, and taken away again.

All of it asks for a recent sign-in: a copy of a cookie, or an unattended browser, must not shut the owner out.
"""

import segno
from flask import flash, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from markupsafe import Markup
from wtforms import StringField

from notifier.access import second_factor, sessions
from notifier.core.errors import Rejected
from notifier.models.account import CONSOLE_ROLES
from notifier.web.access import SECOND_FACTOR, allow, page_blueprint
from notifier.web.forms import PersonForm
from notifier.web.language import gettext

pages = page_blueprint(SECOND_FACTOR, url_prefix="/account/second-factor")

_LEAST = CONSOLE_ROLES[0]


class CodeForm(PersonForm):
    code = StringField()


@pages.get("")
@allow(_LEAST, recent=True)
def show() -> ResponseReturnValue:
    return _page(CodeForm(formdata=None))


@pages.post("")
@allow(_LEAST, recent=True)
def add() -> ResponseReturnValue:
    form = CodeForm()
    try:
        codes = second_factor.confirm(current_user.id, form.code.data or "", here=session[sessions.KEY])
    except Rejected as error:
        form.code.errors = [gettext(error.detail)]
        return _page(form), 429 if error.code == "rate_limited" else 422
    return render_template("second_factor_codes.html", codes=codes)


@pages.post("/remove")
@allow(_LEAST, recent=True)
def remove() -> ResponseReturnValue:
    second_factor.remove(current_user.id, here=session[sessions.KEY])
    flash(gettext("The second factor has been removed. You have been signed out everywhere else."))
    return redirect(url_for("account.show"), 303)


def _page(form: CodeForm) -> str:
    account = current_user._get_current_object()
    words: dict[str, object] = {"is_missing": second_factor.is_missing(account)}
    if account.second_factor_at is not None:
        words["codes_left"] = second_factor.codes_left(account.id)
    else:
        secret = second_factor.begin(account.id)
        picture = segno.make(second_factor.app_address(secret, account.email), error="m")
        words["secret"] = " ".join(secret[place : place + 4] for place in range(0, len(secret), 4))
        words["picture"] = Markup(picture.svg_inline(scale=4, light="#fff"))
    return render_template("second_factor.html", form=form, **words)
