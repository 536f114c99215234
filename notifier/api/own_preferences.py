"""What reaches a person, for the component `<notifier-preferences>`; who asks proves it as for their inbox.

Choices only, all of which can be undone: no addresses, no history, no export, no erasure.
"""

from typing import Any

from flask import Response, g, jsonify, request

from notifier.api import inbox
from notifier.api.auth import person
from notifier.api.schemas.own_preferences import GridQuery, OwnChoiceIn, OwnPreferencesOut, SwitchIn
from notifier.channels import CHANNELS
from notifier.core.choices import Switch
from notifier.core.errors import Fault, Rejected
from notifier.ground.languages import Language, language_for
from notifier.ledgers import audit
from notifier.people import consent, preferences
from notifier.queries import preferences as queries
from notifier.queries.preference_grid import Cell, Grid, Over, grid_of

bp = inbox.bp  # with its proofs, its answers to other sites, and its rule for cookies

EMBEDDED = "embedded"  # the source of these choices in the history


@bp.get("/preferences")
@person
@bp.input(GridQuery, location="query")
@bp.output(OwnPreferencesOut)
def own_preferences(query_data: GridQuery) -> Response:
    """What reaches the person, as switches

    Categories as sections, event types as rows, channels as columns.
    """
    return jsonify(_shown(query_data.language))


@bp.post("/preferences")
@person
@bp.input(GridQuery, location="query")
@bp.input(OwnChoiceIn)
@bp.output(OwnPreferencesOut)
def choose(query_data: GridQuery, json_data: OwnChoiceIn) -> Response:
    """Choose what reaches the person

    One switch, the mute, the quiet hours, or an `undo` of what was chosen before. A switch over several switches on
    only what is off in full, and never a channel that is off by default.
    """
    given = json_data.model_dump(exclude_unset=True)
    language = language_for(query_data.language)
    grid = grid_of(g.person, queries.choices(g.person), language=language)
    with audit.acting_as(audit.THEMSELVES, request.remote_addr), consent.shown(_wording(grid, language)):
        if json_data.switch is not None:
            saved = preferences.switch(g.person, [_switch(json_data.switch, grid)], grid.may_opt_in, source=EMBEDDED)
        elif json_data.undo is not None:
            first, last = json_data.undo
            saved = preferences.undo(g.person, (first, last), source=EMBEDDED)
        else:
            saved = preferences.change(g.person, given, replace=False, source=EMBEDDED)
    return jsonify({**_shown(query_data.language), "undo": saved.events and [*saved.events]})


def _wording(grid: Grid, language: Language) -> consent.Wording:
    """A choice as the component shows it: the row and the column of its switch."""

    def words(choice: str) -> tuple[str, str]:
        field, *keys = choice.split(".", 2)
        labels = [grid.titles.get(key, key) if key not in CHANNELS else CHANNELS[key].label for key in keys]
        return language.name, " · ".join([field, *(language.gettext(label) for label in labels)])

    return words


def _switch(wanted: SwitchIn, grid: Grid) -> Switch:
    """Raises Rejected for one that is not there, is locked, or would opt in."""
    found: Cell | Over | None
    if wanted.type is not None:
        cells = (cell for row, cell in grid.cells() if row.type == wanted.type and cell.channel == wanted.channel)
        found = next(cells, None)
        is_open = found is not None and not found.is_locked
    else:
        found = grid.over(wanted.category, wanted.channel)
        is_open = found is not None and found.takes(wanted.on)
    if found is None or not is_open:
        code, says = ("not_open", "this switch cannot be set so") if found else ("unknown", "there is no such switch")
        raise Rejected(
            "validation_failed", f"the request is not valid: /switch: {says}", (Fault("/switch", code, says),)
        )
    return Switch(wanted.on, type=wanted.type, category=wanted.category, channel=wanted.channel)


def _shown(locale: str) -> dict[str, Any]:
    language = language_for(locale)
    document = queries.choices(g.person)
    grid = grid_of(g.person, document, language=language)
    return {
        "columns": [_over(column, language) for column in grid.columns],
        "sections": [
            {
                "category": section.category,
                "whole": _over(section.whole, language),
                "channels": [_over(over, language) for over in section.channels],
                "rows": [
                    {
                        "type": row.type,
                        "title": row.title,
                        "description": row.description,
                        "cells": [_cell(cell) for cell in row.cells],
                    }
                    for row in section.rows
                ],
            }
            for section in grid.sections
        ],
        "quiet_hours": document["quiet_hours"],
        "mute_until": document["mute_until"],
        "time_zone": document["time_zone"],
        "undo": None,
    }


def _over(over: Over, language: Language) -> dict[str, Any]:
    label = language.gettext(CHANNELS[over.channel].label) if over.channel else None
    return {
        "channel": over.channel,
        "label": label,
        "state": over.state,
        "locked": over.is_locked,
        "wish": over.wish,
        "usual": over.is_usual,
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "channel": cell.channel,
        "on": cell.is_on,
        "locked": cell.is_locked,
        "because": cell.because,
        "usual": cell.is_usual,
    }
