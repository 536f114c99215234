"""WhatsApp's Cloud API: what is sent, what answers mean, and what Meta tells afterwards.

Shapes: Meta's reference of messages and its examples of webhook payloads, named in the adapter.
"""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from notifier.channels.adapters.whatsapp_cloud import WhatsAppCloud
from notifier.channels.receipts import Event, HookRefused, HookRequest, Misdirected, Unreadable
from notifier.channels.wire.http import Http
from notifier.core.errors import (
    DeliveryError,
    InvalidRecipient,
    Misconfigured,
    Permanent,
    RateLimited,
    Retryable,
)
from notifier.core.message import Content, Receipt, Recipient

DELIVERY = "dlv_01930000000070008000000000000001"
NUMBER = "106540352242922"
SECRET = "0123456789abcdef"
SENT = b'{"messaging_product":"whatsapp","contacts":[{"input":"4915","wa_id":"4915"}],"messages":[{"id":"wamid.A"}]}'
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)


def adapter(http: Http, sink: Any = None, **changes: str) -> WhatsAppCloud:
    settings = {
        "WHATSAPP_PHONE_NUMBER_ID": NUMBER,
        "WHATSAPP_TOKEN": "EAAs3cret",
        "WHATSAPP_APP_SECRET": SECRET,
        "WHATSAPP_VERIFY_TOKEN": "my-word",
        "WHATSAPP_URL": f"http://127.0.0.1:{sink.port}" if sink else "https://graph.test",
    }
    return WhatsAppCloud(settings | changes, http)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, {"type": "text", "text": {"preview_url": False, "body": "It is on its way."}}),
        (
            {"approved": ("order_shipped de", "A123", "")},
            {
                "type": "template",
                "template": {
                    "name": "order_shipped",
                    "language": {"code": "de"},
                    "components": [
                        {
                            "type": "body",
                            "parameters": [{"type": "text", "text": "A123"}, {"type": "text", "text": " "}],
                        }
                    ],
                },
            },
        ),
        (
            {"approved": ("code de", "1234"), "approved_buttons": ("", "1234")},
            {
                "type": "template",
                "template": {
                    "name": "code",
                    "language": {"code": "de"},
                    "components": [
                        {"type": "body", "parameters": [{"type": "text", "text": "1234"}]},
                        {
                            "type": "button",
                            "sub_type": "url",
                            "index": "1",
                            "parameters": [{"type": "text", "text": "1234"}],
                        },
                    ],
                },
            },
        ),
        (
            {"approved": ("hello en_US",)},
            {"type": "template", "template": {"name": "hello", "language": {"code": "en_US"}}},
        ),
    ],
)
def test_text_is_sent_or_the_approved_template(
    extra: Any, expected: Any, http: Http, sink: Any, make_message: Any
) -> None:
    sink.answers(200, {}, SENT)
    message = make_message(content=Content("On its way", "It is on its way.", extra=extra))
    assert adapter(http, sink).send(message, Recipient("+4915112345678")) == Receipt("sent", "wamid.A")
    [request] = sink.requests
    assert (request.path, request.headers["authorization"]) == (f"/v23.0/{NUMBER}/messages", "Bearer EAAs3cret")
    assert json.loads(request.body) == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "4915112345678",
        "biz_opaque_callback_data": DELIVERY,
        **expected,
    }


def error(code: Any) -> dict[str, Any]:
    return {
        "error": {"message": "(#1) +4915112345678 s3cret", "type": "OAuthException", "code": code, "fbtrace_id": "x"}
    }


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, error(131026), (InvalidRecipient, "131026", False)),
        (400, error(131047), (Permanent, "131047", False)),
        (400, error(131049), (Permanent, "131049", False)),
        (400, error(131050), (Permanent, "131050", False)),
        (400, error(132001), (Permanent, "132001", False)),
        (400, error(131056), (RateLimited, "131056", False)),
        (429, error(130429), (RateLimited, "130429", False)),
        (401, error(190), (Misconfigured, "190", False)),
        (403, error(200), (Misconfigured, "200", False)),
        (403, error(299), (Misconfigured, "299", False)),
        (400, error(133010), (Misconfigured, "133010", False)),
        (500, error(131000), (Retryable, "131000", True)),
        (500, error(2), (Retryable, "2", False)),
        (503, error(131016), (Retryable, "131016", False)),
        (400, error(999999), (Permanent, "999999", False)),
        (200, error(999999), (Retryable, "999999", True)),
        (400, error("s3cret"), (Permanent, "http_400", False)),
        (200, {"error": {}}, (Retryable, "not_understood", True)),
        (200, {}, (Retryable, "not_understood", True)),
        (200, {"messages": []}, (Retryable, "not_understood", True)),
        (200, [], (Retryable, "not_understood", True)),
        (502, [], (Retryable, "http_502", True)),
        (429, [], (RateLimited, "http_429", False)),
    ],
)
def test_an_answer_means_one_thing(
    status: int, body: Any, expected: Any, http: Http, sink: Any, make_message: Any
) -> None:
    sink.answers(status, {}, json.dumps(body).encode())
    with pytest.raises(DeliveryError) as caught:
        adapter(http, sink).send(make_message(), Recipient("+4915112345678"))
    found = caught.value
    assert (type(found), found.code, getattr(found, "ambiguous", False)) == expected
    assert "s3cret" not in str(found)
    if isinstance(found, RateLimited):
        assert (found.is_of_recipient, found.retry_after) == ((True, 6) if found.code == "131056" else (False, 5))


@pytest.mark.parametrize("changes", [{"WHATSAPP_PHONE_NUMBER_ID": "../x"}, {"WHATSAPP_VERSION": "v23/../x"}])
def test_a_setting_that_would_call_another_path_is_refused(
    changes: dict[str, str], http: Http, sink: Any, make_message: Any
) -> None:
    with pytest.raises(Misconfigured):
        adapter(http, sink, **changes).send(make_message(), Recipient("+4915112345678"))
    assert sink.requests == []


# ---- receipts -------------------------------------------------------------------------------------------------------


def status(kind: str, **more: Any) -> dict[str, Any]:
    return {"id": "wamid.A", "status": kind, "timestamp": "1796115600", "recipient_id": "4915112345678", **more}


def call(*statuses: Any, number: str = NUMBER, **more: Any) -> bytes:
    metadata = {"display_phone_number": "15550100001", "phone_number_id": number}
    value = {"messaging_product": "whatsapp", "metadata": metadata, "statuses": list(statuses), **more}
    entry = {"id": "102290129340398", "changes": [{"value": value, "field": "messages"}]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


def request(body: bytes, signature: str | None = None, secret: str = SECRET) -> HookRequest:
    signed = signature or "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return HookRequest("POST", "https://n.test/hooks/whatsapp_cloud", {"x-hub-signature-256": signed}, body, NOW)


def test_statuses_become_events(http: Http) -> None:
    failed = {"errors": [{"code": 131026, "title": "Message undeliverable", "error_data": {"details": "…"}}]}
    body = call(
        status("sent", biz_opaque_callback_data=DELIVERY),
        status("delivered"),
        status("read"),
        status("failed", **failed),
        status("deleted"),  # a status that is not known is left out
    )
    events = adapter(http).read_receipts(request(body))

    def event(word: str, kind: Any, **more: Any) -> Event:
        id = hashlib.sha256(f"wamid.A {word}".encode()).hexdigest()
        return Event(id, kind, NOW, "wamid.A", **more)

    assert list(events) == [
        event("sent", "sent", delivery_id=DELIVERY),
        event("delivered", "delivered"),
        event("read", "opened", by="person"),
        event("failed", "failed", code="131026"),
    ]


def test_what_people_write_is_no_receipt(http: Http) -> None:
    assert list(adapter(http).read_receipts(request(call(messages=[{"from": "4915", "type": "text"}])))) == []


@pytest.mark.parametrize("signature", ["sha256=" + "0" * 64, "sha256=", "ä", "sha1=x"])
def test_a_wrong_signature_is_refused(signature: str, http: Http) -> None:
    with pytest.raises(HookRefused):
        adapter(http).read_receipts(request(call(status("sent")), signature))


def test_the_signature_covers_every_byte(http: Http) -> None:
    body = call(status("sent"))
    signed = request(body).headers["x-hub-signature-256"]
    with pytest.raises(HookRefused):
        adapter(http).read_receipts(request(body + b" ", signed))
    with pytest.raises(HookRefused):
        adapter(http).read_receipts(request(body, secret="another"))


def test_events_of_another_number_are_misdirected(http: Http) -> None:
    with pytest.raises(Misdirected):
        adapter(http).read_receipts(request(call(status("sent"), number="1")))


def test_a_change_of_the_account_beside_statuses_keeps_none_of_them_back(http: Http) -> None:
    body = json.loads(call(status("delivered", biz_opaque_callback_data=5)))
    body["entry"][0]["changes"].append({"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT"}})
    [event] = adapter(http).read_receipts(request(json.dumps(body).encode()))
    assert (event.kind, event.delivery_id) == ("delivered", None)


@pytest.mark.parametrize("broken", [None, "sent", [], {}, status("sent", timestamp="soon"), status("sent", errors=[1])])
def test_a_status_that_cannot_be_read_keeps_none_of_the_others_back(broken: Any, http: Http) -> None:
    events = adapter(http).read_receipts(request(call(status("delivered"), broken, status("read"))))
    assert [event.kind for event in events] == ["delivered", "opened"]


@pytest.mark.parametrize("broken", [None, {}, {"value": None}, {"value": "x"}, {"value": {"statuses": "sent"}}])
@pytest.mark.parametrize("place", ["entry", "change"])
def test_a_part_that_cannot_be_read_keeps_none_of_the_others_back(place: str, broken: Any, http: Http) -> None:
    body = json.loads(call(status("delivered")))
    if place == "entry":
        body["entry"] += [broken, {"changes": broken}, {"changes": [broken]}]
    else:
        number = body["entry"][0]["changes"][0]["value"]["metadata"]
        mine = {"value": {"metadata": number, "statuses": broken}}
        body["entry"][0]["changes"] += [broken, mine]
    [event] = adapter(http).read_receipts(request(json.dumps(body).encode()))
    assert event.kind == "delivered"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"entry":[{}]}',
        call({"id": "wamid.A", "status": "sent", "timestamp": "soon"}),
        call({"id": "wamid.A", "status": "sent", "timestamp": 10**17}),
        b"[" * 9,
    ],
)
def test_a_body_that_is_not_as_documented_is_unreadable(body: bytes, http: Http) -> None:
    with pytest.raises(Unreadable):
        adapter(http).read_receipts(request(body))


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=my-word", "1158201444"),
        ("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=another", None),
        ("hub.mode=unsubscribe&hub.challenge=1158201444&hub.verify_token=my-word", None),
        ("hub.mode=subscribe&hub.challenge=%3Cscript%3E&hub.verify_token=my-word", None),
        ("", None),
    ],
)
def test_meta_is_answered_when_it_knows_the_word(query: str, answer: str | None, http: Http) -> None:
    asked = HookRequest("GET", f"https://n.test/hooks/whatsapp_cloud?{query}", {}, b"", NOW)
    if answer is None:
        with pytest.raises(HookRefused):
            adapter(http).answer_challenge(asked)
    else:
        assert adapter(http).answer_challenge(asked) == answer
