"""SendGrid, played by a sink: what it is sent, what its answers mean, and what its signed events say.

Judged by SendGrid's own library: it builds the same request, and its verifier takes what these tests sign.
"""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sendgrid import EventWebhook
from sendgrid.helpers import mail as theirs

from notifier.channels.adapters.email_sendgrid import SendGrid
from notifier.channels.receipts import Event, HookRefused, HookRequest, Unreadable
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited, Retryable
from notifier.core.message import Content, Receipt, Recipient
from tests.channels.refusing import meaning

DELIVERY = "dlv_01930000000070008000000000000001"
UNSUBSCRIBE = "https://notify.test/u/abc.def"
ALICE = Recipient("alice@shop.test", name="Doe, Alice")
NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC_KEY = base64.b64encode(KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def sendgrid(http: Http, sink: Any = None, **settings: str) -> SendGrid:
    given = {
        "SENDGRID_API_KEY": "SG.secret",
        "SENDGRID_FROM": "Shop <orders@shop.test>",
        "SENDGRID_WEBHOOK_KEY": PUBLIC_KEY,
    }
    if sink is not None:
        given["SENDGRID_URL"] = f"http://127.0.0.1:{sink.port}/"
        sink.answers(202, {"X-Message-Id": "14c5d75ce93.dfd.64b469"})
    return SendGrid(given | settings, http)


# ---- sending --------------------------------------------------------------------------------------------------------


def test_the_request(http: Http, sink: Any, make_message: Any) -> None:
    receipt = sendgrid(http, sink).send(make_message(category="marketing", unsubscribe_url=UNSUBSCRIBE), ALICE)
    [request] = sink.requests
    assert receipt == Receipt("sent", provider_message_id="14c5d75ce93.dfd.64b469")
    assert (request.method, request.path, request.headers["authorization"], request.headers["content-type"]) == (
        "POST",
        "/v3/mail/send",
        "Bearer SG.secret",
        "application/json; charset=utf-8",
    )
    assert json.loads(request.body) == {
        "personalizations": [
            {
                "to": [{"email": "alice@shop.test", "name": "Doe Alice"}],
                "custom_args": {"notifier_delivery": DELIVERY},
            }
        ],
        "from": {"email": "orders@shop.test", "name": "Shop"},
        "subject": "Order A123",
        "content": [
            {"type": "text/plain", "value": "Your order A123 is on its way."},
            {"type": "text/html", "value": "<!doctype html><p>Your order A123 is on its way.</p>"},
        ],
        "headers": {
            "Message-ID": f"<{DELIVERY}@shop.test>",
            "Auto-Submitted": "auto-generated",
            "List-Unsubscribe": f"<{UNSUBSCRIBE}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
        "tracking_settings": {
            "click_tracking": {"enable": False},
            "open_tracking": {"enable": False},
            "subscription_tracking": {"enable": False},
        },
    }


def test_the_request_is_what_their_library_would_send(http: Http, sink: Any, make_message: Any) -> None:
    sendgrid(http, sink).send(make_message(), ALICE)
    built = theirs.Mail(theirs.From("orders@shop.test", "Shop"), None, "Order A123")
    to = theirs.Personalization()
    to.add_to(theirs.To("alice@shop.test", "Doe Alice"))
    to.add_custom_arg(theirs.CustomArg("notifier_delivery", DELIVERY))
    built.add_personalization(to)
    built.add_content("Your order A123 is on its way.", "text/plain")
    built.add_content("<!doctype html><p>Your order A123 is on its way.</p>", "text/html")
    built.add_header(theirs.Header("Message-ID", f"<{DELIVERY}@shop.test>"))
    built.add_header(theirs.Header("Auto-Submitted", "auto-generated"))
    built.tracking_settings = theirs.TrackingSettings(
        theirs.ClickTracking(False), theirs.OpenTracking(False), theirs.SubscriptionTracking(False)
    )
    built.mail_settings = theirs.MailSettings(
        bypass_spam_management=theirs.BypassSpamManagement(True),
        bypass_unsubscribe_management=theirs.BypassUnsubscribeManagement(True),
    )
    sent = json.loads(sink.requests[0].body)
    for setting in built.get()["tracking_settings"].values():
        setting.pop("enable_text", None)
    assert sent == built.get()


def test_a_mail_without_html_or_text_has_a_text_part_all_the_same(http: Http, sink: Any, make_message: Any) -> None:
    sendgrid(http, sink).send(
        make_message(content=Content(title="On its way", body="")), Recipient("büro@münchen.test")
    )
    sent = json.loads(sink.requests[0].body)
    assert (sent["subject"], sent["content"]) == ("On its way", [{"type": "text/plain", "value": "\n"}])
    assert sent["personalizations"][0]["to"] == [{"email": "büro@xn--mnchen-3ya.test"}]


@pytest.mark.parametrize(
    ("tracking", "category", "is_tracked"),
    [
        ("off", "marketing", False),
        ("on", "marketing", True),
        ("on", "social", True),
        ("on", "transactional", False),
        ("on", "system", False),
    ],
)
def test_only_marketing_and_social_mail_is_tracked_and_only_if_asked_for(
    tracking: str, category: str, is_tracked: bool, http: Http, sink: Any, make_message: Any
) -> None:
    sendgrid(http, sink, SENDGRID_TRACKING=tracking).send(make_message(category=category), ALICE)
    settings = json.loads(sink.requests[0].body)["tracking_settings"]
    assert settings["click_tracking"] == settings["open_tracking"] == {"enable": is_tracked}


@pytest.mark.parametrize(
    ("category", "is_bypassed"), [("transactional", True), ("system", True), ("marketing", False), ("social", False)]
)
def test_a_complaint_about_offers_does_not_keep_a_password_reset_back(
    category: str, is_bypassed: bool, http: Http, sink: Any, make_message: Any
) -> None:
    """Nor does SendGrid's list of those who unsubscribed. What bounced stays refused."""
    sendgrid(http, sink).send(make_message(category=category), ALICE)
    assert json.loads(sink.requests[0].body).get("mail_settings") == (
        {"bypass_spam_management": {"enable": True}, "bypass_unsubscribe_management": {"enable": True}}
        if is_bypassed
        else None
    )


def answer(message: str, field: str | None = None) -> bytes:
    return json.dumps({"errors": [{"message": message, "field": field, "help": None}]}).encode()


SOON = {"X-RateLimit-Reset": str(int(NOW.timestamp()) + 30)}


@pytest.mark.parametrize(
    ("status", "headers", "body", "family", "code", "more"),
    [
        (400, {}, answer("Does not contain a valid address.", "personalizations.0.to.0.email"), InvalidRecipient,
         "personalizations.0.to.0.email", None),
        (400, {}, answer("The from email does not contain a valid address.", "from.email"), Misconfigured,
         "from.email", None),
        (400, {}, answer("The subject is required.", "subject"), Permanent, "subject", None),
        (400, {}, answer("Bad Request"), Permanent, "http_400", None),
        (400, {}, b"<html>", Permanent, "http_400", None),
        (400, {}, b'{"errors": {"0": 1}}', Permanent, "http_400", None),
        (401, {}, answer("authorization required"), Misconfigured, "http_401", None),
        (403, {}, answer("The from address does not match a verified Sender Identity.", "from"), Misconfigured,
         "from", None),
        (404, {}, answer("not found"), Misconfigured, "http_404", None),
        (405, {}, answer("method not allowed"), Misconfigured, "http_405", None),
        (413, {}, answer("content too large"), Permanent, "http_413", None),
        (429, SOON, answer("too many requests"), RateLimited, "http_429", 30),
        (429, {"Retry-After": "7"}, answer("too many requests"), RateLimited, "http_429", 7),
        (429, {}, answer("too many requests"), RateLimited, "http_429", 5),
        (500, {}, answer("internal server error"), Retryable, "http_500", True),
        (502, {}, b"", Retryable, "http_502", True),
        (503, {}, answer("unavailable"), Retryable, "http_503", False),
        (503, {"Retry-After": "20"}, b"", RateLimited, "http_503", 20),
        (504, {}, b"", Retryable, "http_504", True),
        (200, {}, b"<html>a proxy's page</html>", Retryable, "not_understood", True),
        (302, {"Location": "https://evil.test"}, b"", Permanent, "http_302", None),
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
    time_machine: Any,
) -> None:
    """`more`: how long to wait, or whether the mail may have gone out all the same."""
    time_machine.move_to(NOW, tick=False)
    adapter = sendgrid(http, sink)
    sink.answers(status, headers, body)
    assert meaning(adapter, sink, make_message(), ALICE, "SG.secret") == (family, code, more)


def test_what_is_no_address_is_sent_nowhere(http: Http, sink: Any, make_message: Any) -> None:
    with pytest.raises(InvalidRecipient):
        sendgrid(http, sink).send(make_message(), Recipient("alice@shop.test, mallory@evil.test"))
    assert sink.requests == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SENDGRID_FROM": "nobody"}, "SENDGRID_FROM"),
        ({"SENDGRID_TRACKING": "yes"}, "SENDGRID_TRACKING"),
        ({"SENDGRID_WEBHOOK_KEY": "s3cret"}, "SENDGRID_WEBHOOK_KEY"),
        ({"SENDGRID_WEBHOOK_KEY": base64.b64encode(b"s3cret").decode()}, "SENDGRID_WEBHOOK_KEY"),
    ],
)
def test_settings_that_make_no_sense_are_named_and_not_quoted(settings: dict[str, str], said: str, http: Http) -> None:
    with pytest.raises(ValueError, match=f"^{said}: ") as caught:
        sendgrid(http, **settings)
    assert "s3cret" not in str(caught.value)


# ---- receipts -------------------------------------------------------------------------------------------------------


SIGNATURE = "x-twilio-email-event-webhook-signature"
TIMESTAMP = "x-twilio-email-event-webhook-timestamp"


def signed(
    body: bytes, *, at: datetime = NOW, timestamp: str | None = None, arrives: bytes | None = None, **headers: str
) -> HookRequest:
    """A call as SendGrid makes it at that time, unless something else `arrives`, or with other headers."""
    timestamp = timestamp if timestamp is not None else str(int(at.timestamp()))
    signature = base64.b64encode(KEY.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))).decode()
    return HookRequest(
        "POST",
        "https://notify.test/hooks/sendgrid",
        {"content-type": "application/json", SIGNATURE: signature, TIMESTAMP: timestamp, **headers},
        body if arrives is None else arrives,
        NOW,
    )


def as_sent(events: list[Any]) -> bytes:
    """SendGrid ends each event and the body with CRLF, and signs these too."""
    return b"[" + b",\r\n".join(json.dumps(event).encode() for event in events) + b"]\r\n"


def event(word: str, **fields: Any) -> dict[str, Any]:
    return {
        "email": "alice@shop.test",
        "timestamp": 1513299569,
        "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
        "event": word,
        "sg_event_id": f"id-{word}",
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
        "notifier_delivery": DELIVERY,
    } | fields


def told(kind: Any, event_id: str, **fields: Any) -> Event:
    return Event(
        event_id,
        kind,
        datetime(2017, 12, 15, 0, 59, 29, tzinfo=UTC),
        provider_message_id="14c5d75ce93",
        delivery_id=DELIVERY,
        address="alice@shop.test",
        **fields,
    )


EVENTS: list[tuple[dict[str, Any], list[Event]]] = [
    (event("processed"), [told("sent", "id-processed")]),
    (event("deferred", response="400 try again later", attempt="5"), []),
    (event("delivered", response="250 OK"), [told("delivered", "id-delivered")]),
    (
        event("bounce", reason="550 5.1.1 no such user", status="5.1.1", type="bounce"),
        [told("bounced", "id-bounce", code="5.1.1")],
    ),
    (event("bounce", reason="500 unknown recipient", status="5.0.0"), [told("bounced", "id-bounce", code="5.0.0")]),
    (
        event("bounce", reason="550 5.7.1 listed", status="5.7.1", type="blocked"),
        [told("failed", "id-bounce", code="5.7.1")],
    ),
    (event("bounce", reason="no MX", type="blocked"), [told("failed", "id-bounce", code="blocked")]),
    (event("bounce", reason="too old", type="expired"), [told("failed", "id-bounce", code="expired")]),
    (event("dropped", reason="Invalid"), [told("bounced", "id-dropped", code="Invalid")]),
    (event("dropped", reason="Bounced Address"), [told("bounced", "id-dropped", code="Bounced Address")]),
    (
        event("dropped", reason="Spam Reporting Address"),
        [
            told("failed", "id-dropped", code="Spam Reporting Address"),
            told("complained", "id-dropped:complained", code="Spam Reporting Address"),
        ],
    ),
    (
        event("dropped", reason="Unsubscribed Address"),
        [
            told("failed", "id-dropped", code="Unsubscribed Address"),
            told("unsubscribed", "id-dropped:unsubscribed", code="Unsubscribed Address"),
        ],
    ),
    (
        event("dropped", reason="Recipient List over Package Quota"),
        [told("failed", "id-dropped", code="Recipient List over Package Quota")],
    ),
    (event("open", useragent="Mozilla/4.0", ip="255.255.255.255"), [told("opened", "id-open")]),
    (event("open", sg_machine_open=False), [told("opened", "id-open")]),
    (event("open", sg_machine_open=True), [told("opened", "id-open", by="machine")]),
    (event("click", url="https://shop.test/sign-in?token=x"), [told("clicked", "id-click")]),
    (event("spamreport"), [told("complained", "id-spamreport")]),
    (event("unsubscribe"), [told("unsubscribed", "id-unsubscribe")]),
    (event("group_unsubscribe", asm_group_id=10), [told("unsubscribed", "id-group_unsubscribe")]),
    (event("group_resubscribe", asm_group_id=10), []),
    (event("account_status_change", type="compliance_suspend"), []),
    (event("of_next_year"), []),
    (event("delivered", sg_event_id=None), []),
    ({"event": ["delivered"]}, []),
]


@pytest.mark.parametrize(
    ("sent", "events"), EVENTS, ids=lambda value: value.get("event") if type(value) is dict else ""
)
def test_each_event_says_one_thing(sent: dict[str, Any], events: list[Event], http: Http) -> None:
    assert list(sendgrid(http).read_receipts(signed(as_sent([sent])))) == events


def test_one_call_tells_of_many_mails(http: Http) -> None:
    """What is no event among them is passed over."""
    sent = [one for one, _ in EVENTS]
    read = sendgrid(http).read_receipts(signed(as_sent([None, *sent, 3, "x", []])))
    assert list(read) == [one for _, events in EVENTS for one in events]
    assert {one.kind for one in read} == set(SendGrid.tells)


def test_a_mail_that_is_not_ours_and_a_time_that_is_none(http: Http) -> None:
    """Another program may send through the same account."""
    [read] = sendgrid(http).read_receipts(
        signed(as_sent([{"event": "delivered", "sg_event_id": "x", "timestamp": "soon", "notifier_delivery": 7}]))
    )
    assert read == Event("x", "delivered", NOW)


def test_what_the_tests_sign_their_verifier_takes() -> None:
    request = signed(as_sent([event("delivered")]))
    assert EventWebhook(PUBLIC_KEY).verify_signature(
        request.body.decode(),
        request.headers[SIGNATURE],
        request.headers[TIMESTAMP],
    )


# Signed by SendGrid: test/unit/test_eventwebhook.py of its Python library.
PUBLISHED_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6"
    "wEA3F+g=="
)
PUBLISHED = {
    SIGNATURE: "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=",
    TIMESTAMP: "1600112502",
}
PUBLISHED_BODY = (
    b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",'
    b'"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
    b'"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
    b'"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
)


def published(body: bytes = PUBLISHED_BODY) -> HookRequest:
    return HookRequest(
        "POST", "https://notify.test/hooks/sendgrid", PUBLISHED, body, datetime(2020, 9, 14, 19, 42, tzinfo=UTC)
    )


def test_the_call_that_sendgrid_published_verifies(http: Http) -> None:
    assert sendgrid(http, SENDGRID_WEBHOOK_KEY=PUBLISHED_KEY).read_receipts(published()) == [
        Event(
            "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
            "bounced",
            datetime(2020, 9, 14, 19, 41, 32, tzinfo=UTC),
            provider_message_id="LRzXl_NHStOGhQ4kofSm_A",
            address="hello@world.com",
            code="Bounced Address",
        )
    ]


def test_the_line_break_at_the_end_is_signed_too(http: Http) -> None:
    with pytest.raises(HookRefused):
        sendgrid(http, SENDGRID_WEBHOOK_KEY=PUBLISHED_KEY).read_receipts(published(PUBLISHED_BODY.rstrip()))


DELIVERED = as_sent([event("delivered")])


REFUSED = {
    "another body": signed(DELIVERED, arrives=as_sent([event("bounce")])),
    "written anew": signed(DELIVERED, arrives=json.dumps(json.loads(DELIVERED)).encode()),
    "another time": signed(DELIVERED, **{TIMESTAMP: str(int(NOW.timestamp()) + 1)}),
    "no signature": signed(DELIVERED, **{SIGNATURE: ""}),
    "no base64": signed(DELIVERED, **{SIGNATURE: "ä"}),
    "the signature of another": signed(DELIVERED, **PUBLISHED),
    "stale": signed(DELIVERED, at=NOW - timedelta(minutes=5, seconds=1)),
    "of the future": signed(DELIVERED, at=NOW + timedelta(minutes=5, seconds=1)),
    "no time": signed(DELIVERED, timestamp=""),
    "no number": signed(DELIVERED, timestamp="nan"),
    "no headers": HookRequest("POST", "https://notify.test/hooks/sendgrid", {}, DELIVERED, NOW),
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
def test_what_sendgrid_did_not_sign_now_is_refused(request_: HookRequest, http: Http) -> None:
    with pytest.raises(HookRefused) as caught:
        sendgrid(http).read_receipts(request_)
    assert type(caught.value) is HookRefused


def test_five_minutes_are_not_too_old(http: Http) -> None:
    assert len(sendgrid(http).read_receipts(signed(DELIVERED, at=NOW - timedelta(minutes=5)))) == 1


@pytest.mark.parametrize("body", [b"", b"not JSON", b"{}", b"null", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_array_of_events_is_unreadable(body: bytes, http: Http) -> None:
    with pytest.raises(Unreadable):
        sendgrid(http).read_receipts(signed(body))


def test_without_the_key_no_event_is_taken(http: Http) -> None:
    with pytest.raises(HookRefused, match="SENDGRID_WEBHOOK_KEY"):
        SendGrid({}, http).read_receipts(signed(DELIVERED))
    assert SendGrid({}, http).missing_for_receipts == ["SENDGRID_WEBHOOK_KEY"]
