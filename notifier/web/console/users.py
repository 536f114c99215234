"""People who are notified: search, details, lifting suppressions, and their preferences.

Viewers look; operators lift suppressions and send people their preference link; admins change a person's choices, or
take the link with which the person does. Addresses are masked.
"""

from collections.abc import Callable, Mapping

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from notifier.cells import homes
from notifier.core.errors import Rejected
from notifier.core.worlds import is_of_tests
from notifier.ground import tokens
from notifier.ground.config import current_settings
from notifier.ground.database import transaction
from notifier.ground.ids import parse
from notifier.ground.tokens import PreferenceLink
from notifier.ground.zones import zone_of
from notifier.ledgers import audit
from notifier.models.user import CONSOLE
from notifier.operations import preference_link, webhook_trial
from notifier.people import suppressions
from notifier.queries import people, preferences, valid_tokens
from notifier.queries.preference_grid import Grid, Row, Section, grid_of
from notifier.web.access import allow, page_blueprint
from notifier.web.person import preference_page, preference_words
from notifier.web.person.preference_page import Desk

pages = page_blueprint("users", url_prefix="/admin/users")

_PLACES: Mapping[str, Callable[[Section, Row], str]] = {
    "channel": lambda _section, _row: "Everything",
    **dict.fromkeys(("category", "category_channel"), lambda section, _row: section.category.capitalize()),
    **dict.fromkeys(("type", "type_channel"), lambda _section, row: row.title),
}


@pages.get("")
@allow("viewer", may_lag=True)
def listing() -> ResponseReturnValue:
    text = request.args.get("q", "").strip()
    lines, following = people.page(text, request.args.get("after"))
    home = None if lines else homes.known_elsewhere(text)
    return render_template("admin/users.html", lines=lines, following=following, q=text, home=home)


@pages.get("/<user_id>")
@allow("viewer")
def one(user_id: str) -> ResponseReturnValue:
    try:
        return _page(user_id)
    except Rejected:
        if homes.known_elsewhere(user_id):
            return redirect(url_for(".listing", q=user_id))  # which says where
        raise


def _page(user_id: str, link: str | None = None) -> str:
    """`link`: that of the person, shown this once."""
    person = people.one(user_id)
    document = preferences.choices(user_id)
    grid = grid_of(user_id, document)
    titles = {row.type: row.title for row, _ in grid.cells()}
    history = preference_words.entries(preferences.history(user_id, limit=20), titles, zone_of(document["time_zone"]))
    return render_template(
        "admin/user.html",
        person=person,
        document=document,
        chosen=_chosen(grid),
        history=history,
        is_of_tests=is_of_tests(user_id),
        link=link,
        link_goes_to=preference_link.destination(user_id),
    )


def _chosen(grid: Grid) -> dict[str, dict[str, bool]]:
    """What is not as by default: "Everything", a category or a type → channel → whether it is on. Said once, where it
    was chosen, however many types it is about.
    """
    found: dict[str, dict[str, bool]] = {}
    for section in grid.sections:
        for row in section.rows:
            for cell in row.cells:
                if cell.because in _PLACES:
                    found.setdefault(_PLACES[cell.because](section, row), {})[cell.channel] = cell.is_on
    return found


@pages.get("/<user_id>/preferences")
@allow("admin")
def choices(user_id: str) -> ResponseReturnValue:
    return preference_page.show(_desk(user_id))


@pages.post("/<user_id>/preferences")
@allow("admin")
def choose(user_id: str) -> ResponseReturnValue:
    return preference_page.save(_desk(user_id))


def _desk(user_id: str) -> Desk:
    return Desk(user_id, url_for("users.choices", user_id=user_id), CONSOLE, is_staff=True)


@pages.post("/<user_id>/preference-link")
@allow("admin", recent=True)
def show_link(user_id: str) -> ResponseReturnValue:
    """As in the footer of a message of our own. Whoever has it may change the person's choices, so it is noted before
    it is shown.
    """
    subject = valid_tokens.subject_of(user_id)
    if subject is None:
        raise Rejected("not_found", f"there is no user {user_id[:128]!r}")
    with transaction():
        audit.write("person.preference_link_shown", user_id)
    return _page(user_id, current_settings().link("p", tokens.sign_preferences(PreferenceLink(subject))))


@pages.post("/<user_id>/preference-link/send")
@allow("operator")
def send_link(user_id: str) -> ResponseReturnValue:
    """To themselves, so that nobody here sees it."""
    try:
        flash(f"The link has been sent to {preference_link.send(user_id)}.")
    except Rejected as error:
        if error.code not in ("conflict", "rate_limited"):
            raise
        flash(error.detail)
    return redirect(url_for("users.one", user_id=user_id), 303)


@pages.get("/<user_id>/webhooks/<address_id>")
@allow("viewer")
def webhook(user_id: str, address_id: str) -> ResponseReturnValue:
    """For those who build its receiver."""
    address = webhook_trial.find(user_id, parse("adr", address_id))
    return render_template(
        "admin/user_webhook.html",
        user_id=user_id,
        address=address,
        address_id=address_id,
        channel=address.channel,
        why_not=webhook_trial.why_not(address),
    )


@pages.post("/<user_id>/webhooks/<address_id>/test")
@allow("operator")
def test_webhook(user_id: str, address_id: str) -> ResponseReturnValue:
    try:
        key = webhook_trial.send(user_id, parse("adr", address_id), current_user.user_id or current_user.email)
    except Rejected as error:
        if error.code == "not_found":
            raise
        flash(f"Nothing was sent. {error.detail}", "error")
        return redirect(url_for("users.webhook", user_id=user_id, address_id=address_id), 303)
    flash("A test message is on its way. Reload this page to see what was answered.")
    return redirect(url_for("notifications.one", notification_id=key), 303)


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
