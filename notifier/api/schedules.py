"""Recurring schedules: a submission that is repeated at the times of a cron expression."""

from uuid import UUID

from flask import Response, g, request

from notifier.api.answers import also, answer, check_cursor
from notifier.api.auth import Door, allow, caller
from notifier.api.limits import CELL_CALL
from notifier.api.notifications import sight
from notifier.api.schemas.base import Page
from notifier.api.schemas.schedules import ScheduleIn, ScheduleOut, SchedulePage, SchedulePatch, ScheduleRehearsedOut
from notifier.api.schemas.submissions import DryRunQuery
from notifier.api.submitting import check_rehearsal, idempotency, idempotency_key, replay_header, submission_from
from notifier.core.errors import Fault, Rejected
from notifier.ground.ids import parse
from notifier.pipeline.intake import schedules
from notifier.queries import schedules as queries

bp = Door("api_schedules", __name__, url_prefix="/api/v1/schedules", tag="Schedules")


@bp.post("")
@allow("notify")
@bp.input(DryRunQuery, location="query")
@bp.input(ScheduleIn)
@bp.output(ScheduleOut, 201)
@also(200, ScheduleRehearsedOut, "A dry run")
def create_schedule(query_data: DryRunQuery, json_data: ScheduleIn) -> Response:
    """Submit a notification again and again

    `cron` has five fields and is read in `time_zone`. A time that a DST change skips is run right after it; one that it
    repeats is run once. The notification is checked now and again at each run, with the rights that the key has then;
    `last_fault` says why a run was refused. One run makes up for all that were missed while Notifier was down. Deleted
    people are left out of a run, and named in `last_fault`. A run is never treated as a repeat of the last one,
    whatever `dedupe` says. With `dry_run=true` (at most 100 recipients) nothing is stored, and the answer says what
    would happen at the first run.

    With an Idempotency-Key header, repeated calls make one schedule; each is answered with its present state (404 if it
    was deleted). `idempotency_key` inside the notification is for single submissions, and refused.
    """
    faults = [
        Fault(f"/notification/{name}", "not_repeatable", f"{name} is for a single submission")
        for name in ("send_at", "idempotency_key")
        if getattr(json_data.notification, name) is not None
    ]
    if faults:
        raise Rejected("validation_failed", faults[0].message, tuple(faults))
    submission = submission_from(json_data.notification, {})
    if query_data.is_rehearsal:
        check_rehearsal(len(submission.recipients), "/notification/recipients")
        return answer(schedules.rehearse(caller(), json_data.cron, json_data.time_zone, submission))
    made = schedules.create(
        caller(),
        g.key.key_id,
        json_data.cron,
        json_data.time_zone,
        submission,
        idempotency(request.json, idempotency_key()),
        own_id=UUID(hex=call_id) if (call_id := request.environ.get(CELL_CALL)) else None,
    )
    return answer(queries.one(made.schedule_id, sight()), 201, replay_header(made.is_replay))


@bp.get("")
@allow("notify")
@bp.input(Page, location="query")
@bp.output(SchedulePage)
def list_schedules(query_data: Page) -> Response:
    """List schedules, newest first"""
    check_cursor("sch", query_data.after)
    return answer(queries.page(query_data.after, query_data.limit, sight()))


@bp.get("/<schedule_id>")
@allow("notify")
@bp.output(ScheduleOut)
def get_schedule(schedule_id: str) -> Response:
    """One schedule: when it comes next, and what became of its last run"""
    return answer(queries.one(parse("sch", schedule_id), sight()))


@bp.patch("/<schedule_id>")
@allow("notify")
@bp.input(SchedulePatch)
@bp.output(ScheduleOut)
def pause_or_resume(schedule_id: str, json_data: SchedulePatch) -> Response:
    """Pause a schedule, or let it go on

    A paused or stopped schedule has no `next_at`. When resumed, it goes on with the next time still to come, with the
    rights of the calling key.
    """
    key = parse("sch", schedule_id)
    queries.one(key, sight())
    if json_data.paused:
        schedules.pause(key)
    else:
        schedules.resume(key, g.key.producer_id, g.key.key_id)
    return answer(queries.one(key, sight()))


@bp.delete("/<schedule_id>")
@allow("notify")
@bp.output({}, 204)
def delete_schedule(schedule_id: str) -> Response:
    """Delete a schedule; what it has submitted stays"""
    key = parse("sch", schedule_id)
    queries.one(key, sight())
    schedules.remove(key)
    return Response(status=204)
