"""Schedules for people of several cells: each cell has one under the same id, and runs it for its own people."""

from dataclasses import replace
from typing import Any

from flask import Response, g

from notifier.api.answers import answer
from notifier.api.cell_calls import ask, body_of_request, call_of, shown
from notifier.api.cells import carry_out
from notifier.api.splitting import homes_of, is_rehearsal, told
from notifier.api.submitting import idempotency_key
from notifier.cells import forwards, homes
from notifier.cells.client import Answer
from notifier.cells.forwards import Held
from notifier.core.cells import Call, derived_key, shared_out
from notifier.ground.cells import Cells
from notifier.ground.ids import parse

_Calls = dict[str | None, Call]


def create(cells: Cells) -> Response | None:
    """The first of them says what is wrong with it, and its id: this cell's, or else one that answers now. The others
    are told as soon as they answer.
    """
    body = body_of_request()
    notification = body.get("notification") if isinstance(body, dict) else None
    if not isinstance(notification, dict):
        return None
    found, new = homes_of(cells, [notification])
    parts = shared_out(notification, found)
    if parts.keys() == {None}:
        return None
    key = idempotency_key()
    calls: _Calls = {
        region: call_of({**body, "notification": part}, key=key and (derived_key(key) if region else key))
        for region, part in sorted(parts.items(), key=lambda part: part[0] or "")
    }
    if is_rehearsal():
        return _rehearsed(cells, calls)
    first, *others = calls
    made = _answer(cells, first, calls[first])
    if made.status >= 400:
        return shown(made)
    homes.keep(new)
    own_id = parse("sch", made.body["id"]).hex
    held = [(region, replace(calls[region], id=own_id)) for region in others if region is not None]
    forwards.hold(held)
    outcomes: dict[str, Answer | Held] = {first or cells.name: made}
    outcomes |= {region: forwards.say(cells, region, call) for region, call in held}
    people = {region or cells.name: len(part["recipients"]) for region, part in parts.items()}
    regions = [told(region, outcome, people[region]) for region, outcome in outcomes.items()]
    named = [one if isinstance(one, dict) else {"id": str(one)} for one in notification["recipients"]]
    whole = {**made.body["notification"], "recipients": named}
    return answer({**made.body, "notification": whole, "regions": regions}, 201, made.headers)


def change(cells: Cells) -> Response:
    """Whoever has it, changes it."""
    call = call_of(body_of_request())
    here = carry_out(call, g.key)
    if here.status == 404:
        there = [ask(cells, region, call) for region in sorted(cells.others)]
        return shown(next((one for one in there if one.status != 404), here))
    if here.status < 300:
        forwards.hold([(region, call) for region in sorted(cells.others)])
        for region in sorted(cells.others):
            forwards.say(cells, region, call)
    return shown(here)


def _rehearsed(cells: Cells, calls: _Calls) -> Response:
    notifications: list[Any] = []
    for region, call in calls.items():
        rehearsed = _answer(cells, region, call)
        if rehearsed.status >= 400:
            return shown(rehearsed)
        notifications += rehearsed.body["notifications"]
    return answer({**rehearsed.body, "notifications": notifications})


def _answer(cells: Cells, region: str | None, call: Call) -> Answer:
    """Raises Rejected('unavailable')."""
    return carry_out(call, g.key) if region is None else ask(cells, region, call)
