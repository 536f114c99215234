"""Submissions for people of several cells: split, stored, said, and answered as one."""

from collections.abc import Iterable, Mapping
from typing import Any

from flask import Response, g, request

from notifier.api import auth, limits
from notifier.api.answers import answer
from notifier.api.cell_calls import ask, body_of_request, call_of, can_be_somebody, shown, without_key
from notifier.api.cells import carry_out
from notifier.api.submitting import idempotency_key
from notifier.cells import forwards, homes
from notifier.cells.client import Answer
from notifier.cells.forwards import Held
from notifier.core.cells import derived_key, id_of, shared_out
from notifier.core.pointers import pointer_to
from notifier.ground.cells import Cells
from notifier.ground.extensions import db

_MOST = 1_000  # recipients, and items: more are refused by the views
Outcome = Answer | Held


def submission(cells: Cells) -> Response | None:
    body = body_of_request()
    if not isinstance(body, dict):
        return None
    found, new = homes_of(cells, [body])
    parts = shared_out(body, found)
    if set(parts) == {None}:
        return None
    outcomes = _each(cells, {region: (part, len(part["recipients"])) for region, part in parts.items()}, new)
    first = next(iter(outcomes.values()))
    if isinstance(first, Answer) and first.status >= 400:
        return shown(_with_places(first, body, parts[next(iter(outcomes))]))
    said = [one.body for one in outcomes.values() if isinstance(one, Answer) and one.status < 400]
    made = [one["notifications"] for one in said if one["notifications"] is not None]
    merged = {**(said[0] if said else {"id": f"fwd_{_held_ids(outcomes)[0]}", "status": "held"})}
    merged["notifications"] = [entry for entries in made for entry in entries] if made else None
    if is_rehearsal():
        return answer({"notifications": merged["notifications"]})
    merged["regions"] = [
        told(region or cells.name, one, len(parts[region]["recipients"])) for region, one in outcomes.items()
    ]
    replayed = [one.headers.get("Idempotency-Replayed") for one in outcomes.values() if isinstance(one, Answer)]
    return answer(merged, 202, {"Idempotency-Replayed": "true"} if replayed and all(replayed) else {})


def bulk(cells: Cells) -> Response | None:
    body = body_of_request()
    items = body.get("notifications") if isinstance(body, dict) else None
    if not isinstance(items, list) or not 0 < len(items) <= _MOST or not all(isinstance(item, dict) for item in items):
        return None
    found, new = homes_of(cells, items)
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
        return shown(here)
    results: list[dict[str, Any]] = [{"index": index} for index in range(len(items))]
    for region, outcome in outcomes.items():
        for place, (index, _) in enumerate(shares[region]):
            _add(results[index], _result(outcome, place))
    return answer({"results": results}, 200 if is_rehearsal() else 202)


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
    key = idempotency_key() or _key_of(body_of_request())
    outcomes: dict[str | None, Outcome] = {}
    limits.charge(sum(count for region, (_, count) in parts.items() if region is not None) - (None not in parts))
    if None in parts:
        outcomes[None] = here = carry_out(call_of(parts[None][0], key=key), g.key)
        if here.status >= 400 and "results" not in (here.body or {}):
            return outcomes
    calls = [
        (region, call_of(without_key(part), key=key and derived_key(key)))
        for region, (part, _) in parts.items()
        if region
    ]
    if is_rehearsal():
        return outcomes | {region: ask(cells, region, call) for region, call in calls}
    homes.keep(new)
    forwards.hold(calls)
    outcomes |= {region: forwards.say(cells, region, call) for region, call in calls}
    refused = {region for region, one in outcomes.items() if isinstance(one, Answer) and one.status >= 400}
    if not_made := [user_id for user_id, region in new.items() if region in refused]:
        homes.forget(not_made)
    return outcomes


def homes_of(cells: Cells, bodies: Iterable[Mapping[str, Any]]) -> tuple[dict[str, str], dict[str, str]]:
    """→ (of the recipients who live elsewhere, by the ids as they were given; of those who are new there, by the stored
    ones). Whoever cannot be anybody is left to the view, which says so.
    """
    given: dict[str, str] = {}
    named: dict[str, str] = {}
    new: set[str] = set()
    for body in bodies:
        recipients = body.get("recipients")
        for recipient in recipients if isinstance(recipients, list) and len(recipients) <= _MOST else ():
            user_id = id_of(recipient)
            if isinstance(user_id, int) and not isinstance(user_id, bool):
                user_id = str(user_id)
            if not can_be_somebody(user_id):
                continue
            stored = auth.stored_id(user_id)
            given[stored] = user_id
            if isinstance(recipient, Mapping) and not is_rehearsal():
                new.add(stored)
            region = recipient.get("home_region") if isinstance(recipient, Mapping) else None
            if isinstance(region, str):
                named[stored] = region
    if not given:
        return {}, {}
    found = homes.elsewhere(cells, list(given), named, new)
    db.session.rollback()
    return {given[stored]: region for stored, region in found.homes.items()}, found.new


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


def told(region: str, outcome: Outcome, recipients: int) -> dict[str, Any]:
    if isinstance(outcome, Held):
        return {"region": region, "status": "held", "recipients": recipients, "id": f"fwd_{outcome.id.hex}"}
    if outcome.status >= 400:
        return {"region": region, "status": "refused", "recipients": recipients, "error": outcome.body}
    return {"region": region, "status": "accepted", "recipients": recipients, "id": outcome.body.get("id")}


def _held_ids(outcomes: Mapping[str | None, Outcome]) -> list[str]:
    return [one.id.hex for one in outcomes.values() if isinstance(one, Held)]


def _key_of(body: Any) -> str | None:
    key = body.get("idempotency_key")
    return key if isinstance(key, str) else None


def is_rehearsal() -> bool:
    return request.args.get("dry_run") in ("true", "1")
