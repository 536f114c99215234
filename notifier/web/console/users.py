"""People who are notified: search, details, and lifting suppressions.

Viewers look; operators lift suppressions. Addresses are masked.
"""

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from notifier.core.errors import Rejected
from notifier.core.worlds import is_of_tests
from notifier.ground.ids import parse
from notifier.ground.zones import zone_of
from notifier.people import suppressions
from notifier.queries import people, preferences
from notifier.queries.preference_grid import grid_of
from notifier.web.access import allow, page_blueprint
from notifier.web.person import preference_words

pages = page_blueprint("users", url_prefix="/admin/users")


@pages.get("")
@allow("viewer")
def listing() -> ResponseReturnValue:
    text = request.args.get("q", "").strip()
    lines, following = people.page(text, request.args.get("after"))
    return render_template("admin/users.html", lines=lines, following=following, q=text)


@pages.get("/<user_id>")
@allow("viewer")
def one(user_id: str) -> ResponseReturnValue:
    person = people.one(user_id)
    document = preferences.document(user_id)
    grid = grid_of(user_id, document)
    titles = {row.type: row.title for row, _ in grid.cells()}
    history = preference_words.entries(preferences.history(user_id, limit=20), titles, zone_of(document["time_zone"]))
    return render_template(
        "admin/user.html",
        person=person,
        document=document,
        grid=grid,
        history=history,
        is_of_tests=is_of_tests(user_id),
    )


@pages.get("/<user_id>/addresses/<address_id>/lift")
@allow("operator")
def ask(user_id: str, address_id: str) -> ResponseReturnValue:
    person = people.one(user_id)
    address = next((line for line in person.addresses if line.id == address_id), None)
    if address is None:
        raise Rejected("not_found", "there is no such address")
    return render_template("admin/user_lift.html", person=person, address=address)


@pages.post("/<user_id>/addresses/<address_id>/lift")
@allow("operator")
def lift(user_id: str, address_id: str) -> ResponseReturnValue:
    is_lifted = suppressions.lift(user_id, parse("adr", address_id))
    flash("The address is in use again." if is_lifted else "That address was not held back.")
    return redirect(url_for("users.one", user_id=user_id), 303)
