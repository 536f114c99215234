"""What a person was sent lately and what was left out, and why: each line links to the setting that decides it."""

from flask import render_template
from flask.typing import ResponseReturnValue
from flask_login import current_user

from notifier.queries import why
from notifier.web.access import allow, page_blueprint
from notifier.web.language import language

pages = page_blueprint("why")


@pages.get("/why")
@allow("person")
def show() -> ResponseReturnValue:
    return render_template("why.html", stories=why.recent(current_user.user_id, language()))
