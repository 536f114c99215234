"""Submissions that no call of the API brings, such as those of a bus, a command or a schedule: each goes to the cells
where its people live.

What is for people of this cell is accepted first: what is wrong with it is found here, and then nothing is passed on.
Whoever dies in between submits it again, with the same idempotency key.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.cells import forwards, homes
from notifier.cells.client import Answer
from notifier.cells.forwards import Held
from notifier.core.cells import Call, OnBehalf, derived_key
from notifier.core.errors import Rejected
from notifier.core.submission import Submission
from notifier.ground.cells import Cells
from notifier.ground.config import current_settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_hex
from notifier.models import Producer
from notifier.pipeline.intake import accept as accepting
from notifier.pipeline.intake import idempotency_keys
from notifier.pipeline.intake.item import HELD, Accepted, Caller, Item

PATH = "/api/v1/notifications"

Take = Callable[[Sequence[Item]], Sequence[Accepted | Rejected]]


@dataclass(frozen=True, slots=True)
class Shared:
    """An item by cells. `here`: with its people of this one; None: there are none. `others`: what other cells are to
    be told. `new`: where people live who are to be created there.
    """

    item: Item
    here: Item | None
    others: tuple[tuple[str, Call], ...] = ()
    new: Mapping[str, str] = field(default_factory=dict)


def share_out(items: Sequence[Item]) -> list[Shared | Rejected]:
    """For each item where its people live, or why that cannot be said. No transaction may be open."""
    cells = current_settings().region
    if cells is None or not cells.others:
        return [Shared(item, item) for item in items]
    try:
        return _shared(cells, items)
    except Rejected as refused:
        if len(items) == 1:
            return [refused]
    half = len(items) // 2  # most of them can be said
    return [*share_out(items[:half]), *share_out(items[half:])]


def accepted(shared: Sequence[Shared | Rejected], take: Take) -> list[Accepted | Rejected]:
    """As `take` answers for the people who live here, in their order. An item without any is answered as held."""
    here = of_this_cell(shared)
    answers = iter(take(here) if here else ())
    others = iter(_held([one for one in shared if isinstance(one, Shared) and one.here is None]))
    return [one if isinstance(one, Rejected) else next(answers if one.here is not None else others) for one in shared]


def of_this_cell(shared: Sequence[Shared | Rejected]) -> list[Item]:
    """The parts that are for people of this cell, in their order."""
    return [one.here for one in shared if isinstance(one, Shared) and one.here is not None]


def say(shared: Shared) -> list[Answer | Held]:
    """Tells the other cells at once. → what each says."""
    cells = current_settings().region
    assert cells is not None, "there are no other cells"
    homes.keep(shared.new)
    forwards.hold(shared.others)
    return [forwards.say(cells, region, call) for region, call in shared.others]


def pass_on(shared: Collection[Shared]) -> None:
    """Stores what the other cells are to be told; the scheduler tells them."""
    homes.keep({user_id: region for one in shared for user_id, region in one.new.items()})
    forwards.hold([call for one in shared for call in one.others], is_said_now=False)


def accept(items: Sequence[Item], take: Take = accepting.accept) -> list[Accepted | Rejected]:
    """As `pipeline.intake.accept`, for people of all cells."""
    shared = share_out(items)
    answers = accepted(shared, take)
    pairs = zip(shared, answers, strict=True)
    pass_on([one for one, answer in pairs if isinstance(one, Shared) and isinstance(answer, Accepted)])
    return answers


def accept_part(items: Sequence[Item]) -> list[Accepted | Rejected]:
    """As `pipeline.intake.accept.accept_part`, for people of all cells."""
    return accept(items, accepting.accept_part)


def _shared(cells: Cells, items: Sequence[Item]) -> list[Shared | Rejected]:
    """Raises Rejected for one of them."""
    recipients = [recipient for item in items for recipient in item.submission.recipients]
    said = {one.id: region for one in recipients if isinstance(region := one.changes.get("home_region"), str)}
    new = {one.id for one in recipients if one.changes}
    found = homes.elsewhere(cells, list(dict.fromkeys(one.id for one in recipients)), said, new)
    names = _names(items) if found.homes else {}
    db.session.rollback()
    return [_of(item, found, names) for item in items]


def _of(item: Item, found: homes.Elsewhere, names: Mapping[UUID | None, str]) -> Shared:
    parts = dict[str | None, list[int]]()
    people = item.submission.recipients
    for place, recipient in enumerate(people):
        parts.setdefault(found.homes.get(recipient.id), []).append(place)
    if parts.keys() == {None}:
        return Shared(item, item)
    at_home = parts.pop(None, [])
    here = replace(item, submission=_for(item, at_home)) if at_home else None
    once = item.submission.idempotency
    others = []
    for region, places in parts.items():
        assert region is not None
        call_id = new_hex()
        key = derived_key(once[0]) if once else f"cell:{call_id}"
        behalf = _behalf(item.caller, names.get(item.caller.producer_id, item.caller.label))
        traceparent = item.traceparent or item.caller.traceparent
        call = Call(call_id, "POST", PATH, _for(item, places).body(), behalf, key, item.caller.request_id, traceparent)
        others.append((region, call))
    new = {one.id: found.new[one.id] for one in people if one.id in found.new}
    return Shared(item, here, tuple(others), new)


def _for(item: Item, places: Sequence[int]) -> Submission:
    """For some of its recipients."""
    return replace(item.submission, recipients=tuple(item.submission.recipients[place] for place in places))


def _behalf(caller: Caller, name: str) -> OnBehalf:
    may = {"urgent": caller.may_be_urgent, "users": caller.may_change_people, "admin": caller.may_change_staff}
    scopes = ("notify", *(scope for scope, is_allowed in may.items() if is_allowed))
    types = None if caller.types is None else tuple(sorted(caller.types))
    return OnBehalf(name, scopes, types, caller.is_test, caller.label)


def _names(items: Sequence[Item]) -> dict[UUID | None, str]:
    """Of the producers."""
    ids = {item.caller.producer_id for item in items} - {None}
    return {
        row.id: row.name
        for row in db.session.execute(sa.select(Producer.id, Producer.name).where(Producer.id.in_(ids)))
    }


def held(shared: Shared) -> dict[str, Any]:
    """The answer to what is for people of other cells alone, which have not been told yet."""
    return {"id": f"fwd_{shared.others[0][1].id}", "status": HELD, "notifications": None}


def _held(shared: Sequence[Shared]) -> list[Accepted | Rejected]:
    """Takes their keys here as well, in one transaction: whoever guesses keys is told that they were used."""
    if not shared:
        return []
    answers = [held(one) for one in shared]
    try:
        with transaction():
            first = idempotency_keys.take_each([one.item for one in shared], answers)
    except Rejected as refused:
        return [refused] * len(shared)
    return [first.get(index, Accepted(answer)) for index, answer in enumerate(answers)]
