"""The preference page, shown and saved: the same for signed-in people and for those who came by a signed link.

A `Desk` says whose choices they are and how the person came. Each form of the page is one `part`. With htmx it is sent
alone and answered with the parts it may have changed; without JavaScript with the whole page.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlunsplit

from flask import abort, redirect, render_template, request
from flask.typing import ResponseReturnValue

from notifier.core import choices
from notifier.core.errors import Rejected
from notifier.core.limits import LIMITED
from notifier.core.preferences import CATEGORIES, from_document
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.languages import N_
from notifier.ground.zones import zone_of
from notifier.models import Account
from notifier.people import consent, preferences
from notifier.people.preferences import Conditions
from notifier.queries import preferences as queries
from notifier.queries import readers, users
from notifier.queries.preference_grid import Grid, grid_of
from notifier.web.language import gettext, language, speak_to
from notifier.web.person import preference_form as reading
from notifier.web.person import preference_words as words
from notifier.web.person.preference_form import Form, Misread

PARTS = ("choices", "often", "quiet", "mute", "tracking", "undo")
_ABOUT_TYPES = ("choices", "undo")
REFUSED = N_("You have a role in the console, so you cannot erase yourself: an admin has to take that role away first.")
_UNDO_FOR = timedelta(minutes=10)
_MOST_ENTRIES = 8
_MOST_LINES = 200


@dataclass(frozen=True, slots=True)
class Desk:
    """`url` receives the forms. Without an `account` (by a link, or in the console: `is_staff`), the page
    shows and changes choices, and nothing else about the person.
    """

    user_id: str
    url: str
    source: str
    account: Account | None = None
    conditions: Conditions = ()  # on which the link still holds
    is_staff: bool = False
    brand_name: str | None = None  # of the message that led here


@dataclass(frozen=True, slots=True)
class Toast:
    """The message after saving: `events` undo the change."""

    words: str
    undo: str | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """A form that was refused: it is shown again as it was sent, with what is wrong beside the fields."""

    part: str = ""
    form: Form = field(default_factory=Form)
    faults: Mapping[str, str] = field(default_factory=dict)


NOTHING_TRIED = Tried()


def show(desk: Desk, tried: Tried = NOTHING_TRIED) -> str:
    """The whole page. Raises Rejected('not_found') for an erased person."""
    return _page(desk, _begin(desk), tried)


def _page(desk: Desk, document: Mapping[str, Any], tried: Tried) -> str:
    context = _context(desk, document, tried) | (
        _own(desk) if desk.account else {"masked": users.masked_address(desk.user_id)}
    )
    toast = _toast_of_address(desk, context["grid"], document)
    page = "admin/user_preferences.html" if desk.is_staff else "preferences.html"
    return render_template(page, **context, parts=(), toast=toast)


def save(desk: Desk) -> ResponseReturnValue:
    """Saves one part. Raises Rejected('not_found') for an erased person."""
    document = _begin(desk)
    part = request.form.get("part")
    if part not in PARTS:
        abort(400)
    try:
        grid = grid_of(desk.user_id, document, language=language()) if part in _ABOUT_TYPES else None
        asked = consent.shown(words.wording(grid.titles if grid else {}))
        with contextlib.nullcontext() if desk.is_staff else asked:
            saved = _save(desk, part, document, grid)
    except Misread as error:
        return _refused(desk, document, Tried(part, request.form, error.faults))
    except Rejected as error:
        if error.code == "not_found":
            raise
        return _refused(desk, document, Tried(part, request.form, reading.faults_of(error)))
    if "HX-Request" not in request.headers:
        return redirect(urlunsplit(("", "", desk.url, urlencode({"saved": _said(part, saved)}), _place(part))), 303)
    return _answer(desk, part, saved)


def _begin(desk: Desk) -> dict[str, Any]:
    """The person's choices. Their page speaks their language, which was read with them; the console its own."""
    person = readers.find(desk.user_id, desk.conditions)
    if not desk.is_staff:
        speak_to(person)
    if person is None:
        raise Rejected("not_found", "the person is gone, or the link has ended")
    return queries.choices_of(person)


def _save(desk: Desk, part: str, document: Mapping[str, Any], grid: Grid | None) -> preferences.Saved:
    form = request.form
    match part:
        case "choices" if grid is not None:
            taken_back = reading.reset_in(form, grid)
            if taken_back is None:
                return preferences.switch(
                    desk.user_id,
                    reading.switches_in(form, grid),
                    grid.may_opt_in,
                    source=desk.source,
                    conditions=desk.conditions,
                )
            changes = taken_back
        case "undo":
            events = reading.events_in(form.get("events")) or abort(400)
            return preferences.undo(desk.user_id, events, source=desk.source, conditions=desk.conditions)
        case "quiet":
            changes = reading.quiet_in(form, document)
        case "often":
            changes = reading.often_in(form, document, current_settings().caps)
        case "tracking":
            changes = reading.tracking_in(form, document)
        case _:
            changes = reading.mute_in(form, now().astimezone(zone_of(document["time_zone"])))
    return preferences.change(desk.user_id, changes, replace=False, source=desk.source, conditions=desk.conditions)


def _answer(desk: Desk, part: str, saved: preferences.Saved) -> str:
    """For htmx: a word, and the parts of the page that may look different now."""
    document = queries.choices(desk.user_id, desk.conditions)
    parts = PARTS[:-1] if part == "undo" else (part, "mute", "often") if part == "quiet" else (part,)
    context = _context(desk, document, Tried())
    return render_template(
        "preferences_saved.html", **context, parts=parts, toast=_toast(desk, part, saved, context["grid"], document)
    )


def _refused(desk: Desk, document: Mapping[str, Any], tried: Tried) -> ResponseReturnValue:
    if "HX-Request" not in request.headers:
        return _page(desk, document, tried), 422
    return render_template(
        "preferences_saved.html", **_context(desk, document, tried), parts=(tried.part,), toast=None
    ), 422


def _context(desk: Desk, document: Mapping[str, Any], tried: Tried) -> dict[str, Any]:
    grid = grid_of(desk.user_id, document, language=language())
    zone = zone_of(document["time_zone"])
    present = now().astimezone(zone)
    titles = grid.titles
    entries = (
        words.entries(queries.history(desk.user_id, limit=None if _wants_all() else _MOST_LINES), titles, zone)
        if desk.account
        else []
    )
    return {
        "desk": desk,
        "brand_name": desk.brand_name,
        "document": document,
        "grid": grid,
        "titles": titles,
        "words": words,
        "zone": zone.key,
        "zones": reading.zones(),
        "quiet": _quiet(document, tried),
        "often": _often(document, tried),
        "muted_until": _muted_until(document),
        "present": present,
        "tomorrow": (present + timedelta(days=1)).date().isoformat(),
        "tried": tried,
        "faults": tried.faults,
        "history": entries if _wants_all() else entries[:_MOST_ENTRIES],
        "history_goes_on": len(entries) > _MOST_ENTRIES and not _wants_all(),
    }


def _wants_all() -> bool:
    return request.args.get("history") == "all"


def _own(desk: Desk) -> dict[str, Any]:
    """Data that only the signed-in person sees, and only on the whole page."""
    return {"kept": users.sent_to(desk.user_id), "refused": gettext(REFUSED), "tried_address": None}


def _quiet(document: Mapping[str, Any], tried: Tried) -> dict[str, Any]:
    """The fields of the form: as they are stored, or as they were sent if that was refused."""
    if tried.part == "quiet":
        sent = tried.form
        days = {int(day) for day in sent.getlist("quiet_days") if reading.is_number(day)}
        return {
            "is_on": "quiet" in sent,
            "start": sent.get("quiet_start", ""),
            "end": sent.get("quiet_end", ""),
            "days": days,
            "held": sent.get("held"),
        }
    hours = document["quiet_hours"] or {"start": "22:00", "end": "07:00", "days": range(1, 8)}
    return {"is_on": document["quiet_hours"] is not None, **hours, "held": document["held"]}


def _often(document: Mapping[str, Any], tried: Tried) -> list[dict[str, Any]]:
    sent = tried.form if tried.part == "often" else Form()
    rows = []
    for category in LIMITED:
        own, most = document["caps"].get(category, {}), current_settings().caps.get(category, {})
        caps = {window: sent.get(f"caps-{category}-{window}", own.get(window, "")) for window in reading.WINDOWS}
        digest = sent.get(f"digest-{category}", document["digest"].get(category, "off"))
        rows.append({"category": category, "caps": caps, "most": most, "digest": digest})
    return rows


def _muted_until(document: Mapping[str, Any]) -> str | None:
    """In words, if that is still ahead."""
    until = document["mute_until"]
    ahead = until is not None and datetime.fromisoformat(until) > now()
    return words.moment(until, zone_of(document["time_zone"])) if ahead else None


# ---- what is said afterwards ----------------------------------------------------------------------------------------


def _place(part: str) -> str:
    """Where the page stands after it was saved without JavaScript: at the section whose switch was pressed, or at the
    form.
    """
    section = request.form.get("set", "").partition(":")[0]
    return section if section in CATEGORIES else "choices" if part in ("choices", "undo") else f"{part}-panel"


def _said(part: str, saved: preferences.Saved) -> str:
    """The result of saving, for the page's URL, where there is no JavaScript."""
    if part == "undo":
        return "partly" if saved.left else "undone"
    return f"{saved.events[0]}-{saved.events[1]}" if saved.events else "same"


_SAID = {
    "undone": N_("Undone."),
    "partly": N_("Undone, except for what has been changed again since."),
    "same": N_("Saved. Nothing has changed."),
}


def _toast_of_address(desk: Desk, grid: Grid, document: Mapping[str, Any]) -> Toast | None:
    """An old address says nothing."""
    said = request.args.get("saved")
    events = reading.events_in(said)
    return _toast_of(desk, events, grid, document) if events else Toast(gettext(_SAID[said])) if said in _SAID else None


def _toast(desk: Desk, part: str, saved: preferences.Saved, grid: Grid, document: Mapping[str, Any]) -> Toast:
    if part == "undo" and saved.left:
        left = ", ".join(words.name(choice, grid.titles) for choice in saved.left)
        return Toast(gettext("Undone, except for what has been changed again since: %(left)s.", left=left))
    toast = _toast_of(desk, saved.events, grid, document) if saved.events and part != "undo" else None
    return toast or Toast(gettext(_SAID[_said(part, saved)]))


def _toast_of(desk: Desk, events: tuple[int, int], grid: Grid, document: Mapping[str, Any]) -> Toast | None:
    lines = queries.changes(desk.user_id, events, since=now() - _UNDO_FOR)
    if not lines:
        return None
    before, _ = choices.taken_back(document, lines)
    said = words.switched(grid, from_document(before)) or "; ".join(
        words.changed(line, grid.titles, zone_of(document["time_zone"])) for line in lines
    )
    return Toast(gettext("Saved. %(what)s.", what=said), f"{events[0]}-{events[1]}")
