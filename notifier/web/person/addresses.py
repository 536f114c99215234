"""Addresses and browsers on the preferences page: add, confirm, make the main one, remove. For signed-in people only.

Plain forms that work without JavaScript; only switching push on in a browser needs it (`static/js/push.js`).
`address_book` makes the data of `preferences_addresses.html`, for every page that includes it.
"""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from notifier import channels
from notifier.access import address_codes, origins
from notifier.channels import serving
from notifier.channels.table import WEB_PUSH
from notifier.core.errors import Rejected
from notifier.ground.config import ROOT
from notifier.ground.extensions import csrf
from notifier.ground.ids import parse
from notifier.ground.languages import N_, SOURCE
from notifier.models import Address
from notifier.people import addresses
from notifier.queries.addresses import Book, book_of, entry_of
from notifier.queries.users import ADDRESS
from notifier.web.access import ANYONE, allow, page_blueprint
from notifier.web.language import gettext, language, ngettext

pages = page_blueprint("addresses")

_BROWSERS = {
    "Edg/": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser/": "Samsung Internet",
    "Firefox/": "Firefox",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
}
_SYSTEMS = {
    "Windows": "Windows",
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Mac OS X": "Mac",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}
_UNNAMED = N_("You have a new notification")  # as `static/service-worker.js` has it
_PUSH_WORDS = {  # for static/js/push.js
    "off": N_("Notifications can reach you in this browser even while this page is closed."),
    "on": N_("Notifications are on in this browser."),
    "old": N_("This browser cannot show notifications from websites."),
    "insecure": N_("Browsers show notifications only for sites that use https."),
    "denied": N_(
        "Notifications from this site are blocked in this browser. Allow them in its settings for this site, then "
        "reload the page."
    ),
    "dismissed": N_("The browser was not allowed to show notifications. Press the button to be asked again."),
    "failed": N_(
        "That did not work: the browser could not reach its push service. It never does in private windows. Try again "
        "in a moment."
    ),
    "refused": N_("That was not saved. Reload the page and try again."),
    "here": N_("This browser"),
}
_DEAD = N_("Messages to it bounced, so we have stopped sending to it.")
_REASONS = dict.fromkeys(("http_404", "http_410", "UNREGISTERED"), N_("It no longer accepts our messages."))


@pages.app_context_processor
def _book() -> dict[str, Any]:
    return {"address_book": address_book}


def address_book() -> dict[str, Any]:
    """For the template: the addresses of the signed-in person."""
    book: Book = book_of(current_user.user_id)
    return {
        "addresses": book.addresses,
        "devices": book.devices,
        "kinds": [
            (name, channel.address) for name, channel in channels.CHANNELS.items() if address_codes.is_addable(name)
        ],
        "push_key": serving.registry().public_key(WEB_PUSH.name),
        "push_words": {name: gettext(words) for name, words in _PUSH_WORDS.items()},
        "reason": lambda code: gettext(_REASONS.get(code, _DEAD)),
    }


@pages.get("/preferences/addresses")
@allow("person")
def show() -> ResponseReturnValue:
    return _page()


@pages.post("/preferences/addresses")
@allow("person")
def add() -> ResponseReturnValue:
    form = request.form
    try:
        address = address_codes.add_own(
            current_user.user_id,
            form.get("channel", ""),
            form.get("value", ""),
            label=form.get("label", "").strip() or None,
        )
    except Rejected as error:
        return _refused(error, "add")
    return _done(
        _sent_to(address)
        if address_codes.needs_code(address)
        else gettext("%(address)s is already one of your addresses.", address=address.masked)
    )


@pages.post("/preferences/addresses/<address_id>/code")
@allow("person")
def send_code(address_id: str) -> ResponseReturnValue:
    try:
        address_codes.send_code(current_user.user_id, _key(address_id))
    except Rejected as error:
        return _refused(error, address_id)
    return _done(gettext("A new code is on its way. Earlier codes no longer work."))


@pages.post("/preferences/addresses/<address_id>/confirm")
@allow("person")
def confirm(address_id: str) -> ResponseReturnValue:
    try:
        address = address_codes.confirm(current_user.user_id, _key(address_id), request.form.get("code", ""))
    except Rejected as error:
        return _refused(error, address_id)
    return _done(gettext("%(address)s is confirmed.", address=address.masked))


@pages.post("/preferences/addresses/<address_id>/main")
@allow("person")
def make_main(address_id: str) -> ResponseReturnValue:
    try:
        address = addresses.make_primary(current_user.user_id, _key(address_id))
    except Rejected as error:
        return _refused(error, address_id)
    return _done(gettext("%(address)s is now your main address.", address=address.masked))


@pages.get("/preferences/addresses/<address_id>/remove")
@allow("person")
def ask_to_remove(address_id: str) -> ResponseReturnValue:
    entry = entry_of(current_user.user_id, _key(address_id))
    if entry is None:
        abort(404)
    return render_template("address_remove.html", entry=entry)


@pages.post("/preferences/addresses/<address_id>/remove")
@allow("person")
def remove(address_id: str) -> ResponseReturnValue:
    address = addresses.remove_own(current_user.user_id, _key(address_id))
    return _done(gettext("%(address)s has been removed.", address=address.label or address.masked))


@pages.post("/preferences/browsers")
@allow("person")
def add_browser() -> ResponseReturnValue:
    """From the page's own script: `subscription` is the JSON of the browser's PushSubscription."""
    try:
        addresses.add_browser(
            current_user.user_id, request.form.get("subscription", ""), label=browser_name(request.user_agent.string)
        )
    except Rejected as error:
        return {"error": _said(error.faults[0].message if error.faults else error.detail)}, 422
    return {}, 201


@pages.post("/preferences/browsers/renewed")
@csrf.exempt
@allow("person")
def renew_browser() -> ResponseReturnValue:
    """From the service worker, which has no page to take a CSRF token from: instead the call must name our own origin.
    `endpoint`: of the subscription that has ended; `subscription`: the one in its place.
    """
    if not origins.is_ours(request.headers.get("Origin", ""), request.host_url):
        abort(400)  # as without the token of a form
    try:
        form = request.form
        renewed = addresses.renew_browser(current_user.user_id, form.get("endpoint", ""), form.get("subscription", ""))
    except Rejected as error:
        return {"error": error.detail}, 422
    return {}, 201 if renewed else 404


@pages.get("/service-worker.js")
@allow(ANYONE)
def service_worker() -> ResponseReturnValue:
    """At the root, since a service worker controls only the folder it is in; never cached, so that browsers take up a
    new one. The only words in it are put into the reader's language.
    """
    script = (ROOT / "static" / "service-worker.js").read_text()
    script = script.replace(json.dumps(_UNNAMED), json.dumps(gettext(_UNNAMED)))
    return Response(script, mimetype="text/javascript", headers={"Cache-Control": "no-cache"})


def browser_name(user_agent: str) -> str:
    """`Firefox on Linux`: enough for a person to recognise their browser."""
    browser = next((name for mark, name in _BROWSERS.items() if mark in user_agent), None)
    system = next((name for mark, name in _SYSTEMS.items() if mark in user_agent), None)
    name = browser or gettext("A browser")
    return gettext("%(browser)s on %(system)s", browser=name, system=system) if system else name


def _key(address_id: str) -> UUID:
    return parse(ADDRESS, address_id)


def _sent_to(address: Address) -> str:
    return ngettext(
        "We have sent a code to %(address)s. Enter it below within %(num)s minute.",
        "We have sent a code to %(address)s. Enter it below within %(num)s minutes.",
        address_codes.CODE_MINUTES,
        address=address.masked,
    )


def _done(words: str) -> ResponseReturnValue:
    flash(words)
    return redirect(url_for("addresses.show"), 303)


def _refused(error: Rejected, place: str) -> ResponseReturnValue:
    """The page again, with the typed value and its faults beside it."""
    if error.code == "not_found":
        raise error
    faults = {fault.pointer.lstrip("/"): _said(fault.message) for fault in error.faults} or {"": _said(error.detail)}
    status = {"rate_limited": 429, "unavailable": 503, "conflict": 409}.get(error.code, 422)
    return _page({"place": place, "faults": faults, "form": request.form}), status


def _said(message: str) -> str:
    """A refusal by the rooms below, in the reader's language. Where there are no words for it (a library's own, a
    limit), it is said in general.
    """
    words = gettext(message)
    return gettext("This is not valid.") if words == message and language().name != SOURCE else words


def _page(tried: Mapping[str, Any] | None = None) -> str:
    return render_template("addresses.html", tried_address=tried)
