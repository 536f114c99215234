"""Broadcasts: one submission for a whole audience, begun, paused, resumed and cancelled here, with an audit entry each.

Called by the API, the console and upkeep. `expand` makes the notifications, a chunk of people at a time (`turns` says
whose), by the same deciding and storing as for every other submission.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.core import audience as audiences_in
from notifier.core import broadcasts as rules
from notifier.core import events as names
from notifier.core.broadcasts import CANCELLED, FINISHED, PAUSED, RUNNING, SCHEDULED
from notifier.core.errors import Fault, Rejected
from notifier.core.submission import Submission, check_send_at
from notifier.ground.clock import now as clock_now
from notifier.ground.database import retried, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, show
from notifier.ledgers import audit, broadcast_counts, digests, events
from notifier.models import Broadcast
from notifier.models import Submission as SubmissionRow
from notifier.people import audiences
from notifier.people.audiences import People
from notifier.pipeline.intake import idempotency_keys
from notifier.pipeline.intake.item import Caller, Item, Work, refused
from notifier.pipeline.intake.judge import judge
from notifier.pipeline.intake.schema_check import Checked, check_against_schemas, judged_anew
from notifier.pipeline.intake.stopped_keys import SWITCHED_OFF, why_stopped
from notifier.pipeline.intake.turns import forget_people, locked
from notifier.signals import queueing

KIND = "brd"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Draft:
    """A broadcast as it is asked for. `submission`: what is said, to nobody yet. `audience`: as `core.audience` reads
    it. `local_time`: without a zone, at that time in each person's own. `uploads_of`: whose uploads may be named; None:
    everybody's. `most`: it is refused if there are more people than this (None: it is not). `id`: that it has in
    another cell.
    """

    name: str
    submission: Submission
    audience: Any
    local_time: datetime | None = None
    per_second: int | None = None
    stop_at_failures: float | None = None
    uploads_of: UUID | None = None
    most: int | None = None
    id: UUID | None = None


class Made(NamedTuple):
    broadcast_id: UUID
    is_replay: bool


# ---- beginning ------------------------------------------------------------------------------------------------------


@judged_anew
def create(caller: Caller, draft: Draft, idempotency: tuple[str, str] | None = None) -> Made:
    """Stores it, and rings for a worker if it begins at once. Raises Rejected with every fault; then nothing is stored.

    `idempotency`: a key and the digest of the body; a repeat gets the first one's broadcast.
    """
    item, now, broadcast_id = Item(caller, draft.submission), clock_now(), draft.id or new_id()
    people = _meant(draft, caller, now)
    checked = check_against_schemas([item])
    starts_at = rules.starts_at(now, draft.submission.send_at, draft.local_time)
    with transaction() as session:
        if idempotency:
            mine = {"broadcast": broadcast_id.hex}
            first = UUID(idempotency_keys.take(caller, *idempotency, mine)["broadcast"])
            if first != broadcast_id:
                return Made(first, is_replay=True)
        number, judged = _judge(item, draft, people, checked, now)
        work = replace(judged, submission_id=broadcast_id)
        session.add(_submission(work, draft, idempotency, number, starts_at))
        session.flush()
        session.add(_broadcast(work, draft, starts_at, now))
        about = {"name": draft.name, "type": work.order.type.key, "audience": number, "starts_at": starts_at}
        if not caller.is_test:
            audit.write("broadcast.created", show(KIND, broadcast_id), after=about)
    if starts_at <= now:
        queueing.ring_expand([broadcast_id])
    return Made(broadcast_id, is_replay=False)


@judged_anew
def check(caller: Caller, draft: Draft) -> int:
    """How many people it would be for now. Raises Rejected with every fault, as `create`; nothing is stored."""
    item, now = Item(caller, draft.submission), clock_now()
    people = _meant(draft, caller, now)
    checked = check_against_schemas([item])
    with transaction():
        return _judge(item, draft, people, checked, now)[0]


def _judge(
    item: Item, draft: Draft, people: int | Rejected, checked: Sequence[Checked], now: datetime
) -> tuple[int, Work]:
    if isinstance(people, Rejected):
        raise people
    judged = judge([item], now, checked)[0][0]
    if isinstance(judged, Rejected):
        raise judged
    assert isinstance(judged, Work), "its own key is that of no submission"
    if faults := _faults(draft, judged, people, now):
        raise refused(*faults)
    return people, judged


def _meant(draft: Draft, caller: Caller, now: datetime) -> int | Rejected:
    """How many people; or why nobody knows, to be raised unless the call is a repeat."""
    try:
        audience = audiences_in.parse(draft.audience)
        audiences.check(audience, producer_id=draft.uploads_of, is_test=caller.is_test)
        return audiences.count(People(audience, caller.is_test, now))
    except Rejected as refusal:
        return refusal
    finally:
        db.session.close()


def _faults(draft: Draft, work: Work, people: int, now: datetime) -> list[Fault]:
    found, type_ = [], work.order.type
    if type_.to_admins:
        found.append(Fault("/type", "goes_to_admins", f"{type_.key!r} goes to the admins, and to no audience"))
    if not people:
        found.append(Fault("/audience", "empty_audience", "there is nobody in this audience"))
    if draft.most is not None and people > draft.most:
        found.append(Fault("/audience", "audience_has_grown", f"there are {people:,} people in it by now"))
    if draft.local_time is not None:
        if draft.submission.send_at is not None:
            found.append(Fault("/local_time", "contradicts_send_at", "give send_at or local_time, not both"))
        last = rules.last_turn(draft.local_time)
        found += [replace(fault, pointer="/local_time") for fault in check_send_at(last, now)]
    return found


def _submission(
    work: Work, draft: Draft, idempotency: tuple[str, str] | None, people: int, starts_at: datetime
) -> SubmissionRow:
    caller = work.item.caller
    # At its time it goes out at once
    order = replace(work.order, send_at=None)
    return SubmissionRow(
        id=work.submission_id,
        producer_id=caller.producer_id,
        type=order.type.key,
        status="expanding",
        is_test=caller.is_test,
        recipients=people,
        expanded=0,
        body={"is_broadcast": True, "expires_in": draft.submission.expires_in, **order.pack()},
        request_id=caller.request_id,
        idempotency_key=idempotency[0] if idempotency else None,
        wake_at=starts_at,
    )


def _broadcast(work: Work, draft: Draft, starts_at: datetime, now: datetime) -> Broadcast:
    caller, order = work.item.caller, work.order
    return Broadcast(
        id=work.submission_id,
        producer_id=caller.producer_id,
        key_id=caller.key_id,
        is_test=caller.is_test,
        name=draft.name,
        type=order.type.key,
        category=order.type.category,
        audience=draft.audience,
        status=SCHEDULED,
        per_second=draft.per_second,
        stop_at_failures=draft.stop_at_failures,
        send_at=draft.submission.send_at,
        local_time=draft.local_time.isoformat() if draft.local_time else None,
        created_at=now,
        starts_at=starts_at,
    )


# ---- stopping and going on ------------------------------------------------------------------------------------------


def pause(broadcast_id: UUID, judge: Callable[[Broadcast], str | None] | None = None) -> bool:
    """Nothing more of it goes out, but for what a provider is being called for; whatever is ready waits. False: it
    is paused already, and stays as it is. Raises Rejected('conflict') for one that has ended.

    `judge`: decides under the lock why it is to be paused, or that it is not (None).
    """

    def change(submission: SubmissionRow, row: Broadcast) -> bool:
        reason = judge(row) if judge else None
        if judge and reason is None:
            return False
        row.status, row.paused_reason, submission.wake_at = PAUSED, reason, None
        events.tell_broadcast(names.BROADCAST_PAUSED, row, reason)
        return True

    return _change(broadcast_id, PAUSED, (SCHEDULED, RUNNING), change, ignored=(CANCELLED, FINISHED) if judge else ())


def resume(broadcast_id: UUID, key_id: UUID | None = None) -> None:
    """Goes on where it stopped, in the name of that key from now on (None: somebody in the console). What had failed by
    then no longer counts for `stop_at_failures`: somebody has looked. One that is not paused stays as it is. Raises
    Rejected('conflict') for one that has ended, or whose producer is switched off.
    """

    def change(submission: SubmissionRow, row: Broadcast) -> bool:
        take_over(row, key_id)
        row.status = SCHEDULED if row.started_at is None else RUNNING
        row.paused_reason = None
        row.ended_before, row.failed_before = rules.ended(broadcast_counts.of([row.id])[row.id])
        if submission.status == "expanding":
            submission.wake_at = max(row.starts_at, clock_now())
        return True

    if _change(broadcast_id, "resumed", (PAUSED,), change, ignored=(SCHEDULED, RUNNING)):
        queueing.ring_expand([broadcast_id])


def take_over(row: Broadcast, key_id: UUID | None) -> None:
    """It goes on in the name of this key. Raises Rejected('conflict') where the producer is switched off."""
    row.key_id = key_id
    db.session.flush()
    if why_stopped(row.id) == SWITCHED_OFF:
        raise Rejected("conflict", SWITCHED_OFF)


def cancel(broadcast_id: UUID) -> None:
    """Nothing more of it is made or goes out; what still waits is cancelled by upkeep, some at a time. Raises
    Rejected('conflict') for one that has finished.
    """

    def change(submission: SubmissionRow, row: Broadcast) -> bool:
        row.status, row.paused_reason, row.retrying = CANCELLED, None, None
        if row.expanded_at is None:
            forget_people(row)
        submission.status, submission.body, submission.wake_at = "expanded", None, None
        return True

    _change(broadcast_id, CANCELLED, rules.UNENDED, change)


@retried
def _change(
    broadcast_id: UUID,
    becomes: str,
    allowed: Sequence[str],
    change: Callable[[SubmissionRow, Broadcast], bool],
    ignored: Sequence[str] = (),
) -> bool:
    """One transaction. False: it was so before; nothing has changed."""
    with transaction() as session:
        submission, row = locked(broadcast_id)
        if row is None:
            raise Rejected("not_found", f"there is no {show(KIND, broadcast_id)}")
        to_come = sa.or_(broadcast_counts.has_open(broadcast_id), digests.has_lines(broadcast_id))
        if row.status == FINISHED and session.scalar(sa.select(to_come)):
            # One of its deliveries has been retried, which is shown as running; or waits to be listed
            row.status, row.finished_at = RUNNING, None
        if row.status == becomes or row.status in ignored:
            return False
        if row.status not in allowed:
            raise Rejected("conflict", f"a broadcast that is {row.status} cannot be {becomes}")
        before = row.status
        if not change(submission, row):
            return False
        session.flush()
        about = {"status": row.status, **({"reason": row.paused_reason} if row.paused_reason else {})}
        if not row.is_test:
            audit.write(f"broadcast.{becomes}", show(KIND, broadcast_id), before={"status": before}, after=about)
    log.info("broadcast.changed", broadcast=show(KIND, broadcast_id), becomes=becomes)
    return True
