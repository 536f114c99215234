"""Status webhooks: URLs of producers that are told of events."""

from uuid import UUID

from flask import Response, g, request

from notifier.api.answers import answer, check_cursor
from notifier.api.auth import Door, allow, caller
from notifier.api.notifications import sight
from notifier.api.schemas.base import Page
from notifier.api.schemas.subscriptions import (
    NewSubscriptionOut,
    PingOut,
    ReplayIn,
    ReplayOut,
    SecretOut,
    SubscriptionAttemptPage,
    SubscriptionIn,
    SubscriptionOut,
    SubscriptionPage,
    SubscriptionPatch,
)
from notifier.api.submitting import idempotency, idempotency_key, replay_header
from notifier.ground.ids import parse
from notifier.ground.shapes import timestamp
from notifier.queries import subscriptions as queries
from notifier.queries.subscriptions import ATTEMPT, SUBSCRIPTION
from notifier.subscriptions import registered
from notifier.subscriptions.registered import Rights

bp = Door("api_subscriptions", __name__, url_prefix="/api/v1/subscriptions", tag="Status webhooks")


@bp.post("")
@allow("read")
@bp.input(SubscriptionIn)
@bp.output(NewSubscriptionOut, 201)
def create_subscription(json_data: SubscriptionIn) -> Response:
    """Have events sent to a URL as they happen

    Each event is one POST of `{type, timestamp, data}`, the form of `GET /api/v1/events`, signed after Standard
    Webhooks with the `secret` of this answer. `webhook-id` is the event's id, the same on every try and replay: an
    event comes at least once, roughly in order. Whatever is not answered 2xx is tried again for three days (after 5 s,
    30 s, 2 min, 15 min, 1 h, then every 6 h; Retry-After is obeyed). An answer of 410 disables the subscription at
    once, five days without one success disable it too; the admins are told.

    A subscription hears of its producer's notifications; a test key's of test notifications. `user.*` needs the scope
    `users`, `all_producers` the scope `admin`; both end with the key that asked for them. A producer has at most 1,000
    subscriptions. With an Idempotency-Key header, repeated calls make one subscription and get the same secret.
    """
    once = idempotency(request.json, idempotency_key())
    made = registered.create(caller(), _rights(), json_data.model_dump(), once)
    shown = queries.one(made.subscription_id, sight())
    return answer({**shown, "secret": made.secret}, 201, replay_header(made.is_replay))


@bp.get("")
@allow("read")
@bp.input(Page, location="query")
@bp.output(SubscriptionPage)
def list_subscriptions(query_data: Page) -> Response:
    """List subscriptions, newest first"""
    check_cursor(SUBSCRIPTION, query_data.after)
    return answer(queries.page(query_data.after, query_data.limit, sight()))


@bp.get("/<subscription_id>")
@allow("read")
@bp.output(SubscriptionOut)
def get_subscription(subscription_id: str) -> Response:
    """One subscription, and how it fares"""
    return answer(queries.one(parse(SUBSCRIPTION, subscription_id), sight()))


@bp.patch("/<subscription_id>")
@allow("read")
@bp.input(SubscriptionPatch)
@bp.output(SubscriptionOut)
def change_subscription(subscription_id: str, json_data: SubscriptionPatch) -> Response:
    """Change some fields of a subscription

    What is left out stays. Of a subscription that hears more than its producer's own notifications, a key without the
    scopes for that may change `description` and `disabled` only. With `"disabled": false` a disabled subscription goes
    on with the event where it stopped, as long as that is kept.
    """
    key = _in_sight(subscription_id)
    registered.change(key, _rights(), json_data.model_dump(include=json_data.model_fields_set))
    return answer(queries.one(key, sight()))


@bp.delete("/<subscription_id>")
@allow("read")
@bp.output({}, 204)
def delete_subscription(subscription_id: str) -> Response:
    """Delete a subscription, with what waits for another try"""
    registered.remove(_in_sight(subscription_id))
    return Response(status=204)


@bp.post("/<subscription_id>/rotate-secret")
@allow("read", body_is_optional=True)
@bp.output(SecretOut)
def rotate_subscription_secret(subscription_id: str) -> Response:
    """Make a new signing secret

    For 24 hours each request carries two signatures, by the new secret and by the one before; three where you rotate
    again meanwhile, as after losing the new secret. It needs the scopes for all that the subscription hears.
    """
    secret, until = registered.rotate_secret(_in_sight(subscription_id), _rights())
    return answer({"secret": secret, "previous_secret_until": timestamp(until)})


@bp.post("/<subscription_id>/test")
@allow("read", body_is_optional=True)
@bp.output(PingOut, 202)
def test_subscription(subscription_id: str) -> Response:
    """Send a `ping`

    It is sent in the background, once; the attempts show what came of it. A success ends a waiting for the URL.
    """
    return answer({"id": registered.ask_for_ping(_in_sight(subscription_id))}, 202)


@bp.get("/<subscription_id>/attempts")
@allow("read")
@bp.input(Page, location="query")
@bp.output(SubscriptionAttemptPage)
def list_subscription_attempts(subscription_id: str, query_data: Page) -> Response:
    """What was sent and how it was answered, newest first

    Kept for 30 days (`RETENTION`).
    """
    check_cursor(ATTEMPT, query_data.after)
    return answer(queries.attempts(_in_sight(subscription_id), query_data.after, query_data.limit))


@bp.post("/<subscription_id>/replay")
@allow("read")
@bp.input(ReplayIn)
@bp.output(ReplayOut, 202)
def replay_subscription(subscription_id: str, json_data: ReplayIn) -> Response:
    """Send the events of a time once more

    In the background and beside new events, each with the `webhook-id` that it had. One replay at a time.
    """
    registered.replay(_in_sight(subscription_id), json_data.since, json_data.until)
    return answer({"since": timestamp(json_data.since), "until": timestamp(json_data.until)}, 202)


def _in_sight(subscription_id: str) -> UUID:
    """Raises Rejected('not_found')."""
    return queries.in_sight(subscription_id, sight())


def _rights() -> Rights:
    return Rights(g.key.key_id, sees_people="users" in g.key.scopes, sees_all="admin" in g.key.scopes)
