"""Submitting, listing and cancelling notifications."""

from flask import Response, g, request

from notifier.api.answers import also, answer, answer_of_texts, check_cursor
from notifier.api.auth import Door, allow
from notifier.api.schemas.notifications import NotificationInFull, NotificationPage, NotificationsQuery
from notifier.api.schemas.submissions import (
    BulkIn,
    BulkOut,
    BulkRehearsedOut,
    DryRunOut,
    DryRunQuery,
    SubmissionIn,
    SubmissionOut,
    SubmissionStatusOut,
)
from notifier.api.submitting import (
    idempotency_key,
    judge_canonical,
    rehearse,
    rehearse_each,
    replay_header,
    story_header,
    submission_from,
    submit,
    submit_each,
)
from notifier.ground.ids import parse
from notifier.pipeline.intake import cancel
from notifier.queries import notifications as queries

bp = Door("api_notifications", __name__, url_prefix="/api/v1", tag="Notifications")


@bp.post("/notifications")
@allow("notify")
@bp.input(DryRunQuery, location="query")
@bp.input(SubmissionIn)
@bp.output(SubmissionOut, 202)
@also(200, DryRunOut, "A dry run")
def submit_notification(query_data: DryRunQuery, json_data: SubmissionIn) -> Response:
    """Notify 1 to 1,000 people of one event

    Answers after everything is stored and before anything is sent. Unknown recipients are created if they come with a
    value, such as an address; an unknown id alone is refused. For known people, a key with the scope `users` changes
    the profile; with any other key, the values hold for this notification alone. With `dry_run=true` (at most 100
    recipients) nothing is stored or sent, and the answer says for each channel what would happen, why, and which text
    would be sent.

    Order is best effort for each person, channel and priority: retries, quiet hours and several workers can change it.
    If only the latest matters, give a `collapse_key`, and a `sequence` if calls may overtake one another.

    The `Link` header of an answer for one person leads to the page in the console that follows the notification.
    """
    submission = submission_from(json_data, request.json, idempotency_key())
    if query_data.is_rehearsal:
        return answer(rehearse(submission))
    accepted = submit(submission)
    headers = {**replay_header(accepted.replayed), **story_header(accepted.answer)}
    return answer_of_texts(accepted.answer, 202, headers)


@bp.post("/notifications/bulk")
@allow("notify")
@bp.input(DryRunQuery, location="query")
@bp.input(BulkIn)
@bp.output(BulkOut, 202)
@also(200, BulkRehearsedOut, "A dry run")
def submit_bulk(query_data: DryRunQuery, json_data: BulkIn) -> Response:
    """Submit up to 1,000 notifications in one call

    Each item is judged alone: a bad one is named by its index and does not affect the others. The Idempotency-Key
    header is for the call as a whole; an item may have an `idempotency_key` of its own. With `dry_run=true` (at most
    100 recipients together) each result says what would happen.
    """
    if query_data.is_rehearsal:
        return answer({"results": rehearse_each(json_data.notifications, judge_canonical)})
    results, is_replay = submit_each(json_data.notifications, judge_canonical)
    return answer_of_texts({"results": results}, 202, replay_header(is_replay))


@bp.get("/notifications")
@allow("read")
@bp.input(NotificationsQuery, location="query")
@bp.output(NotificationPage)
def list_notifications(query_data: NotificationsQuery) -> Response:
    """List notifications, newest first

    Filters take one value or several separated by commas. `status` and `channel` match any delivery. With `type`,
    `status` or `channel` a page looks at 10,000 notifications at most: it may hold fewer than `limit`, or none, and
    `next` leads on to older ones.
    """
    check_cursor("ntf", query_data.after)
    filters = queries.Filters(
        user=_split(query_data.user),
        type=_split(query_data.type),
        status=_split(query_data.status),
        channel=_split(query_data.channel),
        after=query_data.after,
        limit=query_data.limit,
    )
    return answer(queries.page(filters, sight()))


@bp.get("/notifications/<string(minlength=5):notification_id>")  # else /notifications/bulk would seem to take GET
@allow("read")
@bp.output(NotificationInFull)
def get_notification(notification_id: str) -> Response:
    """One notification with its deliveries, attempts and receipts, and why it was decided so"""
    return answer(queries.one(parse("ntf", notification_id), sight()))


@bp.post("/notifications/<notification_id>/cancel")
@allow("notify")
@bp.output(NotificationInFull)
def cancel_notification(notification_id: str) -> Response:
    """Cancel what of a notification has not gone out yet

    If nothing has gone out, the older notification that it had replaced (`collapse_key`) goes out after all. 409 if
    nothing is left to cancel.
    """
    key = parse("ntf", notification_id)
    queries.one(key, sight())
    cancel.cancel(key)
    return answer(queries.one(key, sight()))


@bp.get("/submissions/<submission_id>")
@allow("read")
@bp.output(SubmissionStatusOut)
def get_submission(submission_id: str) -> Response:
    """A submission of any size with its notifications, as far as they have been made"""
    return answer(queries.submission(parse("sub", submission_id), sight()))


def sight() -> queries.Sight:
    """The notifications that the caller may see: its own, or with the scope admin everybody's; never live ones for a
    test key.
    """
    key = g.key
    return queries.Sight(None if "admin" in key.scopes else key.producer_id, tests_only=key.is_test)


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (text or "").split(",")))
