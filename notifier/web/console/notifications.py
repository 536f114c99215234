"""Search for notifications, and the page of one. Viewers look; operators send a message again. Failed deliveries are
retried from their failed job.
"""

import re
from datetime import UTC, datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from notifier.channels import CHANNELS
from notifier.core.errors import Rejected
from notifier.core.lifecycle import STATUSES, SUCCEEDED
from notifier.ground.ids import parse, show
from notifier.ground.zones import zone_of
from notifier.operations import resend
from notifier.queries import readers, search, story
from notifier.queries.types import names as type_names
from notifier.web.access import allow, page_blueprint
from notifier.web.console.acting import on_behalf_of

pages = page_blueprint("notifications", url_prefix="/admin/notifications")

_ONCE = re.compile(r"[0-9a-f]{32}")


@pages.get("")
@allow("viewer", may_lag=True)
def listing() -> ResponseReturnValue:
    text = (request.args.get("q") or request.args.get("id") or "").strip()
    wanted, zone = _search(), _zone()
    meaning = search.understand(text, zone)
    if len(meaning.keys) == 1:
        return redirect(url_for("notifications.one", notification_id=show("ntf", meaning.keys[0])))
    if meaning.keys or (text and not meaning.is_known):
        found = search.these(meaning.keys)
    else:
        try:
            found = search.page(wanted, request.args.get("after"), meaning)
        except Rejected:
            flash("That page is no longer available. This is the first one.", "warning")
            found = search.page(wanted, meaning=meaning)
    return render_template(
        "admin/notifications.html",
        found=found,
        search=wanted,
        text=text,
        meaning=meaning,
        zone=zone.key,
        types=type_names(),
        statuses=STATUSES,
        channels=CHANNELS,
        producers=search.producers(),
    )


def _zone() -> ZoneInfo:
    """In which a time that is typed is meant: the person's own, if it is known."""
    known = readers.find(current_user.user_id)
    return known.zone if known and known.zone else zone_of(None)


@pages.get("/<notification_id>")
@allow("viewer")
def one(notification_id: str) -> ResponseReturnValue:
    told = story.of(parse("ntf", notification_id), _clock)
    may_go_again = resend.refusal(told.notification, told.producer) is None
    return render_template(
        "admin/notification.html", story=told, id=notification_id, again=SUCCEEDED if may_go_again else ()
    )


@pages.get("/deliveries/<delivery_id>/again")
@allow("operator")
def ask_again(delivery_id: str) -> ResponseReturnValue:
    try:
        delivery, notification = resend.original(parse("dlv", delivery_id))
    except Rejected as error:
        return _not_again(delivery_id, error)
    return render_template(
        "admin/notification_again.html", delivery=delivery, notification=notification, once=uuid4().hex
    )


@pages.post("/deliveries/<delivery_id>/again")
@allow("operator")
def send_again(delivery_id: str) -> ResponseReturnValue:
    once = request.form.get("once", "")
    if not _ONCE.fullmatch(once):
        return redirect(url_for("notifications.ask_again", delivery_id=delivery_id), 303)
    try:
        new = resend.send(parse("dlv", delivery_id), on_behalf_of, once)
    except Rejected as error:
        return _not_again(delivery_id, error)
    flash("It has been submitted again. This page shows what becomes of it.")
    return redirect(url_for("notifications.one", notification_id=new), 303)


def _not_again(delivery_id: str, error: Rejected) -> ResponseReturnValue:
    """Back to its notification, with the reason."""
    if error.code == "not_found":
        raise error
    flash(f"Nothing was sent again. {error.detail[:1].upper()}{error.detail[1:].rstrip('.')}.", "warning")
    return redirect(url_for("notifications.listing", q=delivery_id), 303)


def _search() -> search.Search:
    given = request.args.to_dict()
    try:
        return search.read_search(given)
    except Rejected as error:
        for fault in error.faults:
            flash(f"{fault.message[0].upper()}{fault.message[1:]}. This filter was ignored.", "warning")
            given.pop(fault.pointer.strip("/"), None)
        return search.read_search(given)


def _clock(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone(UTC):%d %b %Y, %H:%M} UTC"
