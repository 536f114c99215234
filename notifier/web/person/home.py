"""The front page and the inbox. The inbox itself is the web component in `static/inbox.js`."""

from flask import redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from notifier.web.access import ANYONE, allow, page_blueprint

pages = page_blueprint("home")


@pages.get("/")
@allow(ANYONE)
def index() -> ResponseReturnValue:
    return redirect(url_for("home.inbox" if current_user.is_authenticated else "login.form"))


@pages.get("/inbox")
@allow("person")
def inbox() -> ResponseReturnValue:
    return render_template("inbox.html")
