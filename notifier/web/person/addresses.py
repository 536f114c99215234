"""Addresses and browsers on the preferences page: add, confirm, make the main one, remove. For signed-in people only.

Plain forms that work without JavaScript; only switching push on in a browser needs it (`static/js/push.js`).
`address_book` makes the data of `preferences_addresses.html`, for every page that includes it.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import abort, current_app, flash, redirect, render_template, request, send_from_directory, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from notifier import channels
from notifier.access import address_codes
from notifier.channels import serving
from notifier.channels.table import WEB_PUSH
from notifier.core.errors import Rejected
from notifier.ground.ids import parse
from notifier.models import Address
from notifier.people import addresses
from notifier.queries.addresses import Book, book_of, entry_of
from notifier.queries.users import ADDRESS
from notifier.web.access import ANYONE, allow, page_blueprint

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
_DEAD = "Messages to it bounced, so we have stopped sending to it."
_REASONS = dict.fromkeys(("http_404", "http_410", "UNREGISTERED"), "It no longer accepts our messages.")


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
        "reason": lambda code: _REASONS.get(code, _DEAD),
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
        if address.verified_at is None or address.disabled_at
        else f"{address.masked} is already one of your addresses."
    )


@pages.post("/preferences/addresses/<address_id>/code")
@allow("person")
def send_code(address_id: str) -> ResponseReturnValue:
    try:
        address_codes.send_code(current_user.user_id, _key(address_id))
    except Rejected as error:
        return _refused(error, address_id)
    return _done("A new code is on its way. Earlier codes no longer work.")


@pages.post("/preferences/addresses/<address_id>/confirm")
@allow("person")
def confirm(address_id: str) -> ResponseReturnValue:
    try:
        address = address_codes.confirm(current_user.user_id, _key(address_id), request.form.get("code", ""))
    except Rejected as error:
        return _refused(error, address_id)
    return _done(f"{address.masked} is confirmed.")


@pages.post("/preferences/addresses/<address_id>/main")
@allow("person")
def make_main(address_id: str) -> ResponseReturnValue:
    try:
        address = addresses.make_primary(current_user.user_id, _key(address_id))
    except Rejected as error:
        return _refused(error, address_id)
    return _done(f"{address.masked} is now your main address.")


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
    return _done(f"{address.label or address.masked} has been removed.")


@pages.post("/preferences/browsers")
@allow("person")
def add_browser() -> ResponseReturnValue:
    """From the page's own script: `subscription` is the JSON of the browser's PushSubscription."""
    try:
        addresses.add_browser(
            current_user.user_id, request.form.get("subscription", ""), label=browser_name(request.user_agent.string)
        )
    except Rejected as error:
        return {"error": error.faults[0].message if error.faults else error.detail}, 422
    return {}, 201


@pages.get("/service-worker.js")
@allow(ANYONE)
def service_worker() -> ResponseReturnValue:
    """At the root, since a service worker controls only the folder it is in; never cached, so that browsers take up a
    new one.
    """
    assert current_app.static_folder
    answer = send_from_directory(current_app.static_folder, "service-worker.js", mimetype="text/javascript", max_age=0)
    answer.headers["Cache-Control"] = "no-cache"
    return answer


def browser_name(user_agent: str) -> str:
    """`Firefox on Linux`: enough for a person to recognise their browser."""
    browser = next((name for mark, name in _BROWSERS.items() if mark in user_agent), "A browser")
    system = next((name for mark, name in _SYSTEMS.items() if mark in user_agent), None)
    return f"{browser} on {system}" if system else browser


def _key(address_id: str) -> UUID:
    return parse(ADDRESS, address_id)


def _sent_to(address: Address) -> str:
    return f"We have sent a code to {address.masked}. Enter it below within {address_codes.CODE_MINUTES} minutes."


def _done(words: str) -> ResponseReturnValue:
    flash(words)
    return redirect(url_for("addresses.show"), 303)


def _refused(error: Rejected, place: str) -> ResponseReturnValue:
    """The page again, with the typed value and its faults beside it."""
    if error.code == "not_found":
        raise error
    faults = {fault.pointer.lstrip("/"): fault.message for fault in error.faults} or {"": error.detail}
    status = {"rate_limited": 429, "unavailable": 503, "conflict": 409}.get(error.code, 422)
    return _page({"place": place, "faults": faults, "form": request.form}), status


def _page(tried: Mapping[str, Any] | None = None) -> str:
    return render_template("addresses.html", tried_address=tried)
