"""WhatsApp by Twilio: what differs from SMS by Twilio, whose tests hold for the rest."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from notifier.channels.adapters.whatsapp_twilio import LONGEST_BODY, TwilioWhatsApp
from notifier.channels.receipts import Event, HookRefused, Misdirected
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Permanent, RateLimited
from notifier.core.message import Content, Receipt, Recipient
from notifier.ground.config import Settings
from tests.channels.twilio import ACCOUNT, AT, CALLBACK, DELIVERY, HOOK, TOKEN, called

TO = Recipient("+4915112345678")
FROM = "+15005550006"
ANSWER = json.loads((Path(__file__).parents[1] / "answers" / "twilio_whatsapp.json").read_text())
MESSAGE = ANSWER["body"]["sid"]
SETTINGS = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN, "TWILIO_WHATSAPP_FROM": FROM}


@pytest.fixture
def make(http: Http, sink: Any) -> Any:
    sink.answers(ANSWER["status"], ANSWER["headers"], json.dumps(ANSWER["body"]).encode())

    def make(**changes: str) -> TwilioWhatsApp:
        adapter = TwilioWhatsApp({**SETTINGS, "TWILIO_URL": f"http://127.0.0.1:{sink.port}", **changes}, http)
        adapter.hook_url = HOOK
        return adapter

    return make


@pytest.mark.parametrize("sender", [FROM, f"whatsapp:{FROM}"])
def test_both_numbers_are_whatsapps(sender: str, make: Any, sink: Any, make_message: Any) -> None:
    receipt = make(TWILIO_WHATSAPP_FROM=sender).send(make_message(), TO)
    [request] = sink.requests
    assert receipt == Receipt("sent", provider_message_id=MESSAGE)
    assert (request.path, dict(parse_qsl(request.body.decode(), strict_parsing=True))) == (
        f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json",
        {
            "To": "whatsapp:+4915112345678",
            "From": f"whatsapp:{FROM}",
            "Body": "Your order A123 is on its way.",
            "StatusCallback": CALLBACK,
        },
    )


SID = "HX" + "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("approved", "said"),
    [
        ((f"{SID} de", "A123", "ä"), {"ContentSid": SID, "ContentVariables": '{"1": "A123", "2": "ä"}'}),
        ((f"{SID} de", "", "ä"), {"ContentSid": SID, "ContentVariables": '{"1": " ", "2": "ä"}'}),
        ((f"{SID} de",), {"ContentSid": SID, "ContentVariables": "{}"}),
        (("order_shipped de", "A123"), {"Body": "text"}),  # a template of Meta's own
    ],
)
def test_an_approved_template_is_sent_by_its_content_sid(
    approved: tuple[str, ...], said: dict[str, str], make: Any, sink: Any, make_message: Any
) -> None:
    make().send(make_message(content=Content("t", "text", extra={"approved": approved})), TO)
    sent = dict(parse_qsl(sink.requests[0].body.decode(), strict_parsing=True))
    assert {name: sent.get(name) for name in ("Body", "ContentSid", "ContentVariables") if name in sent} == said


def test_a_long_text_is_cut_to_what_twilio_takes(make: Any, sink: Any, make_message: Any) -> None:
    make().send(make_message(content=Content("t", "x" * 4096)), TO)
    body = dict(parse_qsl(sink.requests[0].body.decode()))["Body"]
    assert (len(body), body[-1]) == (LONGEST_BODY, "…")


@pytest.mark.parametrize(
    ("code", "family"), [(63016, Permanent), (63018, RateLimited), (21211, InvalidRecipient), (63024, Permanent)]
)
def test_each_answer_means_one_thing(
    code: int, family: type[DeliveryError], make: Any, sink: Any, make_message: Any
) -> None:
    sink.answers(400, {}, json.dumps({"code": code, "status": 400}).encode())
    with pytest.raises(DeliveryError) as caught:
        make().send(make_message(), TO)
    assert (type(caught.value), caught.value.code) == (family, str(code))


# What Twilio posts to a StatusCallback for WhatsApp:
# https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
STATUS = {
    "AccountSid": ACCOUNT,
    "ApiVersion": "2010-04-01",
    "ChannelInstallSid": "XE" + "7" * 32,
    "ChannelPrefix": "whatsapp",
    "ChannelToAddress": "+491511234XXXX",
    "EventType": "READ",
    "From": f"whatsapp:{FROM}",
    "MessageSid": MESSAGE,
    "MessageStatus": "read",
    "SmsSid": MESSAGE,
    "SmsStatus": "read",
    "To": "whatsapp:+4915112345678",
}


@pytest.mark.parametrize(
    ("status", "error", "kind", "by"),
    [
        ("sent", "", "sent", "unknown"),
        ("delivered", "", "delivered", "unknown"),
        ("read", "", "opened", "person"),
        ("undelivered", "63016", "failed", "unknown"),
        ("failed", "63018", "failed", "unknown"),
    ],
)
def test_a_callback_is_one_event(status: str, error: str, kind: Any, by: Any, make: Any) -> None:
    told = {**STATUS, "MessageStatus": status} | ({"ErrorCode": error} if error else {})
    assert make().read_receipts(called(told)) == [
        Event(
            f"{MESSAGE}:{status}",
            kind,
            AT,
            provider_message_id=MESSAGE,
            delivery_id=DELIVERY,
            address=TO.address,
            code=error,
            by=by,
        )
    ]


@pytest.mark.parametrize(
    ("body", "kind"), [("Stop", "stopped"), ("START", "started"), ("unstop", "started"), ("Yes", None), ("Hello", None)]
)
def test_stop_and_start_are_events_and_yes_answers_any_question(body: str, kind: Any, make: Any) -> None:
    told = {
        "AccountSid": ACCOUNT,
        "ApiVersion": "2010-04-01",
        "Body": body,
        "From": "whatsapp:+4915112345678",
        "MessageSid": MESSAGE,
        "NumMedia": "0",
        "NumSegments": "1",
        "ProfileName": "Alice",
        "SmsMessageSid": MESSAGE,
        "SmsSid": MESSAGE,
        "SmsStatus": "received",
        "To": f"whatsapp:{FROM}",
        "WaId": "4915112345678",
    }
    events = make().read_receipts(called(told, url=HOOK))
    assert [(event.kind, event.address) for event in events] == ([(kind, TO.address)] if kind else [])


def test_an_sms_at_its_hook_is_named(make: Any) -> None:
    with pytest.raises(Misdirected):
        make().read_receipts(called({**STATUS, "To": "+4915112345678"}))
    with pytest.raises(HookRefused):
        make().read_receipts(called(STATUS, token="another"))


def test_it_needs_a_number_of_its_own(http: Http, tmp_path: Path) -> None:
    """An account for SMS is not half an account for WhatsApp."""
    assert TwilioWhatsApp.missing({**SETTINGS, "TWILIO_WHATSAPP_FROM": ""}) == ["TWILIO_WHATSAPP_FROM"]
    for given, is_begun in (({"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_FROM": FROM}, False), (SETTINGS, True)):
        settings = Settings.from_env({"NOTIFIER_HOME": str(tmp_path), **given})
        assert TwilioWhatsApp.is_begun(settings) == is_begun
    with pytest.raises(ValueError, match=re.escape("TWILIO_WHATSAPP_FROM: ")):
        TwilioWhatsApp({**SETTINGS, "TWILIO_WHATSAPP_FROM": "Shop"}, http)
