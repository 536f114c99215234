"""Messages that the sandbox captured, shown as their recipient would have seen them. Viewers look; operators delete."""

import json
from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from notifier.channels import CHANNELS
from notifier.channels.serving import mask
from notifier.core.segments import segments
from notifier.ground.clock import now
from notifier.ground.ids import parse
from notifier.operations import sandbox_emptying
from notifier.queries.captures import KIND, find_capture, list_captures
from notifier.queries.dead_letters import WITHIN
from notifier.queries.types import known_keys
from notifier.web.access import allow, page_blueprint
from notifier.web.console.mail_frame import framed
from notifier.words.tracked import without_pixel

pages = page_blueprint("sandbox", url_prefix="/admin/sandbox")

_LONGEST = 320
_VIEWS = ("html", "text", "headers", "source")  # of a mail


@pages.get("")
@allow("viewer")
def listing() -> ResponseReturnValue:
    to, channel = request.args.get("to", "").strip()[:_LONGEST].replace("\0", ""), request.args.get("channel")
    channel = channel if channel in CHANNELS else None
    types, within = known_keys(), WITHIN.get(request.args.get("within", ""))
    type_ = request.args["type"] if request.args.get("type") in types else None
    captures, following = list_captures(
        with_secrets=_sees_secrets(),
        to=to,
        channel=channel,
        type=type_,
        since=now() - within if within else None,
        after=request.args.get("after"),
    )
    return render_template(
        "admin/sandbox.html",
        captures=[_shown(capture) for capture in captures],
        following=following,
        to=to,
        channel=channel,
        channels=CHANNELS,
        type=type_,
        types=types,
        within=request.args["within"] if within else None,
    )


@pages.get("/delete")
@allow("operator")
def ask_to_empty() -> ResponseReturnValue:
    number = sandbox_emptying.count()
    if not number:
        flash("The sandbox is empty.")
        return redirect(url_for("sandbox.listing"), 303)
    return render_template("admin/sandbox_delete.html", number=number, last=sandbox_emptying.newest())


@pages.post("/delete")
@allow("operator")
def empty() -> ResponseReturnValue:
    gone, left = sandbox_emptying.empty(parse(KIND, request.form.get("last", "")))
    flash(f"Deleted: {gone:,} captured {'message' if gone == 1 else 'messages'}.")
    if left:
        flash(f"{left:,} are left: so many are not deleted at once. Ask again for the rest.", "warning")
    return redirect(url_for("sandbox.listing"), 303)


@pages.get("/<capture_id>")
@allow("viewer")
def one(capture_id: str) -> ResponseReturnValue:
    capture = find_capture(parse(KIND, capture_id), with_secrets=_sees_secrets()) or abort(404)
    views = [f"admin/captures/{capture['channel']}.html", "admin/captures/any.html"]
    said, view = segments(capture["text"] or ""), request.args.get("view")
    return render_template(
        "admin/capture.html",
        capture=_shown(capture),
        views=views,
        view=view if view in _VIEWS else _VIEWS[0],
        is_narrow=request.args.get("width") == "phone",
        segments=said,
        payload=_readable(capture["payload"]),
    )


@pages.get("/<capture_id>/html")
@allow("viewer")
def html(capture_id: str) -> ResponseReturnValue:
    capture = find_capture(parse(KIND, capture_id), with_secrets=_sees_secrets()) or abort(404)
    if not capture["html"]:
        abort(404)
    return framed(without_pixel(capture["html"]))  # who looks at it here has not received it


def _shown(capture: dict[str, Any]) -> dict[str, Any]:
    """With `title`, what stands above it, and where it goes to: what is as good as a key to its receiver (a token, a
    URL) is masked.
    """
    payload = capture["payload"] if isinstance(capture["payload"], dict) else {}
    channel = CHANNELS.get(capture["channel"])
    kind = channel.address if channel else None
    is_secret = capture["to"] and kind is not None and (kind.url is not None or not kind.is_typed)
    return {
        **capture,
        "title": capture["subject"] or payload.get("title"),
        "to": mask(capture["channel"], capture["to"]) if is_secret else capture["to"],
    }


def _sees_secrets() -> bool:
    return bool(current_user.has_role("admin"))


def _readable(payload: object) -> str | None:
    if payload is None:
        return None
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except ValueError:
            return str(payload)
    return json.dumps(payload, indent=2, ensure_ascii=False)
