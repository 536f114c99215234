"""The wall: the overview's figures for a screen that nobody signs in at, by a link that opens nothing else.

Admins make and revoke the links. What a wall shows names no person and leads nowhere.
"""

from flask import abort, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from wtforms import StringField
from wtforms.validators import DataRequired, Length

from notifier.access import wall_links
from notifier.core.errors import Rejected
from notifier.ground.config import current_settings
from notifier.ground.ids import parse
from notifier.queries import queues, tallies
from notifier.queries.overview import overview
from notifier.web import rates, throttle
from notifier.web.access import ANYONE, allow, page_blueprint
from notifier.web.console.overview import figures, open_breakers
from notifier.web.errors import error_page
from notifier.web.forms import ConsoleForm

pages = page_blueprint("walls", url_prefix="/admin/walls")
public = page_blueprint("wall", url_prefix="/wall")

EVERY_S = 15
# The address is the secret: it goes to no other site, and nothing but the figures is loaded
_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


class WallForm(ConsoleForm):
    name = StringField("Name", [DataRequired(), Length(max=wall_links.LONGEST_NAME)])


@pages.get("")
@allow("admin")
def listing() -> ResponseReturnValue:
    return _listing(WallForm(formdata=None))


@pages.post("")
@allow("admin", recent=True)
def create() -> ResponseReturnValue:
    form = WallForm()
    try:
        form.check()
        secret = wall_links.make(form.name.data.strip(), current_user.email)
    except Rejected as error:
        return _listing(form.refuse(error)), 422
    return _listing(WallForm(formdata=None), current_settings().link("wall", secret))


@pages.post("/<link_id>/revoke")
@allow("admin")
def revoke(link_id: str) -> ResponseReturnValue:
    if not wall_links.revoke(parse("wal", link_id)):
        abort(404)
    flash("The link has been revoked.")
    return redirect(url_for("walls.listing"), 303)


def _listing(form: WallForm, made: str | None = None) -> str:
    return render_template("admin/walls.html", links=wall_links.listing(), form=form, made=made)


@public.get("/<secret>")
@allow(ANYONE)
def show(secret: str) -> ResponseReturnValue:
    address = request.remote_addr or "unknown"
    link = wall_links.find(secret)
    if link is None:
        throttle.note_failure(address)
        response = make_response(error_page(404 if throttle.may_try_again(address) else 429))
    elif not rates.may_look_at_wall(link.shown_id):
        response = make_response(error_page(429))
        response.headers["Retry-After"] = str(EVERY_S)
    else:
        window = tallies.WINDOWS.get(request.args.get("window", ""), tallies.WINDOWS["hour"])
        response = make_response(_wall(link.name, window))
    response.headers.update(_HEADERS)
    return response


def _wall(name: str, window: tallies.Window) -> str:
    return render_template(
        "admin/wall.html",
        name=name,
        every_s=EVERY_S,
        overview=overview(with_latest=False),
        breakers=sorted({scope.partition(":")[0].partition("#")[0] for scope in open_breakers()}),
        stopped=sorted(queues.paused()),
        **figures(window),
    )
