"""What a person wants to receive. A plain form that works without JavaScript; with it, each change is saved at once."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from werkzeug.datastructures import MultiDict

from notifier.clock import now
from notifier.core.errors import Rejected
from notifier.core.quiet_hours import EVERY_DAY
from notifier.pipeline.preferences import change
from notifier.queries.preference_grid import Grid, grid_of
from notifier.queries.preferences import document as document_of
from notifier.web.access import allow, page_blueprint

pages = page_blueprint("preferences")

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MORNING = time(8)
_CONTINENTS = ("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")


@pages.get("/preferences")
@allow("person")
def show() -> ResponseReturnValue:
    return _page("preferences.html")


@pages.post("/preferences")
@allow("person")
def save() -> ResponseReturnValue:
    user_id = current_user.user_id
    document = document_of(user_id)
    saves_itself = "HX-Request" in request.headers
    try:
        change(user_id, changes_in(request.form, document, _grid(document), now()), replace=False, source="page")
    except (Rejected, ValueError) as error:
        return _page("preferences_state.html" if saves_itself else "preferences.html", fault=_words(error)), 422
    if saves_itself:
        return _page("preferences_state.html", is_saved=True)
    flash("Your preferences are saved.")
    return redirect(url_for("preferences.show"), 303)


def _page(template: str, *, is_saved: bool = False, fault: str | None = None) -> str:
    user_id = current_user.user_id
    document = document_of(user_id)
    return render_template(
        template,
        document=document,
        grid=_grid(document),
        muted_until=_still_ahead(document["mute_until"]),
        zones=_zones(),
        zone=document["time_zone"] or "UTC",
        days=DAYS,
        is_saved=is_saved,
        fault=fault,
    )


def _grid(document: Mapping[str, Any]) -> Grid:
    return grid_of(current_user.user_id, document, is_admin=current_user.has_role("admin"))


def changes_in(form: MultiDict[str, str], document: Mapping[str, Any], grid: Grid, at: datetime) -> dict[str, Any]:
    """What the form changes about the document; a field that was not sent changes nothing. Raises ValueError.

    `only` names the part that is meant, when the page saves by itself: `quiet`, `mute` or one switch.
    """
    only = form.get("only")
    changes: dict[str, Any] = {}
    if only in (None, "quiet"):
        changes |= _quiet_changes(form, document)
    if only in (None, "mute") and form.get("mute", "keep") != "keep":
        zone = changes.get("time_zone") or document["time_zone"] or "UTC"
        changes["mute_until"] = _mute_until(form, at.astimezone(ZoneInfo(zone if zone in _zones() else "UTC")))
    if only not in ("quiet", "mute"):
        changes["types"] = _switches(form, grid, only)
    return changes


def _switches(form: MultiDict[str, str], grid: Grid, only: str | None) -> dict[str, dict[str, bool]]:
    """`shown` lists the switches of the page as they were when it was made: what differs is what the person has changed.

    What they have not touched stays as it is, though it may have changed meanwhile in another window.
    """
    checked = set(form.getlist("on"))
    before = dict(entry.rsplit("=", 1) for entry in form.getlist("shown") if "=" in entry)
    changed: dict[str, dict[str, bool]] = {}
    for section in grid.sections:
        for row in section.rows:
            for cell in row.cells:
                name = f"{row.type}:{cell.channel}"
                is_meant = name == only if only else name in before and (name in checked) != (before[name] == "1")
                if is_meant and not cell.is_locked and (name in checked) != cell.is_on:
                    changed.setdefault(row.type, {})[cell.channel] = name in checked
    return changed


def _quiet_changes(form: MultiDict[str, str], document: Mapping[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if "quiet_start" in form:
        changes["quiet_hours"] = _quiet_hours(form)
    if form.get("held"):
        changes["held"] = form["held"]
    if form.get("time_zone") and form["time_zone"] != document["time_zone"]:
        changes["time_zone"] = form["time_zone"]
    return changes


def _quiet_hours(form: MultiDict[str, str]) -> dict[str, Any] | None:
    if "quiet" not in form:
        return None
    days = [int(day) for day in form.getlist("quiet_days") if day.isdecimal()]
    return {"start": form["quiet_start"], "end": form.get("quiet_end", ""), "days": days or sorted(EVERY_DAY)}


def _mute_until(form: MultiDict[str, str], at: datetime) -> datetime | None:
    """`at` is the present in the person's own zone."""
    match form["mute"]:
        case "hour":
            return at + timedelta(hours=1)
        case "tomorrow":
            return datetime.combine(at.date() + timedelta(days=1), _MORNING, at.tzinfo)
        case "date":
            until = datetime.combine(datetime.fromisoformat(form.get("mute_date", "")).date(), time(), at.tzinfo)
            if until <= at:
                raise ValueError("Choose a date that is still to come.")
            return until
        case _:
            return None


def _still_ahead(mute_until: str | None) -> str | None:
    return mute_until if mute_until and datetime.fromisoformat(mute_until) > now() else None


def _words(error: Exception) -> str:
    if isinstance(error, Rejected):
        return "; ".join(f"{fault.message[0].upper()}{fault.message[1:]}" for fault in error.faults) or error.detail
    return str(error) if str(error).startswith("Choose") else "Choose a date."


@cache
def _zones() -> tuple[str, ...]:
    """Without the names that are only kept for old times' sake."""
    return tuple(sorted(zone for zone in available_timezones() if (zone.partition("/")[0] in _CONTINENTS and "/" in zone) or zone == "UTC"))
