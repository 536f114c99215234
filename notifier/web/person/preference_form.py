"""Reads the forms of the preference page: the person's choices, and the faults in them, field by field.

Each form names itself in `part`. A field that was not sent changes nothing. Called by `preference_page`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import Any

from werkzeug.datastructures import MultiDict

from notifier.core.choices import Switch
from notifier.core.errors import Rejected
from notifier.core.limits import LIMITED, Caps
from notifier.ground.zones import names, zone_of
from notifier.queries.preference_grid import Grid
from notifier.web.language import gettext, language
from notifier.web.presentation import capital

Form = MultiDict[str, str]

MORNING = time(8)
WINDOWS = ("hour", "day")
_CONTINENTS = (
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
)
_FIELD_OF = {  # where a fault of people.preferences is shown
    "/quiet_hours/start": "quiet_start",
    "/quiet_hours/end": "quiet_end",
    "/quiet_hours/days": "quiet_days",
    "/time_zone": "time_zone",
    "/held": "held",
    "/digest_at": "digest_at",
    "/mute_until": "mute_date",
}
_MOST_DIGITS = 18  # fits every database's integers


class Misread(ValueError):
    """The form cannot be read. `faults`: field → sentence for people."""

    def __init__(self, **faults: str) -> None:
        super().__init__(*faults.values())
        self.faults = faults


def faults_of(error: Rejected) -> dict[str, str]:
    """Field → sentence, of what `people.preferences` has refused."""
    return {_field_of(fault.pointer): f"{capital(gettext(fault.message))}." for fault in error.faults}


def _field_of(pointer: str) -> str:
    return _FIELD_OF.get(pointer) or pointer.strip("/").replace("/", "-")


# ---- the grid -------------------------------------------------------------------------------------------------------


def switches_in(form: Form, grid: Grid) -> list[Switch]:
    """The single switches that were changed, then the one over several (`set`), whose button may be the only one
    pressed.

    `shown` lists the switches as the page showed them: those that differ were changed by the person. The others stay as
    they are now, though another window may have changed them meanwhile. `only` names the one that counts, when the page
    saves by itself.
    """
    only, checked = form.get("only"), set(form.getlist("on"))
    before = dict(entry.rsplit("=", 1) for entry in form.getlist("shown") if "=" in entry)
    turned = []
    for row, cell in grid.cells():
        name = f"{row.type}:{cell.channel}"
        is_meant = name == only if only else name in before and (name in checked) != (before[name] == "1")
        if is_meant and not cell.is_locked and (name in checked) != cell.is_on:
            turned.append(Switch(name in checked, type=row.type, channel=cell.channel))
    return [*turned, *_over(form.get("set", ""), grid)]


def _over(name: str, grid: Grid) -> list[Switch]:
    """`marketing:email=on`, `marketing:*=off`, `*:email=on`; anything else switches nothing."""
    place, _, state = name.partition("=")
    category, channel = (None if part == "*" else part for part in place.partition(":")[::2])
    found = grid.over(category, channel)
    if found is None or state not in ("on", "off") or not found.takes(state == "on"):  # of an old page, or made up
        return []
    return [Switch(state == "on", category=category, channel=channel)]


def reset_in(form: Form, grid: Grid) -> dict[str, Any] | None:
    """`types:like`, `categories:social`: what was chosen for it is taken back. None: that was not asked for, or of
    something that is not on the page.
    """
    field, _, key = form.get("reset", "").partition(":")
    known = {"types": grid.titles, "categories": {section.category for section in grid.sections}}
    return {field: {key: None}} if key in known.get(field, ()) else None


def events_in(text: str | None) -> tuple[int, int] | None:
    """`12-31`: the lines of the consent history that one change has written."""
    first, _, last = (text or "").partition("-")
    if not (is_number(first) and is_number(last)):
        return None
    return int(first), int(last)


# ---- when, and how often --------------------------------------------------------------------------------------------


def quiet_in(form: Form, document: Mapping[str, Any]) -> dict[str, Any]:
    """An unchanged value is not a choice."""
    changes: dict[str, Any] = {}
    if "quiet_start" in form:
        changes["quiet_hours"] = _quiet_hours(form)
    if form.get("held", document["held"]) != document["held"]:
        changes["held"] = form["held"]
    if form.get("time_zone", zone_of(document["time_zone"]).key) != zone_of(document["time_zone"]).key:
        changes["time_zone"] = form["time_zone"]
    return changes


def _quiet_hours(form: Form) -> dict[str, Any] | None:
    if "quiet" not in form:
        return None
    days = [int(day) for day in form.getlist("quiet_days") if is_number(day)]
    if not days:
        raise Misread(quiet_days=gettext("Choose at least one day."))
    return {"start": form["quiet_start"], "end": form.get("quiet_end", ""), "days": days}


def mute_in(form: Form, at: datetime) -> dict[str, Any]:
    """`at` is the present in the person's own zone."""
    match form.get("mute"):
        case "hour":
            return {"mute_until": at.astimezone(UTC) + timedelta(hours=1)}  # not by a clock that may change meanwhile
        case "tomorrow":
            return {"mute_until": datetime.combine(at.date() + timedelta(days=1), MORNING, at.tzinfo)}
        case "date":
            return {"mute_until": _date_in(form, at)}
        case "off":
            return {"mute_until": None}
        case _:
            return {}


def _date_in(form: Form, at: datetime) -> datetime:
    try:
        until = datetime.combine(datetime.fromisoformat(form.get("mute_date", "")).date(), time(), at.tzinfo)
    except ValueError:
        raise Misread(mute_date=gettext("Choose a date.")) from None
    if until <= at:
        raise Misread(mute_date=gettext("Choose a date in the future."))
    return until


def often_in(form: Form, document: Mapping[str, Any], most: Caps) -> dict[str, Any]:
    """`most`: category → window → the installation's cap, which a person can only lower. An empty field goes back to
    it.
    """
    changes: dict[str, Any] = {}
    faults: dict[str, str] = {}
    if form.get("digest_at", document["digest_at"]) != document["digest_at"]:
        changes["digest_at"] = form["digest_at"]
    for category in LIMITED:
        if f"digest-{category}" in form and form[f"digest-{category}"] != document["digest"].get(category, "off"):
            changes.setdefault("digest", {})[category] = form[f"digest-{category}"]
        for window in WINDOWS:
            name = f"caps-{category}-{window}"
            if name not in form:
                continue
            try:
                number = _number(form[name].strip(), most.get(category, {}).get(window))
                changes.setdefault("caps", {}).setdefault(category, {})[window] = number
            except ValueError as error:
                faults[name] = str(error)
    if faults:
        raise Misread(**faults)
    return changes


def tracking_in(form: Form, document: Mapping[str, Any]) -> dict[str, Any]:
    """The page sends the field twice when its box is ticked: a box alone would send nothing when it is not."""
    wanted = "1" in form.getlist("do_not_track")
    is_choice = "do_not_track" in form and wanted != document["do_not_track"]
    return {"do_not_track": wanted} if is_choice else {}


def _number(text: str, most: int | None) -> int | None:
    if not text:
        return None
    if not is_number(text):
        raise ValueError(gettext("Enter a whole number."))
    if int(text) < 1:
        raise ValueError(gettext("At least 1. To get none at all, switch them off above."))
    if most is not None and int(text) > most:
        raise ValueError(gettext("At most %(most)s: that is the limit here.", most=language().number(most)))
    return None if int(text) == most else int(text)


def is_number(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) <= _MOST_DIGITS


# ---- zones ----------------------------------------------------------------------------------------------------------


@cache
def zones() -> tuple[str, ...]:
    """The time zones to choose from, without names that exist only for compatibility."""
    return tuple(
        sorted(zone for zone in names() if (zone.partition("/")[0] in _CONTINENTS and "/" in zone) or zone == "UTC")
    )
