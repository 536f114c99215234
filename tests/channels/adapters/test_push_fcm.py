"""FCM at the wire: a stand-in for Google gives tokens and answers; its own library reads our assertion, its own
description of the API judges our requests.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import google.auth.jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from notifier.channels.adapters.push_fcm import Fcm
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited, Retryable
from notifier.core.message import Push, Receipt, Recipient
from tests.channels.keys import rsa_key, service_account
from tests.channels.pushing import GIVEN, NAME, TOKEN, Google

AT = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
DEVICE = "fGx0m3Rk7dE:APA91bHPRgkF3"
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


@pytest.fixture
def google_(secure_sink: Any) -> Google:
    return Google(secure_sink)


@pytest.fixture
def adapter(http: Http, google_: Google) -> Fcm:
    account = service_account(token_uri=f"{google_.url}/token")
    return Fcm({"FCM_SERVICE_ACCOUNT": account, "FCM_URL": google_.url}, http)


MakeMessage = Callable[..., Any]


@pytest.fixture(autouse=True)
def nine_o_clock(secure_sink: Any, time_machine: Any) -> None:
    time_machine.move_to(AT, tick=False)


def error(status: int, word: str, *details: Any, message: str = "") -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": word, "details": list(details)}}


def fcm(code: str) -> dict[str, str]:
    return {"@type": FCM_ERROR, "errorCode": code}


def violation(field: str) -> dict[str, Any]:
    return {"@type": BAD_REQUEST, "fieldViolations": [{"field": field, "description": "it is invalid"}]}


# ---- what is sent ---------------------------------------------------------------------------------------------------

ANDROID = {
    "priority": "HIGH",
    "ttl": "2419200s",
    "notification": {"tag": "dlv_01930000000070008000000000000001", "sound": "default"},
}
APNS = {
    "headers": {
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-collapse-id": "dlv_01930000000070008000000000000001",
    },
    "payload": {
        "aps": {"alert": {"title": "On its way", "body": "Your order A123 is on its way."}, "sound": "default"}
    },
}


def test_a_message_is_sent_whole(adapter: Fcm, google_: Google, make_message: MakeMessage) -> None:
    assert adapter.send(make_message(), Recipient(DEVICE)) == Receipt("sent", provider_message_id=NAME)
    [request] = google_.sent
    assert (request.method, request.path) == ("POST", "/v1/projects/shop-1234/messages:send")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert google_.bodies == [
        {
            "message": {
                "token": DEVICE,
                "notification": {"title": "On its way", "body": "Your order A123 is on its way."},
                "data": {
                    "order_id": "A123",
                    "notification": json.dumps(
                        {
                            "id": "ntf_01930000000070008000000000000002",
                            "delivery": "dlv_01930000000070008000000000000001",
                            "type": "order_shipped",
                            "url": "https://shop.test/track/A123",
                        },
                        separators=(",", ":"),
                    ),
                },
                "android": ANDROID,
                "apns": APNS,
            }
        }
    ]


@pytest.mark.parametrize(
    ("platform", "parts"), [("android", {"android"}), ("ios", {"apns"}), (None, {"android", "apns"})]
)
def test_a_phone_gets_the_part_of_its_platform(
    adapter: Fcm, google_: Google, make_message: MakeMessage, platform: str | None, parts: set[str]
) -> None:
    adapter.send(make_message(), Recipient(DEVICE, platform=platform))
    [body] = google_.bodies
    assert body["message"].keys() & {"android", "apns"} == parts


@pytest.mark.parametrize(
    ("fields", "android", "headers", "aps"),
    [
        ({"priority": "urgent"}, {"priority": "HIGH"}, {"apns-priority": "10"}, {}),
        ({"priority": "high"}, {"priority": "HIGH"}, {"apns-priority": "10"}, {}),
        ({"priority": "medium"}, {"priority": "NORMAL"}, {"apns-priority": "5"}, {}),
        ({"priority": "low"}, {"priority": "NORMAL"}, {"apns-priority": "5"}, {}),
        (
            {"expires_at": AT + timedelta(minutes=10)},
            {"ttl": "600s"},
            {"apns-expiration": str(int(AT.timestamp()) + 600)},
            {},
        ),
        ({"expires_at": AT - timedelta(1)}, {"ttl": "0s"}, {"apns-expiration": str(int(AT.timestamp()) - 86_400)}, {}),
        (
            {"expires_at": AT + timedelta(365)},
            {"ttl": "2419200s"},
            {"apns-expiration": str(int(AT.timestamp()) + 365 * 86_400)},
            {},
        ),
        (
            {"collapse_key": "order-A123"},
            {"collapseKey": "order-A123", "notification": {"tag": "order-A123", "sound": "default"}},
            {"apns-collapse-id": "order-A123"},
            {},
        ),
        (
            {"collapse_key": "é" * 40},
            {"collapseKey": "é" * 40, "notification": {"tag": "é" * 40, "sound": "default"}},
            {"apns-collapse-id": "35f5fd2e9a1f9bdbcf1e0c8eb8a6d7ac"},
            {},
        ),
        (
            {"badge": 3},
            {"notification": {**ANDROID["notification"], "notificationCount": 3}},
            {},
            {"badge": 3},
        ),
        ({"badge": 0}, {}, {}, {"badge": 0}),
        (
            {"push": Push(sound="bell.caf")},
            {"notification": {**ANDROID["notification"], "sound": "bell.caf"}},
            {},
            {"sound": "bell.caf"},
        ),
        ({"push": Push(content_available=True)}, {}, {}, {"content-available": 1}),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else None,
)
def test_how_urgent_how_long_how_loud_and_instead_of_what(
    adapter: Fcm,
    google_: Google,
    make_message: MakeMessage,
    fields: dict[str, Any],
    android: dict[str, Any],
    headers: dict[str, str],
    aps: dict[str, Any],
) -> None:
    adapter.send(make_message(**fields), Recipient(DEVICE))
    [body] = google_.bodies
    sent = body["message"]
    if len(fields.get("collapse_key", "")) == 40:
        headers = {"apns-collapse-id": sent["apns"]["headers"]["apns-collapse-id"]}
        assert len(headers["apns-collapse-id"]) == 64
    assert sent["android"] == ANDROID | android
    assert sent["apns"] == {
        "headers": APNS["headers"] | headers,
        "payload": {"aps": APNS["payload"]["aps"] | aps},
    }


def test_without_a_sound_none_is_asked_for(adapter: Fcm, google_: Google, make_message: MakeMessage) -> None:
    adapter.send(make_message(push=Push(sound=None)), Recipient(DEVICE))
    assert "sound" not in google_.sent[0].body.decode()


def test_a_silent_message_shows_nothing_and_wakes_the_app(
    adapter: Fcm, google_: Google, make_message: MakeMessage
) -> None:
    adapter.send(make_message(push=Push(is_silent=True), badge=3), Recipient(DEVICE))
    [body] = google_.bodies
    sent = body["message"]
    assert sent.keys() == {"token", "data", "android", "apns"}
    assert sent["data"]["order_id"] == "A123"
    assert sent["android"] == {"priority": "NORMAL", "ttl": "2419200s"}
    assert sent["apns"] == {
        "headers": APNS["headers"] | {"apns-push-type": "background", "apns-priority": "5"},
        "payload": {"aps": {"content-available": 1}},
    }


def test_an_image_is_fetched_by_the_phone(adapter: Fcm, google_: Google, make_message: MakeMessage) -> None:
    content = replace(make_message().content, image="https://shop.test/a.png")
    adapter.send(make_message(content=content), Recipient(DEVICE))
    sent = google_.bodies[0]["message"]
    assert sent["notification"]["image"] == "https://shop.test/a.png"
    assert sent["apns"]["payload"]["aps"]["mutable-content"] == 1


def test_data_reach_the_app_as_text_under_names_that_it_may_have(
    adapter: Fcm, google_: Google, make_message: MakeMessage
) -> None:
    given = {
        "n": 3,
        "ok": True,
        "items": [{"a": "ä"}],
        "none": None,
        "from": "x",
        "google.x": "y",
        "gcm": "z",
        "aps": "a",
    }
    adapter.send(make_message(data=given), Recipient(DEVICE))
    data = google_.bodies[0]["message"]["data"]
    del data["notification"]
    assert data == {
        "n": "3",
        "ok": "true",
        "items": '[{"a":"ä"}]',
        "data_from": "x",
        "data_google.x": "y",
        "data_gcm": "z",
        "data_aps": "a",
    }


def test_a_project_cannot_lead_elsewhere(http: Http, google_: Google, make_message: MakeMessage) -> None:
    account = service_account(token_uri=f"{google_.url}/token", project_id="../x?y#z")
    Fcm({"FCM_SERVICE_ACCOUNT": account, "FCM_URL": f"{google_.url}/"}, http).send(make_message(), Recipient(DEVICE))
    assert google_.sent[0].path == "/v1/projects/..%2Fx%3Fy%23z/messages:send"


# ---- what is too long -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "data", "kept"),
    [
        ({"body": "b" * 500, "image": "https://shop.test/" + "i" * 500}, 0, {"title": 10, "body": 500, "image": 518}),
        ({"body": "b" * 500, "image": "https://shop.test/" + "i" * 2000}, 1000, {"title": 10, "body": 500}),
        ({"body": "€" * 500}, 1500, {"title": 10, "body": 200}),
        ({"title": "t" * 200, "body": "€" * 500}, 2200, {"title": 40, "body": 40}),
    ],
    ids=["all-fits", "no-image", "short-words", "shortest-words"],
)
def test_what_does_not_fit_is_shortened_by_rule_and_the_data_never(
    adapter: Fcm,
    google_: Google,
    make_message: MakeMessage,
    content: dict[str, str],
    data: int,
    kept: dict[str, int],
) -> None:
    message = make_message(content=replace(make_message().content, **content), data={"d": "d" * data})
    adapter.send(message, Recipient(DEVICE))
    sent = google_.bodies[0]["message"]
    assert {name: len(text) for name, text in sent["notification"].items()} == kept
    assert len(sent["data"]["d"]) == data
    del sent["token"]
    assert len(json.dumps(sent, ensure_ascii=False).encode()) <= 4096


def test_data_that_are_too_long_by_themselves_are_refused_and_not_sent(
    adapter: Fcm, google_: Google, make_message: MakeMessage
) -> None:
    with pytest.raises(Permanent) as caught:
        adapter.send(make_message(data={"d": "d" * 4096}), Recipient(DEVICE))
    assert (caught.value.code, google_.sent) == ("payload_too_large", [])


# ---- what is answered -----------------------------------------------------------------------------------------------

INVALID = "The registration token is not a valid FCM registration token"


@pytest.mark.parametrize(
    ("status", "headers", "body", "family", "code"),
    [
        (404, {}, error(404, "NOT_FOUND", fcm("UNREGISTERED")), InvalidRecipient, "UNREGISTERED"),
        (403, {}, error(403, "PERMISSION_DENIED", fcm("SENDER_ID_MISMATCH")), InvalidRecipient, "SENDER_ID_MISMATCH"),
        (
            400,
            {},
            error(400, "INVALID_ARGUMENT", fcm("INVALID_ARGUMENT"), message=INVALID),
            InvalidRecipient,
            "INVALID_ARGUMENT",
        ),
        (
            400,
            {},
            error(400, "INVALID_ARGUMENT", fcm("INVALID_ARGUMENT"), violation("message.token")),
            InvalidRecipient,
            "INVALID_ARGUMENT",
        ),
        (
            400,
            {},
            error(400, "INVALID_ARGUMENT", fcm("INVALID_ARGUMENT"), violation("message.android.ttl")),
            Permanent,
            "INVALID_ARGUMENT",
        ),
        (
            400,
            {},
            error(400, "INVALID_ARGUMENT", fcm("INVALID_ARGUMENT"), message="Android message is too big"),
            Permanent,
            "INVALID_ARGUMENT",
        ),
        (
            400,
            {},
            error(400, "INVALID_ARGUMENT", violation("message.token"), message=INVALID),
            Permanent,
            "INVALID_ARGUMENT",
        ),
        (401, {}, error(401, "UNAUTHENTICATED"), Misconfigured, "UNAUTHENTICATED"),
        (
            401,
            {},
            error(401, "UNAUTHENTICATED", fcm("THIRD_PARTY_AUTH_ERROR")),
            Misconfigured,
            "THIRD_PARTY_AUTH_ERROR",
        ),
        (403, {}, error(403, "PERMISSION_DENIED"), Misconfigured, "PERMISSION_DENIED"),
        (404, {}, error(404, "NOT_FOUND"), Misconfigured, "NOT_FOUND"),
        (404, {}, b"<html>Not Found</html>", Misconfigured, "http_404"),
        (429, {}, error(429, "RESOURCE_EXHAUSTED", fcm("QUOTA_EXCEEDED")), RateLimited, "QUOTA_EXCEEDED"),
        (500, {}, error(500, "INTERNAL", fcm("INTERNAL")), Retryable, "INTERNAL"),
        (503, {}, error(503, "UNAVAILABLE", fcm("UNAVAILABLE")), Retryable, "UNAVAILABLE"),
        (503, {"Retry-After": "7"}, error(503, "UNAVAILABLE", fcm("UNAVAILABLE")), RateLimited, "UNAVAILABLE"),
        (400, {}, {"error": {"details": "none", "status": 3}}, Permanent, "http_400"),
        (400, {}, {"error": "no"}, Permanent, "http_400"),
        (
            400,
            {},
            error(400, "INVALID_ARGUMENT", "x", {"@type": FCM_ERROR, "errorCode": []}),
            Permanent,
            "INVALID_ARGUMENT",
        ),
        (
            400,
            {},
            error(
                400,
                "INVALID_ARGUMENT",
                "x",
                {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": 5},
            ),
            Permanent,
            "INVALID_ARGUMENT",
        ),
        (502, {}, b"<html>Bad Gateway</html>", Retryable, "http_502"),
        (200, {}, b"<html>Welcome</html>", Retryable, "not_understood"),
        (200, {}, {"name": None}, Retryable, "not_understood"),
        (200, {}, None, Retryable, "no_answer"),
    ],
)
def test_what_fcm_answers(
    adapter: Fcm,
    google_: Google,
    make_message: MakeMessage,
    status: int,
    headers: dict[str, str],
    body: Any,
    family: type[DeliveryError],
    code: str,
) -> None:
    google_.message = status, headers, body
    with pytest.raises(DeliveryError) as caught:
        adapter.send(make_message(), Recipient(DEVICE))
    assert (type(caught.value), caught.value.code) == (family, code)
    if family is Retryable:
        assert caught.value.ambiguous == (code in ("INTERNAL", "not_understood", "no_answer"))  # type: ignore[attr-defined]


@pytest.mark.parametrize(("headers", "waits_s"), [({}, 60.0), ({"Retry-After": "17"}, 17.0)])
def test_at_the_quota_it_waits_as_long_as_it_is_told_or_a_minute(
    adapter: Fcm, google_: Google, make_message: MakeMessage, headers: dict[str, str], waits_s: float
) -> None:
    google_.message = 429, headers, error(429, "RESOURCE_EXHAUSTED", fcm("QUOTA_EXCEEDED"))
    with pytest.raises(RateLimited) as caught:
        adapter.send(make_message(), Recipient(DEVICE))
    assert caught.value.retry_after == waits_s


@pytest.mark.parametrize(
    ("body", "is_certain"),
    [
        (error(401, "UNAUTHENTICATED"), False),  # the next try has another token
        (error(401, "UNAUTHENTICATED", fcm("THIRD_PARTY_AUTH_ERROR")), False),  # iPhones alone
        (error(403, "PERMISSION_DENIED"), True),
    ],
)
def test_what_pauses_the_account_at_once(
    adapter: Fcm, google_: Google, make_message: MakeMessage, body: Any, is_certain: bool
) -> None:
    google_.message = body["error"]["code"], {}, body
    with pytest.raises(Misconfigured) as caught:
        adapter.send(make_message(), Recipient(DEVICE))
    assert caught.value.is_certain == is_certain


# ---- the access token -----------------------------------------------------------------------------------------------


def test_googles_own_library_takes_our_assertion(adapter: Fcm, google_: Google, make_message: MakeMessage) -> None:
    adapter.send(make_message(), Recipient(DEVICE))
    [request] = google_.asked_for_tokens
    form = {name: value for name, [value] in parse_qs(request.body.decode()).items()}
    assertion = form.pop("assertion")
    assert form == {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    public = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = google.auth.jwt.decode(assertion, certs={"0a1b2c": public}, audience=f"{google_.url}/token")
    assert claims == {
        "iss": "notifier@shop-1234.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": f"{google_.url}/token",
        "iat": int(AT.timestamp()),
        "exp": int(AT.timestamp()) + 3600,
    }
    assert google.auth.jwt.decode_header(assertion) == {"alg": "RS256", "typ": "JWT", "kid": "0a1b2c"}


def test_one_token_serves_all_threads(adapter: Fcm, google_: Google, make_message: MakeMessage) -> None:
    threads = [threading.Thread(target=adapter.send, args=(make_message(), Recipient(DEVICE))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(google_.asked_for_tokens), len(google_.sent)) == (1, 8)


def test_a_token_that_is_refused_is_not_used_again(adapter: Fcm, google_: Google, make_message: MakeMessage) -> None:
    google_.message = 401, {}, error(401, "UNAUTHENTICATED")
    with pytest.raises(Misconfigured):
        adapter.send(make_message(), Recipient(DEVICE))
    google_.token, google_.message = (200, {}, GIVEN | {"access_token": "another"}), (200, {}, {"name": NAME})
    adapter.send(make_message(), Recipient(DEVICE))
    assert [request.headers["authorization"] for request in google_.sent] == [f"Bearer {TOKEN}", "Bearer another"]


def test_a_token_that_is_not_to_blame_is_kept(adapter: Fcm, google_: Google, make_message: MakeMessage) -> None:
    google_.message = 401, {}, error(401, "UNAUTHENTICATED", fcm("THIRD_PARTY_AUTH_ERROR"))
    for _ in range(2):
        with pytest.raises(Misconfigured):
            adapter.send(make_message(), Recipient(DEVICE, platform="ios"))
    assert len(google_.asked_for_tokens) == 1


@pytest.mark.parametrize(
    ("status", "headers", "body", "family", "code"),
    [
        (
            400,
            {},
            {"error": "invalid_grant", "error_description": "Invalid JWT Signature."},
            Misconfigured,
            "invalid_grant",
        ),
        (401, {}, {"error": "invalid_client"}, Misconfigured, "invalid_client"),
        (403, {}, {"error": {"code": 403, "status": "PERMISSION_DENIED"}}, Misconfigured, "http_403"),
        (404, {}, b"<html>Not Found</html>", Misconfigured, "http_404"),
        (429, {"Retry-After": "9"}, b"", RateLimited, "http_429"),
        (500, {}, {"error": "internal_failure"}, Retryable, "internal_failure"),
        (503, {}, b"", Retryable, "http_503"),
        (200, {}, b"<html>Welcome</html>", Retryable, "not_understood"),
        (200, {}, {"access_token": TOKEN, "expires_in": 10**400}, Retryable, "not_understood"),
        (200, {}, {"access_token": TOKEN}, Retryable, "not_understood"),
        (200, {}, None, Retryable, "no_answer"),
    ],
)
def test_without_a_token_nothing_is_sent_and_nobody_is_blamed(
    adapter: Fcm,
    google_: Google,
    make_message: MakeMessage,
    status: int,
    headers: dict[str, str],
    body: Any,
    family: type[DeliveryError],
    code: str,
) -> None:
    google_.token = status, headers, body
    with pytest.raises(DeliveryError) as caught:
        adapter.send(make_message(), Recipient(DEVICE))
    assert (type(caught.value), caught.value.code, google_.sent) == (family, code, [])
    assert not getattr(caught.value, "ambiguous", False)


def test_the_settings_name_another_place_for_tokens(http: Http, google_: Google, make_message: MakeMessage) -> None:
    settings = {
        "FCM_SERVICE_ACCOUNT": service_account(),
        "FCM_URL": google_.url,
        "FCM_TOKEN_URL": f"{google_.url}/token",
    }
    Fcm(settings, http).send(make_message(), Recipient(DEVICE))
    assert (len(google_.asked_for_tokens), len(google_.sent)) == (1, 1)


def test_a_token_url_inside_a_private_network_is_our_misconfiguration(
    authority: Any, google_: Google, make_message: MakeMessage
) -> None:
    account = service_account(token_uri=f"{google_.url}/token")
    with pytest.raises(Misconfigured) as caught:
        Fcm({"FCM_SERVICE_ACCOUNT": account}, Http((), tls=authority.trusted())).send(make_message(), Recipient(DEVICE))
    assert (caught.value.code, google_.sink.requests) == ("target_refused", [])


@pytest.mark.parametrize(
    "text",
    [
        "s3cret",
        "[]",
        "{}",
        service_account(private_key="-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n"),
        service_account(private_key=None),
        service_account(project_id=None),
        service_account().replace('"shop-1234"', "7"),
    ],
    ids=["no-json", "a-list", "empty", "a-broken-key", "no-key", "no-project", "a-number"],
)
def test_an_account_that_is_none_stops_the_start_and_is_not_quoted(http: Http, text: str) -> None:
    with pytest.raises(ValueError, match="FCM_SERVICE_ACCOUNT") as caught:
        Fcm({"FCM_SERVICE_ACCOUNT": text}, http)
    assert "s3cret" not in repr(caught.value)


def test_neither_key_nor_token_shows_in_an_error(adapter: Fcm, google_: Google, make_message: MakeMessage) -> None:
    google_.message = 500, {}, error(500, "INTERNAL", message=f"Bearer {TOKEN}")
    with pytest.raises(DeliveryError) as caught:
        adapter.send(make_message(), Recipient(DEVICE))
    told = repr(caught.value) + str(caught.value) + repr(adapter) + repr(adapter._account)
    assert [secret for secret in (TOKEN, DEVICE, "PRIVATE", "RSAPrivateKey") if secret in told] == []


def test_trying_it_out_fetches_a_token_and_sends_nothing(adapter: Fcm, google_: Google) -> None:
    assert adapter.try_out() == "the service account"
    assert (len(google_.asked_for_tokens), google_.sent) == (1, [])
