"""The inbox's calls, for a signed-in person (session cookie) or for a page that embeds the inbox
(`Bearer <user token>`).

Browsers send a cookie along with any page's request, so writes by cookie need the CSRF token, and answers to them stay
on our own origin. A token is sent on purpose only: it needs no CSRF token, and may come from every site that its
producer allows.
"""

from typing import Annotated, Any, Literal

from flask import Response, g, jsonify, request
from flask_login import current_user
from flask_wtf.csrf import validate_csrf
from pydantic import BeforeValidator, Field, model_validator
from wtforms import ValidationError

from notifier.access import keys, origins
from notifier.api import limits
from notifier.api.auth import Door, person
from notifier.api.fields import Body, Time, wrong
from notifier.api.schemas.base import CATEGORY, Answer, Page
from notifier.channels.table import INAPP
from notifier.core.errors import Fault, Rejected
from notifier.core.submission import MAX_AHEAD
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.ids import parse, parse_many
from notifier.inbox import marks as inbox
from notifier.inbox.marks import MAX_IDS, Chosen
from notifier.queries import inbox as questions
from notifier.queries import valid_tokens
from notifier.queries import why as reasons

FILTER = Literal["unread", "all", "archived", "snoozed"]
Words = Annotated[str, Field(max_length=200, description="To be found in title or body, in either case.")]
Ids = Annotated[
    list[Annotated[str, Field(max_length=64)]], Field(max_length=MAX_IDS, description="Other people's ids are ignored.")
]

bp = Door("inbox", __name__, url_prefix="/api/v1/inbox", tag="Inbox")


class ListQuery(Page):
    filter: FILTER = Field(
        default="all", description="`all` leaves archived out, and snoozed unless there are words to be found."
    )
    category: CATEGORY | None = None
    q: Words | None = None


class ChosenIn(Body):
    """Items by their ids, or all that a list with the same filter, category and words would show."""

    ids: Ids | None = None
    all: Literal[True] | None = None
    filter: FILTER | None = None
    category: CATEGORY | None = None
    q: Words | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "ChosenIn":
        if self.ids is None and self.all is None:
            raise wrong("missing", "give ids, or all: true")
        return self._not_both()

    def _not_both(self) -> "ChosenIn":
        if self.ids is not None and any((self.all, self.filter, self.category, self.q)):
            raise wrong("contradiction", "give ids, or all: true with a filter, but not both")
        return self

    def chosen(self, default_filter: str = "all") -> Chosen:
        ids = None if self.ids is None else tuple(parse_many("dlv", self.ids))
        return Chosen(ids, self.filter or default_filter, self.category, self.q)


class SeenIn(ChosenIn):
    """No body at all means everything in view."""

    @model_validator(mode="after")
    def _one_way(self) -> "SeenIn":
        self._not_both()
        return self


class SnoozeIn(ChosenIn):
    until: Time | None = Field(description="Within the coming year; null brings the items back.")


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19 else value


class ChangesQuery(Body):
    since: Annotated[
        int, BeforeValidator(_number), Field(ge=0, description="The `seq` up to which everything is known.")
    ]


class ActionOut(Answer):
    label: str
    url: str


class ItemOut(Answer):
    id: str
    type: str
    category: str
    title: str
    body: str
    action: ActionOut | None
    image: str | None
    data: dict[str, Any]
    created_at: str
    seen_at: str | None
    read_at: str | None
    archived_at: str | None
    snoozed_until: str | None
    why: str = Field(description="Where the switch is that let it through.")


class WhyOut(Answer):
    title: str = Field(description="What kind of notification it is.")
    language: str = Field(description="Of the title and the sentences.")
    sentences: list[str]


class CountsOut(Answer):
    """Unread and unseen count what is neither archived nor snoozed; `seq` rises with every change."""

    unread: int
    unseen: int
    seq: int


class MarkedOut(CountsOut):
    changed_ids: list[str] | None = Field(
        description=f"What this call has changed, to undo it by; null when that is more than {MAX_IDS:,} items."
    )


class InboxPage(CountsOut):
    data: list[ItemOut]
    next: str | None


class ChangesOut(Answer):
    reset: bool = Field(
        default=False, description="True when `since` is too long ago: read the list again. Nothing else is given then."
    )
    changed: list[ItemOut] | None = None
    unread: int | None = None
    unseen: int | None = None
    seq: int | None = None


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
    if request.method != "GET":
        try:
            validate_csrf(request.headers.get("X-CSRFToken"))
        except ValidationError as error:
            raise Rejected("csrf_failed", f"writes by cookie need X-CSRFToken: {error}") from None
    g.person = current_user.user_id


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
    """What has changed since then

    For a client that has been away: every item that is new or was marked, oldest change first.
    """
    return jsonify(questions.changes(g.person, query_data.since))


@bp.post("/seen")
@person
@bp.input(SeenIn)
@bp.output(CountsOut)
def seen(json_data: SeenIn) -> Response:
    """Mark as seen

    What the person has had before their eyes. Without a body: everything in view.
    """
    return jsonify(inbox.seen(g.person, json_data.chosen()))


@bp.post("/read")
@person
@bp.input(ChosenIn)
@bp.output(MarkedOut)
def read(json_data: ChosenIn) -> Response:
    """Mark as read"""
    return jsonify(inbox.read(g.person, json_data.chosen()))


@bp.post("/unread")
@person
@bp.input(ChosenIn)
@bp.output(MarkedOut)
def unread(json_data: ChosenIn) -> Response:
    """Mark as unread"""
    return jsonify(inbox.unread(g.person, json_data.chosen()))


@bp.post("/archive")
@person
@bp.input(ChosenIn)
@bp.output(MarkedOut)
def archive(json_data: ChosenIn) -> Response:
    """Archive"""
    return jsonify(inbox.archive(g.person, json_data.chosen()))


@bp.post("/unarchive")
@person
@bp.input(ChosenIn)
@bp.output(MarkedOut)
def unarchive(json_data: ChosenIn) -> Response:
    """Take out of the archive"""
    return jsonify(inbox.unarchive(g.person, json_data.chosen("archived")))


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
    return jsonify(inbox.snooze(g.person, json_data.chosen("snoozed" if until is None else "all"), until))


@bp.get("/<item_id>/why")
@person
@bp.output(WhyOut)
def why(item_id: str) -> Response:
    """Why an item came

    In the person's language, for a page that embeds the inbox: our own pages may ask to sign in.
    """
    story = reasons.of_item(g.person, parse("dlv", item_id))
    if story is None:
        raise Rejected("not_found", "there is no such item")
    sentences = [sentence for part in story.parts if part.channel in (None, INAPP.name) for sentence in part.sentences]
    return jsonify({"title": story.title, "language": story.language, "sentences": sentences})
