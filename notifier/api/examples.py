"""Examples for the OpenAPI document: one for each body, each answer and each part of a path.

Bodies are written down here, for a person reads and copies them. Answers are made of their schemas, field by field:
by a field's own `examples`, else by its name. A new call without an example fails a test.
"""

from typing import Any

_ID = "01a22ad5ae93712dac1b1e9d33f0e4a8"
_TIME = "2026-12-01T09:00:00Z"
_ORDER = {
    "type": "order_shipped",
    "recipients": [{"id": "alice", "email": "alice@example.test"}],
    "data": {"order_id": "A123", "tracking_url": "https://example.test/A123"},
}
_WORDS = [{"channel": "*", "title": "Order {{ order_id }} is on its way", "body": "Follow it: {{ tracking_url }}"}]
_PERSON = {"name": "Alice", "email": "alice@example.test", "locale": "en", "time_zone": "Europe/Berlin"}
_OLD_ORDER = {"userId": "alice", "type": "EMAIL", "template": "ORDER_SHIPPED", "data": {"orderId": "A123"}}

# component → a body
BODIES: dict[str, dict[str, Any]] = {
    "AddressIn": {"channel": "webhook", "value": "https://example.com/hook", "label": "Home server"},
    "AlertsIn": {
        "version": "4",
        "groupKey": '{}:{alertname="NotifierQueueIsLate"}',
        "status": "firing",
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "NotifierQueueIsLate", "severity": "warning"},
                "annotations": {"summary": "E-mails wait for more than a minute"},
                "startsAt": "2026-12-01T09:00:00Z",
            }
        ],
    },
    "BroadcastIn": {
        "name": "Spring sale",
        "type": "promotional_offer",
        "audience": {"where": {"attributes.plan": "pro"}},
        "data": {"title": "Spring sale", "url": "https://example.test/sale"},
    },
    "BulkIn": {"notifications": [_ORDER]},
    "ChoiceIn": {"userId": "alice", "eventType": "ORDER_CANCELLED", "channel": "SMS", "enabled": False},
    "ChosenIn": {"ids": [f"dlv_{_ID}"]},
    "KeepIn": {"keep": "b"},
    "NotifyBulkIn": {"notifications": [_OLD_ORDER]},
    "NotifyIn": _OLD_ORDER,
    "OpenedIn": {"ids": [f"dlv_{_ID}"]},
    "OwnChoiceIn": {"switch": {"type": "promotional_offer", "channel": "email", "on": False}},
    "PreferencesIn": {
        "channels": {"sms": False},
        "types": {"promotional_offer": {"email": False}},
        "quiet_hours": {"start": "22:00", "end": "07:00"},
        "digest": {"social": "daily"},
    },
    "PreviewIn": {"audience": {"where": {"attributes.plan": "pro"}}},
    "ProducerPatch": {"webhook_targets": ["*.example.com", "203.0.113.0/24"], "phone_countries": ["AT", "DE"]},
    "ReencryptionIn": {"new_digest_key": True},
    "ReplayIn": {"since": "2026-12-01T09:00:00Z", "until": "2026-12-01T10:00:00Z"},
    "ScheduleIn": {"cron": "30 8 * * MON", "time_zone": "Europe/Berlin", "notification": _ORDER},
    "SchedulePatch": {"paused": True},
    "SeenIn": {"ids": [f"dlv_{_ID}"]},
    "SendIn": {
        "user_ids": ["alice"],
        "notification_type": "transactional",
        "channels": ["push", "email"],
        "template_id": "order_shipped",
        "variables": {"orderId": "A123"},
    },
    "SnoozeIn": {"ids": [f"dlv_{_ID}"], "until": "2026-12-02T09:00:00Z"},
    "SubmissionIn": _ORDER,
    "SubscriptionIn": {"url": "https://example.com/webhooks/notifier", "events": ["delivery.*"]},
    "SubscriptionPatch": {"types": ["order_shipped"]},
    "TemplateContentsIn": {"contents": _WORDS},
    "TemplateIn": {"key": "parcel_shipped", "contents": _WORDS},
    "TemplatePreviewIn": {"channel": "email", "data": _ORDER["data"]},
    "TokenIn": {"expires_in": 3600},
    "TriggerIn": {"eventType": "ORDER_SHIPPED", "userId": "alice", "metadata": {"orderId": "ORD123"}},
    "TypeIn": {
        "titles": {"en": "Parcel shipped"},
        "descriptions": {"en": "Your parcel has left our warehouse."},
        "category": "transactional",
        "priority": "high",
        "channels": ["inapp", "email"],
        "schema": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
    },
    "UserIn": _PERSON,
    "UserPatch": {"locale": "de"},
    "VariantIn": {"name": "b", "weight": 50, "contents": _WORDS},
}
# A field's name → its value in answers, and a parameter's in calls
_VALUES: dict[str, Any] = {
    "access_token": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.…",
    "account": "twilio",
    "address": "a…@example.test",
    "address_id": f"adr_{_ID}",
    "attributes": {"plan": "pro"},
    "because": "the type's own channels",
    "body": "Follow it: https://example.test/A123",
    "broadcast": f"brd_{_ID}",
    "broadcast_id": f"brd_{_ID}",
    "by": "person",
    "caps": {"social": {"day": 10}},
    "categories": {"social": {"email": True}},
    "category": "transactional",
    "channel": "email",
    "code": "250",
    "cron": "30 8 * * MON",
    "cursor": "5f3a0000000000000012ab34cd",
    "data": _ORDER["data"],
    "database": "ok",
    "delivery": f"dlv_{_ID}",
    "description": "The shop's own webhook",
    "detail": {"channels": ["email"]},
    "digest_at": "08:00",
    "duration_ms": 120,
    "effective": {"order_shipped": {"email": {"enabled": True, "because": "default"}}},
    "email": "alice@example.test",
    "error": "invalid_client",
    "error_description": "the key is unknown, expired or revoked",
    "event": f"evt_{_ID}",
    "expires_in": 600,
    "headers": {"content-type": "application/json"},
    "held": "wait",
    "home_region": "eu",
    "issuer": "https://notify.example.test",
    "item_id": f"dlv_{_ID}",
    "key": "order_shipped",
    "keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "x": "…", "y": "…"}],
    "label": "Home server",
    "language": "en",
    "locale": "en",
    "media_type": "image/png",
    "message": "OK",
    "name": "order_shipped",
    "next": f"ntf_{_ID}",
    "notification": f"ntf_{_ID}",
    "notification_id": f"ntf_{_ID}",
    "notification_ids": [f"ntf_{_ID}"],
    "notification_type": "order_shipped",
    "outcome": "sent",
    "phone": "+4915112345678",
    "priority": "high",
    "provider": "smtp",
    "reachable": {"email": 1200},
    "redis": "ok",
    "routing": "all",
    "rule": "preference",
    "sample": ["alice", "bob"],
    "schedule_id": f"sch_{_ID}",
    "schema": {"type": "object"},
    "scope": "notify",
    "scopes_supported": ["notify", "read"],
    "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "sentence": "They did not turn it off.",
    "sentences": ["You get this because your account uses it."],
    "seq": 42,
    "shown_id": f"ntf_{_ID}",
    "status": "delivered",
    "subject": "Order A123 is on its way",
    "submission": f"sub_{_ID}",
    "submission_id": f"sub_{_ID}",
    "subscription_id": f"sbn_{_ID}",
    "template": "order_shipped@3",
    "time_zone": "Europe/Berlin",
    "timestamp": _TIME,
    "title": "Order A123 is on its way",
    "titles": {"en": "Order shipped"},
    "to": {"email": "alice@example.test"},
    "token": "eyJ1IjoiYWxpY2UifQ.…",
    "token_type": "Bearer",
    "type": "order_shipped",
    "upload_id": f"upl_{_ID}",
    "url": "https://notify.example.test/images/a1.png",
    "user": "alice",
    "user_id": "alice",
    "value": "alice@example.test",
}
_TEXTS = {"text/html": "<!DOCTYPE html>…", "text/plain": 'notifier_queue_jobs{queue="email.high"} 0'}  # not JSON
_NULL = {  # where it may be: what goes wrong, or has not happened yet
    *("error", "reason", "disabled_at", "disabled_reason", "last_fault", "failing_since", "previous_secret_until"),
    *(
        "stopped_at",
        "finished_at",
        "archived_at",
        "snoozed_until",
        "paused_reason",
        "replay",
        "mute_until",
        "request_id",
    ),
}
_PREFIXES = {  # component → what its `id` begins with; the others' are of notifications
    "AddressOut": "adr",
    "BroadcastOut": "brd",
    "CaptureOut": "cap",
    "DeliveryOut": "dlv",
    "EventDeliveryOut": "dlv",
    "EventOut": "evt",
    "ItemOut": "dlv",
    "NewAddressOut": "adr",
    "NewSubscriptionOut": "sbn",
    "PingOut": "evt",
    "ScheduleOut": "sch",
    "SubmissionOut": "sub",
    "SubmissionStatusOut": "sub",
    "SubscriptionOut": "sbn",
    "UploadOut": "upl",
}
_DEEPEST = 30  # levels: nothing is nested deeper, unless in itself


def add_to(document: dict[str, Any]) -> None:
    """Puts an example beside every schema of a body, an answer or a part of a path that has none."""
    schemas = document["components"]["schemas"]
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            name = media["schema"].get("$ref", "").rpartition("/")[2]
            if name in BODIES:
                media["example"] = BODIES[name]
        for response in operation["responses"].values():
            for media_type, media in response.get("content", {}).items():
                text = _TEXTS.get(media_type)
                media.setdefault("example", text or _of_schema(schemas, media["schema"], "", "", 0))
        for parameter in operation.get("parameters", ()):
            if parameter.get(
                "required"
            ):  # the API's page fills in examples: of what need not be sent, it would send them
                parameter.setdefault("example", _of_schema({}, parameter["schema"], parameter["name"], "", 0))


def _of_schema(schemas: dict[str, Any], schema: dict[str, Any], field: str, owner: str, depth: int) -> Any:
    """`owner`: the component whose field it is."""
    if depth > _DEEPEST:
        return None
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _of_schema(schemas, schemas[name], field, name, depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        is_null = field in _NULL and {"type": "null"} in choices
        return None if is_null else _of_schema(schemas, choices[0], field, owner, depth + 1)
    return _of_type(schemas, schema, field, owner, depth)


def _of_type(schemas: dict[str, Any], schema: dict[str, Any], field: str, owner: str, depth: int) -> Any:
    kinds = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list, "object": dict}
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    known = _VALUES.get(field)
    if isinstance(known, kinds[kind]) and "properties" not in schema and "$ref" not in schema.get("items", ""):
        return known
    match kind:
        case "string":
            return _of_text(schema, field, owner)
        case "integer":
            return max(1, schema.get("minimum", 1))
        case "number":
            return 0.5
        case "boolean":
            return False
        case "array":
            return [_of_schema(schemas, schema["items"], field.removesuffix("s"), owner, depth + 1)]
    more = schema.get("additionalProperties")
    if "properties" not in schema:
        return {"email": _of_schema(schemas, more, "", owner, depth + 1)} if isinstance(more, dict) else {}
    return {name: _of_schema(schemas, inner, name, owner, depth + 1) for name, inner in schema["properties"].items()}


def _of_text(schema: dict[str, Any], field: str, owner: str) -> str:
    if field == "id":
        return "alice" if owner == "UserOut" else f"{_PREFIXES.get(owner, 'ntf')}_{_ID}"
    if schema.get("format") == "date-time" or field.endswith(("_at", "since", "until")):
        return _TIME
    if field.endswith(("url", "uri", "_endpoint", "_documentation")):
        return "https://notify.example.test/"
    return field.replace("_", " ") or "text"
