"""Search for notifications, and the page of one. For viewers; failed deliveries are retried from their failed job."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from notifier.channels import CHANNELS
from notifier.core.errors import Rejected
from notifier.core.lifecycle import STATUSES
from notifier.ground.ids import parse, show
from notifier.ground.zones import zone_of
from notifier.queries import readers, search, story
from notifier.queries.types import known_keys
from notifier.web.access import allow, page_blueprint

pages = page_blueprint("notifications", url_prefix="/admin/notifications")


@pages.get("")
@allow("viewer")
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
        types=known_keys(),
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
    return render_template(
        "admin/notification.html", story=story.of(parse("ntf", notification_id), _clock), id=notification_id
    )


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
