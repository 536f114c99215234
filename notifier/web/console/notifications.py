"""Search for notifications, and the page of one. For viewers; failed deliveries are retried from their failed job."""

from datetime import UTC, datetime

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from notifier.channels import CHANNELS
from notifier.core.errors import Rejected
from notifier.core.lifecycle import STATUSES
from notifier.ground.ids import parse, show
from notifier.queries import search, story
from notifier.queries.types import known_keys
from notifier.web.access import allow, page_blueprint

pages = page_blueprint("notifications", url_prefix="/admin/notifications")


@pages.get("")
@allow("viewer")
def listing() -> ResponseReturnValue:
    text = request.args.get("id", "").strip()
    wanted = _search()
    found = None
    if text:
        keys = search.by_id(text)
        if len(keys) == 1:
            return redirect(url_for("notifications.one", notification_id=show("ntf", keys[0])))
        found = search.these(keys)
    else:
        try:
            found = search.page(wanted, request.args.get("after"))
        except Rejected:
            flash("That page is no longer available. This is the first one.", "warning")
            found = search.page(wanted)
    return render_template(
        "admin/notifications.html",
        found=found,
        search=wanted,
        text=text,
        types=known_keys(),
        statuses=STATUSES,
        channels=CHANNELS,
        producers=search.producers(),
    )


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
