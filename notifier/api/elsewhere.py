"""Calls about people who live in another cell: passed on to it, split between cells, or said to all of them.

Runs after the caller has been admitted, and before the view. Without `REGION` it does nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from apiflask import APIFlask
from flask import Response, g, request

from notifier.api import auth, in_all_cells, split_schedules, splitting
from notifier.api.cell_calls import ask, body_of_request, call_of, can_be_somebody, shown, without_key
from notifier.api.cells import carry_out
from notifier.cells import forwards, homes
from notifier.core.errors import Rejected
from notifier.core.worlds import shown_id
from notifier.ground.cells import Cells
from notifier.ground.config import current_settings
from notifier.ground.ids import parse


def init_app(app: APIFlask) -> None:
    app.before_request(_before)
    app.after_request(_after)


def _before() -> Response | None:
    cells = _cells()
    if cells is None:
        return None
    if (view_args := request.view_args) and "user_id" in view_args:
        return _of_person(cells, view_args["user_id"])
    handle = _HANDLERS.get(request.endpoint or "")
    return handle(cells) if handle else None


def _cells() -> Cells | None:
    """None: the call is for this cell alone."""
    cells = current_settings().region
    if cells is None or not cells.others or "key" not in g or auth.ON_BEHALF in request.environ:
        return None
    return cells


# One person


def _of_person(cells: Cells, stored: str) -> Response | None:
    if not can_be_somebody(shown_id(stored) if g.key.is_test else stored):
        return None
    body = body_of_request()
    region = body.get("home_region") if isinstance(body, dict) and request.endpoint in _SAYS_WHERE else None
    new = [stored] if request.endpoint == _CREATES else []
    found = homes.elsewhere(cells, [stored], {stored: region} if isinstance(region, str) else {}, new)
    home = found.homes.get(stored)
    if home is None:
        return None
    answered = ask(cells, home, call_of(body))
    if answered.status == 404 or (request.method == "DELETE" and answered.status < 300):
        homes.forget([stored])
    elif answered.status < 300:
        homes.keep(found.new)
    response = shown(answered)
    response.headers["Notifier-Home"] = cells.others[home]
    return response


def _choice(cells: Cells) -> Response | None:
    """The person is named in the body."""
    body = body_of_request()
    user_id: Any = body.get("userId") if isinstance(body, dict) else None
    if isinstance(user_id, int) and not isinstance(user_id, bool):
        user_id = str(user_id)
    return _of_person(cells, auth.stored_id(user_id)) if user_id and can_be_somebody(user_id) else None


def _of_one(cells: Cells) -> Response | None:
    """Something that another cell may have made: whichever knows it answers."""
    here = carry_out(call_of(body_of_request()), g.key)
    if here.status != 404:
        return shown(here)
    silent = None
    for region in sorted(cells.others):
        try:
            there = ask(cells, region, call_of(body_of_request()))
        except Rejected as error:
            silent = error
            continue
        if there.status != 404:
            return shown(there)
    if silent is not None:
        raise silent
    return shown(here)


# What holds for all cells


def _after(response: Response) -> Response:
    if request.endpoint in _FOR_ALL and response.status_code < 300 and (cells := _cells()) is not None:
        call = call_of(without_key(body_of_request()))
        if request.endpoint == _BROADCAST:  # it goes by the same id everywhere
            call = replace(call, id=parse("brd", response.get_json()["id"]).hex)
        forwards.hold([(region, call) for region in sorted(cells.others)])
        for region in sorted(cells.others):
            forwards.say(cells, region, call)
    return response


_CREATES = "api_users.put_user"
_SAYS_WHERE = (_CREATES, "api_users.patch_user")
_BROADCAST = "api_broadcasts.create_broadcast"
_FOR_ALL = (
    *("api_types.put_type", "api_templates.create_template", "api_templates.write_template"),
    *("api_templates.publish_template", _BROADCAST, "api_broadcasts.pause_broadcast"),
    *("api_broadcasts.resume_broadcast", "api_broadcasts.cancel_broadcast", "api_experiments.add_variant"),
    *("api_experiments.start_experiment", "api_experiments.stop_experiment"),
)
_HANDLERS: Mapping[str, Callable[[Cells], Response | None]] = {
    "api_notifications.submit_notification": splitting.submission,
    "api_notifications.submit_bulk": splitting.bulk,
    "api_notifications.get_notification": _of_one,
    "api_notifications.cancel_notification": _of_one,
    "api_notifications.get_submission": _of_one,
    "api_broadcasts.get_broadcast": in_all_cells.broadcast,
    "api_broadcasts.retry_failed": in_all_cells.retry,
    "api_experiments.get_experiment": in_all_cells.experiment,
    "api_schedules.create_schedule": split_schedules.create,
    "api_schedules.get_schedule": _of_one,
    "api_schedules.pause_or_resume": split_schedules.change,
    "api_schedules.delete_schedule": split_schedules.change,
    "api_seeds.choose": _choice,
    "api_seeds.notify_status": _of_one,
}
