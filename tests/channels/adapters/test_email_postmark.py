"""Postmark, played by a sink: what it is sent, what its answers mean, and what its calls say."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from notifier.channels.adapters.email_postmark import Postmark
from notifier.channels.receipts import Event, HookRefused, HookRequest, Misdirected, Unreadable
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited, Retryable
from notifier.core.message import Content, Receipt, Recipient
from tests.channels.refusing import meaning

DELIVERY = "dlv_01930000000070008000000000000001"
MESSAGE_ID = "883953f4-6105-42a2-a16a-77a8eac79483"
ALICE = Recipient("alice@shop.test", name="Doe, Alice")
NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
SECRET = "a-long-random-secret-ß"
ACCEPTED = {
    "To": "alice@shop.test",
    "SubmittedAt": "2026-12-01T09:00:00.0000000-05:00",
    "MessageID": MESSAGE_ID,
    "ErrorCode": 0,
    "Message": "OK",
}


def postmark(http: Http, sink: Any = None, **settings: str) -> Postmark:
    given = {"POSTMARK_TOKEN": "server-token", "POSTMARK_FROM": "Käse & Co <orders@shop.test>"}
    given["POSTMARK_HOOK_SECRET"] = SECRET
    if sink is not None:
        given["POSTMARK_URL"] = f"http://127.0.0.1:{sink.port}/"
        sink.answers(200, {}, json.dumps(ACCEPTED).encode())
    return Postmark(given | settings, http)


# ---- sending --------------------------------------------------------------------------------------------------------


def test_the_request(http: Http, sink: Any, make_message: Any) -> None:
    message = make_message(category="marketing", unsubscribe_url="https://notify.test/u/abc")
    assert postmark(http, sink).send(message, ALICE) == Receipt("sent", provider_message_id=MESSAGE_ID)
    [request] = sink.requests
    assert (request.method, request.path, request.headers["x-postmark-server-token"]) == (
        "POST",
        "/email",
        "server-token",
    )
    assert (request.headers["content-type"], request.headers["accept"]) == (
        "application/json; charset=utf-8",
        "application/json",
    )
    assert json.loads(request.body) == {
        "From": "Käse & Co <orders@shop.test>",
        "To": '"Doe, Alice" <alice@shop.test>',
        "Subject": "Order A123",
        "TextBody": "Your order A123 is on its way.",
        "HtmlBody": "<!doctype html><p>Your order A123 is on its way.</p>",
        "Headers": [
            {"Name": "Message-ID", "Value": f"<{DELIVERY}@shop.test>"},
            {"Name": "Auto-Submitted", "Value": "auto-generated"},
            {"Name": "List-Unsubscribe", "Value": "<https://notify.test/u/abc>"},
            {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
            {"Name": "X-PM-KeepID", "Value": "true"},
        ],
        "MessageStream": "outbound",
        "Metadata": {"notifier_delivery": DELIVERY},
        "TrackOpens": False,
        "TrackLinks": "None",
    }


def test_a_mail_without_html_or_text_has_a_text_part_all_the_same(http: Http, sink: Any, make_message: Any) -> None:
    message = make_message(content=Content(title="On its way", body=""))
    postmark(http, sink, POSTMARK_STREAM="offers").send(message, Recipient("büro@münchen.test"))
    sent = json.loads(sink.requests[0].body)
    assert (sent["Subject"], sent["TextBody"], sent.get("HtmlBody")) == ("On its way", "\n", None)
    assert (sent["To"], sent["MessageStream"]) == ("büro@xn--mnchen-3ya.test", "offers")


@pytest.mark.parametrize(
    ("tracking", "category", "found"),
    [
        ("off", "marketing", (False, "None")),
        ("on", "marketing", (True, "HtmlAndText")),
        ("on", "transactional", (False, "None")),
    ],
)
def test_only_marketing_and_social_mail_is_tracked_and_only_if_asked_for(
    tracking: str, category: str, found: tuple[bool, str], http: Http, sink: Any, make_message: Any
) -> None:
    postmark(http, sink, POSTMARK_TRACKING=tracking).send(make_message(category=category), ALICE)
    sent = json.loads(sink.requests[0].body)
    assert (sent["TrackOpens"], sent["TrackLinks"]) == found


def answer(code: Any, message: str = "x") -> bytes:
    return json.dumps({"ErrorCode": code, "Message": message}).encode()


@pytest.mark.parametrize(
    ("status", "headers", "body", "family", "code", "more"),
    [
        (401, {}, answer(10), Misconfigured, "10", None),
        (422, {}, answer(300, "Invalid 'To' address: 'alice@shop'."), InvalidRecipient, "300", None),
        (422, {}, answer(300, "Error parsing 'To': Illegal email domain"), InvalidRecipient, "300", None),
        (422, {}, answer(300, "Invalid 'From' address: 'x'."), Permanent, "300", None),
        (422, {}, answer(300, None), Permanent, "300", None),  # type: ignore[arg-type]
        (422, {}, answer(400), Misconfigured, "400", None),
        (422, {}, answer(401), Misconfigured, "401", None),
        (422, {}, answer(402), Permanent, "402", None),
        (422, {}, answer(405), Misconfigured, "405", None),
        (422, {}, answer(406, "Found inactive addresses: alice@shop.test."), Permanent, "406", None),
        (422, {}, answer(412), Misconfigured, "412", None),
        (422, {}, answer(1235), Misconfigured, "1235", None),
        (422, {}, answer(99999), Permanent, "99999", None),
        (422, {}, answer("300"), Permanent, "http_422", None),
        (422, {}, answer(True), Permanent, "http_422", None),
        (422, {}, b"<html>", Permanent, "http_422", None),
        (404, {}, b"<html>", Misconfigured, "http_404", None),
        (429, {}, answer(429), RateLimited, "429", 5),
        (429, {"Retry-After": "7"}, b"", RateLimited, "http_429", 7),
        (500, {}, b"", Retryable, "http_500", True),
        (502, {}, b"<html>", Retryable, "http_502", True),
        (503, {}, answer(100), Retryable, "100", False),
        (503, {}, b"", Retryable, "http_503", True),
        (503, {"Retry-After": "20"}, b"", RateLimited, "http_503", 20),
        (200, {}, answer(406), Permanent, "406", None),
        (200, {}, answer(99999), Retryable, "99999", True),
        (200, {}, answer(0), Retryable, "not_understood", True),
        (200, {}, b"<html>a proxy's page</html>", Retryable, "not_understood", True),
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
    adapter = postmark(http, sink)
    sink.answers(status, headers, body)
    assert meaning(adapter, sink, make_message(), ALICE, "server-token") == (family, code, more)


def test_a_token_that_is_none_is_our_misconfiguration(http: Http, sink: Any, make_message: Any) -> None:
    with pytest.raises(Misconfigured):
        postmark(http, sink, POSTMARK_TOKEN="x\r\nEvil: y").send(make_message(), ALICE)
    assert sink.requests == []


# ---- receipts -------------------------------------------------------------------------------------------------------


def basic(password: str, user: str = "postmark") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def call(told: Any, **headers: str) -> HookRequest:
    given = {"authorization": basic(SECRET)} if not headers else {n.replace("_", "-"): v for n, v in headers.items()}
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    return HookRequest("POST", "https://notify.test/hooks/postmark", given, body, NOW)


def record(kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "RecordType": kind,
        "MessageStream": "outbound",
        "MessageID": MESSAGE_ID,
        "Metadata": {"notifier_delivery": DELIVERY},
        **fields,
    }


def bounce(word: str, *, kind: str = "Bounce") -> dict[str, Any]:
    return record(
        kind,
        ID=901542550,
        Type=word,
        TypeCode=1,
        Email="alice@shop.test",
        BouncedAt="2026-12-01T03:59:30.2735393-05:00",
        Details="smtp;550 5.1.1",
    )


def change(reason: str, origin: str = "Recipient", *, is_off: bool = True) -> dict[str, Any]:
    return record(
        "SubscriptionChange",
        Recipient="alice@shop.test",
        Origin=origin,
        SuppressSending=is_off,
        SuppressionReason=reason if is_off else None,
        ChangedAt="2026-12-01T08:59:30Z",
    )


AT = datetime(2026, 12, 1, 8, 59, 30, tzinfo=UTC)
EXACTLY = datetime(2026, 12, 1, 8, 59, 30, 273539, tzinfo=UTC)


def told(kind: Any, event_id: str = "", at: datetime = AT, code: str = "") -> Event:
    return Event(
        event_id, kind, at, provider_message_id=MESSAGE_ID, delivery_id=DELIVERY, address="alice@shop.test", code=code
    )


def bounced(kind: Any, code: str, *, record: str = "Bounce") -> Event:
    return told(kind, f"{record}:901542550", EXACTLY, code)


WHEN = {"ReceivedAt": "2026-12-01T08:59:30Z", "Recipient": "alice@shop.test", "UserAgent": "Mozilla/5.0"}
EVENTS: list[tuple[dict[str, Any], Event | None]] = [
    (record("Delivery", DeliveredAt="2026-12-01T08:59:30Z", Recipient="alice@shop.test"), told("delivered")),
    (record("Open", FirstOpen=True, **WHEN), told("opened")),
    (record("Click", OriginalLink="https://shop.test/?token=x", **WHEN), told("clicked")),
    (bounce("HardBounce"), bounced("bounced", "HardBounce")),
    (bounce("BadEmailAddress"), bounced("bounced", "BadEmailAddress")),
    (bounce("SoftBounce"), bounced("failed", "SoftBounce")),
    (bounce("Blocked"), bounced("failed", "Blocked")),
    (bounce("SpamNotification"), bounced("failed", "SpamNotification")),
    (bounce("DMARCPolicy"), bounced("failed", "DMARCPolicy")),
    (bounce("Unsubscribe"), bounced("unsubscribed", "Unsubscribe")),
    (bounce("Transient"), None),
    (bounce("DnsError"), None),
    (bounce("AutoResponder"), None),
    (bounce("OfNextYear"), None),
    (
        bounce("SpamComplaint", kind="SpamComplaint"),
        bounced("complained", "SpamComplaint", record="SpamComplaint"),
    ),
    (change("ManualSuppression"), told("unsubscribed", code="ManualSuppression")),
    (change("ManualSuppression", "Customer"), None),
    (change("ManualSuppression", "Admin"), None),
    (change("HardBounce"), None),
    (change("SpamComplaint"), None),
    (change("", is_off=False), None),
    (record("OfNextYear"), None),
    ({}, None),
]


def kind_of(value: Any) -> str:
    return f"{value.get('RecordType')} {value.get('Type', '')}" if isinstance(value, dict) else ""


@pytest.mark.parametrize(("sent", "event"), EVENTS, ids=kind_of)
def test_each_record_says_one_thing(sent: dict[str, Any], event: Event | None, http: Http) -> None:
    read = postmark(http).read_receipts(call(sent))
    ids = {one.id for one in read}
    assert list(read) == ([] if event is None else [Event(**{**fields(event), "id": event.id or ids.pop()})])


def fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__slots__}


def test_it_tells_all_that_it_says_it_can() -> None:
    assert {event.kind for _, event in EVENTS if event} == set(Postmark.tells)


def test_the_same_record_has_the_same_id_and_another_has_another(http: Http) -> None:
    records = [
        record("Open", **WHEN),
        record("Click", **WHEN),
        record("Click", OriginalLink="https://shop.test/a", **WHEN),
        record("Open", **WHEN | {"ReceivedAt": "2026-12-01T08:59:31Z"}),
        record("Open", **WHEN | {"Recipient": "bob@shop.test"}),
        record("Open", **WHEN | {"MessageID": "another"}),
        bounce("HardBounce"),
        bounce("SpamComplaint", kind="SpamComplaint"),
    ]
    ids = [[postmark(http).read_receipts(call(one))[0].id for one in records] for _ in range(2)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(records)


def test_what_is_missing_or_strange_is_left_out(http: Http) -> None:
    strange = {"RecordType": "Delivery", "MessageID": 7, "Metadata": "x", "Recipient": [], "DeliveredAt": "soon"}
    [read] = postmark(http).read_receipts(call(strange))
    assert fields(read) | {"id": ""} == fields(Event("", "delivered", NOW))


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": basic(SECRET)},
        {"authorization": basic(SECRET, "anybody")},
        {"authorization": basic(SECRET, "")},
        {"x_hook_secret": SECRET},
    ],
)
def test_the_secret_comes_as_the_password_or_in_a_header(headers: dict[str, str], http: Http) -> None:
    assert len(postmark(http).read_receipts(call(EVENTS[0][0], **headers))) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": basic("another")},
        {"authorization": basic("")},
        {"authorization": basic(SECRET + "x")},
        {"authorization": SECRET},
        {"authorization": "Basic ä"},
        {"authorization": f"Bearer {SECRET}"},
        {"authorization": "Basic"},
        {"x_hook_secret": SECRET[:-1]},
        {"x_hook_secret": "\udcff"},
        {"x_hook_secret": ""},
        {"another": SECRET},
    ],
)
def test_without_the_secret_nothing_is_taken(headers: dict[str, str], http: Http) -> None:
    with pytest.raises(HookRefused) as caught:
        postmark(http).read_receipts(call(EVENTS[0][0], **headers))
    assert type(caught.value) is HookRefused
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("settings", [{}, {"POSTMARK_HOOK_SECRET": ""}])
@pytest.mark.parametrize("headers", [{"authorization": basic("")}, {"x_hook_secret": ""}, {"another": "x"}])
def test_where_no_secret_is_set_an_empty_one_opens_nothing(
    settings: dict[str, str], headers: dict[str, str], http: Http
) -> None:
    with pytest.raises(HookRefused, match="POSTMARK_HOOK_SECRET"):
        Postmark(settings, http).read_receipts(call(EVENTS[0][0], **headers))


@pytest.mark.parametrize("sent", [{"RecordType": "Inbound"}, {"FromFull": {"Email": "from@example.org"}}])
def test_a_hook_for_incoming_mail_is_named(sent: dict[str, Any], http: Http) -> None:
    with pytest.raises(Misdirected, match="incoming"):
        postmark(http).read_receipts(call(sent))


@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b"null", b"\xff"])
def test_a_body_that_is_no_record_is_unreadable(body: bytes, http: Http) -> None:
    with pytest.raises(Unreadable):
        postmark(http).read_receipts(call(body))
