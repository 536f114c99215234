"""The overview: is everything running, and what is waiting or dead? Issue by issue it grows into the full one."""

from flask import render_template
from flask.typing import ResponseReturnValue

from notifier.queries.overview import overview
from notifier.web.access import allow, page_blueprint

pages = page_blueprint("admin", url_prefix="/admin")


@pages.get("/")
@allow("viewer")
def index() -> ResponseReturnValue:
    return render_template("admin/overview.html", overview=overview())
