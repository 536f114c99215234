"""The preferences behind the link in a message, without signing in.

The signed link is the proof, as for unsubscribing; and like a message it may be forwarded, scanned or leaked. So it
opens only choices, all of which can be undone: no export, no erasure, no addresses (except one, masked, to show whose
page it is), and no history, which tells when somebody was where. A GET changes nothing, since mail scanners follow
links. A POST needs no cookie and no CSRF token, since an attacker who could forge it has the link already. The person's
history marks these changes. The link works as long as the message is kept, and ends as `ground.tokens` says.
"""

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from notifier.core.errors import Rejected
from notifier.ground import tokens
from notifier.ground.extensions import csrf
from notifier.ground.languages import N_
from notifier.ground.tokens import PreferenceLink
from notifier.queries import valid_tokens
from notifier.web.access import ANYONE, allow, page_blueprint
from notifier.web.errors import Words, error_page
from notifier.web.person import preference_page
from notifier.web.person.preference_page import Desk
from notifier.words.brands import brands_of

pages = page_blueprint("preference_links")

_BROKEN = Words(
    N_("This link does not work"),
    N_("It is incomplete or has expired. Open it again from the message, or sign in."),
)


@pages.get("/p/<token>")
@allow(ANYONE)
def show(token: str) -> ResponseReturnValue:
    link = tokens.read_preferences(token)
    if link is not None and current_user.is_authenticated and current_user.user_id == link.user_id:
        return redirect(url_for("preferences.show"))  # the browser takes the #switch along
    return _open(token, link)


@pages.post("/p/<token>")
@csrf.exempt
@allow(ANYONE)
def save(token: str) -> ResponseReturnValue:
    return _open(token, tokens.read_preferences(token))


def _open(token: str, link: PreferenceLink | None) -> ResponseReturnValue:
    if link is None:
        return error_page(404, _BROKEN)
    conditions = valid_tokens.conditions_of(link)
    brand = brands_of([link.producer_id])[link.producer_id]
    page = url_for("preference_links.show", token=token)
    desk = Desk(link.user_id, page, "link", conditions=conditions, brand_name=brand.name)
    try:
        return preference_page.save(desk) if request.method == "POST" else preference_page.show(desk)
    except Rejected:  # the person is gone, or the link has ended
        return error_page(404, _BROKEN)
