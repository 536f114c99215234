"""Messages of a message bus: what each asks for, in whose name, and whether it may.

A message is the body of `POST /api/v1/notifications` or of `POST /notifications/trigger`, or a CloudEvents 1.0 event
whose `data` is one. It is judged as that call is: by the same schemas, for a producer's key, against the same limits.
Called by `consume` and by the door of Pub/Sub, in an app's context.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog
from flask import current_app, g
from pydantic import ValidationError

from notifier.access import key_use, keys
from notifier.access.keys import KeyIdentity
from notifier.api import errors, limits
from notifier.api.field_map import FieldMap
from notifier.api.schemas.seeds import TriggerIn
from notifier.api.seeds import trigger_words, triggered
from notifier.api.strict_json import read_json, refuse_unless_object
from notifier.api.submitting import judge_canonical
from notifier.core.bus_messages import Message
from notifier.core.errors import Fault, Rejected
from notifier.core.submission import Submission
from notifier.ground.ids import new_hex
from notifier.pipeline.intake.item import Caller, Item

log = structlog.get_logger()

SCOPE = "notify"
_LONGEST_KEY = 255
_CLOUD_EVENTS = "1.0"


class KeyRefused(Exception):
    """Nothing can be taken in this key's name. The message is for people."""


def identity(plain: str, *, is_used: bool = True) -> KeyIdentity:
    """The key that messages are taken in by, whose use is noted. Raises KeyRefused, or one of UNAVAILABLE."""
    key = keys.find_key(plain)
    if key is None:
        raise KeyRefused("the key is unknown, expired or revoked, or its producer is disabled")
    if SCOPE not in key.scopes:
        raise KeyRefused(f"the key lacks the scope {SCOPE}")
    if key.networks is not None:
        raise KeyRefused("the key is limited to networks, and nobody knows where a message comes from")
    if is_used:
        key_use.note(key.key_id)
    return key


def read(key: KeyIdentity, batch: Sequence[Message], names: FieldMap | None = None) -> list[Item | Rejected]:
    """What each message asks for. Asks no database."""
    g.key = key
    caller = Caller.of_key(
        key.producer_id,
        key.scopes,
        key.types,
        is_test=key.is_test,
        request_id=new_hex(),  # of the batch: its lines belong together
        label=key.label,
        key_id=key.key_id,
    )
    return [_read(caller, message, names) for message in batch]


def _read(caller: Caller, message: Message, names: FieldMap | None) -> Item | Rejected:
    try:
        submission = _submission(message, names)
    except Rejected as refused:
        return refused
    except Exception:  # as a call would get a 500: one message must not end the process, again and again
        log.exception("consume.failed", messages=1)
        return Rejected("internal_error", "it could not be read; the log has the details")
    return Item(replace(caller, traceparent=message.traceparent) if message.traceparent else caller, submission)


def _submission(message: Message, names: FieldMap | None) -> Submission:
    """Raises Rejected."""
    most = current_app.config["MAX_CONTENT_LENGTH"]
    if len(message.body) > most:
        raise Rejected("body_too_large", f"the message has {len(message.body):,} bytes; the maximum is {most:,}")
    try:
        body = read_json(message.body)
    except Rejected as refused:
        if message.body.startswith(b"\0"):  # a schema registry's: magic byte, id of the schema, then Avro or Protobuf
            raise Rejected(
                "malformed_json", "it begins with a schema registry's prefix; send plain JSON, without a serializer"
            ) from None
        raise refused from None
    refuse_unless_object(body)
    key = message.key
    if "specversion" in body:
        body, key = _of_cloud_event(body)
    if names is not None:
        body = names.applied(body)
    return _of_trigger(body, key) if "eventType" in body else judge_canonical(body, _fitting(key))


def _of_trigger(given: Mapping[str, Any], key: str) -> Submission:
    try:
        body = TriggerIn.model_validate(given)
    except ValidationError as error:
        raise errors.from_validation(error) from None
    with trigger_words(body).spoken():
        return triggered(body, given, None if body.eventId else _fitting(key))


def _of_cloud_event(event: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """→ the body in it, and the key that the event is known by. Raises Rejected."""
    if event["specversion"] != _CLOUD_EVENTS:
        raise _faulty("/specversion", f"this must be {_CLOUD_EVENTS!r}")
    for name in ("id", "source"):
        if not isinstance(event.get(name), str) or not event[name]:
            raise _faulty(f"/{name}", "this is required, and must be text")
    body = event.get("data")
    if "data_base64" in event:
        try:
            body = read_json(base64.b64decode(event["data_base64"], validate=True))
        except (binascii.Error, ValueError, TypeError):
            raise _faulty("/data_base64", "this must be Base64") from None
    if not isinstance(body, dict):
        raise _faulty("/data", "this must be an object, the body of POST /api/v1/notifications")
    return body, f"cloudevent:{event['source']} {event['id']}"


def _faulty(pointer: str, message: str) -> Rejected:
    return Rejected("validation_failed", f"{pointer}: {message}", (Fault(pointer, "invalid_cloud_event", message),))


def _fitting(key: str) -> str:
    """As a header could have it: senders choose the ids in it, and no database stores some signs."""
    if len(key) <= _LONGEST_KEY and key.isprintable():
        return key
    return f"sha256:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def another_key(item: Item) -> Item:
    """For a message that is none of those before it, though its guessed key is the same."""
    assert item.submission.idempotency is not None
    key, digest = item.submission.idempotency
    return replace(item, submission=replace(item.submission, idempotency=(_fitting(f"{key} {new_hex()}"), digest)))


def charge(key: KeyIdentity, item: Item) -> None:
    """Counts it against the key's limit. Raises Rejected: `rate_limited` for what may pass later."""
    g.key = key
    people = len(item.submission.recipients)
    limits.charge(people)


def cannot_ever_pass(item: Item) -> Rejected | None:
    """Why it would wait for the key's limit for ever, if it would."""
    people, most = len(item.submission.recipients), current_app.extensions["limiter"].item.amount
    if people <= most:
        return None
    return Rejected("validation_failed", f"it is for {people:,} people; RATE_LIMIT lets {most:,} through at a time")
