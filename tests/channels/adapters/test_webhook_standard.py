"""Signed webhooks, sent to a real receiver and verified there by the standard's own library."""

import json
from base64 import b64encode
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from notifier.channels.adapters.webhook_standard import StandardWebhook
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited, Retryable
from notifier.core.message import Receipt, Recipient

SECRET = "whsec_" + b64encode(b"a secret of twenty-four.").decode()
NEXT_SECRET = "whsec_" + b64encode(b"another of twenty-four..").decode()


@pytest.fixture
def to(sink: Any) -> Recipient:
    return Recipient(f"http://127.0.0.1:{sink.port}/hook", secret=SECRET)


def test_the_receiver_verifies_what_it_gets(http: Http, sink: Any, to: Recipient, make_message: Any) -> None:
    receipt = StandardWebhook({}, http).send(make_message(), to)
    [request] = sink.requests
    assert receipt == Receipt("sent")
    assert Webhook(SECRET).verify(request.body, request.headers) == {
        "type": "order_shipped",
        "timestamp": "2026-12-01T09:00:00.000Z",
        "data": {
            "order_id": "A123",
            "notification": {
                "id": "ntf_01930000000070008000000000000002",
                "user": "alice",
                "title": "On its way",
                "body": "Your order A123 is on its way.",
                "url": "https://shop.test/track/A123",
            },
        },
    }
    assert (request.headers["webhook-id"], request.headers["content-type"]) == (
        "dlv_01930000000070008000000000000001",
        "application/json",
    )


def test_the_receiver_can_go_on_with_the_trace(http: Http, sink: Any, to: Recipient, make_message: Any) -> None:
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for given in (traceparent, None):
        StandardWebhook({}, http).send(make_message(traceparent=given), to)
    assert [request.headers.get("traceparent") for request in sink.requests] == [traceparent, None]


def test_a_changed_body_does_not_verify(http: Http, sink: Any, to: Recipient, make_message: Any) -> None:
    StandardWebhook({}, http).send(make_message(), to)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(sink.requests[0].body.replace(b"A123", b"A124"), sink.requests[0].headers)


def test_a_retry_has_the_same_id_and_body_and_a_new_signature(
    http: Http, sink: Any, to: Recipient, make_message: Any, time_machine: Any
) -> None:
    for number in (1, 2):
        time_machine.move_to(f"2026-12-01T09:0{number}:00Z", tick=False)
        StandardWebhook({}, http).send(make_message(try_number=number), to)
    first, second = sink.requests
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    assert (first.headers["webhook-timestamp"], second.headers["webhook-timestamp"]) == ("1796115660", "1796115720")
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert Webhook(SECRET).verify(second.body, second.headers)


def test_both_secrets_verify_while_one_replaces_the_other(
    http: Http, sink: Any, to: Recipient, make_message: Any
) -> None:
    StandardWebhook({}, http).send(make_message(), Recipient(to.address, secret=f"{NEXT_SECRET} {SECRET}"))
    [request] = sink.requests
    assert all(Webhook(secret).verify(request.body, request.headers) for secret in (SECRET, NEXT_SECRET))


def test_the_key_notification_is_ours(http: Http, sink: Any, to: Recipient, make_message: Any) -> None:
    """The door refuses it in a producer's data; this is one that was accepted before it did."""
    StandardWebhook({}, http).send(make_message(data={"notification": "mine", "grüße": "€"}), to)
    data = json.loads(sink.requests[0].body)["data"]
    assert (data["grüße"], data["notification"]["user"]) == ("€", "alice")


@pytest.mark.parametrize(
    ("status", "family"),
    [
        (301, Permanent),
        (302, Permanent),
        (400, Permanent),
        (401, Permanent),
        (403, Permanent),
        (404, Permanent),
        (408, Retryable),
        (410, InvalidRecipient),
        (429, RateLimited),
        (500, Retryable),
        (503, Retryable),
    ],
)
def test_each_answer_means_one_thing(
    status: int, family: type[DeliveryError], http: Http, sink: Any, to: Recipient, make_message: Any
) -> None:
    sink.answers(status, {"Location": "/elsewhere"} if status < 400 else {})
    with pytest.raises(DeliveryError) as caught:
        StandardWebhook({}, http).send(make_message(), to)
    assert (type(caught.value), caught.value.code, len(sink.requests)) == (family, f"http_{status}", 1)


@pytest.mark.parametrize("secret", [None, "", " ", "whsec_", "whsec_ä", "whsec_A"])
def test_without_a_secret_nothing_is_sent(
    secret: str | None, http: Http, sink: Any, to: Recipient, make_message: Any
) -> None:
    with pytest.raises(Misconfigured):
        StandardWebhook({}, http).send(make_message(), Recipient(to.address, secret=secret))
    assert sink.requests == []


def test_a_private_target_is_refused(sink: Any, to: Recipient, make_message: Any) -> None:
    with pytest.raises(Permanent) as caught:
        StandardWebhook({}, Http()).send(make_message(), to)
    assert (caught.value.code, sink.requests) == ("target_refused", [])


def test_a_preview_is_what_would_be_sent(http: Http, sink: Any, to: Recipient, make_message: Any) -> None:
    preview = StandardWebhook({}, http).preview(make_message(), to)
    assert Webhook(SECRET).verify(preview["text"], preview["headers"]) == preview["payload"]
    assert (preview["to"], sink.requests) == (to.address, [])
