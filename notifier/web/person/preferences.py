"""Preferences of a signed-in person: the page, the export of their data, and their erasure."""

from flask import Response, current_app, flash, redirect, request, stream_with_context, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from notifier.core.errors import Rejected
from notifier.ground.languages import N_
from notifier.ledgers import audit
from notifier.people import profiles
from notifier.queries import person_export
from notifier.queries.notifications import Sight
from notifier.web.access import allow, page_blueprint
from notifier.web.language import gettext
from notifier.web.person import preference_page
from notifier.web.person.login import leave
from notifier.web.person.preference_page import Desk, Tried

pages = page_blueprint("preferences")

_CERTIFICATE = N_("Certificate of the erasure: %(id)s")


@pages.get("/preferences")
@allow("person")
def show() -> ResponseReturnValue:
    return preference_page.show(_desk())


@pages.post("/preferences")
@allow("person")
def save() -> ResponseReturnValue:
    return preference_page.save(_desk())


@pages.get("/preferences/export")
@allow("person", recent=True)
def export() -> ResponseReturnValue:
    """Everything stored about the person, from all producers: the same document as in the producers' API."""
    pieces = person_export.written(current_user.user_id, Sight(), current_app.json.dumps)
    headers = {"Content-Disposition": "attachment; filename=notifications-export.json", "Cache-Control": "no-store"}
    return Response(stream_with_context(pieces), headers=headers, content_type="application/json")


@pages.post("/preferences/erase")
@allow("person", recent=True)
def erase() -> ResponseReturnValue:
    """Asks for the e-mail address in full, since erasing cannot be undone."""
    if request.form.get("confirm", "").strip().lower() != current_user.email:
        return preference_page.show(
            _desk(),
            Tried("erase", request.form, {"confirm": gettext("Type %(email)s to confirm.", email=current_user.email)}),
        ), 422
    try:
        with audit.acting_as(audit.THEMSELVES):
            certificate = profiles.erase(current_user.user_id)
    except Rejected:
        return preference_page.show(
            _desk(), Tried("erase", request.form, {"confirm": gettext(preference_page.REFUSED)})
        ), 409
    leave()
    words = (gettext("Your data has been erased, and you have been signed out."), gettext(_CERTIFICATE, id=certificate))
    flash(" ".join(words))
    return redirect(url_for("login.form"), 303)


def _desk() -> Desk:
    return Desk(current_user.user_id, url_for("preferences.show"), "page", current_user)
