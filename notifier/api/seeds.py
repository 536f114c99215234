"""The calls of the design papers this product grew from, with the bodies and answers given there.

Each call translates its body into the canonical one, submits it as usual, and names faults in its own terms. Unknown
users get a 422 here too.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Response, request
from pydantic import ValidationError

from notifier.api.answers import also, answer
from notifier.api.auth import Door, allow, existing_user_id, may_change_person, stored_id
from notifier.api.errors import from_validation
from notifier.api.notifications import sight
from notifier.api.schemas.seeds import (
    ChoiceIn,
    NotifyBulkIn,
    NotifyIn,
    QueuedOut,
    SeedPreferencesOut,
    SendIn,
    SentOut,
    StatusOut,
    TriggerIn,
    Words,
    channel_name,
    snake_case,
)
from notifier.api.schemas.submissions import BulkOut, BulkRehearsedOut, DryRunOut, DryRunQuery, SubmissionIn
from notifier.api.schemas.users import PreferencesOut
from notifier.api.submitting import (
    idempotency_key,
    ids_in,
    rehearse,
    rehearse_each,
    replay_header,
    submission_from,
    submit,
    submit_each,
)
from notifier.core.errors import Fault, Rejected
from notifier.core.submission import Submission
from notifier.ground.clock import now
from notifier.models.user import API
from notifier.people import preferences
from notifier.queries import notifications as notification_queries
from notifier.queries import preferences as preference_queries
from notifier.queries import types as type_queries

bp = Door("api_seeds", __name__, tag="Earlier calls")


# ---- words ----------------------------------------------------------------------------------------------------------


def _canonical(fields: Mapping[str, Any], words: Words, given: Mapping[str, Any], header_key: str | None) -> Submission:
    with words.spoken():
        try:
            body = SubmissionIn.model_validate({name: value for name, value in fields.items() if value is not None})
        except ValidationError as error:
            raise from_validation(error) from None
        return submission_from(body, given, header_key)


# ---- calls ----------------------------------------------------------------------------------------------------------


@bp.post("/notify")
@allow("notify")
@bp.input(DryRunQuery, location="query")
@bp.input(NotifyIn)
@bp.output(QueuedOut, 202)
@also(200, DryRunOut, "A dry run")
def notify(query_data: DryRunQuery, json_data: NotifyIn) -> Response:
    """Notify one user by template"""
    words = _notify_words(json_data)
    submission = _notify_submission(json_data, request.json, idempotency_key())
    return _rehearsed(submission, words) if query_data.is_rehearsal else _queued(submission, words)


@bp.post("/notify/bulk")
@allow("notify")
@bp.input(DryRunQuery, location="query")
@bp.input(NotifyBulkIn)
@bp.output(BulkOut, 202)
@also(200, BulkRehearsedOut, "A dry run")
def notify_bulk(query_data: DryRunQuery, json_data: NotifyBulkIn) -> Response:
    """Notify many users, each with a body of its own

    Each item is checked by itself: a bad one is named by its index and does not affect the others.
    """
    if query_data.is_rehearsal:
        return answer(
            {"results": rehearse_each(json_data.notifications, _judge_notify, _translate_notify, is_split=False)}
        )
    results, is_replay = submit_each(json_data.notifications, _judge_notify, _translate_notify, is_split=False)
    return answer({"results": results}, 202, replay_header(is_replay))


@bp.get("/notify/status/<shown_id>")
@allow("read")
@bp.output(StatusOut)
def notify_status(shown_id: str) -> Response:
    """The state of a notification (`ntf_…`) or of a whole submission (`sub_…`)"""
    return answer(notification_queries.status(shown_id, sight()))


@bp.get("/user/preferences/<user_id>")
@allow("users")
@bp.output(SeedPreferencesOut)
def user_preferences(user_id: str) -> Response:
    """A person's choices, also as allowed channels, blocked types and mute times"""
    document = preference_queries.document(existing_user_id(user_id))
    return answer(document | preference_queries.in_seed_words(document))


@bp.post("/notifications/trigger")
@allow("notify")
@bp.input(DryRunQuery, location="query")
@bp.input(TriggerIn)
@bp.output(QueuedOut, 202)
@also(200, DryRunOut, "A dry run")
def trigger(query_data: DryRunQuery, json_data: TriggerIn) -> Response:
    """Notify one user of an event

    `eventId` is the idempotency key; it can be given instead of the header.
    """
    words = trigger_words(json_data)
    submission = triggered(json_data, request.json, idempotency_key())
    return _rehearsed(submission, words) if query_data.is_rehearsal else _queued(submission, words)


@bp.post("/notifications/preferences")
@allow("users")
@bp.input(ChoiceIn)
@bp.output(PreferencesOut)
def choose(json_data: ChoiceIn) -> Response:
    """Switch one event type on one channel on or off for one user

    403 for somebody with a role in the console, unless the key has the scope `admin`.
    """
    key, channel = json_data.eventType.lower(), channel_name(json_data.channel)
    user_id = stored_id(json_data.userId)
    may_change_person(user_id)
    try:
        preferences.change(user_id, {"types": {key: {channel: json_data.enabled}}}, replace=False, source=API)
    except Rejected as refused:
        raise _choice_refused(refused) from None
    return answer(preference_queries.document(user_id))


@bp.post("/notifications/send")
@allow("notify")
@bp.input(DryRunQuery, location="query")
@bp.input(SendIn)
@bp.output(SentOut, 202)
@also(200, DryRunOut, "A dry run")
def send(query_data: DryRunQuery, json_data: SendIn) -> Response:
    """Notify many users by template, at once or at a Unix time"""
    key = json_data.template_id.lower()
    category = type_queries.category_of(key)
    if category is not None and category != json_data.notification_type.lower():
        fault = Fault("/notification_type", "category_mismatch", f"{key} belongs to the category {category}")
        raise Rejected("validation_failed", fault.message, (fault,))
    words = Words(
        {"type": "template_id", "send_at": "scheduled_time", "expires_in": "ttl"},
        "variables",
        {"recipients": "user_ids"},
        json_data.variables,
    )
    fields = {
        "type": key,
        "recipients": json_data.user_ids,
        "data": snake_case(json_data.variables),
        "channels": json_data.channels and [channel_name(name) for name in json_data.channels],
        "priority": json_data.priority,
        "send_at": _later(json_data.scheduled_time),
        "expires_in": json_data.ttl,
    }
    submission = _canonical(fields, words, request.json, idempotency_key())
    if query_data.is_rehearsal:
        return _rehearsed(submission, words)
    with words.spoken():
        accepted = submit(submission, is_split=False)
    ids = ids_in(accepted.answer)
    count = len({recipient.id for recipient in submission.recipients}) if ids is None else len(ids)
    body = {"status": "queued", "count": count, "notification_ids": ids, "submission": accepted.answer["id"]}
    return answer(body, 202, replay_header(accepted.replayed))


def _rehearsed(submission: Submission, words: Words) -> Response:
    with words.spoken():
        return answer(rehearse(submission, is_split=False))


def _queued(submission: Submission, words: Words) -> Response:
    with words.spoken():
        accepted = submit(submission, is_split=False)
    ids = ids_in(accepted.answer)
    return answer({"id": ids[0] if ids else None, "status": "queued"}, 202, replay_header(accepted.replayed))


def trigger_words(body: TriggerIn) -> Words:
    return Words(
        {"type": "eventType", "recipients": "userId", "idempotency_key": "eventId"}, "metadata", sent=body.metadata
    )


def triggered(body: TriggerIn, given: Mapping[str, Any], header_key: str | None) -> Submission:
    """The submission of a trigger. Raises Rejected, in its words."""
    fields = {
        "type": body.eventType.lower(),
        "recipients": [body.userId],
        "data": snake_case(body.metadata),
        "idempotency_key": body.eventId,
    }
    return _canonical(fields, trigger_words(body), given, header_key)


def _notify_words(body: NotifyIn) -> Words:
    user = "userId" if body.user_id is None else "user_id"
    return Words({"type": "template", "channels": "type", "recipients": user}, "data", sent=body.data)


def _notify_submission(body: NotifyIn, given: Mapping[str, Any], header_key: str | None) -> Submission:
    if (body.userId is None) == (body.user_id is None):
        fault = Fault("/userId", "missing" if body.userId is None else "ambiguous", "userId is required, exactly once")
        raise Rejected("validation_failed", fault.message, (fault,))
    fields = {
        "type": body.template.lower(),
        "recipients": [body.userId or body.user_id],
        "data": snake_case(body.data),
        "channels": None if body.type is None else [channel_name(body.type)],
    }
    return _canonical(fields, _notify_words(body), given, header_key)


def _judge_notify(item: Any, header_key: str | None) -> Submission:
    try:
        body = NotifyIn.model_validate(item)
    except ValidationError as error:
        raise from_validation(error) from None
    return _notify_submission(body, item, header_key)


def _translate_notify(item: Any, refused: Rejected) -> Rejected:
    return _notify_words(NotifyIn.model_validate(item)).translate(refused)


def _choice_refused(refused: Rejected) -> Rejected:
    if refused.code == "not_found":
        return Rejected("unknown_user", refused.detail, (Fault("/userId", "unknown_user", refused.detail),))
    places = {"unknown_type": "/eventType", "unknown_channel": "/channel"}
    return Rejected(
        refused.code,
        refused.detail,
        tuple(Fault(places.get(f.code, f.pointer), f.code, f.message) for f in refused.faults),
    )


def _later(unix_time: int | None) -> str | None:
    """As the canonical body has it; a time in the past means at once."""
    if unix_time is None or unix_time <= now().timestamp():
        return None
    return datetime.fromtimestamp(unix_time, UTC).isoformat()
