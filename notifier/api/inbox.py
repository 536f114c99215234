"""The inbox's calls, for a signed-in person (session cookie) or for a page that embeds the inbox
(`Bearer <user token>`).

Browsers send a cookie along with any page's request, so writes by cookie need the CSRF token, and answers to them stay
on our own origin. (The service worker has no page to take that token from: its one call must name our own origin.) A
token is sent on purpose only: it needs no CSRF token, and may come from every site that its producer allows.
"""

from flask import Response, g, jsonify, request
from flask_login import current_user
from flask_wtf.csrf import validate_csrf
from wtforms import ValidationError

from notifier.access import keys, origins
from notifier.api import limits
from notifier.api.auth import Door, person
from notifier.api.schemas.inbox import (
    ChangesOut,
    ChangesQuery,
    ChosenIn,
    CountsOut,
    InboxPage,
    ListQuery,
    MarkedOut,
    OpenedIn,
    SeenIn,
    SnoozeIn,
    WhyOut,
    WhyQuery,
)
from notifier.channels.table import INAPP
from notifier.core.errors import Fault, Rejected
from notifier.core.submission import MAX_AHEAD
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.ids import parse, parse_many
from notifier.inbox import marks
from notifier.pipeline.delivery import device_opens
from notifier.queries import inbox as questions
from notifier.queries import valid_tokens
from notifier.queries import why as reasons

bp = Door("inbox", __name__, url_prefix="/api/v1/inbox", tag="Inbox")


@bp.before_request
def _find_person() -> None:
    """Before the body is looked at, like every other rule of access."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    came_by_token = scheme.lower() == "bearer"
    origin = request.headers.get("Origin")
    # Who may read the answer, a refusal too; never with credentials, so never a cookie's answer.
    g.open_to = (
        origin if (came_by_token or request.method == "OPTIONS") and origins.may_ask(origin, request.host_url) else None
    )
    g.body_is_optional = request.endpoint == f"{bp.name}.seen"
    if request.method == "OPTIONS":
        return
    if came_by_token:
        g.person = _owner(token.strip(), origin)
        return
    if not current_user.is_authenticated:
        raise Rejected("unauthenticated", "sign in, or send a user's token as 'Authorization: Bearer <token>'")
    if request.method != "GET" and not _is_our_worker(origin):
        try:
            validate_csrf(request.headers.get("X-CSRFToken"))
        except ValidationError as error:
            raise Rejected("csrf_failed", f"writes by cookie need X-CSRFToken: {error}") from None
    g.person = current_user.user_id


def _is_our_worker(origin: str | None) -> bool:
    is_its_call = request.endpoint == f"{bp.name}.opened"
    return is_its_call and origin is not None and origins.is_ours(origin, request.host_url)


def _owner(token: str, origin: str | None) -> str:
    opened = tokens.open_user_token(token)
    if opened is None or not valid_tokens.holding([opened]):
        if not tokens.is_ours(token):
            limits.charge_guess()
        if keys.find_key(token) is not None:
            raise Rejected(
                "producer_key_refused", "the inbox belongs to people: create a token with POST /api/v1/users/{id}/token"
            )
        raise Rejected("unauthenticated", "the token is not valid or has expired")
    if not origins.may_use(origin, opened.producer_id, request.host_url):
        g.open_to = None
        raise Rejected("origin_refused", "the producer of this token does not allow it on this site")
    return opened.user_id


@bp.after_request
def _open_to_tokens(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.vary.add("Origin")
    if g.get("open_to") is None:
        return response
    response.headers["Access-Control-Allow-Origin"] = g.open_to
    response.headers["Access-Control-Expose-Headers"] = "Retry-After"
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
        response.headers["Access-Control-Allow-Methods"] = "GET, POST"
        response.headers["Access-Control-Max-Age"] = "600"
    return response


@bp.get("")
@person
@bp.input(ListQuery, location="query")
@bp.output(InboxPage)
def index(query_data: ListQuery) -> Response:
    """List the inbox

    Newest first, with the counts of the whole inbox.
    """
    wanted = query_data
    return jsonify(
        questions.page(
            g.person, filter=wanted.filter, category=wanted.category, q=wanted.q, after=wanted.after, limit=wanted.limit
        )
    )


@bp.get("/changes")
@person
@bp.input(ChangesQuery, location="query")
@bp.output(ChangesOut)
def changes(query_data: ChangesQuery) -> Response:
    """Changes since a `seq`

    For a client that has been away: every item that is new or was marked, oldest change first.
    """
    return jsonify(questions.changes(g.person, query_data.since))


@bp.post("/seen")
@person
@bp.input(SeenIn)
@bp.output(CountsOut)
def seen(json_data: SeenIn) -> Response:
    """Mark as seen

    For items that the person has had in view. Without a body: all items in view.
    """
    return jsonify(marks.seen(g.person, json_data.chosen()))


@bp.post("/read")
@person
@bp.input(ChosenIn)
@bp.output(MarkedOut)
def read(json_data: ChosenIn) -> Response:
    """Mark as read"""
    return jsonify(marks.read(g.person, json_data.chosen()))


@bp.post("/unread")
@person
@bp.input(ChosenIn)
@bp.output(MarkedOut)
def unread(json_data: ChosenIn) -> Response:
    """Mark as unread"""
    return jsonify(marks.unread(g.person, json_data.chosen()))


@bp.post("/archive")
@person
@bp.input(ChosenIn)
@bp.output(MarkedOut)
def archive(json_data: ChosenIn) -> Response:
    """Archive"""
    return jsonify(marks.archive(g.person, json_data.chosen()))


@bp.post("/unarchive")
@person
@bp.input(ChosenIn)
@bp.output(MarkedOut)
def unarchive(json_data: ChosenIn) -> Response:
    """Take out of the archive"""
    return jsonify(marks.unarchive(g.person, json_data.chosen("archived")))


@bp.post("/snooze")
@person
@bp.input(SnoozeIn)
@bp.output(MarkedOut)
def snooze(json_data: SnoozeIn) -> Response:
    """Put away until a time, or bring back

    With `"all": true` and no filter: all in view, and to bring back, all that are snoozed.
    """
    until = json_data.until
    if until is not None and not now() < until <= now() + MAX_AHEAD:
        fault = Fault(
            "/until", "in_the_past" if until <= now() else "too_far_ahead", "until must be within the coming year"
        )
        raise Rejected(
            "validation_failed", "the request is not valid: /until: until must be within the coming year", (fault,)
        )
    return jsonify(marks.snooze(g.person, json_data.chosen("snoozed" if until is None else "all"), until))


@bp.post("/opened")
@person
@bp.input(OpenedIn)
@bp.output(CountsOut)
def opened(json_data: OpenedIn) -> Response:
    """Tell that pushed messages were opened

    For apps and browsers, when the person has tapped what was pushed: it counts as opened by a person, and its item in
    the inbox as read, unless the person refuses to be tracked. A repeat changes nothing. The session cookie is enough
    for a call that names our own origin.
    """
    device_opens.note(g.person, parse_many("dlv", json_data.ids))
    return jsonify(questions.counts(g.person))


@bp.get("/<item_id>/why")
@person
@bp.input(WhyQuery, location="query")
@bp.output(WhyOut)
def why(item_id: str, query_data: WhyQuery) -> Response:
    """Why an item came

    In the person's language, for pages that embed the inbox: our own page `/why` may ask the person to sign in.
    """
    story = reasons.of_item(g.person, parse("dlv", item_id), query_data.language)
    if story is None:
        raise Rejected("not_found", "there is no such item")
    sentences = [sentence for part in story.parts if part.channel in (None, INAPP.name) for sentence in part.sentences]
    return jsonify(
        {"title": story.title, "description": story.about, "language": story.language, "sentences": sentences}
    )
