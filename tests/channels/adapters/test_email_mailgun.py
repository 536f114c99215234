"""Mailgun, played by a sink: what it is sent, what its answers mean, and what its signed calls say."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from werkzeug.formparser import parse_form_data

from notifier.channels.adapters.email_mailgun import Mailgun
from notifier.channels.receipts import Event, HookRefused, HookRequest, Unreadable
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited, Retryable
from notifier.core.message import Receipt, Recipient
from tests.channels.refusing import meaning

DELIVERY = "dlv_01930000000070008000000000000001"
MESSAGE_ID = f"<{DELIVERY}@shop.test>"
ALICE = Recipient("alice@shop.test", name="Doe, Alice")
NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
KEY = "signing-key"


def mailgun(http: Http, sink: Any = None, **settings: str) -> Mailgun:
    given = {
        "MAILGUN_API_KEY": "api-key",
        "MAILGUN_DOMAIN": "mg.shop.test",
        "MAILGUN_FROM": "Käse & Co <orders@shop.test>",
        "MAILGUN_SIGNING_KEY": KEY,
    }
    if sink is not None:
        given["MAILGUN_URL"] = f"http://127.0.0.1:{sink.port}/"
        sink.answers(200, {}, json.dumps({"id": MESSAGE_ID, "message": "Queued. Thank you."}).encode())
    return Mailgun(given | settings, http)


# ---- sending --------------------------------------------------------------------------------------------------------


def form(request: Any) -> tuple[dict[str, str], bytes, str]:
    """As a server reads it: the fields, the file and its type."""
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": request.headers["content-type"],
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.input": BytesIO(request.body),
    }
    _, fields, files = parse_form_data(environ, silent=False)
    file = files["message"]
    return dict(fields), file.read(), str(file.mimetype)


def test_the_request(http: Http, sink: Any, make_message: Any, time_machine: Any) -> None:
    time_machine.move_to(NOW, tick=False)
    adapter = mailgun(http, sink)
    message = make_message(category="marketing", unsubscribe_url="https://notify.test/u/abc")
    assert adapter.send(message, ALICE) == Receipt("sent", provider_message_id=MESSAGE_ID)
    [request] = sink.requests
    assert (request.method, request.path) == ("POST", "/v3/mg.shop.test/messages.mime")
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"api:api-key").decode()
    fields, raw, mimetype = form(request)
    assert (fields, mimetype) == (
        {"to": "alice@shop.test", "o:tracking": "no", "v:notifier_delivery": DELIVERY},
        "message/rfc822",
    )
    assert raw == adapter.compose(message, ALICE).raw
    assert b"\r\nList-Unsubscribe: <https://notify.test/u/abc>\r\n" in raw
    assert f"\r\nMessage-ID: {MESSAGE_ID}\r\n".encode() in raw


def test_what_separates_the_fields_cannot_be_foreseen(http: Http, sink: Any, make_message: Any) -> None:
    """So nothing in a mail can end a field and begin another."""
    adapter = mailgun(http, sink)
    for _ in range(2):
        adapter.send(make_message(), ALICE)
    assert len({request.headers["content-type"] for request in sink.requests}) == 2


@pytest.mark.parametrize(
    ("tracking", "category", "found"),
    [("off", "marketing", "no"), ("on", "marketing", "yes"), ("on", "transactional", "no"), ("on", "system", "no")],
)
def test_only_marketing_and_social_mail_is_tracked_and_only_if_asked_for(
    tracking: str, category: str, found: str, http: Http, sink: Any, make_message: Any
) -> None:
    mailgun(http, sink, MAILGUN_TRACKING=tracking).send(make_message(category=category), ALICE)
    assert form(sink.requests[0])[0]["o:tracking"] == found


def answer(message: str) -> bytes:
    return json.dumps({"message": message}).encode()


@pytest.mark.parametrize(
    ("status", "headers", "body", "family", "code", "more"),
    [
        (400, {}, answer("'to' parameter is not a valid address. please check documentation"), InvalidRecipient,
         "invalid_recipient", None),
        (400, {}, answer("'from' parameter is not a valid address. please check documentation"), Permanent,
         "http_400", None),
        (400, {}, b"<html>", Permanent, "http_400", None),
        (401, {}, b"Forbidden", Misconfigured, "http_401", None),
        (402, {}, answer("Request failed"), Misconfigured, "http_402", None),
        (403, {}, answer("Domain mg.shop.test is not allowed to send"), Misconfigured, "http_403", None),
        (404, {}, answer("Domain not found: mg.shop.test"), Misconfigured, "http_404", None),
        (413, {}, b"", Permanent, "http_413", None),
        (429, {}, answer("Too many requests"), RateLimited, "http_429", 5),
        (429, {"Retry-After": "7.5"}, b"", RateLimited, "http_429", 7.5),
        (500, {}, b"", Retryable, "http_500", True),
        (502, {}, b"", Retryable, "http_502", True),
        (503, {}, b"", Retryable, "http_503", True),
        (503, {"Retry-After": "20"}, b"", RateLimited, "http_503", 20),
        (504, {}, b"", Retryable, "http_504", True),
        (200, {}, b"Mailgun Magnificent API", Retryable, "not_understood", True),
        (200, {}, answer("Queued. Thank you."), Retryable, "not_understood", True),
    ],
)  # fmt: skip
def test_each_answer_means_one_thing(
    status: int,
    headers: dict[str, str],
    body: bytes,
    family: type[DeliveryError],
    code: str,
    more: float | None,
    http: Http,
    sink: Any,
    make_message: Any,
) -> None:
    """`more`: how long to wait, or whether the mail may have gone out all the same."""
    adapter = mailgun(http, sink)
    sink.answers(status, headers, body)
    assert meaning(adapter, sink, make_message(), ALICE, "api-key") == (family, code, more)


@pytest.mark.parametrize("domain", ["", "mg.shop.test/x", "mg.shop.test?x", "a b", "..", "mg.shop.test\n"])
def test_a_domain_that_is_none_is_named(domain: str, http: Http) -> None:
    with pytest.raises(ValueError, match=r"^MAILGUN_DOMAIN: "):
        mailgun(http, MAILGUN_DOMAIN=domain)


# ---- receipts -------------------------------------------------------------------------------------------------------

TOKEN = "651869375b9df3c98fc15c4889b102119add1235c38fc92824"


def call(
    data: Any, *, at: datetime = NOW, key: str = KEY, token: str = TOKEN, arrives: dict[str, Any] | None = None
) -> HookRequest:
    """A call as Mailgun makes it at that time, unless other fields arrive than those that were signed."""
    timestamp = str(int(at.timestamp()))
    signature = hmac.new(key.encode(), f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
    signed = {"timestamp": timestamp, "token": token, "signature": signature, **(arrives or {})}
    body = json.dumps({"signature": signed, "event-data": data}).encode()
    return HookRequest("POST", "https://notify.test/hooks/mailgun", {"content-type": "application/json"}, body, NOW)


def event(word: str, **fields: Any) -> dict[str, Any]:
    return {
        "event": word,
        "id": "hTWCTD81RtiDN-",
        "timestamp": 1796115570.153125,
        "recipient": "alice@shop.test",
        "user-variables": {"notifier_delivery": DELIVERY},
        "message": {"headers": {"to": "alice@shop.test", "message-id": MESSAGE_ID.strip("<>")}, "size": 809},
        "log-level": "info",
        **fields,
    }


def failed(reason: str, severity: str = "permanent") -> dict[str, Any]:
    return event("failed", severity=severity, reason=reason, **{"delivery-status": {"code": 550, "message": "x"}})


def told(kind: Any, event_id: str = TOKEN, **fields: Any) -> Event:
    return Event(
        event_id,
        kind,
        datetime(2026, 12, 1, 8, 59, 30, 153125, tzinfo=UTC),
        provider_message_id=MESSAGE_ID,
        delivery_id=DELIVERY,
        address="alice@shop.test",
        **fields,
    )


EVENTS: list[tuple[dict[str, Any], list[Event]]] = [
    (event("accepted"), [told("sent")]),
    (event("delivered"), [told("delivered")]),
    (failed("generic", "temporary"), []),
    (failed("greylisted", "temporary"), []),
    (failed("bounce", "temporary"), []),
    (failed("bounce"), [told("bounced", code="bounce")]),
    (failed("suppress-bounce"), [told("bounced", code="suppress-bounce")]),
    (
        failed("suppress-complaint"),
        [
            told("failed", code="suppress-complaint"),
            told("complained", f"{TOKEN}:complained", code="suppress-complaint"),
        ],
    ),
    (
        failed("suppress-unsubscribe"),
        [
            told("failed", code="suppress-unsubscribe"),
            told("unsubscribed", f"{TOKEN}:unsubscribed", code="suppress-unsubscribe"),
        ],
    ),
    (failed("old"), [told("failed", code="old")]),
    (failed("generic"), [told("failed", code="generic")]),
    (
        event("rejected", reject={"reason": "Sandbox subdomains are for test purposes only."}),
        [told("failed", code="Sandbox subdomains are for test purposes only.")],
    ),
    (event("opened", **{"client-info": {"user-agent": "Mozilla/5.0"}}), [told("opened")]),
    (event("opened", **{"client-info": {"bot": "apple"}}), [told("opened", by="machine")]),
    (event("opened", **{"client-info": {"bot": ""}}), [told("opened")]),
    (event("clicked", url="https://shop.test/?token=x"), [told("clicked")]),
    (event("complained"), [told("complained")]),
    (event("unsubscribed"), [told("unsubscribed")]),
    (event("stored"), []),
    (event("of_next_year"), []),
    ({}, []),
    ({"event": ["delivered"]}, []),
    (
        {"event": "delivered", "timestamp": "soon", "message": 1, "user-variables": [], "client-info": "x"},
        [Event(TOKEN, "delivered", NOW)],
    ),
]


def kind_of(value: Any) -> str:
    return f"{value.get('event')} {value.get('reason', '')}" if isinstance(value, dict) else ""


@pytest.mark.parametrize(("sent", "events"), EVENTS, ids=kind_of)
def test_each_event_says_one_thing(sent: dict[str, Any], events: list[Event], http: Http) -> None:
    assert list(mailgun(http).read_receipts(call(sent))) == events


def test_it_tells_all_that_it_says_it_can() -> None:
    assert {event.kind for _, events in EVENTS for event in events} == set(Mailgun.tells)


DELIVERED = event("delivered")
REFUSED = {
    "another key": call(DELIVERED, key="another"),
    "another token": call(DELIVERED, arrives={"token": "x"}),
    "another time": call(DELIVERED, arrives={"timestamp": str(int(NOW.timestamp()) + 1)}),
    "no signature": call(DELIVERED, arrives={"signature": None}),
    "an empty signature": call(DELIVERED, arrives={"signature": ""}),
    "a strange signature": call(DELIVERED, arrives={"signature": "ä\udcff"}),
    "no token": call(DELIVERED, arrives={"token": None}),
    "a strange token": call(DELIVERED, arrives={"token": "\udcff"}),
    "stale": call(DELIVERED, at=NOW - timedelta(minutes=5, seconds=1)),
    "of the future": call(DELIVERED, at=NOW + timedelta(minutes=5, seconds=1)),
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
def test_what_mailgun_did_not_sign_now_is_refused(request_: HookRequest, http: Http) -> None:
    with pytest.raises(HookRefused) as caught:
        mailgun(http).read_receipts(request_)
    assert type(caught.value) is HookRefused


@pytest.mark.parametrize("settings", [{}, {"MAILGUN_SIGNING_KEY": ""}])
def test_without_the_key_nothing_is_taken(settings: dict[str, str], http: Http) -> None:
    with pytest.raises(HookRefused, match="MAILGUN_SIGNING_KEY"):
        Mailgun(settings, http).read_receipts(call(DELIVERED, key=""))


def test_a_call_that_is_played_again_with_another_event_is_a_repeat(http: Http) -> None:
    first, again = (mailgun(http).read_receipts(call(sent)) for sent in (DELIVERED, event("complained")))
    assert [one.id for one in first] == [one.id for one in again]


@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b"null", b"{}", b'{"signature":[]}', b"\xff"])
def test_a_body_that_is_no_signed_event_is_unreadable(body: bytes, http: Http) -> None:
    with pytest.raises(Unreadable):
        mailgun(http).read_receipts(HookRequest("POST", "https://notify.test/hooks/mailgun", {}, body, NOW))


@pytest.mark.parametrize("data", [None, [], "x"])
def test_a_signed_call_without_an_event_is_unreadable(data: Any, http: Http) -> None:
    with pytest.raises(Unreadable):
        mailgun(http).read_receipts(call(data))
