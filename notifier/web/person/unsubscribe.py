"""One-click unsubscribe (RFC 8058), from the List-Unsubscribe header and the foot of a mail.

Only POST unsubscribes: mail scanners follow links. It needs no cookie and no CSRF token, since the signed link is the
proof; it never redirects, and answers 200 however often it is sent.
"""

from typing import Any

from flask import render_template
from flask.typing import ResponseReturnValue

from notifier.core.errors import Rejected
from notifier.ground import tokens
from notifier.ground.extensions import csrf
from notifier.ground.languages import N_
from notifier.ground.tokens import Unsubscribe
from notifier.people import consent, preferences, suppressions
from notifier.queries import readers, valid_tokens
from notifier.queries.preference_grid import types_allowed_by_name
from notifier.web.access import ANYONE, allow, page_blueprint
from notifier.web.errors import Words, error_page
from notifier.web.language import speak_to
from notifier.web.person.preference_words import wording
from notifier.words.brands import brands_of

pages = page_blueprint("unsubscribe")

_BROKEN = Words(
    N_("This link is incomplete"),
    N_("Open it again from the message, or change what you receive in your preferences."),
)


@pages.get("/u/<token>")
@allow(ANYONE)
def ask(token: str) -> ResponseReturnValue:
    wish = tokens.read_unsubscribe(token) or tokens.read_address_unsubscribe(token)
    if wish is None:
        return error_page(404, _BROKEN)
    if isinstance(wish, Unsubscribe):
        speak_to(readers.find(wish.user_id, valid_tokens.conditions_of(wish)))
    return render_template("unsubscribe.html", wish=wish, is_done=False, is_of_address=False, brand_name=_brand_name())


@pages.post("/u/<token>")
@csrf.exempt
@allow(ANYONE)
def act(token: str) -> ResponseReturnValue:
    at_address = tokens.read_address_unsubscribe(token)
    if at_address is not None:
        suppressions.unsubscribe(at_address.digest, at_address.channel, at_address.category)
        return render_template(
            "unsubscribe.html", wish=at_address, is_done=True, is_of_address=True, brand_name=_brand_name()
        )
    wish = tokens.read_unsubscribe(token)
    if wish is None:
        return error_page(404, _BROKEN)
    speak_to(readers.find(wish.user_id, valid_tokens.conditions_of(wish)))
    try:
        with consent.shown(wording({})):
            preferences.change(
                wish.user_id,
                _switched_off(wish),
                replace=False,
                source="one_click",
                conditions=valid_tokens.conditions_of(wish),
                unsubscribes_from=(wish.category, wish.channel),
            )
    except Rejected as error:
        # A channel that is there no longer; but who is gone is sent nothing any more, as they wish
        if error.code != "not_found":
            return error_page(404, _BROKEN)
    return render_template("unsubscribe.html", wish=wish, is_done=True, is_of_address=False, brand_name=_brand_name())


def _brand_name() -> str | None:
    """The installation's: the link is for a category, whoever sends."""
    return brands_of([None])[None].name


def _switched_off(wish: Unsubscribe) -> dict[str, Any]:
    """The category on that channel; and choices for single types that would let some of it through all the same."""
    types = types_allowed_by_name(wish.user_id, wish.category, wish.channel)
    return {
        "categories": {wish.category: {wish.channel: False}},
        "types": {key: {wish.channel: False} for key in types},
    }
