"""`/hooks/pubsub/{name}`: Google Pub/Sub pushes messages here, and takes any success for an acknowledgement.

What is refused it gives again, and puts among the subscription's own dead letters after as many tries as it is told.
"""

import base64
import binascii
from datetime import datetime
from typing import Any, NoReturn

import structlog
from flask import Response, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

from notifier.access import pubsub_tokens
from notifier.api import limits, messages
from notifier.api.auth import Door, bus
from notifier.api.strict_json import read_json
from notifier.cells import sharing
from notifier.core.bus_messages import Message
from notifier.core.errors import Fault, Rejected
from notifier.core.timestamps import parse_time
from notifier.ground import metrics
from notifier.ground.config import current_settings
from notifier.pipeline.intake import group_commit

_ASK_AGAIN_S = 5

log = structlog.get_logger()

bp = Door("api_pubsub", __name__, url_prefix="/hooks/pubsub", tag="Message bus")


@bp.post("/<string(maxlength=64):name>")
@bus
@bp.output({}, 204)
def push(name: str) -> Response:
    """A message of Google Pub/Sub

    For push subscriptions: each shows a token that Google has signed, for this URL and in the name of
    `PUBSUB_ACCOUNT`. The message's data is the body of `POST /api/v1/notifications` or of
    `POST /notifications/trigger`, or a CloudEvents 1.0 event whose `data` is one. It is stored when this answers.
    """
    settings = current_settings()
    if settings.pubsub_account is None or settings.consume_key is None:
        raise Rejected("not_found", "no message of Pub/Sub is taken here: PUBSUB_ACCOUNT is not set")
    _verify(settings.link("hooks", "pubsub", name))
    body = request.get_data(cache=False)
    if len(body) > current_app.config["MAX_CONTENT_LENGTH"]:  # a chunked one: see `auth`
        raise RequestEntityTooLarge
    bounded = f"pubsub:{metrics.bounded('pubsub', name)}"
    try:
        key = messages.identity(settings.consume_key)
    except messages.KeyRefused as error:
        log.error("consume.key_refused", bus=bounded, reason=str(error))
        raise Rejected("unavailable", "no message can be taken at the moment", retry_after=_ASK_AGAIN_S) from None
    try:
        [item] = messages.read(key, [_message(name, read_json(body))])
        if isinstance(item, Rejected):
            raise item
        messages.charge(key, item)
        [accepted] = sharing.accept([item], lambda items: [group_commit.submit(one) for one in items])
        if isinstance(accepted, Rejected):
            raise accepted
    except Rejected as refused:
        metrics.series(metrics.bus_messages, bounded, "refused").inc()
        log.warning("consume.refused", bus=bounded, code=refused.code)
        raise
    metrics.series(metrics.bus_messages, bounded, "repeated" if accepted.replayed else "accepted").inc()
    return Response(status=204)


def _verify(audience: str) -> None:
    """Raises Rejected; who forges a call learns nothing from it."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise pubsub_tokens.Forged("no_token")
        pubsub_tokens.check(token.strip(), audience)
    except pubsub_tokens.Forged as error:
        log.warning("consume.push_unverified", why=str(error))
        limits.charge_guess()
        raise Rejected("unverified", "this cannot be shown to come from Pub/Sub") from None
    except pubsub_tokens.KeysAway:
        raise Rejected("unavailable", "the keys cannot be asked for at the moment", retry_after=_ASK_AGAIN_S) from None


def _message(name: str, body: Any) -> Message:
    """https://cloud.google.com/pubsub/docs/reference/rest/v1/PubsubMessage. Raises Rejected."""
    pushed = body.get("message") if isinstance(body, dict) else None
    if not isinstance(pushed, dict):
        _faulty("/message", "this is required; the subscription must not unwrap its payload")
    message_id = pushed.get("messageId", pushed.get("message_id"))
    if not isinstance(message_id, str) or not message_id:
        _faulty("/message/messageId", "this is required")
    try:
        data = base64.b64decode(pushed.get("data", ""), validate=True)
    except (binascii.Error, ValueError, TypeError):
        _faulty("/message/data", "this must be Base64")
    return Message(data, name, "", message_id, f"pubsub:{name}/{message_id}", _time(pushed.get("publishTime")))


def _time(text: object) -> datetime | None:
    try:
        return parse_time(text)
    except (ValueError, TypeError):
        return None


def _faulty(pointer: str, message: str) -> NoReturn:
    raise Rejected("validation_failed", f"{pointer}: {message}", (Fault(pointer, "invalid_push", message),))
