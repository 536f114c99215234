"""Who may call what. Closed by default: every route of the product has a rule, and each scope opens its calls only."""

from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from notifier.access import accounts, sessions
from notifier.access.keys import create_key, create_producer, revoke_key
from notifier.api.auth import Access, Door
from notifier.core.networks import parse
from notifier.ground import tokens
from notifier.models.producer import SCOPES
from tests.conftest import subject_of

# The calls that need no key. Whatever is added here is open to the whole world.
PUBLIC = {
    *("/healthz", "/readyz", "/metrics", "/api/openapi.json", "/api/docs"),
    *("/oauth/jwks.json", "/.well-known/oauth-authorization-server"),
}


def rules(app: APIFlask) -> list[tuple[str, str, Any]]:
    """(path, method, view) of every route there is."""
    return [
        (rule.rule, method, app.view_functions[rule.endpoint])
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def producers_calls(app: APIFlask) -> list[tuple[str, str, Access]]:
    return [
        (path, method, view.access)
        for path, method, view in rules(app)
        if hasattr(view, "access") and view.access.kind == "producer"
    ]


def test_only_these_calls_are_open_to_everybody(app: APIFlask) -> None:
    assert {path for path, _, view in rules(app) if hasattr(view, "access") and view.access.kind == "public"} == PUBLIC


def test_only_the_hooks_are_for_providers(app: APIFlask) -> None:
    calls = {
        (method, path)
        for path, method, view in rules(app)
        if hasattr(view, "access") and view.access.kind == "provider"
    }
    assert calls == {("POST", "/hooks/<account>"), ("GET", "/hooks/<account>")}


def test_only_the_door_of_pubsub_is_for_buses(app: APIFlask) -> None:
    calls = {
        (method, path) for path, method, view in rules(app) if hasattr(view, "access") and view.access.kind == "bus"
    }
    assert calls == {("POST", "/hooks/pubsub/<string(maxlength=64):name>")}


def test_other_cells_have_these_calls_only(app: APIFlask) -> None:
    assert {path for path, _, view in rules(app) if hasattr(view, "access") and view.access.kind == "cell"} == {
        "/cells/calls",
        "/cells/people",
    }


def test_clients_of_oauth_show_their_key_at_these_calls_only(app: APIFlask) -> None:
    calls = {
        (method, path) for path, method, view in rules(app) if hasattr(view, "access") and view.access.kind == "client"
    }
    assert calls == {("POST", "/oauth/token"), ("POST", "/oauth/revoke")}


def test_a_route_without_a_rule_cannot_be_declared() -> None:
    door = Door("open", __name__)

    with pytest.raises(RuntimeError, match="who may call it"):

        @door.get("/open")
        def view() -> str:
            return ""


CALLS_BY_SCOPE = {
    "notify": {
        "POST /api/v1/notifications",
        "POST /api/v1/notifications/bulk",
        "POST /api/v1/notifications/<notification_id>/cancel",
        "POST /api/v1/schedules",
        "GET /api/v1/schedules",
        "GET /api/v1/schedules/<schedule_id>",
        "PATCH /api/v1/schedules/<schedule_id>",
        "DELETE /api/v1/schedules/<schedule_id>",
        "POST /notify",
        "POST /notify/bulk",
        "POST /notifications/trigger",
        "POST /notifications/send",
    },
    "read": {
        "GET /api/v1/producer",
        "GET /api/v1/events",
        "GET /api/v1/notifications",
        "GET /api/v1/notifications/<string(minlength=5):notification_id>",
        "GET /api/v1/submissions/<submission_id>",
        "POST /api/v1/subscriptions",
        "GET /api/v1/subscriptions",
        "GET /api/v1/subscriptions/<subscription_id>",
        "PATCH /api/v1/subscriptions/<subscription_id>",
        "DELETE /api/v1/subscriptions/<subscription_id>",
        "POST /api/v1/subscriptions/<subscription_id>/rotate-secret",
        "POST /api/v1/subscriptions/<subscription_id>/test",
        "GET /api/v1/subscriptions/<subscription_id>/attempts",
        "POST /api/v1/subscriptions/<subscription_id>/replay",
        "GET /api/v1/types",
        "GET /api/v1/types/<key>",
        "GET /api/v1/templates",
        "GET /api/v1/templates/<name>",
        "GET /api/v1/templates/<name>/experiment",
        "GET /notify/status/<shown_id>",
    },
    "users": {
        "PUT /api/v1/users/<user_id>",
        "GET /api/v1/users/<user_id>",
        "PATCH /api/v1/users/<user_id>",
        "DELETE /api/v1/users/<user_id>",
        "GET /api/v1/users/<user_id>/export",
        "GET /api/v1/users/<user_id>/erasures",
        "GET /api/v1/users/<user_id>/addresses",
        "POST /api/v1/users/<user_id>/addresses",
        "DELETE /api/v1/users/<user_id>/addresses/<address_id>",
        "POST /api/v1/users/<user_id>/token",
        "DELETE /api/v1/users/<user_id>/tokens",
        "GET /api/v1/users/<user_id>/preferences",
        "PUT /api/v1/users/<user_id>/preferences",
        "DELETE /api/v1/users/<user_id>/preferences",
        "PATCH /api/v1/users/<user_id>/preferences",
        "GET /user/preferences/<user_id>",
        "POST /notifications/preferences",
    },
    "templates": {
        "GET /api/v1/types",
        "GET /api/v1/types/<key>",
        "PUT /api/v1/types/<key>",
        "GET /api/v1/templates",
        "POST /api/v1/templates",
        "GET /api/v1/templates/<name>",
        "PUT /api/v1/templates/<name>",
        "POST /api/v1/templates/<name>/publish",
        "POST /api/v1/templates/<name>/variants",
        "GET /api/v1/templates/<name>/experiment",
        "POST /api/v1/templates/<name>/experiment/start",
        "POST /api/v1/templates/<name>/experiment/stop",
        "POST /api/v1/templates/<name>/preview",
        "POST /api/v1/images",
    },
    "urgent": set(),
    "broadcast": {
        "POST /api/v1/audiences/preview",
        "POST /cells/uploads",
        "POST /api/v1/uploads",
        "GET /api/v1/uploads/<upload_id>",
        "POST /api/v1/broadcasts",
        "GET /api/v1/broadcasts",
        "GET /api/v1/broadcasts/<broadcast_id>",
        "POST /api/v1/broadcasts/<broadcast_id>/pause",
        "POST /api/v1/broadcasts/<broadcast_id>/resume",
        "POST /api/v1/broadcasts/<broadcast_id>/cancel",
        "POST /api/v1/broadcasts/<broadcast_id>/retry-failed",
        "GET /api/v1/broadcasts/<broadcast_id>/recipients",
    },
    "alerts": {"POST /api/v1/alerts"},
    "admin": {
        "PUT /cells/brands",
        "GET /api/v1/sandbox",
        "PATCH /api/v1/producer",
        "GET /api/v1/reencryption",
        "POST /api/v1/reencryption",
    },
}


def test_each_scope_opens_these_calls(app: APIFlask) -> None:
    assert {
        scope: {f"{method} {path}" for path, method, access in producers_calls(app) if scope in access.scopes}
        for scope in SCOPES
    } == CALLS_BY_SCOPE


REFUSED: dict[str, tuple[str | None, int, str]] = {
    "no header": (None, 401, "unauthenticated"),
    "an empty header": ("", 401, "unauthenticated"),
    "another scheme": ("Basic YTpi", 401, "unauthenticated"),
    "no key after the scheme": ("Bearer ", 401, "unauthenticated"),
    "an unknown key": ("Bearer ntf_live_" + "x" * 43, 401, "invalid_key"),
    "a key that is no text": ("Bearer \xff\xfe", 401, "invalid_key"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_who_shows_no_valid_key_is_a_stranger(client: FlaskClient, case: str) -> None:
    header, status, code = REFUSED[case]

    response = client.get("/api/v1/types", headers={} if header is None else {"Authorization": header})

    assert (response.status_code, response.json["code"]) == (status, code)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_revoked_key_is_refused(client: FlaskClient) -> None:
    producer = create_producer("Shop")
    key, plain = create_key(producer.id, scopes=["read"])
    assert client.get("/api/v1/types", headers=bearer(plain)).status_code == 200

    revoke_key(key.id)

    assert client.get("/api/v1/types", headers=bearer(plain)).json["code"] == "invalid_key"


def test_a_missing_scope_is_named(client: FlaskClient) -> None:
    response = client.get("/api/v1/sandbox", headers=bearer(new_key("notify")))

    assert (response.status_code, response.json["code"]) == (403, "scope_missing")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="notifier", error="insufficient_scope", scope="admin"'


def test_a_users_token_is_refused_on_producers_calls(client: FlaskClient, cast: Any) -> None:
    token, _ = tokens.sign_user_token(subject_of("alice"), 60)

    response = client.get("/api/v1/types", headers=bearer(token))

    assert (response.status_code, response.json["code"]) == (403, "user_token_refused")


def test_a_session_cookie_is_no_key(client: FlaskClient, cast: Any) -> None:
    account = accounts.create_account("alice@example.test", None, role="admin", user_id="alice")
    with client.session_transaction() as session:
        session["_user_id"], session["_fresh"], session[sessions.KEY] = (
            str(account.id),
            True,
            sessions.begin(account, "password"),
        )

    assert client.get("/api/v1/types").status_code == 401


def test_a_producers_key_is_refused_in_the_inbox(api: Any) -> None:
    response = api.get("/api/v1/inbox")

    assert (response.status_code, response.json["code"]) == (403, "producer_key_refused")


def test_a_producer_reads_only_its_own_unless_it_is_an_admin(client: FlaskClient, cast: Any) -> None:
    mine, others, admins = new_key("notify", "read"), new_key("notify", "read"), new_key("read", "admin")
    body = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}}
    accepted = client.post("/api/v1/notifications", json=body, headers=bearer(mine)).json
    notification = accepted["notifications"][0]["id"]
    paths = [
        f"/api/v1/notifications/{notification}",
        f"/api/v1/submissions/{accepted['id']}",
        f"/notify/status/{notification}",
        f"/notify/status/{accepted['id']}",
    ]

    assert [client.get(path, headers=bearer(mine)).status_code for path in paths] == [200] * 4
    assert [client.get(path, headers=bearer(admins)).status_code for path in paths] == [200] * 4
    assert [client.get(path, headers=bearer(others)).status_code for path in paths] == [404] * 4
    assert client.post(f"/api/v1/notifications/{notification}/cancel", headers=bearer(others)).status_code == 404
    assert [
        len(client.get("/api/v1/notifications", headers=bearer(key)).json["data"]) for key in (mine, others, admins)
    ] == [1, 0, 1]


def test_a_key_limited_to_types_submits_no_others(client: FlaskClient, cast: Any) -> None:
    producer = create_producer("Shop")
    _, key = create_key(producer.id, scopes=["notify"], types=["order_placed"])
    body = {"recipients": ["alice"], "data": {"order_id": "A1"}}

    allowed = client.post("/api/v1/notifications", json=body | {"type": "order_placed"}, headers=bearer(key))
    refused = client.post("/api/v1/notifications", json=body | {"type": "order_shipped"}, headers=bearer(key))

    assert (allowed.status_code, refused.status_code, refused.json["code"]) == (202, 403, "type_not_allowed")


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("203.0.113.9", 200, None),
        ("203.0.114.9", 403, "network_refused"),
        ("2001:db8::1", 200, None),
        (None, 403, "network_refused"),
    ],
)
def test_a_key_limited_to_networks_works_nowhere_else(
    client: FlaskClient, address: str | None, status: int, code: str | None
) -> None:
    producer = create_producer("Shop")
    _, key = create_key(producer.id, scopes=["read"], networks=parse(["203.0.113.0/24", "2001:db8::/32"]))

    response = client.get("/api/v1/types", headers=bearer(key), environ_overrides={"REMOTE_ADDR": address})

    assert (response.status_code, response.json.get("code") if code else None) == (status, code)
    assert code is None or (address or "unknown") in response.json["detail"]


@pytest.mark.parametrize(("forwarded", "status"), [("203.0.113.9", 200), ("203.0.113.9, 198.51.100.1", 403)])
def test_behind_a_proxy_it_counts_where_that_was_called_from(app: APIFlask, forwarded: str, status: int) -> None:
    """The last address is the proxy's word; what stands before it is the caller's own."""
    _, key = create_key(create_producer("Shop").id, scopes=["read"], networks=parse(["203.0.113.0/24"]))
    proxied = Client(ProxyFix(app.wsgi_app, x_for=1))

    assert proxied.get("/api/v1/types", headers=bearer(key) | {"X-Forwarded-For": forwarded}).status_code == status


def test_urgent_needs_the_scope_or_a_type_that_is_urgent(client: FlaskClient, cast: Any) -> None:
    plain, urgent = new_key("notify"), new_key("notify", "urgent")
    order = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}, "priority": "urgent"}
    alert = {"type": "security_alert", "recipients": ["alice"], "data": {"event": "New sign-in"}, "priority": "urgent"}

    assert (
        client.post("/api/v1/notifications", json=order, headers=bearer(plain)).json["errors"][0]["code"]
        == "urgent_not_allowed"
    )
    assert client.post("/api/v1/notifications", json=order, headers=bearer(urgent)).status_code == 202
    assert client.post("/api/v1/notifications", json=alert, headers=bearer(plain)).status_code == 202


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        (
            "post",
            "/api/v1/templates",
            {"key": "sign_in_link", "contents": [{"channel": "email", "title": "{{ url }}"}]},
        ),
        ("put", "/api/v1/templates/sign_in_link@1", {"contents": [{"channel": "email", "title": "{{ url }}"}]}),
        ("post", "/api/v1/templates/sign_in_link@1/publish", None),
    ],
)
def test_who_words_the_sign_in_links_is_an_admin(client: FlaskClient, method: str, path: str, body: Any) -> None:
    """Whoever does could send them on to themselves: as the address of a picture, say."""
    refused = client.open(path, method=method, json=body, headers=bearer(new_key("templates")))

    assert (refused.status_code, refused.json["code"]) == (403, "scope_missing")
    if "@" in path:  # the published version: it does not change, whoever asks
        assert (
            client.open(path, method=method, json=body, headers=bearer(new_key("templates", "admin"))).status_code
            == 409
        )


@pytest.mark.parametrize("template", ["sign_in_link", "account_invitation@1"])
def test_nobody_submits_in_the_words_of_the_product_itself(client: FlaskClient, cast: Any, template: str) -> None:
    data = {"order_id": "A1", "url": "https://evil.test/", "minutes": 15, "role": "admin", "days": 7}
    body = {"type": "order_shipped", "recipients": ["alice"], "data": data, "template": template}

    response = client.post("/api/v1/notifications", json=body, headers=bearer(new_key("notify", "admin")))

    assert (response.status_code, [(fault["pointer"], fault["code"]) for fault in response.json["errors"]]) == (
        422,
        [("/template", "unknown_template")],
    )


def new_key(*scopes: str) -> str:
    """A live key of a producer of its own."""
    producer = create_producer("Shop")
    return create_key(producer.id, scopes=scopes)[1]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
