"""Recurring submissions, at the times of a cron expression in a zone.

The API creates, pauses and deletes them; the scheduler calls `submit_due`, in any number of processes. A run's
idempotency key is its schedule and time, so each run is submitted once, whichever process dies. One run makes up for
all that were missed while no scheduler ran.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.core.errors import Fault, Rejected
from notifier.core.submission import Submission
from notifier.core.worlds import shown_id, stored_id
from notifier.ground import shapes
from notifier.ground.apart import all_or_apart
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, parse, show
from notifier.models import ApiKey, Producer, Schedule
from notifier.models.producer import label_of
from notifier.people import profiles
from notifier.pipeline.intake import idempotency_keys
from notifier.pipeline.intake.accept import accept_part
from notifier.pipeline.intake.cron import cron_faults, next_time
from notifier.pipeline.intake.dry_run import dry_run
from notifier.pipeline.intake.idempotency_keys import IN_PROGRESS
from notifier.pipeline.intake.item import HELD, Accepted, Caller, Item
from notifier.pipeline.intake.judge import judge
from notifier.pipeline.intake.schema_check import check_against_schemas, judged_anew

BATCH = 20  # in one transaction, with up to a hundred people each
_COME_BACK = (IN_PROGRESS, "unavailable")  # another scheduler is at it, or the database is away
_LONGEST_FAULT = 500

Take = Callable[[Sequence[Item]], list[Accepted | Rejected]]

log = structlog.get_logger()


class Made(NamedTuple):
    schedule_id: UUID
    is_replay: bool


@judged_anew
def create(
    caller: Caller,
    key_id: UUID,
    cron: str,
    time_zone: str,
    submission: Submission,
    idempotency: tuple[str, str] | None = None,
    own_id: UUID | None = None,
) -> Made:
    """Raises Rejected, naming every fault of the cron expression and of the submission, which is judged as if it were
    made now.

    `idempotency`: a key and the digest of the body. The first call with it has made the schedule, whatever has changed
    since; Rejected says where that had another body, or is not done yet. `own_id`: its id, as another cell has it.
    """
    producer_id = caller.producer_id
    assert producer_id is not None, "Notifier itself has no schedules"
    now = clock_now()
    faults = cron_faults(cron)
    item = Item(caller, submission)
    checked = check_against_schemas([item])
    schedule_id = own_id or new_id()
    with transaction() as session:
        if own_id and session.get(Schedule, own_id) is not None:
            return Made(own_id, is_replay=True)
        if idempotency:
            first = UUID(idempotency_keys.take(caller, *idempotency, {"schedule": schedule_id.hex})["schedule"])
            if first != schedule_id:
                return Made(first, is_replay=True)
        results, _ = judge([item], now, checked)
        _raise_faults(results[0], faults)
        row = Schedule(
            id=schedule_id,
            producer_id=producer_id,
            key_id=key_id,
            is_test=caller.is_test,
            cron=cron,
            time_zone=time_zone,
            body=submission.pack(),
        )
        row.next_at = next_time(cron, time_zone, now)
        session.add(row)
    return Made(schedule_id, is_replay=False)


def rehearse(caller: Caller, cron: str, time_zone: str, submission: Submission) -> dict[str, Any]:
    """Refuses what `create` would refuse; otherwise returns the time of the first run, and its dry run."""
    faults = cron_faults(cron)
    at = clock_now() if faults else next_time(cron, time_zone, clock_now())
    [result] = dry_run([Item(caller, replace(submission, dedupe=False))], at)
    _raise_faults(result, faults)
    assert not isinstance(result, Rejected), "its faults were raised"
    assert at is not None, "a cron expression without faults has a next time"
    return {"next_at": shapes.timestamp(at), **result}


def _raise_faults(judged: Any, faults: Sequence[Fault]) -> None:
    """Raises the faults of the cron expression and of the submission together."""
    if isinstance(judged, Rejected):
        theirs = (Fault(f"/notification{fault.pointer}", fault.code, fault.message) for fault in judged.faults)
        raise Rejected(judged.code, judged.detail, (*faults, *theirs))
    if faults:
        raise Rejected("validation_failed", faults[0].message, tuple(faults))


def pause(schedule_id: UUID) -> None:
    with transaction():
        _set(schedule_id, next_at=None)


def resume(schedule_id: UUID, producer_id: UUID, key_id: UUID) -> None:
    """Goes on with the next time that is to come; one that does not rest keeps its own, which may just have come. With
    the rights of the key that resumes it, if that is its producer's.
    """
    with transaction() as session:
        row = session.get(Schedule, schedule_id, with_for_update=True, populate_existing=True)
        if row is None:
            return
        row.next_at, row.last_fault = row.next_at or next_time(row.cron, row.time_zone, clock_now()), None
        if row.producer_id == producer_id:
            row.key_id = key_id


def remove(schedule_id: UUID) -> None:
    with transaction() as session:
        session.execute(
            sa.delete(Schedule).where(Schedule.id == schedule_id).execution_options(synchronize_session=False)
        )


# ---- running --------------------------------------------------------------------------------------------------------


def submit_due(take: Take = accept_part) -> int:
    """→ how many were submitted, or could not be and say why. `take`: accepts their submissions."""
    due = sa.select(Schedule.id).where(Schedule.next_at <= clock_now()).order_by(Schedule.next_at).limit(BATCH)
    ids = db.session.scalars(due).all()
    db.session.close()
    return all_or_apart(ids, partial(_submit, take), _stop) if ids else 0


def _stop(id: UUID) -> None:
    """What cannot be read, or has no next time, by a fault of ours: it must not keep the others from theirs."""
    log.exception("schedule.not_submitted", schedule=show("sch", id))
    with transaction():
        _set(id, next_at=None, last_fault="stopped: it could not be submitted, by a fault of Notifier's")


def _submit(take: Take, ids: Sequence[UUID]) -> int:
    """Done again it changes nothing: each run has its key."""
    now = clock_now()
    due = (
        sa.select(Schedule, ApiKey, Producer.disabled_at)
        .outerjoin(ApiKey, ApiKey.id == Schedule.key_id)
        .join(Producer, Producer.id == Schedule.producer_id)
        .where(Schedule.id.in_(ids), Schedule.next_at <= now)
        .order_by(Schedule.next_at)
    )
    rows = db.session.execute(due).all()
    db.session.close()
    if not rows:
        return 0
    stopped = {row.id: why for row, key, disabled_at in rows if (why := _why_stopped(key, disabled_at, now))}
    running, missing = _without_missing([(row, _item(row, key)) for row, key, _ in rows if row.id not in stopped])
    answers = {row.id: answer for (row, _), answer in zip(running, take([item for _, item in running]), strict=True)}
    moved = [_moved(row, answers.get(row.id), stopped.get(row.id) or missing.get(row.id), now) for row, *_ in rows]
    with transaction():
        for values in filter(None, moved):
            _set(**values)
    log.info(
        "schedules.submitted",
        schedules=len(rows),
        stopped=len(stopped),
        refused=sum(isinstance(answer, Rejected) for answer in answers.values()),
    )
    return len(rows)


def _without_missing(running: Sequence[tuple[Schedule, Item]]) -> tuple[list[tuple[Schedule, Item]], dict[UUID, str]]:
    """Leaves out recipients who no longer exist, as long as somebody is left. → the rest, and the fault to record for
    each schedule.

    One query. If a person is erased after it, the run is refused, and the next one leaves them out.
    """
    named = {recipient.id for _, item in running for recipient in item.submission.recipients if not recipient.changes}
    known = profiles.known_ids(named) if named else set()
    db.session.close()
    rest, told = list[tuple[Schedule, Item]](), dict[UUID, str]()
    for row, item in running:
        present = item
        left = tuple(
            recipient for recipient in item.submission.recipients if recipient.changes or recipient.id in known
        )
        gone = [shown_id(recipient.id) for recipient in item.submission.recipients if recipient not in left]
        if left and gone:
            told[row.id] = f"left out, since there is no such user: {', '.join(gone)}"
            present = replace(item, submission=replace(item.submission, recipients=left))
        rest.append((row, present))
    return rest, told


def _why_stopped(key: ApiKey | None, disabled_at: datetime | None, now: datetime) -> str | None:
    """A run is a new submission, and takes a key that could make it now. What an expired key has begun already, such as
    a broadcast, is finished (`stopped_keys.is_key_revoked`).
    """
    if disabled_at is not None:
        return "stopped: the producer is disabled"
    if key is None or key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
        return "stopped: its key was revoked or has expired"
    return None if "notify" in key.scopes else "stopped: its key has no scope 'notify'"


def _item(row: Schedule, key: ApiKey) -> Item:
    assert row.next_at is not None
    run = f"schedule:{row.id.hex}:{row.next_at.isoformat()}"
    caller = Caller.of_key(
        row.producer_id,
        key.scopes,
        key.types,
        is_test=row.is_test,
        request_id=f"schedule-{row.id.hex}",
        label=label_of(key.producer.name, key.prefix),
        key_id=key.id,
    )
    return Item(caller, submission_of(row, run))


def submission_of(row: Schedule, run: str) -> Submission:
    """What one `run` of it submits. Of a test key it is for the people of test keys, even if it was kept before these
    had any. A run is no repeat of the last one, whatever the window of its type.
    """
    kept = Submission.unpack(row.body)
    return replace(
        kept,
        recipients=tuple(replace(one, id=stored_id(one.id, is_test=row.is_test)) for one in kept.recipients),
        idempotency=(run, hashlib.sha256(run.encode()).hexdigest()),
        dedupe=False,
    )


def _moved(
    row: Schedule, answer: Accepted | Rejected | None, fault: str | None, now: datetime
) -> dict[str, Any] | None:
    """The values for `_set` to write; None: the row is left as it is, and looked at again. `fault`: why the run was
    refused, or left out people.
    """
    if answer is None:
        return {"schedule_id": row.id, "was": row.next_at, "next_at": None, "last_fault": fault}
    following = {"schedule_id": row.id, "was": row.next_at, "next_at": next_time(row.cron, row.time_zone, now)}
    if isinstance(answer, Accepted):
        return {
            **following,
            # None: it was for people of other cells alone
            "last_submission_id": None if answer.answer["status"] == HELD else parse("sub", answer.answer["id"]),
            "last_fault": fault and fault[:_LONGEST_FAULT],
        }
    if answer.code in _COME_BACK:
        return None
    places = [f"{fault.pointer}: {fault.message}" for fault in answer.faults] or [answer.detail]
    return {**following, "last_fault": "; ".join(places)[:_LONGEST_FAULT]}


def _set(schedule_id: UUID, was: datetime | None = None, **values: Any) -> None:
    """`was`: only as long as nobody else has moved it on."""
    unmoved = [Schedule.next_at == was] if was is not None else []
    statement = sa.update(Schedule).where(Schedule.id == schedule_id, *unmoved).values(**values)
    db.session.execute(statement.execution_options(synchronize_session=False))
