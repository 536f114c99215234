"""Browser push at the wire: a push service on this machine checks the signature, a browser's key opens the message."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from notifier.channels.adapters.webpush_vapid import LONGEST_PAYLOAD, WebPush, new_private_key
from notifier.channels.contract import Adapter
from notifier.channels.wire.http import Http
from notifier.channels.wire.targets import Targets
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited, Retryable
from notifier.core.message import Receipt, Recipient
from tests.channels.pushing import Browser, read_vapid

AT = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
CONTACT = "mailto:ops@shop.test"


@pytest.fixture
def browser(secure_sink: Any) -> Browser:
    return Browser(f"https://127.0.0.1:{secure_sink.port}/push/abc")


@pytest.fixture
def to(browser: Browser) -> Recipient:
    return Recipient(browser.subscription)


@pytest.fixture
def adapter(http: Http) -> WebPush:
    return WebPush({"VAPID_KEY": new_private_key(), "VAPID_CONTACT": CONTACT}, http)


def test_the_browser_reads_what_was_sent(
    adapter: WebPush, secure_sink: Any, browser: Browser, to: Recipient, make_message: Any
) -> None:
    assert adapter.send(make_message(), to) == Receipt("sent")
    [request] = secure_sink.requests
    assert browser.read(request.body) == {
        "title": "On its way",
        "body": "Your order A123 is on its way.",
        "url": "https://shop.test/track/A123",
        "tag": "dlv_01930000000070008000000000000001",
        "delivery": "dlv_01930000000070008000000000000001",
    }
    assert (request.method, request.path, request.headers["content-encoding"]) == ("POST", "/push/abc", "aes128gcm")


def test_the_push_service_can_tell_who_sends(
    adapter: WebPush, secure_sink: Any, to: Recipient, make_message: Any, time_machine: Any
) -> None:
    time_machine.move_to(AT, tick=False)
    adapter.send(make_message(), to)
    claims, key = read_vapid(secure_sink.requests[0].headers["authorization"])
    assert claims == {
        "aud": f"https://127.0.0.1:{secure_sink.port}",
        "sub": CONTACT,
        "exp": int((AT + timedelta(hours=12)).timestamp()),
    }
    assert key == adapter.public_key


def test_a_signature_serves_for_an_hour_and_never_longer_than_it_is_valid(
    adapter: WebPush, secure_sink: Any, to: Recipient, make_message: Any, time_machine: Any
) -> None:
    for minutes in (0, 59, 60):
        time_machine.move_to(AT + timedelta(minutes=minutes), tick=False)
        adapter.send(make_message(), to)
    first, second, third = (request.headers["authorization"] for request in secure_sink.requests)
    assert first == second != third


def test_each_message_is_encrypted_with_a_key_of_its_own(
    adapter: WebPush, secure_sink: Any, to: Recipient, make_message: Any
) -> None:
    for _ in range(2):
        adapter.send(make_message(), to)
    first, second = (request.body for request in secure_sink.requests)
    assert first[:86] != second[:86]  # salt and key


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"priority": "urgent"}, {"ttl": "2419200", "urgency": "high"}),
        ({"priority": "high"}, {"ttl": "2419200", "urgency": "high"}),
        ({"priority": "medium"}, {"ttl": "2419200", "urgency": "normal"}),
        ({"priority": "low"}, {"ttl": "2419200", "urgency": "low"}),
        ({"expires_at": AT + timedelta(minutes=10)}, {"ttl": "600", "urgency": "high"}),
        ({"expires_at": AT - timedelta(minutes=10)}, {"ttl": "0", "urgency": "high"}),
        ({"expires_at": AT + timedelta(days=365)}, {"ttl": "2419200", "urgency": "high"}),
        (
            {"collapse_key": "order-A123"},
            {"ttl": "2419200", "urgency": "high", "topic": "3GNcpZNzlQ4XrUq8UegpRlaUqRGt4c0s"},
        ),
    ],
    ids=lambda value: "-".join(f"{name}={word}" for name, word in value.items() if name != "ttl").replace(" ", "_"),
)
def test_how_long_how_urgent_and_instead_of_what(
    adapter: WebPush,
    secure_sink: Any,
    to: Recipient,
    make_message: Any,
    time_machine: Any,
    fields: dict[str, Any],
    headers: dict[str, str],
) -> None:
    time_machine.move_to(AT, tick=False)
    adapter.send(make_message(**fields), to)
    assert {
        name: value for name, value in secure_sink.requests[0].headers.items() if name in ("ttl", "urgency", "topic")
    } == headers


def test_what_replaces_another_has_its_tag(
    adapter: WebPush, secure_sink: Any, browser: Browser, to: Recipient, make_message: Any
) -> None:
    adapter.send(make_message(collapse_key="order-A123"), to)
    assert browser.read(secure_sink.requests[0].body)["tag"] == "order-A123"


LONG = {
    "title": "t" * 5000,
    "body": "€" * 5000,
    "action_url": "https://shop.test/" + "u" * 2000,
    "image": "https://shop.test/" + "i" * 2000,
}


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"body": "b" * 500, "image": LONG["image"]}, {"title": 10, "body": 500, "url": 28, "image": 2018}),
        (
            {"body": "b" * 500, "image": LONG["image"], "action_url": LONG["action_url"]},
            {"title": 10, "body": 500, "url": 2018},
        ),
        ({"body": LONG["body"], "action_url": LONG["action_url"]}, {"title": 10, "body": 200, "url": 2018}),
        ({"body": "\x01" * 500, "title": "\x01" * 500, "action_url": LONG["action_url"]}, {"title": 200, "body": 200}),
        (LONG, {"title": 200, "body": 200, "url": 2018}),
    ],
    ids=["all-fits", "no-image", "short-text", "no-link", "everything-long"],
)
def test_what_does_not_fit_is_left_out_and_the_words_last(
    adapter: WebPush,
    secure_sink: Any,
    browser: Browser,
    to: Recipient,
    make_message: Any,
    fields: dict[str, str],
    kept: dict[str, int],
) -> None:
    content = make_message().content
    shown = {"title": content.title, "body": content.body, "action_url": content.action_url, **fields}
    adapter.send(make_message(content=type(content)(**shown)), to)
    [request] = secure_sink.requests
    assert len(request.body) <= LONGEST_PAYLOAD + 103 == 4096
    assert {
        name: len(value) for name, value in browser.read(request.body).items() if name not in ("tag", "delivery")
    } == kept


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Permanent),
        (401, Misconfigured),
        (403, Misconfigured),
        (404, InvalidRecipient),
        (410, InvalidRecipient),
        (413, Permanent),
        (429, RateLimited),
        (500, Retryable),
        (502, Retryable),
        (503, Retryable),
    ],
)
def test_what_the_push_service_answers(
    adapter: WebPush, secure_sink: Any, to: Recipient, make_message: Any, status: int, error: type[DeliveryError]
) -> None:
    secure_sink.answers(status, body=b"push subscription has unsubscribed or expired")
    with pytest.raises(DeliveryError) as caught:
        adapter.send(make_message(), to)
    assert (type(caught.value), caught.value.code) == (error, f"http_{status}")


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "body",
    [
        b'{"reason":"BadJwtToken"}',
        b"the VAPID credentials do not correspond to those used to create the subscription",
        b"",
    ],
)
def test_an_answer_about_our_signature_blames_nobody(
    adapter: WebPush, secure_sink: Any, to: Recipient, make_message: Any, status: int, body: bytes
) -> None:
    """Nor is one of them enough to pause a push service for everybody: a subscription made with another key gets it
    too.
    """
    secure_sink.answers(status, body=body)
    with pytest.raises(Misconfigured) as caught:
        adapter.send(make_message(), to)
    assert not caught.value.is_certain


def test_it_waits_as_long_as_it_is_told(adapter: WebPush, secure_sink: Any, to: Recipient, make_message: Any) -> None:
    secure_sink.answers(429, {"Retry-After": "17"})
    with pytest.raises(RateLimited) as caught:
        adapter.send(make_message(), to)
    assert caught.value.retry_after == 17.0


def test_an_endpoint_inside_a_private_network_is_never_called(
    secure_sink: Any, authority: Any, to: Recipient, make_message: Any
) -> None:
    http = Http((), tls=authority.trusted())
    with pytest.raises(Permanent) as caught:
        WebPush({"VAPID_KEY": new_private_key()}, http).send(make_message(), to)
    assert (caught.value.code, secure_sink.requests) == ("target_refused", [])
    assert not Targets().may_be_meant("https://169.254.169.254/push")


@pytest.mark.parametrize("address", ["", "{}", "[]", "null", '{"endpoint":"https://push.test/"}', "https://push.test/"])
def test_what_is_no_subscription_is_an_address_that_never_works(
    adapter: WebPush, make_message: Any, address: str
) -> None:
    with pytest.raises(InvalidRecipient):
        adapter.send(make_message(), Recipient(address))


@pytest.mark.parametrize("contact", ["ops@shop.test", "mailto:", "http://shop.test"])
def test_a_contact_that_is_none_is_our_misconfiguration(
    http: Http, to: Recipient, make_message: Any, contact: str
) -> None:
    with pytest.raises(Misconfigured, match="VAPID_CONTACT"):
        WebPush({"VAPID_KEY": new_private_key(), "VAPID_CONTACT": contact}, http).send(make_message(), to)


@pytest.mark.parametrize("key", ["s3cret", "AAAA", "A" * 43])
def test_a_key_that_is_none_stops_the_start(http: Http, key: str) -> None:
    with pytest.raises(ValueError, match="VAPID_KEY") as caught:
        WebPush({"VAPID_KEY": key}, http)
    assert "s3cret" not in str(caught.value)


def test_each_push_service_has_a_health_of_its_own(adapter: Adapter) -> None:
    scopes = {adapter.scope(Recipient(Browser(f"https://{host}/x").subscription)) for host in ("a.test", "b.test")}
    assert scopes == {"webpush:a.test:443", "webpush:b.test:443"}
