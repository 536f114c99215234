"""Broadcasts: one notification for a whole audience."""

from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

from flask import Response, request

from notifier.api.answers import answer, check_cursor
from notifier.api.auth import Door, allow, caller
from notifier.api.limits import CELL_CALL
from notifier.api.notifications import sight
from notifier.api.schemas.broadcasts import (
    BroadcastIn,
    BroadcastOut,
    BroadcastPage,
    BroadcastRecipientPage,
    BroadcastsQuery,
    RecipientsQuery,
)
from notifier.api.submitting import idempotency, idempotency_key, replay_header
from notifier.core.broadcasts import STATUSES
from notifier.core.errors import Fault, Rejected
from notifier.core.lifecycle import STATUSES as DELIVERY_STATUSES
from notifier.ground.extensions import db
from notifier.ground.ids import parse
from notifier.operations import broadcast_retries
from notifier.people import audiences
from notifier.pipeline.intake import broadcasts
from notifier.queries import broadcasts as queries

bp = Door("api_broadcasts", __name__, url_prefix="/api/v1/broadcasts", tag="Broadcasts")


@bp.post("")
@allow("broadcast")
@bp.input(BroadcastIn)
@bp.output(BroadcastOut, 202)
def create_broadcast(json_data: BroadcastIn) -> Response:
    """Notify a whole audience

    Everybody in the audience gets one notification, decided as any other: by choices, addresses, quiet hours and caps.
    Who is in the audience is decided when it begins; people who are created later are not in it. It is made in the
    background, a part at a time, and sent with its priority, so that more pressing messages overtake it.

    With an Idempotency-Key header, repeated calls make one broadcast; each is answered with how far it is.
    """
    who, once = caller(), idempotency(request.json, idempotency_key(), json_data.idempotency_key)
    draft = broadcasts.Draft(
        json_data.name,
        json_data.said(),
        json_data.audience,
        json_data.local_time,
        json_data.per_second,
        json_data.stop_at_failures,
        uploads_of=sight().producer_id,
        id=UUID(hex=call_id) if (call_id := request.environ.get(CELL_CALL)) else None,
    )
    db.session.close()  # no connection is held while others have their turn
    with audiences.turn_to_survey():
        made = broadcasts.create(who, draft, once)
    return answer(queries.one(made.broadcast_id, sight()), 202, replay_header(made.is_replay))


@bp.get("")
@allow("broadcast")
@bp.input(BroadcastsQuery, location="query")
@bp.output(BroadcastPage)
def list_broadcasts(query_data: BroadcastsQuery) -> Response:
    """List broadcasts, newest first"""
    check_cursor(broadcasts.KIND, query_data.after)
    statuses = _among(query_data.status, STATUSES)
    return answer(queries.page(query_data.after, query_data.limit, sight(), statuses))


@bp.get("/<broadcast_id>")
@allow("broadcast")
@bp.output(BroadcastOut)
def get_broadcast(broadcast_id: str) -> Response:
    """One broadcast: how far it is, and what became of its deliveries

    The counts are those of one moment, and add up at every moment.
    """
    return answer(queries.one(parse(broadcasts.KIND, broadcast_id), sight()))


@bp.post("/<broadcast_id>/pause")
@allow("broadcast")
@bp.output(BroadcastOut)
def pause_broadcast(broadcast_id: str) -> Response:
    """Pause a broadcast

    Nothing more of it is made or sent, but for sends already in flight. Asked for again it changes nothing. 409 if it
    has ended.
    """
    return _change(broadcast_id, broadcasts.pause)


@bp.post("/<broadcast_id>/resume")
@allow("broadcast")
@bp.output(BroadcastOut)
def resume_broadcast(broadcast_id: str) -> Response:
    """Let a paused broadcast go on where it stopped

    Failures up to now no longer count for `stop_at_failures`. It goes on in the name of the key that resumes it, and
    pauses when that is revoked. 409 if it has ended, or its producer is switched off.
    """
    return _change(broadcast_id, partial(broadcasts.resume, key_id=caller().key_id))


@bp.post("/<broadcast_id>/cancel")
@allow("broadcast")
@bp.output(BroadcastOut)
def cancel_broadcast(broadcast_id: str) -> Response:
    """Cancel what of a broadcast has not gone out yet

    What is ready is cancelled in the background; none of it goes out meanwhile. 409 if it has finished.
    """
    return _change(broadcast_id, broadcasts.cancel)


@bp.post("/<broadcast_id>/retry-failed")
@allow("broadcast")
@bp.output(BroadcastOut)
def retry_failed(broadcast_id: str) -> Response:
    """Send the failed part of a broadcast again

    Deliveries that are `failed` or `unknown`, and no others: what a person no longer wants, and what has expired, is
    not sent. An `unknown` one may have arrived. 409 if nothing has failed that may still be sent, or the
    broadcast is paused or cancelled.
    """
    return _change(broadcast_id, partial(broadcast_retries.begin, key_id=caller().key_id))


@bp.get("/<broadcast_id>/recipients")
@allow("broadcast")
@bp.input(RecipientsQuery, location="query")
@bp.output(BroadcastRecipientPage)
def list_recipients(broadcast_id: str, query_data: RecipientsQuery) -> Response:
    """The people of a broadcast, a line for each delivery, by status"""
    key = parse(broadcasts.KIND, broadcast_id)
    queries.one(key, sight())
    statuses = _among(query_data.status, DELIVERY_STATUSES)
    channels = tuple(filter(None, (query_data.channel or "").split(",")))
    return answer(queries.recipients(key, query_data.after, query_data.limit, statuses=statuses, channels=channels))


def _change(broadcast_id: str, change: Callable[[UUID], object]) -> Response:
    key = parse(broadcasts.KIND, broadcast_id)
    queries.one(key, sight())
    change(key)
    return answer(queries.one(key, sight()))


def _among(text: str | None, known: Sequence[str]) -> tuple[str, ...]:
    wanted = tuple(filter(None, (text or "").split(",")))
    for name in wanted:
        if name not in known:
            fault = Fault("/status", "unknown_status", f"there is no status {name[:40]!r}: {', '.join(known)}")
            raise Rejected("validation_failed", fault.message, (fault,))
    return wanted
