"""The sandbox: what it keeps of each channel's messages, and the failures its magic recipients play."""

from typing import Any

import pytest
from standardwebhooks import Webhook

from notifier.channels import CHANNELS
from notifier.channels.adapters.email_smtp import EmailSmtp
from notifier.channels.adapters.webhook_standard import StandardWebhook
from notifier.channels.sandbox import magic_word, sandbox_for
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Permanent, RateLimited, Retryable
from notifier.core.message import Content, Recipient

WORDS = ("delivered", "soft-fail", "rejected", "dead", "timeout", "throttled", "flaky-2")
DELIVERED, SOFT = None, (Retryable, "soft_fail", False)

# word → what the first four tries end in
FATES = {
    "delivered": [DELIVERED] * 4,
    "soft-fail": [SOFT] * 4,
    "rejected": [(Permanent, "rejected", False)] * 4,
    "dead": [(InvalidRecipient, "dead", False)] * 4,
    "timeout": [(Retryable, "timeout", True)] * 4,
    "throttled": [(RateLimited, "throttled", False), DELIVERED, DELIVERED, DELIVERED],
    "flaky-2": [(Retryable, "flaky_2", False)] * 2 + [DELIVERED] * 2,
}
RECIPIENTS = [("email", f"{word}@sandbox.test", word) for word in WORDS] + [
    (channel, f"+1555010000{digit}", word)
    for channel in ("sms", "voice", "whatsapp")
    for digit, word in enumerate(WORDS)
]


@pytest.mark.parametrize(
    ("address", "status", "said_later"),
    [
        ("late@sandbox.test", "sent", [("delivered", 30, 30)]),
        ("twice@sandbox.test", "sent", [("delivered", 1, 1), ("delivered", 2, 1)]),
        ("unordered@sandbox.test", "sent", [("opened", 1, 0.5), ("delivered", 2, 0.25)]),
        ("bounced@sandbox.test", "sent", [("bounced", 1, 1)]),
        ("undelivered@sandbox.test", "sent", [("failed", 1, 1)]),
        ("opened@sandbox.test", "sent", [("delivered", 1, 1), ("opened", 2, 2)]),
        ("scanned@sandbox.test", "sent", [("delivered", 1, 1), ("opened", 2, 2)]),
        ("complained@sandbox.test", "sent", [("delivered", 1, 1), ("complained", 2, 2)]),
        ("unsubscribed@sandbox.test", "sent", [("delivered", 1, 1), ("unsubscribed", 2, 2)]),
        ("stopped@sandbox.test", "sent", [("delivered", 1, 1), ("stopped", 2, 2)]),
        ("delivered@sandbox.test", "delivered", []),
        ("alice@x.test", "delivered", []),
    ],
)
def test_a_magic_recipient_has_receipts(
    address: str, status: str, said_later: list[Any], http: Http, make_message: Any
) -> None:
    """Kind, after how many seconds it comes, and when it happened."""
    receipt = sandbox_for(CHANNELS["email"])({}, http).send(make_message(), Recipient(address))
    assert (receipt.status, [(each.kind, each.after_s, each.at_s) for each in receipt.foretold]) == (status, said_later)


@pytest.mark.parametrize(("channel", "address", "word"), RECIPIENTS)
def test_a_magic_recipient_plays_its_fate(channel: str, address: str, word: str, http: Http, make_message: Any) -> None:
    sandbox = sandbox_for(CHANNELS[channel])({}, http)
    fates = []
    for number in (1, 2, 3, 4):
        try:
            fates.append(sandbox.send(make_message(try_number=number), Recipient(address)).captured and DELIVERED)
        except DeliveryError as error:
            fates.append((type(error), error.code, getattr(error, "ambiguous", False)))
    assert [fate or DELIVERED for fate in fates] == FATES[word]


def test_the_throttled_recipient_asks_for_a_second(http: Http, make_message: Any) -> None:
    with pytest.raises(RateLimited) as caught:
        sandbox_for(CHANNELS["email"])({}, http).send(make_message(), Recipient("throttled@sandbox.test"))
    assert caught.value.retry_after == 1.0


@pytest.mark.parametrize(
    ("channel", "address", "word"),
    [
        ("email", "Dead@Sandbox.Test", "dead"),
        ("email", "somebody@sandbox.test", "somebody"),
        ("email", "dead@sandbox.test.evil.test", None),
        ("email", "dead@notsandbox.test", None),
        ("email", "alice@x.test", None),
        ("sms", "+15550100009", "late"),
        ("push", "sandbox:dead:1", "dead"),
        ("push", "sandbox:dead", None),
        ("webpush", "sandbox:dead:1", None),
        ("sms", "+155501000030", None),
        ("sms", "+4915112345678", None),
        ("push", "dead@sandbox.test", None),
        ("webhook", "https://dead@sandbox.test/", None),
        ("inapp", None, None),
    ],
)
def test_only_simulated_addresses_are_magic(channel: str, address: str | None, word: str | None) -> None:
    assert magic_word(CHANNELS[channel], address) == word


@pytest.mark.parametrize("name", CHANNELS)
def test_any_other_address_is_captured_and_delivered(name: str, http: Http, make_message: Any) -> None:
    kind = CHANNELS[name].address
    to = Recipient(kind.example if kind else "alice", secret="whsec_" + "A" * 32)
    receipt = sandbox_for(CHANNELS[name])({}, http).send(make_message(), to)
    assert receipt.captured is not None
    assert (receipt.status, set(receipt.captured)) == (
        "delivered",
        {"to", "subject", "text", "html", "payload", "headers"},
    )
    assert receipt.captured["to"] == to.address


def test_a_mail_is_kept_as_it_would_have_been_sent(http: Http, make_message: Any, time_machine: Any) -> None:
    time_machine.move_to("2026-12-01T09:00:00Z", tick=False)
    sandbox = sandbox_for(CHANNELS["email"], EmailSmtp)({"SMTP_FROM": "Shop <orders@shop.test>"}, http)
    captured = sandbox.send(
        make_message(unsubscribe_url="https://notifier.test/u/abc"), Recipient("alice@shop.test", name="Alice")
    ).captured
    assert captured == {
        "to": "alice@shop.test",
        "subject": "Order A123",
        "text": "Your order A123 is on its way.",
        "html": "<!doctype html><p>Your order A123 is on its way.</p>",
        "payload": None,
        "headers": {
            "From": "Shop <orders@shop.test>",
            "To": "Alice <alice@shop.test>",
            "Subject": "Order A123",
            "Date": "Tue, 01 Dec 2026 09:00:00 +0000",
            "Message-ID": "<dlv_01930000000070008000000000000001@shop.test>",
            "Auto-Submitted": "auto-generated",
            "List-Unsubscribe": "<https://notifier.test/u/abc>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    }


@pytest.mark.parametrize("name", ["push", "webpush", "inapp", "slack"])
def test_a_card_is_kept_as_a_screen_would_show_it(name: str, http: Http, make_message: Any) -> None:
    captured = sandbox_for(CHANNELS[name])({}, http).preview(
        make_message(collapse_key="order-A123"), Recipient("abcdefgh")
    )
    assert captured == {
        "to": "abcdefgh",
        "subject": None,
        "text": "Your order A123 is on its way.",
        "html": None,
        "payload": {
            "title": "On its way",
            "body": "Your order A123 is on its way.",
            "image": None,
            "action": {"label": "Track it", "url": "https://shop.test/track/A123"},
            "priority": "high",
            "collapse_key": "order-A123",
            "data": {"order_id": "A123"},
        },
        "headers": {},
    }


def test_a_webhook_is_kept_with_real_signatures(http: Http, make_message: Any) -> None:
    secret = "whsec_" + "A" * 32
    sandbox = sandbox_for(CHANNELS["webhook"], StandardWebhook)({}, http)
    captured = sandbox.send(make_message(), Recipient("https://shop.test/hook", secret=secret)).captured
    assert captured is not None
    assert Webhook(secret).verify(captured["text"], captured["headers"]) == captured["payload"]


@pytest.mark.parametrize(("model", "is_safe"), [(EmailSmtp, False), (StandardWebhook, True)])
def test_a_repeat_is_as_safe_as_with_the_real_provider(model: Any, is_safe: bool) -> None:
    assert sandbox_for(model.channel, model).is_safe_to_repeat == is_safe


@pytest.mark.parametrize("name", sorted(CHANNELS))
def test_what_no_provider_of_a_channel_would_take_is_refused(name: str, http: Http, make_message: Any) -> None:
    """By what each channel declares: a push with 21 KB of data is refused, and a mail with them is not."""
    shape, sandbox = CHANNELS[name].shape, sandbox_for(CHANNELS[name])({}, http)
    long, fat = make_message(content=Content("t", "x" * 30_000)), make_message(data={"items": ["x" * 1_000] * 21})
    for message, is_refused in (
        (make_message(), False),
        (long, shape.longest_body or shape.longest_payload),
        (fat, shape.longest_payload),
    ):
        if is_refused:
            with pytest.raises(Permanent) as refused:
                sandbox.send(message, Recipient("somebody"))
            assert (refused.value.code, "providers accept" in str(refused.value)) == ("payload_too_large", True)
        else:
            assert sandbox.send(message, Recipient("somebody")).captured
    assert shape.longest_payload == (4_096 if name == "push" else None)
