"""What every cell has a part of, such as a broadcast: shown with the parts of all, and changed wherever it can be."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from flask import Response, g

from notifier.api.cell_calls import ask, call_of, shown
from notifier.api.cells import carry_out
from notifier.cells import forwards
from notifier.cells.client import Answer
from notifier.cells.forwards import Held
from notifier.core.cells import Call
from notifier.core.errors import Rejected
from notifier.ground.cells import Cells
from notifier.queries import experiments

_CONFLICT = 409


def broadcast(cells: Cells) -> Response:
    """With how far it is in the other cells."""
    return _broadcast(cells, call_of(None))


def retry(cells: Cells) -> Response:
    """In each cell that has something to retry. An answer in the negative is given where none has."""
    call = call_of(None)
    here = carry_out(call, g.key)
    if here.status >= 400 and here.status != _CONFLICT:
        return shown(here)
    others = sorted(cells.others)
    forwards.hold([(region, call) for region in others])
    outcomes = [here, *(forwards.say(cells, region, call) for region in others)]
    if not any(isinstance(one, Held) or one.status < 400 for one in outcomes):
        return shown(here)
    return _broadcast(cells, replace(call, method="GET", path=call.path.rpartition("/")[0], idempotency_key=None))


def experiment(cells: Cells) -> Response:
    """With the people of all cells."""
    call = call_of(None)
    here = carry_out(call, g.key)
    if here.status != 200:
        return shown(here)
    parts = dict(_others(cells, call))
    known = [here.body, *(there.body for there in parts.values() if there is not None and there.status == 200)]
    regions = [{"region": cells.name, "status": here.body["status"]}]
    regions += [{"region": region, "status": _status(there)} for region, there in parts.items()]
    return shown(replace(here, body={**experiments.of_all_cells(known), "regions": regions}))


def _broadcast(cells: Cells, call: Call) -> Response:
    here = carry_out(call, g.key)
    if here.status != 200:
        return shown(here)
    here.body["regions"] = [{"region": cells.name, **_progress(here)}]
    here.body["regions"] += [{"region": region, **_progress(there)} for region, there in _others(cells, call)]
    return shown(here)


def _progress(answered: Answer | None) -> dict[str, Any]:
    if answered is None or answered.status != 200:
        return {"status": _status(answered)}
    return {name: answered.body[name] for name in ("status", "audience", "expanded", "counts")}


def _status(answered: Answer | None) -> str:
    if answered is None:
        return "away"
    if answered.status != 200:
        return "held" if answered.status == 404 else "refused"
    return str(answered.body["status"])


def _others(cells: Cells, call: Call) -> Iterator[tuple[str, Answer | None]]:
    """What each of the others says; None: nothing."""
    for region in sorted(cells.others):
        try:
            yield region, ask(cells, region, call)
        except Rejected:
            yield region, None
