"""What other cells are told: stored first, said at once where they answer, and otherwise as soon as they do.

A call is held under an id of its own, in the order of ids; the other cell carries out an id once. So whatever dies, and
however often it is said again, it happens once.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.cells import claims, client, neighbours
from notifier.cells.client import Answer, Away
from notifier.core.cells import Call
from notifier.ground.cells import Cells
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import insert, prune, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import first_at
from notifier.models import CellCall, Forward

AT_ONCE_S, LATER_S = 5.0, 20.0  # how long an answer may take
_IN_HAND_S = AT_ONCE_S + 3
_LEASE_S = 60.0
_MOST_BYTES = 4 * 1024 * 1024
_PATIENCE = timedelta(hours=1)  # with what is answered 500, which may be so for ever
KEPT = timedelta(days=1)
REFUSED_KEPT = timedelta(days=30)
WAITS = "it waits for its turn"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Held:
    """The cell gives no answer at the moment."""

    id: UUID


def hold(calls: Sequence[tuple[str, Call]], *, is_said_now: bool = True) -> None:
    """Stores them, with the regions they are for. `is_said_now`: the caller goes on with `say`."""
    if calls:
        with transaction():
            add(calls, is_said_now=is_said_now)


def add(calls: Sequence[tuple[str, Call]], *, is_said_now: bool = False) -> None:
    """As `hold`, inside the caller's transaction."""
    error = None if is_said_now else WAITS
    rows = [
        {"id": UUID(hex=call.id), "region": region, "call": call.pack(), "error": error, "created_at": now()}
        for region, call in calls
    ]
    db.session.execute(insert(Forward.__table__).on_conflict_do_nothing(), rows)


def say(cells: Cells, region: str, call: Call) -> Answer | Held:
    """Says what is held now, unless something older has to go first or the cell was away a moment ago."""
    key = UUID(hex=call.id)
    older = sa.exists().where(*_is_held(region), Forward.id < key)
    try:
        if db.session.scalar(sa.select(older)):
            raise neighbours.LeftAlone(WAITS)
        neighbours.check(region)
        db.session.rollback()  # no transaction is open while another cell works
        [answer] = client.ask(cells, region, [call], AT_ONCE_S)
    except neighbours.LeftAlone:
        return _held(region, key, WAITS)
    except Away as error:
        neighbours.note_silence(region, str(error))
        return _held(region, key, str(error))
    neighbours.note_answer(region)
    if not answer.is_final:
        return _held(region, key, f"it was answered with status {answer.status}")
    with transaction() as session:
        session.execute(sa.delete(Forward).where(Forward.region == region, Forward.id == key))
    return answer


def _is_held(region: str) -> "tuple[sa.ColumnElement[bool], ...]":
    """What is younger, and was not tried in vain, is being said at this moment."""
    in_hand = first_at(now() - timedelta(seconds=_IN_HAND_S))
    return (
        Forward.region == region,
        Forward.refused.is_(None),
        sa.or_(Forward.id < in_hand, Forward.error.is_not(None)),
    )


def _held(region: str, key: UUID, why: str) -> Held:
    """From now on those that come later wait for it."""
    of_it = (Forward.region == region, Forward.id == key, Forward.refused.is_(None))
    with transaction() as session:
        session.execute(sa.update(Forward).where(*of_it).values(error=why[:500]))
    return Held(key)


def say_held() -> int:
    """A part of what is held for each cell that is not away; → how many were answered, of the cell that answered most.
    Called by the scheduler, again at once after `client.AT_ONCE`.
    """
    cells = current_settings().region
    return max((_say_held(cells, region) for region in cells.others), default=0) if cells is not None else 0


def _say_held(cells: Cells, region: str) -> int:
    is_held = _is_held(region)
    if db.session.scalar(sa.select(Forward.id).where(*is_held).limit(1)) is None:
        return 0
    if not neighbours.take_turn(region, _LEASE_S):
        return 0
    held = (
        sa.select(Forward.id, Forward.call, Forward.created_at)
        .where(*is_held)
        .order_by(Forward.id)
        .limit(client.AT_ONCE)
    )
    rows = _no_more_than(_MOST_BYTES, db.session.execute(held).all())
    db.session.rollback()
    try:
        answers = client.ask(cells, region, [Call.unpack(row.call) for row in rows], LATER_S, is_brief=True)
    except Away as error:
        neighbours.note_silence(region, str(error))
        return 0
    except neighbours.LeftAlone:
        return 0
    done, refused = list[UUID](), list[tuple[UUID, Answer]]()
    for row, answer in zip(rows, answers, strict=True):
        if not answer.is_final and not (answer.status == 500 and row.created_at < now() - _PATIENCE):
            break  # those behind it wait for it
        done.append(row.id)
        if answer.status >= 400 and not _is_gone(row.call["method"], answer):
            refused.append((row.id, answer))
    _settle(region, done, refused)
    if done:  # the rest is told next time
        neighbours.note_answer(region)
    else:
        neighbours.note_silence(region, f"it answers with status {answers[0].status}")
    return len(done)


def _is_gone(method: str, answer: Answer) -> bool:
    """All cells are told of changes, and not all have what is changed."""
    return answer.status == 404 and method in ("PATCH", "DELETE")


def _no_more_than(most: int, rows: "Sequence[sa.Row[Any]]") -> "Sequence[sa.Row[Any]]":
    """The first one, and those after it as long as all together are not longer."""
    length = 0
    for number, row in enumerate(rows):
        length += len(json.dumps(row.call))
        if number and length > most:
            return rows[:number]
    return rows


def _settle(region: str, done: Sequence[UUID], refused: Sequence[tuple[UUID, Answer]]) -> None:
    kept = {key for key, _ in refused}
    with transaction() as session:
        of_these = Forward.id.in_([key for key in done if key not in kept])
        session.execute(sa.delete(Forward).where(Forward.region == region, of_these))
        for key, answer in refused:
            said = answer.body if isinstance(answer.body, dict) else {}
            code = str(said.get("code") or answer.status)[:64]
            log.warning("cells.refused", region=region, forward=key.hex, code=code)
            session.execute(
                sa.update(Forward)
                .where(Forward.region == region, Forward.id == key)
                .values(refused=code, error=str(said.get("detail", ""))[:500])
            )


def prune_old() -> int:
    """What was carried out a day ago, and what was refused a month ago, is forgotten; so are claims that have lapsed.
    Called by the scheduler.
    """
    at = now()
    forwards, calls = Forward.__table__, CellCall.__table__
    pruned = prune(calls, calls.c.at < at - KEPT) + claims.prune_old()
    return pruned + prune(forwards, forwards.c.refused.is_not(None), forwards.c.created_at < at - REFUSED_KEPT)
