"""Broadcasts: how far each is, what became of its people, and stopping it. Viewers look; operators run them.

`broadcast_compose` makes them, `people_lists` takes in lists of people for them. What can be undone happens at once;
what cannot asks first, on a page of its own.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import UUID

from flask import Flask, Response, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from notifier.core import broadcasts as rules
from notifier.core.costs import shown as amount_shown
from notifier.core.costs import total
from notifier.core.errors import Rejected
from notifier.core.lifecycle import DEAD
from notifier.core.lifecycle import STATUSES as DELIVERY_STATUSES
from notifier.core.reasons import REASONS
from notifier.ground.ids import parse
from notifier.operations import broadcast_retries
from notifier.pipeline.intake import broadcasts
from notifier.queries import broadcasts as queries
from notifier.queries import costs
from notifier.queries.notifications import Sight
from notifier.web.access import allow, page_blueprint
from notifier.web.csv_lines import csv_line

pages = page_blueprint("broadcasts", url_prefix="/admin/broadcasts")

EVERYTHING = Sight()
_SHOWN = 25
_RECIPIENTS_SHOWN = 100
_COLUMNS = ("user", "notification", "delivery", "channel", "status", "reason", "code")
_LINES_AT_ONCE = 1_000


@pages.get("")
@allow("viewer", may_lag=True)
def listing() -> ResponseReturnValue:
    status = request.args.get("status")
    chosen = status if status in rules.STATUSES else None
    found = queries.page(request.args.get("after"), _SHOWN, EVERYTHING, (chosen,) if chosen else ())
    return render_template(
        "admin/broadcasts.html",
        found=found,
        producers=queries.producers_of(one["id"] for one in found["data"]),
        statuses=rules.STATUSES,
        chosen=chosen,
    )


def _cost(shown: Mapping[str, Any]) -> str | None:
    """Of what was taken so far; None where no price is known of it, or nothing is paid for."""
    lines = costs.of_broadcast(shown["counts"]["channels"], shown["started_at"])
    if shown["test"] or all(line.cost is None for line in lines):
        return None
    return f"{amount_shown(total(lines))} {costs.currency()}"


@pages.get("/<broadcast_id>")
@allow("viewer")
def one(broadcast_id: str) -> ResponseReturnValue:
    key = parse(broadcasts.KIND, broadcast_id)
    shown = queries.one(key, EVERYTHING)
    return render_template(
        "admin/broadcast.html",
        broadcast=shown,
        producer=queries.producers_of([broadcast_id]).get(broadcast_id),
        progress=queries.progress(shown),
        cost=_cost(shown),
        funnels=queries.funnels(shown),
        by_variant=queries.by_variant(shown),
        is_open=shown["status"] in rules.UNENDED,
        may_retry=_may_retry(shown),
        failed=queries.total(shown, DEAD),
        statuses=DELIVERY_STATUSES,
        totals={status: queries.total(shown, [status]) for status in DELIVERY_STATUSES},
        reasons=REASONS,
        happened=queries.happened(key),
    )


@pages.post("/<broadcast_id>/pause")
@allow("operator")
def pause(broadcast_id: str) -> ResponseReturnValue:
    return _change(broadcast_id, broadcasts.pause, "Paused. Nothing more is sent, but for what is on its way already.")


@pages.post("/<broadcast_id>/resume")
@allow("operator")
def resume(broadcast_id: str) -> ResponseReturnValue:
    return _change(broadcast_id, broadcasts.resume, "It goes on where it stopped.")


@pages.get("/<broadcast_id>/cancel")
@allow("operator")
def ask_to_cancel(broadcast_id: str) -> ResponseReturnValue:
    shown = queries.one(parse(broadcasts.KIND, broadcast_id), EVERYTHING)
    if shown["status"] not in rules.UNENDED:
        return _too_late(shown)
    return render_template("admin/broadcast_cancel.html", broadcast=shown, progress=queries.progress(shown))


@pages.post("/<broadcast_id>/cancel")
@allow("operator")
def cancel(broadcast_id: str) -> ResponseReturnValue:
    return _change(broadcast_id, broadcasts.cancel, "Cancelled. What had not gone out yet stays where it is.")


@pages.get("/<broadcast_id>/retry")
@allow("operator")
def ask_to_retry(broadcast_id: str) -> ResponseReturnValue:
    key = parse(broadcasts.KIND, broadcast_id)
    shown, dead = queries.one(key, EVERYTHING), broadcast_retries.to_retry(key)
    if shown["status"] not in rules.RETRYABLE or not any(dead.values()):
        return _too_late(shown)
    return render_template("admin/broadcast_retry.html", broadcast=shown, dead=dead)


@pages.post("/<broadcast_id>/retry")
@allow("operator")
def retry(broadcast_id: str) -> ResponseReturnValue:
    return _change(broadcast_id, broadcast_retries.begin, "What has failed is being sent again.")


@pages.get("/<broadcast_id>/recipients")
@allow("viewer")
def recipients(broadcast_id: str) -> ResponseReturnValue:
    key = parse(broadcasts.KIND, broadcast_id)
    shown, status = queries.one(key, EVERYTHING), request.args.get("status")
    chosen = status if status in DELIVERY_STATUSES else None
    by_channel, channel = shown["counts"]["channels"], request.args.get("channel")
    via = channel if channel in by_channel else None
    wanted = {"statuses": (chosen,) if chosen else (), "channels": (via,) if via else ()}
    try:
        found = queries.recipients(key, request.args.get("after"), _RECIPIENTS_SHOWN, **wanted)
    except Rejected:
        flash("That page is no longer available. This is the first one.", "warning")
        found = queries.recipients(key, None, _RECIPIENTS_SHOWN, **wanted)
    counted = by_channel.values() if via is None else [by_channel[via]]
    return render_template(
        "admin/broadcast_recipients.html",
        broadcast=shown,
        found=found,
        chosen=chosen,
        via=via,
        totals={name: number for name in DELIVERY_STATUSES if (number := sum(one[name] for one in counted))},
        channels={
            name: sum(by_status[one] for one in ([chosen] if chosen else DELIVERY_STATUSES))
            for name, by_status in by_channel.items()
        },
    )


@pages.get("/<broadcast_id>/results.csv")
@allow("viewer")
def results(broadcast_id: str) -> ResponseReturnValue:
    """What became of everybody, a line for each delivery, as far as is known at this moment."""
    key = parse(broadcasts.KIND, broadcast_id)
    queries.one(key, EVERYTHING)
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    return Response(
        _lines(app, key),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{broadcast_id}.csv"', "Cache-Control": "no-store"},
    )


def _lines(app: Flask, key: UUID) -> Iterator[str]:
    """Reads a batch at a time, each in a context of its own: the request is over when a server asks for the next
    piece.
    """
    yield csv_line(_COLUMNS)
    after: str | None = None
    while True:
        with app.app_context():
            found = queries.recipients(key, after, _LINES_AT_ONCE)
            text = "".join(csv_line(line[name] for name in _COLUMNS) for line in found["data"])
        yield text
        after = found["next"]
        if after is None:
            return


def _change(broadcast_id: str, change: Callable[[UUID], object], done: str) -> ResponseReturnValue:
    try:
        change(parse(broadcasts.KIND, broadcast_id))
    except Rejected as error:
        if error.code != "conflict":
            raise
        flash(f"Nothing was changed: {error.detail}.", "warning")
    else:
        flash(done)
    return redirect(url_for("broadcasts.one", broadcast_id=broadcast_id), 303)


def _may_retry(shown: dict[str, Any]) -> bool:
    """Whether a part of it has failed that may be sent again: what has expired is known only by trying."""
    return shown["status"] in rules.RETRYABLE and queries.total(shown, DEAD) > 0


def _too_late(shown: dict[str, object]) -> ResponseReturnValue:
    """It has changed since the page was shown that leads here."""
    flash(f"It is {shown['status']} now: there is nothing to do.", "warning")
    return redirect(url_for("broadcasts.one", broadcast_id=shown["id"]), 303)
