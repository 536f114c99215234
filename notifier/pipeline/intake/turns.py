"""The turns of a broadcast: whose notifications `expand` makes next, and what is said to them.

A broadcast and its submission have one id and are locked together, the submission first; whoever holds the lock sees
the state, so of two that start, pause or expand it one does so. Two turns may be stored beside each other: each locks
them at its end, the second finds there that the first is committed, and comes to nothing if it is not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from notifier.core import audience as audiences_in
from notifier.core import broadcasts as rules
from notifier.core.broadcasts import RUNNING, SCHEDULED
from notifier.ground.clock import now as clock_now
from notifier.ground.database import retried, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ledgers import audit
from notifier.models import Broadcast
from notifier.models import Submission as SubmissionRow
from notifier.people import audiences
from notifier.people.audiences import People
from notifier.pipeline.planning.orders import Order

_CHANGE: dict[str, bool] = {"key_share": True}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Turn:
    """People of an audience whose turn it is: those after `after`, by their stored ids. `is_last`: nobody is left.
    `behind`: the turn before, while that is still being stored.
    """

    after: str | None
    user_ids: Sequence[str]
    is_last: bool
    local_time: datetime | None
    is_paced: bool
    behind: "Turn | None" = None


def next_turn(broadcast_id: UUID, most: int, behind: Turn | None = None) -> Turn | None:
    """The people whose turn it is now, `most` at most, outside of any transaction; starts the broadcast if its time has
    come. None: nobody's. `behind`: those after that turn, which is being stored.
    """
    row = db.session.get(Broadcast, broadcast_id, populate_existing=True)
    if row is not None and row.status == SCHEDULED and row.starts_at <= clock_now():
        _start(broadcast_id, People(audiences_in.parse(row.audience), row.is_test, clock_now()))
        row = db.session.get(Broadcast, broadcast_id, populate_existing=True)
    if row is None or row.status != RUNNING or row.started_at is None:
        return None
    if row.turn_at is not None and row.turn_at > clock_now():
        return None
    limit = min(most, row.per_second or most)
    people = People(audiences_in.parse(row.audience), row.is_test, row.started_at)
    after = row.cursor if behind is None else behind.user_ids[-1]
    found = list(db.session.scalars(audiences.ids_after(people, after, limit)))
    local_time = datetime.fromisoformat(row.local_time) if row.local_time else None
    is_paced = row.per_second is not None
    db.session.close()
    return Turn(after, found, len(found) < limit, local_time, is_paced, behind)


@retried
def _start(broadcast_id: UUID, people: People) -> None:
    """People who come later, if only while these are counted, are not in it. Of several processes the first one starts
    it.
    """
    number = audiences.count(people)
    with transaction():
        submission, row = locked(broadcast_id)
        if row is None or row.status != SCHEDULED:
            return
        row.status, row.started_at, submission.recipients = RUNNING, people.until, number
        if not row.is_test:
            audit.write("broadcast.started", show("brd", broadcast_id), after={"audience": number})
    log.info("broadcast.started", broadcast=show("brd", broadcast_id), audience=number)


def may_come(broadcast_id: UUID, turn: Turn) -> bool:
    """Whether `hold` may find it at the end of this transaction. Nothing is locked."""
    row = db.session.get(Broadcast, broadcast_id, populate_existing=True)
    before = (turn.after,) if turn.behind is None else (turn.behind.after, turn.after)
    return row is not None and row.status == RUNNING and row.cursor in before


def hold(broadcast_id: UUID, turn: Turn) -> Broadcast | None:
    """Locks the broadcast and its submission. None: this turn is over, or nobody is to have one."""
    _, row = locked(broadcast_id)
    return row if row is not None and row.status == RUNNING and row.cursor == turn.after else None


def note(submission: SubmissionRow, row: Broadcast, turn: Turn, made: int, now: datetime) -> None:
    """These have had their turn: in the transaction that has made their notifications."""
    submission.expanded += made
    row.cursor = turn.user_ids[-1] if turn.user_ids else row.cursor
    row.turn_at = rules.next_turn(row.turn_at, now, len(turn.user_ids), row.per_second)
    if turn.is_last:
        row.expanded_at = now
        forget_people(row)


def forget_people(row: Broadcast) -> None:
    """Nobody is looked for any more: who is erased from now on is named nowhere but where they are erased from."""
    row.cursor = None
    if "users" in row.audience:
        row.audience = {"users": len(row.audience["users"])}


def orders_of(order: Order, expires_in_s: float, turn: Turn, now: datetime) -> Callable[[ZoneInfo], Order]:
    """→ what is said to somebody in a zone. It expires so long after their own time, or after the start where the
    producer has set that; else after this turn, which a pause or a slow pace may bring days later.
    """
    lasting, local_time = timedelta(seconds=expires_in_s), turn.local_time
    if local_time is None:
        at_once = order if order.is_perishable else replace(order, expires_at=now + lasting)
        return lambda _zone: at_once

    @cache
    def at_their_time(zone: ZoneInfo) -> Order:
        at = rules.time_in(zone, local_time)
        return replace(order, send_at=at, expires_at=at + lasting)

    return at_their_time


def locked(broadcast_id: UUID) -> tuple[Any, Broadcast | None]:
    """The submission and the broadcast, for whoever changes them. Notifications that are being stored refer to both,
    and are not waited for.
    """
    submission = db.session.get(SubmissionRow, broadcast_id, with_for_update=_CHANGE, populate_existing=True)
    row = db.session.get(Broadcast, broadcast_id, with_for_update=_CHANGE, populate_existing=True)
    return submission, row
