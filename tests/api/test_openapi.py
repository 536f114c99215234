"""The OpenAPI document says what the code does: every call is in it, and answers are of the shapes it describes."""

import json
import re
from typing import Any

from apiflask import APIFlask
from flask import Response
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.api.described import faults_of, operations


def path_of(rule: str) -> str:
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule)


def test_it_is_public_and_of_version_3_1(client: FlaskClient, document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Notifier"


def test_its_page_is_a_list_of_the_calls_without_a_script_and_offers_the_document(
    client: FlaskClient, document: dict[str, Any]
) -> None:
    answer = client.get("/api/docs")
    assert answer.status_code == 200
    missing = [call for call in operations(document) if f"<code>{' '.join(call)}</code>" not in answer.text]
    assert missing == []
    assert 'href="/api/openapi.json" download' in answer.text
    assert '<header class="top">' in answer.text


def test_every_call_is_in_it_and_no_page_is(app: APIFlask, document: dict[str, Any]) -> None:
    """What cells say to one another is their own business."""
    calls = {
        (method, path_of(rule.rule))
        for rule in app.url_map.iter_rules()
        if getattr(app.view_functions[rule.endpoint], "access", None) and not rule.rule.startswith("/cells/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert set(operations(document)) == calls


def test_every_reference_in_it_leads_somewhere(document: dict[str, Any]) -> None:
    resolver = Registry().with_resource("", DRAFT202012.create_resource(document)).resolver()
    references = set(re.findall(r'"\$ref": ?"([^"]+)"', json.dumps(document)))

    assert len(references) > 20
    for reference in references:
        resolver.lookup(reference)


def test_every_schema_in_it_is_one(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


OPEN_OF_OAUTH = ("/oauth/jwks.json", "/.well-known/oauth-authorization-server")


def test_every_call_is_described_and_says_who_may_call_it(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    for call, operation in operations(document).items():
        assert operation["summary"], call
        assert len({op["operationId"] for op in operations(document).values()}) == len(operations(document))
        assert {name for wanted in operation["security"] for name in wanted} <= set(schemes), call
        assert (
            call[1] in ("/healthz", "/readyz", "/metrics", "/api/openapi.json", "/api/docs", *OPEN_OF_OAUTH)
            or operation["security"]
        ), call


def test_every_call_with_a_key_describes_its_problems(whole: dict[tuple[str, str], Any]) -> None:
    for call, operation in whole.items():
        if operation["security"] == [{"key": []}]:
            problems = {"401", "403", "429", "503"} | ({"400", "413", "422"} if "requestBody" in operation else set())
            assert problems <= set(operation["responses"]), call
            assert all(
                set(operation["responses"][status]["content"]) == {"application/problem+json"} for status in problems
            ), call


EXAMPLE = {
    "type": "order_shipped",
    "recipients": ["alice", {"id": "erin", "email": "erin@example.test"}],
    "data": {"order_id": "A1"},
}
# Each call once or more; `{…}` is filled with what the ones before answered.
CALLS: list[tuple[str, str, str, Any]] = [
    ("POST", "/api/v1/notifications", "/api/v1/notifications", EXAMPLE),
    ("POST", "/api/v1/notifications", "/api/v1/notifications", EXAMPLE | {"recipients": ["nobody"]}),
    ("POST", "/api/v1/notifications", "/api/v1/notifications?dry_run=true", EXAMPLE),
    ("POST", "/api/v1/notifications/bulk", "/api/v1/notifications/bulk", {"notifications": [EXAMPLE, 5]}),
    ("POST", "/api/v1/notifications/bulk", "/api/v1/notifications/bulk?dry_run=1", {"notifications": [EXAMPLE, 5]}),
    ("POST", "/api/v1/schedules", "/api/v1/schedules?dry_run=true", {"cron": "0 9 * * *", "notification": EXAMPLE}),
    ("GET", "/api/v1/notifications", "/api/v1/notifications?limit=2", None),
    ("GET", "/api/v1/notifications/{notification_id}", "/api/v1/notifications/{ntf}", None),
    ("GET", "/api/v1/notifications/{notification_id}", "/api/v1/notifications/nothing", None),
    ("POST", "/api/v1/notifications/{notification_id}/cancel", "/api/v1/notifications/{ntf}/cancel", None),
    ("POST", "/api/v1/notifications/{notification_id}/cancel", "/api/v1/notifications/{ntf}/cancel", None),
    ("GET", "/api/v1/submissions/{submission_id}", "/api/v1/submissions/{sub}", None),
    ("PUT", "/api/v1/users/{user_id}", "/api/v1/users/frank", {"email": "frank@example.test"}),
    ("PUT", "/api/v1/users/{user_id}", "/api/v1/users/frank", {"email": "frank@example.test"}),
    ("GET", "/api/v1/users/{user_id}", "/api/v1/users/alice", None),
    ("PATCH", "/api/v1/users/{user_id}", "/api/v1/users/alice", {"locale": "de"}),
    ("GET", "/api/v1/users/{user_id}/export", "/api/v1/users/alice/export", None),
    ("GET", "/api/v1/users/{user_id}/erasures", "/api/v1/users/alice/erasures", None),
    ("GET", "/api/v1/users/{user_id}/addresses", "/api/v1/users/alice/addresses", None),
    (
        "POST",
        "/api/v1/users/{user_id}/addresses",
        "/api/v1/users/alice/addresses",
        {"channel": "webhook", "value": "https://example.com/"},
    ),
    ("POST", "/api/v1/users/{user_id}/token", "/api/v1/users/alice/token", None),
    ("GET", "/api/v1/users/{user_id}/preferences", "/api/v1/users/alice/preferences", None),
    (
        "PUT",
        "/api/v1/users/{user_id}/preferences",
        "/api/v1/users/alice/preferences",
        {"quiet_hours": {"start": "22:00", "end": "07:00"}},
    ),
    ("PATCH", "/api/v1/users/{user_id}/preferences", "/api/v1/users/alice/preferences", {"types": {"like": False}}),
    ("POST", "/api/v1/subscriptions", "/api/v1/subscriptions", {"url": "https://example.com/", "events": ["inbox.*"]}),
    ("GET", "/api/v1/subscriptions", "/api/v1/subscriptions", None),
    ("GET", "/api/v1/subscriptions/{subscription_id}", "/api/v1/subscriptions/{sbn}", None),
    ("PATCH", "/api/v1/subscriptions/{subscription_id}", "/api/v1/subscriptions/{sbn}", {"types": ["like"]}),
    (
        "POST",
        "/api/v1/subscriptions/{subscription_id}/rotate-secret",
        "/api/v1/subscriptions/{sbn}/rotate-secret",
        None,
    ),
    ("POST", "/api/v1/subscriptions/{subscription_id}/test", "/api/v1/subscriptions/{sbn}/test", None),
    ("GET", "/api/v1/subscriptions/{subscription_id}/attempts", "/api/v1/subscriptions/{sbn}/attempts", None),
    (
        "POST",
        "/api/v1/subscriptions/{subscription_id}/replay",
        "/api/v1/subscriptions/{sbn}/replay",
        {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"},
    ),
    ("GET", "/api/v1/types", "/api/v1/types", None),
    ("GET", "/api/v1/types/{key}", "/api/v1/types/order_shipped", None),
    ("GET", "/api/v1/templates", "/api/v1/templates", None),
    ("GET", "/api/v1/templates/{name}", "/api/v1/templates/order_shipped", None),
    (
        "POST",
        "/api/v1/templates",
        "/api/v1/templates",
        {"key": "openapi_words", "contents": [{"channel": "*", "title": "Hello"}]},
    ),
    (
        "PUT",
        "/api/v1/templates/{name}",
        "/api/v1/templates/openapi_words@1",
        {"contents": [{"channel": "*", "title": "Hi"}]},
    ),
    ("POST", "/api/v1/templates/{name}/preview", "/api/v1/templates/openapi_words@1/preview", {"channel": "email"}),
    ("POST", "/api/v1/templates/{name}/preview", "/api/v1/templates/openapi_words@1/preview", {"channel": "pigeon"}),
    ("POST", "/api/v1/templates/{name}/publish", "/api/v1/templates/openapi_words@1/publish", None),
    ("POST", "/api/v1/templates/{name}/publish", "/api/v1/templates/openapi_words@1/publish", None),
    ("PUT", "/api/v1/templates/{name}", "/api/v1/templates/openapi_words@1", {"contents": []}),
    ("GET", "/api/v1/sandbox", "/api/v1/sandbox", None),
    ("GET", "/api/v1/events", "/api/v1/events?after=xyz", None),
    (
        "POST",
        "/notify",
        "/notify",
        {"userId": "alice", "type": "EMAIL", "template": "ORDER_SHIPPED", "data": {"orderId": "A"}},
    ),
    (
        "POST",
        "/notify/bulk",
        "/notify/bulk",
        {"notifications": [{"userId": "alice", "template": "ORDER_SHIPPED", "data": {"orderId": "A"}}]},
    ),
    ("POST", "/notify", "/notify?dry_run=true", {"userId": "alice", "template": "LIKE", "data": {"actor": "Eve"}}),
    ("GET", "/notify/status/{shown_id}", "/notify/status/{ntf}", None),
    ("GET", "/user/preferences/{user_id}", "/user/preferences/alice", None),
    (
        "POST",
        "/notifications/trigger",
        "/notifications/trigger",
        {"eventType": "ORDER_SHIPPED", "userId": "alice", "metadata": {"orderId": "A"}},
    ),
    (
        "POST",
        "/notifications/preferences",
        "/notifications/preferences",
        {"userId": "alice", "eventType": "LIKE", "channel": "SMS", "enabled": True},
    ),
    (
        "POST",
        "/notifications/send",
        "/notifications/send",
        {
            "user_ids": ["alice"],
            "notification_type": "transactional",
            "template_id": "order_shipped",
            "variables": {"orderId": "A"},
        },
    ),
    ("POST", "/oauth/token", "/oauth/token", None),
    ("POST", "/oauth/revoke", "/oauth/revoke", None),
    ("GET", "/oauth/jwks.json", "/oauth/jwks.json", None),
    ("GET", "/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server", None),
    ("GET", "/healthz", "/healthz", None),
    ("GET", "/readyz", "/readyz", None),
]


def test_answers_are_of_the_shapes_it_describes(
    api: Any, cast: Any, document: dict[str, Any], whole: dict[tuple[str, str], Any]
) -> None:
    known: dict[str, str] = {}
    for method, path, url, body in CALLS:
        response: Response = getattr(api, method.lower())(url.format(**known), body)
        described = whole[method, path]["responses"]
        assert str(response.status_code) in described, (url, response.status_code)
        assert response.mimetype in described[str(response.status_code)]["content"], url
        schema = described[str(response.status_code)]["content"][response.mimetype]["schema"]
        assert faults_of(document, schema, response.json) == [], url
        if url == "/api/v1/notifications" and response.status_code == 202:
            known = {"sub": response.json["id"], "ntf": response.json["notifications"][0]["id"]}
        if url == "/api/v1/subscriptions" and response.status_code == 201:
            known["sbn"] = response.json["id"]


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def test_every_method_of_every_path_is_answered_as_it_says(api: Any, document: dict[str, Any]) -> None:
    for path, described in document["paths"].items():
        allowed = {method.upper() for method in described} | {"OPTIONS"}
        allowed |= {"HEAD"} if "GET" in allowed else set()
        for method in METHODS:
            answer = getattr(api, method.lower())(
                re.sub(r"\{[^}]+\}", "not-there", path), {} if method in ("POST", "PUT", "PATCH") else None
            )
            if method.lower() in described:
                assert str(answer.status_code) in described[method.lower()]["responses"], (method, path)
            if method == "OPTIONS" or method not in allowed:
                assert answer.status_code == (200 if method == "OPTIONS" else 405), (method, path)
                assert set(answer.headers["Allow"].split(", ")) == allowed, (method, path)
