"""Calls about people who live in another cell: passed on to it, split between cells, or said to all of them.

Runs after the caller has been admitted, and before the view. Without `REGION` it does nothing.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from apiflask import APIFlask
from flask import Response, g, request

from notifier.api import auth, limits
from notifier.api.answers import answer
from notifier.api.cells import carry_out
from notifier.api.submitting import idempotency_key
from notifier.cells import client, forwards, homes, neighbours
from notifier.cells.client import Answer, Away
from notifier.cells.forwards import Held
from notifier.core.cells import Call, OnBehalf, id_of, shared_out
from notifier.core.errors import Rejected
from notifier.core.people import parse_user_id
from notifier.core.pointers import pointer_to
from notifier.core.worlds import shown_id
from notifier.ground.cells import Cells
from notifier.ground.config import current_settings
from notifier.ground.extensions import db
from notifier.ground.ids import new_hex, parse

_PATIENCE_S = 15.0
_MOST = 1_000  # recipients, and items: more are refused by the views
Outcome = Answer | Held


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
    if not _can_be_somebody(shown_id(stored) if g.key.is_test else stored):
        return None
    body = _body()
    region = body.get("home_region") if isinstance(body, dict) and request.endpoint in _SAYS_WHERE else None
    found = homes.elsewhere(cells, [stored], {stored: region} if isinstance(region, str) else {})
    home = found.homes.get(stored)
    if home is None:
        return None
    answered = _ask(cells, home, _call(body))
    if answered.status == 404 or (request.method == "DELETE" and answered.status < 300):
        homes.forget([stored])
    elif answered.status < 300:
        homes.keep(found.new)
    shown = _shown(answered)
    shown.headers["Notifier-Home"] = cells.others[home]
    return shown


def _of_one(cells: Cells) -> Response | None:
    """Something that another cell may have made: whichever knows it answers."""
    here = carry_out(_call(_body()), g.key)
    if here.status != 404:
        return _shown(here)
    silent = None
    for region in sorted(cells.others):
        try:
            there = _ask(cells, region, _call(_body()))
        except Rejected as error:
            silent = error
            continue
        if there.status != 404:
            return _shown(there)
    if silent is not None:
        raise silent
    return _shown(here)


# Submissions


def _submission(cells: Cells) -> Response | None:
    body = _body()
    if not isinstance(body, dict):
        return None
    found, new = _homes(cells, [body])
    parts = shared_out(body, found)
    if set(parts) == {None}:
        return None
    outcomes = _each(cells, {region: (part, len(part["recipients"])) for region, part in parts.items()}, new)
    first = next(iter(outcomes.values()))
    if isinstance(first, Answer) and first.status >= 400:
        return _shown(_with_places(first, body, parts[next(iter(outcomes))]))
    said = [one.body for one in outcomes.values() if isinstance(one, Answer) and one.status < 400]
    made = [one["notifications"] for one in said if one["notifications"] is not None]
    merged = {**(said[0] if said else {"id": f"fwd_{_held_ids(outcomes)[0]}", "status": "held"})}
    merged["notifications"] = [entry for entries in made for entry in entries] if made else None
    if _is_rehearsal():
        return answer({"notifications": merged["notifications"]})
    merged["regions"] = [
        _told(region or cells.name, one, len(parts[region]["recipients"])) for region, one in outcomes.items()
    ]
    replayed = [one.headers.get("Idempotency-Replayed") for one in outcomes.values() if isinstance(one, Answer)]
    return answer(merged, 202, {"Idempotency-Replayed": "true"} if replayed and all(replayed) else {})


def _bulk(cells: Cells) -> Response | None:
    body = _body()
    items = body.get("notifications") if isinstance(body, dict) else None
    if not isinstance(items, list) or not 0 < len(items) <= _MOST or not all(isinstance(item, dict) for item in items):
        return None
    found, new = _homes(cells, items)
    if not found:
        return None
    shares: dict[str | None, list[tuple[int, dict[str, Any]]]] = {}
    for index, item in enumerate(items):
        for region, part in shared_out(item, found).items():
            shares.setdefault(region, []).append((index, part))
    outcomes = _each(
        cells,
        {
            region: ({"notifications": [part for _, part in share]}, sum(len(p["recipients"]) for _, p in share))
            for region, share in shares.items()
        },
        new,
    )
    here = outcomes.get(None)
    if isinstance(here, Answer) and outcomes.keys() != shares.keys():  # this cell refuses the call as a whole
        return _shown(here)
    results: list[dict[str, Any]] = [{"index": index} for index in range(len(items))]
    for region, outcome in outcomes.items():
        for place, (index, _) in enumerate(shares[region]):
            _add(results[index], _result(outcome, place))
    return answer({"results": results}, 200 if _is_rehearsal() else 202)


def _result(outcome: Outcome, place: int) -> dict[str, Any]:
    if isinstance(outcome, Held):
        return {"id": f"fwd_{outcome.id.hex}", "notifications": None}
    if outcome.status >= 400:
        return {"error": outcome.body}
    result: dict[str, Any] = outcome.body["results"][place]
    return result


def _add(result: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Another region's part of the same item."""
    if "error" in more:
        result["error"] = more["error"]
        return
    result.setdefault("id", more.get("id"))
    if more.get("notifications") is not None:
        result["notifications"] = (result.get("notifications") or []) + more["notifications"]
    else:
        result.setdefault("notifications", None)


def _each(
    cells: Cells, parts: Mapping[str | None, tuple[dict[str, Any], int]], new: Mapping[str, str]
) -> dict[str | None, Outcome]:
    """This cell first: what is wrong with the call is found here, and then nothing is passed on. What is passed on is
    stored before it is said, and so is where `new` people live.
    """
    key = idempotency_key() or _key_of(_body())
    outcomes: dict[str | None, Outcome] = {}
    limits.charge(sum(count for region, (_, count) in parts.items() if region is not None) - (None not in parts))
    if None in parts:
        outcomes[None] = here = carry_out(_call(parts[None][0], key=key), g.key)
        if here.status >= 400 and "results" not in (here.body or {}):
            return outcomes
    calls = [(region, _call(_bare(part), key=_derived(key))) for region, (part, _) in parts.items() if region]
    if _is_rehearsal():
        return outcomes | {region: _ask(cells, region, call) for region, call in calls}
    homes.keep(new)
    forwards.hold(calls)
    outcomes |= {region: forwards.say(cells, region, call) for region, call in calls}
    refused = {region for region, one in outcomes.items() if isinstance(one, Answer) and one.status >= 400}
    if not_made := [user_id for user_id, region in new.items() if region in refused]:
        homes.forget(not_made)
    return outcomes


def _homes(cells: Cells, bodies: Iterable[Mapping[str, Any]]) -> tuple[dict[str, str], dict[str, str]]:
    """→ (of the recipients who live elsewhere, by the ids as they were given; of those who are new there, by the stored
    ones). Whoever cannot be anybody is left to the view, which says so.
    """
    given: dict[str, str] = {}
    named: dict[str, str] = {}
    for body in bodies:
        recipients = body.get("recipients")
        for recipient in recipients if isinstance(recipients, list) and len(recipients) <= _MOST else ():
            user_id = id_of(recipient)
            if isinstance(user_id, int) and not isinstance(user_id, bool):
                user_id = str(user_id)
            if not _can_be_somebody(user_id):
                continue
            stored = auth.stored_id(user_id)
            given[stored] = user_id
            region = recipient.get("home_region") if isinstance(recipient, Mapping) else None
            if isinstance(region, str):
                named[stored] = region
    if not given:
        return {}, {}
    found = homes.elsewhere(cells, list(given), named)
    db.session.rollback()
    return {given[stored]: region for stored, region in found.homes.items()}, found.new


def _can_be_somebody(user_id: Any) -> bool:
    try:
        parse_user_id(user_id)
    except ValueError:
        return False
    return True


def _with_places(refused: Answer, body: Mapping[str, Any], part: Mapping[str, Any]) -> Answer:
    """The faults name recipients by their place in the call as it came."""
    places = [body["recipients"].index(recipient) for recipient in part["recipients"]]
    if not isinstance(refused.body, dict):
        return refused
    for fault in refused.body.get("errors", ()):
        steps = fault["pointer"].split("/")
        if len(steps) > 2 and steps[1] == "recipients" and steps[2].isdecimal() and int(steps[2]) < len(places):
            fault["pointer"] = pointer_to("recipients", places[int(steps[2])], *steps[3:])
    return refused


def _told(region: str, outcome: Outcome, recipients: int) -> dict[str, Any]:
    if isinstance(outcome, Held):
        return {"region": region, "status": "held", "recipients": recipients, "id": f"fwd_{outcome.id.hex}"}
    if outcome.status >= 400:
        return {"region": region, "status": "refused", "recipients": recipients, "error": outcome.body}
    return {"region": region, "status": "accepted", "recipients": recipients, "id": outcome.body.get("id")}


def _held_ids(outcomes: Mapping[str | None, Outcome]) -> list[str]:
    return [one.id.hex for one in outcomes.values() if isinstance(one, Held)]


def _derived(key: str | None) -> str | None:
    """The producer may have used its key at the other cell, too, for something else."""
    return key and f"cell:{hashlib.sha256(key.encode()).hexdigest()}"


def _bare(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    return {name: value for name, value in part.items() if name != "idempotency_key"}


def _key_of(body: Any) -> str | None:
    key = body.get("idempotency_key")
    return key if isinstance(key, str) else None


def _is_rehearsal() -> bool:
    return request.args.get("dry_run") in ("true", "1")


# What holds for all cells


def _after(response: Response) -> Response:
    if request.endpoint in _FOR_ALL and response.status_code < 300 and (cells := _cells()) is not None:
        call = _call(_bare(_body()))
        if request.endpoint == _BROADCAST:  # it goes by the same id everywhere
            call = replace(call, id=parse("brd", response.get_json()["id"]).hex)
        forwards.hold([(region, call) for region in sorted(cells.others)])
        for region in sorted(cells.others):
            forwards.say(cells, region, call)
    return response


def _broadcast(cells: Cells) -> Response | None:
    """With how far it is in the other cells."""
    here = carry_out(_call(None), g.key)
    if here.status != 200:
        return _shown(here)
    here.body["regions"] = [{"region": cells.name, **_progress(here)}]
    for region in sorted(cells.others):
        try:
            there = _ask(cells, region, _call(None))
        except Rejected:
            here.body["regions"].append({"region": region, "status": "away"})
        else:
            here.body["regions"].append({"region": region, **_progress(there)})
    return _shown(here)


def _progress(answered: Answer) -> dict[str, Any]:
    if answered.status != 200:
        return {"status": "held" if answered.status == 404 else "refused"}
    return {name: answered.body[name] for name in ("status", "audience", "expanded", "counts")}


# Calls


def _call(body: Any, *, key: str | None = None) -> Call:
    query = f"?{request.query_string.decode('ascii', 'replace')}" if request.query_string else ""
    call_id = new_hex()
    return Call(
        id=call_id,
        method=request.method,
        path=quote(request.path, safe="/@:+~") + query,
        body=body,
        behalf=OnBehalf(
            g.key.producer,
            tuple(sorted(g.key.scopes)),
            None if g.key.types is None else tuple(sorted(g.key.types)),
            g.key.is_test,
            g.key.label,
        ),
        idempotency_key=key or (f"cell:{call_id}" if request.method == "POST" else None),
        request_id=g.request_id,
        traceparent=request.headers.get("traceparent"),
    )


def _body() -> Any:
    return request.get_json() if request.get_data() else None


def _ask(cells: Cells, region: str, call: Call) -> Answer:
    """The answer to a call that only makes sense at once. Raises Rejected('unavailable')."""
    try:
        neighbours.check(region)
        db.session.rollback()
        [answered] = client.ask(cells, region, [call], _PATIENCE_S)
    except neighbours.LeftAlone:
        raise _silent(region) from None
    except client.TooLong:
        detail = f"the answer of the cell {region} is too long to be passed on: ask {cells.others[region]} for it"
        raise Rejected("unavailable", detail) from None
    except Away as error:
        neighbours.note_silence(region, str(error))
        raise _silent(region) from None
    neighbours.note_answer(region)
    return answered


def _silent(region: str) -> Rejected:
    return Rejected("unavailable", f"the cell {region} gives no answer", retry_after=neighbours.RETRY_S)


def _shown(answered: Answer) -> Response:
    if answered.body is None:
        return Response(status=answered.status, headers=dict(answered.headers))
    response = answer(answered.body, answered.status, answered.headers)
    if answered.status >= 400:
        response.content_type = "application/problem+json"
    return response


_SAYS_WHERE = ("api_users.put_user", "api_users.patch_user")
_BROADCAST = "api_broadcasts.create_broadcast"
_FOR_ALL = (
    *("api_types.put_type", "api_templates.create_template", "api_templates.write_template"),
    *("api_templates.publish_template", _BROADCAST, "api_broadcasts.pause_broadcast"),
    *("api_broadcasts.resume_broadcast", "api_broadcasts.cancel_broadcast"),
)
_HANDLERS: Mapping[str, Callable[[Cells], Response | None]] = {
    "api_notifications.submit_notification": _submission,
    "api_notifications.submit_bulk": _bulk,
    "api_notifications.get_notification": _of_one,
    "api_notifications.cancel_notification": _of_one,
    "api_notifications.get_submission": _of_one,
    "api_broadcasts.get_broadcast": _broadcast,
}
