"""Retrying or deleting many failed jobs: confirmed first, then run in the background, with its progress. For operators.

The page that asks fixes the selection, times included, so that no more jobs are affected than were shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.ids import parse, show
from notifier.operations import bulk_actions
from notifier.queries import causes
from notifier.queries.dead_letters import PARAMETERS, Filter, read_filter
from notifier.web.access import allow, page_blueprint

pages = page_blueprint("failed_actions", url_prefix="/admin/failed/actions")

_ASKED = (bulk_actions.RETRY, bulk_actions.DISCARD)
RATES = (1, 10, 50, 200, 1000)
_USUAL_RATE = 50
_FEW = 50  # so many need no rate


@pages.get("")
@allow("viewer")
def listing() -> ResponseReturnValue:
    return render_template("admin/failed_actions.html", actions=causes.actions(50))


@pages.get("/new")
@allow("operator")
def ask() -> ResponseReturnValue:
    try:
        kind, chosen = _kind(request.args, _ASKED), _chosen(request.args)
    except Rejected as error:
        return _refused(error)
    chosen = replace(chosen, until=chosen.until or now())
    chosen_by: dict[str, Any] = {name: value for name, value in request.args.items() if name in PARAMETERS}
    back = url_for("failed.jobs", **chosen_by)
    if request.args.get("selected") and not chosen.ids:
        flash("Select at least one job first.", "warning")
        return redirect(back, 303)
    preview = bulk_actions.preview(chosen)
    if not preview.total:
        flash("None of them is a failed job any longer.", "warning")
        return redirect(url_for("failed.listing"), 303)
    rate = None if preview.total <= _FEW else _USUAL_RATE
    return render_template(
        "admin/failed_ask.html", kind=kind, fields=chosen.document(), preview=preview, rates=RATES, rate=rate, back=back
    )


@pages.post("")
@allow("operator")
def start() -> ResponseReturnValue:
    try:
        rate = request.form.get("per_second") or None
        if rate is not None and not (rate.isdecimal() and len(rate) < 8):
            raise Rejected("validation_failed", f"the rate must be 1 to {bulk_actions.MOST_PER_SECOND:,} a second")
        key = bulk_actions.start(
            _kind(request.form, bulk_actions.KINDS),
            _chosen(request.form),
            provider=request.form.get("through") or None,
            per_second=int(rate) if rate else None,
        )
    except Rejected as error:
        return _refused(error)
    return redirect(url_for("failed_actions.one", action_id=show("blk", key)), 303)


@pages.get("/<action_id>")
@allow("viewer")
def one(action_id: str) -> ResponseReturnValue:
    action = causes.action(action_id)
    return render_template("admin/failed_action.html", action=action, filter=action.filter)


@pages.post("/<action_id>/cancel")
@allow("operator")
def cancel(action_id: str) -> ResponseReturnValue:
    is_cancelled = bulk_actions.cancel(parse("blk", action_id))
    flash(
        "Cancelled. What has already been done stays done." if is_cancelled else "It had already finished.",
        "message" if is_cancelled else "warning",
    )
    return redirect(url_for("failed_actions.one", action_id=action_id), 303)


def _kind(given: Mapping[str, Any], allowed: Sequence[str]) -> str:
    kind = str(given.get("kind") or "")
    if kind not in allowed:
        raise Rejected("validation_failed", "choose retry or delete")
    return kind


def _chosen(given: "MultiDict[str, str]") -> Filter:
    return read_filter({**given.to_dict(), "ids": given.getlist("ids")}, now())


def _refused(error: Rejected) -> ResponseReturnValue:
    """Nothing was started, and why."""
    if error.code == "not_found":
        raise error
    flash(f"Nothing was started: {error.detail}.", "error")
    return redirect(url_for("failed.listing"), 303)
