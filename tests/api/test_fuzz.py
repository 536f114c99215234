"""Whatever is sent to whatever call, the answer is a success or a problem that says whose fault it was: never a 500."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

TEXTS = st.text(st.characters(codec=None), max_size=12) | st.sampled_from(
    ["\x00", "\ud800", "alice", "order_shipped", "email", "2026-12-01T09:00:00Z", "@", "/", "%"]
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)

ORDER = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}}
# A call and a body that it takes.
CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/api/v1/notifications", ORDER),
    (
        "POST",
        "/api/v1/notifications",
        ORDER
        | {
            "channels": ["email"],
            "priority": "high",
            "template": "order_shipped@1",
            "expires_in": 60,
            "idempotency_key": "k",
        },
    ),
    ("POST", "/api/v1/notifications?dry_run=true", ORDER),
    ("POST", "/api/v1/notifications/bulk", {"notifications": [ORDER]}),
    (
        "PUT",
        "/api/v1/users/fred",
        {
            "name": "F",
            "email": "f@example.test",
            "phone": "+4915112345678",
            "locale": "de",
            "time_zone": "UTC",
            "attributes": {},
        },
    ),
    ("PATCH", "/api/v1/users/alice", {"name": "A", "attributes": {"a": 1}}),
    ("POST", "/api/v1/users/alice/addresses", {"channel": "webhook", "value": "https://example.com/", "label": "x"}),
    ("POST", "/api/v1/users/alice/addresses", {"channel": "webpush", "value": "x"}),
    ("POST", "/api/v1/users/alice/token", {"expires_in": 60}),
    (
        "PUT",
        "/api/v1/users/alice/preferences",
        {"channels": {"sms": True}, "types": {"like": False}, "caps": {"social": {"day": 3}}, "held": "drop"},
    ),
    (
        "PATCH",
        "/api/v1/users/alice/preferences",
        {
            "quiet_hours": {"start": "22:00", "end": "07:00", "days": [1]},
            "mute_until": None,
            "digest": {"social": "off"},
        },
    ),
    (
        "PUT",
        "/api/v1/types/X",
        {
            "titles": {"en": "X"},
            "category": "social",
            "priority": "low",
            "channels": ["inapp"],
            "schema": {"type": "object"},
        },
    ),
    ("POST", "/notify", {"userId": "alice", "type": "EMAIL", "template": "ORDER_SHIPPED", "data": {"orderId": "A"}}),
    (
        "POST",
        "/notify/bulk",
        {"notifications": [{"userId": "alice", "template": "ORDER_SHIPPED", "data": {"orderId": "A"}}]},
    ),
    (
        "POST",
        "/notifications/trigger",
        {"eventType": "ORDER_SHIPPED", "userId": "alice", "metadata": {"orderId": "A"}, "eventId": "e"},
    ),
    ("POST", "/notifications/preferences", {"userId": "alice", "eventType": "LIKE", "channel": "SMS", "enabled": True}),
    (
        "POST",
        "/notifications/send",
        {
            "user_ids": ["alice"],
            "notification_type": "transactional",
            "template_id": "order_shipped",
            "variables": {"orderId": "A"},
            "scheduled_time": 1,
            "ttl": 5,
        },
    ),
]


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[str, str, Any]:
    """A call whose body is right but for one place, or not at all."""
    method, url, body = draw(st.sampled_from(CALLS))
    body = json.loads(json.dumps(body))
    if draw(st.integers(0, 9)) == 0:
        return method, url, draw(VALUES)
    node: Any = body
    while True:
        key = draw(st.sampled_from(sorted(node))) if isinstance(node, dict) else draw(st.integers(0, len(node) - 1))
        if not (isinstance(node[key], dict | list) and node[key] and draw(st.booleans())):
            break
        node = node[key]
    if isinstance(node, dict) and draw(st.booleans()):
        node[draw(TEXTS)] = draw(VALUES)
    else:
        node[key] = draw(VALUES)
    return method, url, body


@settings(max_examples=250, derandomize=True)
@given(call=spoilt())
def test_no_body_makes_a_call_fail(api: Any, cast: Any, call: tuple[str, str, Any]) -> None:
    method, url, body = call

    response = getattr(api, method.lower())(url, data=json.dumps(body).encode())

    assert response.status_code < 500, (call, response.text)
    if response.status_code >= 400:
        assert response.content_type == "application/problem+json"
        assert response.json["code"]


PATHS = ["/api/v1/notifications/{}", "/api/v1/submissions/{}", "/api/v1/users/{}", "/api/v1/users/{}/addresses",
    "/api/v1/users/{}/export", "/api/v1/users/{}/erasures",
         "/api/v1/users/{}/preferences", "/api/v1/types/{}", "/api/v1/templates/{}", "/notify/status/{}",
         "/user/preferences/{}",
         "/api/v1/notifications?user={}", "/api/v1/notifications?after={}", "/api/v1/notifications?limit={}",
         "/api/v1/events?after={}", "/api/v1/events?types={}", "/api/v1/events?limit={}",
         "/api/v1/notifications?status={}",
         "/api/v1/sandbox?channel={}", "/api/v1/sandbox?after={}"]  # fmt: skip
HOLES = st.sampled_from(
    [
        "%00",
        "%ed%a0%80",
        "%ff",
        "ntf_" + "0" * 32,
        "ntf_" + "_" * 32,
        "cap_" + "z" * 32,
        "a%20b",
        "%2e%2e",
        "%F0%9F%92%A9",
        "@",
        "order_shipped@-1",
    ]
)


@settings(max_examples=150, derandomize=True)
@given(
    path=st.sampled_from(PATHS),
    hole=HOLES
    | st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/?#%&"), min_size=1, max_size=8),
)
def test_no_address_makes_a_call_fail(api: Any, cast: Any, path: str, hole: str) -> None:
    response = api.get(path.format(hole))

    assert response.status_code < 500, (path, hole, response.text)
