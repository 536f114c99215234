"""The canonical submissions of calls whose bodies `elsewhere` does not split, for people of all cells."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from notifier.api.cell_calls import ask
from notifier.cells import sharing
from notifier.cells.client import Answer
from notifier.cells.sharing import Shared
from notifier.core.errors import Fault, Rejected
from notifier.ground.config import current_settings
from notifier.ground.extensions import db
from notifier.pipeline.intake import dry_run as rehearsing
from notifier.pipeline.intake import group_commit
from notifier.pipeline.intake.item import Accepted, Item


def submit(item: Item) -> Accepted:
    """As `group_commit.submit`. The other cells are told at once, and their notifications are in the answer."""
    [shared] = sharing.share_out([item])
    if isinstance(shared, Rejected):
        raise shared
    if not shared.others:
        return group_commit.submit(item)
    here = group_commit.submit(shared.here) if shared.here is not None else None
    told = [one for one in sharing.say(shared) if isinstance(one, Answer)]
    if here is None:
        if not told:
            return Accepted(sharing.held(shared))
        if told[0].status >= 400:
            raise _refused(told[0])
    said = [one for one in told if one.status < 400]
    answers = [*([here.answer] if here else ()), *(one.body for one in said)]
    replayed = [*([here.replayed] if here else ()), *("Idempotency-Replayed" in one.headers for one in said)]
    return Accepted({**answers[0], "notifications": _together(answers)}, replayed=all(replayed))


def dry_run(items: Sequence[Item]) -> list[dict[str, Any] | Rejected]:
    """As `pipeline.intake.dry_run`, with what the other cells say of theirs. What is for people of this cell is decided
    together.
    """
    shared = sharing.share_out(items)
    here = sharing.of_this_cell(shared)
    answers = iter(rehearsing.dry_run(here) if here else ())
    return [
        one if isinstance(one, Rejected) else _rehearsed(one, next(answers) if one.here is not None else None)
        for one in shared
    ]


def _rehearsed(shared: Shared, here: dict[str, Any] | Rejected | None) -> dict[str, Any] | Rejected:
    """`here`: what this cell says; None: none of them live here."""
    if isinstance(here, Rejected) or (here is not None and not shared.others):
        return here
    answers = [] if here is None else [here]
    cells = current_settings().region
    assert cells is not None, "there are no other cells"
    db.session.rollback()
    for region, call in shared.others:
        try:
            answered = ask(cells, region, replace(call, path=f"{call.path}?dry_run=true"))
        except Rejected as refused:
            return refused
        if answered.status >= 400:
            return _refused(answered)
        answers.append(answered.body)
    return {**answers[0], "notifications": _together(answers)}


def _together(answers: Sequence[dict[str, Any]]) -> list[Any] | None:
    """None: some are made in the background."""
    made = [one["notifications"] for one in answers]
    return None if None in made else [entry for entries in made for entry in entries]


def _refused(answered: Answer) -> Rejected:
    said = answered.body if isinstance(answered.body, dict) else {}
    faults = tuple(Fault(one["pointer"], one["code"], one["message"]) for one in said.get("errors", ()))
    return Rejected(str(said.get("code", "unavailable")), str(said.get("detail", "")), faults)
