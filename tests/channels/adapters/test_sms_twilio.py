"""SMS by Twilio, against a server that answers as its documents say."""

import base64
import ipaddress
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from notifier.channels.adapters.sms_twilio import TwilioSms
from notifier.channels.receipts import Event, HookRefused, HookRequest, Misdirected, Unreadable
from notifier.channels.wire.http import Http
from notifier.core.errors import (
    DeliveryError,
    InvalidRecipient,
    Misconfigured,
    OptedOut,
    Permanent,
    RateLimited,
    Retryable,
)
from notifier.core.message import Receipt, Recipient
from notifier.ground.config import Settings
from tests.channels.twilio import ACCOUNT, AT, CALLBACK, DELIVERY, HOOK, MESSAGE, TOKEN, called

TO = Recipient("+4915112345678", locale="de")
FROM = "+15005550006"
SERVICE = "MG" + "2" * 32
KEY, KEY_SECRET = "SK" + "1" * 32, "s3cret-of-the-key"
ANSWER = json.loads((Path(__file__).parents[1] / "answers" / "twilio.json").read_text())


@pytest.fixture
def make(http: Http, sink: Any) -> Any:
    """`make(**settings)` → an adapter whose Twilio is the sink; None leaves a setting out."""
    sink.answers(ANSWER["status"], ANSWER["headers"], json.dumps(ANSWER["body"]).encode())

    def make(*, hook: str | None = HOOK, **changes: str | None) -> TwilioSms:
        settings = {
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "TWILIO_FROM": FROM,
            "TWILIO_URL": f"http://127.0.0.1:{sink.port}/",
            **changes,
        }
        adapter = TwilioSms({name: value for name, value in settings.items() if value is not None}, http)
        adapter.hook_url = hook
        return adapter

    return make


def fields(request: Any) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))


def login(request: Any) -> str:
    return base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()


def test_a_message_is_one_request(make: Any, sink: Any, make_message: Any) -> None:
    receipt = make().send(make_message(), TO)
    [request] = sink.requests
    assert receipt == Receipt("sent", provider_message_id=MESSAGE)
    assert (request.method, request.path, request.headers["content-type"], login(request), fields(request)) == (
        "POST",
        f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json",
        "application/x-www-form-urlencoded",
        f"{ACCOUNT}:{TOKEN}",
        {
            "To": "+4915112345678",
            "From": FROM,
            "Body": "Your order A123 is on its way.",
            "StatusCallback": CALLBACK,
        },
    )


@pytest.mark.parametrize(
    ("settings", "sender"),
    [
        ({"TWILIO_FROM": "Shop & Co"}, {"From": "Shop & Co"}),
        ({"TWILIO_FROM": "72345"}, {"From": "72345"}),
        ({"TWILIO_FROM": None, "TWILIO_MESSAGING_SERVICE": SERVICE}, {"MessagingServiceSid": SERVICE}),
        ({"TWILIO_MESSAGING_SERVICE": SERVICE}, {"From": FROM, "MessagingServiceSid": SERVICE}),
    ],
)
def test_the_sender_is_a_number_a_name_or_a_messaging_service(
    settings: Any, sender: Any, make: Any, sink: Any, make_message: Any
) -> None:
    make(**settings).send(make_message(), TO)
    sent = fields(sink.requests[0])
    assert {name: sent[name] for name in ("From", "MessagingServiceSid") if name in sent} == sender


def test_an_api_key_signs_in_in_the_place_of_the_token(make: Any, sink: Any, make_message: Any) -> None:
    for token in (TOKEN, None):
        make(TWILIO_API_KEY=KEY, TWILIO_API_SECRET=KEY_SECRET, TWILIO_AUTH_TOKEN=token).send(make_message(), TO)
    assert {login(request) for request in sink.requests} == {f"{KEY}:{KEY_SECRET}"}


@pytest.mark.parametrize(("hook", "token"), [(None, TOKEN), (HOOK, None)])
def test_no_receipts_are_asked_for_that_nobody_could_take_or_verify(
    hook: str | None, token: str | None, make: Any, sink: Any, make_message: Any
) -> None:
    make(hook=hook, TWILIO_API_KEY=KEY, TWILIO_API_SECRET=KEY_SECRET, TWILIO_AUTH_TOKEN=token).send(make_message(), TO)
    assert "StatusCallback" not in fields(sink.requests[0])


@pytest.mark.parametrize(
    ("hook", "allowed", "is_asked"),
    [
        ("https://notify.test/hooks/twilio", (), True),
        ("http://localhost:5000/hooks/twilio", (), False),
        ("http://127.0.0.1:5000/hooks/twilio", (), False),
        ("https://10.0.0.7/hooks/twilio", (), False),
        ("https://10.0.0.7/hooks/twilio", (ipaddress.ip_network("10.0.0.0/8"),), True),
    ],
)
def test_a_developers_machine_is_no_place_for_receipts(hook: str, allowed: Any, is_asked: bool) -> None:
    """Twilio refuses a message that names it (21609)."""
    adapter = TwilioSms(SETTINGS, Http(allowed))
    adapter.hook_url = hook
    assert adapter.called_back_at == (hook if is_asked else None)
    adapter.http.close()


@pytest.mark.parametrize(
    ("expires_at", "validity"),
    [("09:05:00", "300"), ("09:00:00.5", "1"), ("08:59:00", "1"), ("23:00:00", "36000"), (None, None)],
)
def test_twilio_tries_until_the_message_expires(
    expires_at: str | None, validity: str | None, make: Any, sink: Any, make_message: Any, time_machine: Any
) -> None:
    time_machine.move_to(AT, tick=False)
    at = AT.fromisoformat(f"2026-12-01T{expires_at}+00:00") if expires_at else None
    make().send(make_message(expires_at=at), TO)
    assert fields(sink.requests[0]).get("ValidityPeriod") == validity


# Status and body → family and code. The codes are those of https://www.twilio.com/docs/api/errors.
ERRORS: list[tuple[int, Any, type[DeliveryError], str]] = [
    *((400, code, InvalidRecipient, str(code)) for code in (21211, 21217, 21265, 21614, 21635, 30005, 30006)),
    (400, 21610, OptedOut, "21610"),
    *((400, code, Permanent, str(code)) for code in (21617, 30004, 30007, 63016)),
    *(
        (400, code, Misconfigured, str(code))
        for code in (
            20005, 21210, 21212, 21215, 21408, 21603, 21606, 21609, 21612, 21659, 21660, 21703, 21704, 30034,
        )
    ),
    (401, 20003, Misconfigured, "20003"),
    (404, 20404, Misconfigured, "20404"),
    *((400, code, RateLimited, str(code)) for code in (21611, 30001, 63018)),
    (429, 20429, RateLimited, "20429"),
    *((400, code, Retryable, str(code)) for code in (30002, 30003, 30008)),
    (500, 20500, Retryable, "20500"),
    (503, 20503, Retryable, "20503"),
    (400, 29999, Permanent, "29999"),  # one that is new
    (429, None, RateLimited, "http_429"),
    (401, None, Misconfigured, "http_401"),
    (404, None, Misconfigured, "http_404"),
    (400, {"code": [1]}, Permanent, "http_400"),
    (400, b"<html>", Permanent, "http_400"),
    (502, b"<html>", Retryable, "http_502"),
    (301, b"", Permanent, "http_301"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "told", "family", "code"), ERRORS)
def test_each_answer_means_one_thing(
    status: int, told: Any, family: type[DeliveryError], code: str, make: Any, sink: Any, make_message: Any
) -> None:
    is_whole = isinstance(told, bytes | dict)
    body = told if is_whole else {"code": told, "message": f"no, {TOKEN}", "more_info": "…", "status": status}
    sink.answers(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())
    with pytest.raises(DeliveryError) as caught:
        make().send(make_message(), TO)
    assert (type(caught.value), caught.value.code, len(sink.requests)) == (family, code, 1)
    assert TOKEN not in str(caught.value)


def test_a_country_that_is_switched_off_may_be_one_number_abroad(make: Any, sink: Any, make_message: Any) -> None:
    """So that one such answer pauses nothing."""
    for code, is_certain in ((21408, False), (21612, False), (21215, False), (20003, True), (21606, True)):
        sink.answers(400, {}, json.dumps({"code": code}).encode())
        with pytest.raises(Misconfigured) as caught:
            make().send(make_message(), TO)
        assert (code, caught.value.is_certain) == (code, is_certain)


@pytest.mark.parametrize(
    ("headers", "seconds"), [({}, 5.0), ({"Retry-After": "7"}, 7.0), ({"Retry-After": "0.2"}, 1.0)]
)
def test_too_many_calls_wait_as_told(
    headers: dict[str, str], seconds: float, make: Any, sink: Any, make_message: Any
) -> None:
    sink.answers(429, headers, b'{"code":20429}')
    with pytest.raises(RateLimited) as caught:
        make().send(make_message(), TO)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"", b"[]", b"{}", b'{"sid":null}', b'{"sid":{}}'])
def test_a_success_without_an_id_may_have_been_sent(body: bytes, make: Any, sink: Any, make_message: Any) -> None:
    sink.answers(201, {}, body)
    with pytest.raises(Retryable) as caught:
        make().send(make_message(), TO)
    assert (caught.value.code, caught.value.ambiguous) == ("not_understood", True)


@pytest.mark.parametrize(
    ("code", "family"), [(30006, InvalidRecipient), (21610, OptedOut), (30007, Permanent), (39999, Retryable)]
)
def test_a_message_that_failed_at_once_is_not_sent(
    code: int, family: type[DeliveryError], make: Any, sink: Any, make_message: Any
) -> None:
    sink.answers(201, {}, json.dumps({**ANSWER["body"], "status": "failed", "error_code": code}).encode())
    with pytest.raises(family) as caught:
        make().send(make_message(), TO)
    assert (caught.value.code, getattr(caught.value, "ambiguous", True)) == (str(code), True)


def test_silence_after_the_body_was_read_is_ambiguous(make: Any, sink: Any, make_message: Any) -> None:
    sink.hangs_up()
    with pytest.raises(Retryable) as caught:
        make().send(make_message(), TO)
    assert (caught.value.ambiguous, len(sink.requests)) == (True, 1)


SETTINGS = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN, "TWILIO_FROM": FROM}
NO_SENDER = "TWILIO_FROM or TWILIO_MESSAGING_SERVICE"
NO_LOGIN = "TWILIO_AUTH_TOKEN (or TWILIO_API_KEY and TWILIO_API_SECRET)"


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({}, []),
        ({"TWILIO_FROM": ""}, [NO_SENDER]),
        ({"TWILIO_FROM": "", "TWILIO_MESSAGING_SERVICE": SERVICE}, []),
        ({"TWILIO_AUTH_TOKEN": ""}, [NO_LOGIN]),
        ({"TWILIO_AUTH_TOKEN": "", "TWILIO_API_KEY": KEY, "TWILIO_API_SECRET": "x"}, []),
        ({"TWILIO_API_KEY": KEY}, ["TWILIO_API_SECRET"]),
        ({"TWILIO_API_SECRET": "x"}, ["TWILIO_API_KEY"]),
        ({"TWILIO_ACCOUNT_SID": ""}, ["TWILIO_ACCOUNT_SID"]),
    ],
)
def test_it_says_what_it_cannot_send_without(changes: dict[str, str], missing: list[str], http: Http) -> None:
    options = SETTINGS | changes
    assert TwilioSms.missing(options) == missing
    if missing:
        with pytest.raises(Misconfigured, match=re.escape(missing[0])):
            TwilioSms(options, http).check_complete()


def test_the_token_alone_is_missing_for_receipts(http: Http) -> None:
    key = {**SETTINGS, "TWILIO_AUTH_TOKEN": "", "TWILIO_API_KEY": KEY, "TWILIO_API_SECRET": "x"}
    assert TwilioSms(key, http).missing_for_receipts == ["TWILIO_AUTH_TOKEN"]
    assert TwilioSms(SETTINGS, http).missing_for_receipts == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TWILIO_ACCOUNT_SID", "SK" + "0" * 32),
        ("TWILIO_ACCOUNT_SID", "AC" + "0" * 31 + "/"),
        ("TWILIO_API_KEY", ACCOUNT),
        ("TWILIO_MESSAGING_SERVICE", "my service"),
        ("TWILIO_FROM", "a name that is too long"),
        ("TWILIO_FROM", "Grüße"),
        ("TWILIO_FROM", "whatsapp:+15005550006"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused_by_name(name: str, value: str, http: Http) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        TwilioSms({**SETTINGS, name: value}, http)


@pytest.mark.parametrize(
    ("given", "is_begun"),
    [
        ({}, False),
        ({"TWILIO_ACCOUNT_SID": ACCOUNT}, True),
        ({"TWILIO_FROM": FROM}, True),
        ({"TWILIO_MESSAGING_SERVICE": SERVICE}, True),
        ({"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_VOICE_FROM": FROM}, False),
        ({"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_WHATSAPP_FROM": FROM}, False),
        ({"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_VOICE_FROM": FROM, "TWILIO_FROM": FROM}, True),
        ({"TWILIO_URL": "http://127.0.0.1:1"}, False),
    ],
)
def test_an_account_for_calls_alone_is_not_half_an_account_for_sms(
    given: dict[str, str], is_begun: bool, tmp_path: Path
) -> None:
    assert TwilioSms.is_begun(Settings.from_env({"NOTIFIER_HOME": str(tmp_path), **given})) == is_begun


def test_signing_in_is_tried_out_without_sending(make: Any, sink: Any) -> None:
    sink.answers(200, {}, b'{"messages":[]}')
    assert make().try_out() == f"127.0.0.1:{sink.port}"
    [request] = sink.requests
    path = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json?PageSize=1"
    assert (request.method, request.path, login(request)) == ("GET", path, f"{ACCOUNT}:{TOKEN}")
    sink.answers(401, {}, b'{"code":20003}')
    with pytest.raises(Misconfigured):
        make().try_out()


# What Twilio posts to a StatusCallback: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
STATUS = {
    "AccountSid": ACCOUNT,
    "ApiVersion": "2010-04-01",
    "From": FROM,
    "MessageSid": MESSAGE,
    "MessageStatus": "delivered",
    "SmsSid": MESSAGE,
    "SmsStatus": "delivered",
    "To": TO.address,
}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("sent", "", "sent"),
        ("delivered", "", "delivered"),
        ("undelivered", "30003", "failed"),
        ("undelivered", "30005", "bounced"),
        ("undelivered", "30006", "bounced"),
        ("undelivered", "30007", "failed"),
        ("undelivered", "39999", "failed"),
        ("undelivered", "²", "failed"),
        ("failed", "30001", "failed"),
        ("failed", "", "failed"),
        ("canceled", "", "failed"),
    ],
)
def test_a_callback_is_one_event(status: str, code: str, kind: Any, make: Any) -> None:
    told = {**STATUS, "MessageStatus": status, "SmsStatus": status} | ({"ErrorCode": code} if code else {})
    assert make().read_receipts(called(told)) == [
        Event(
            f"{MESSAGE}:{status}",
            kind,
            AT,
            provider_message_id=MESSAGE,
            delivery_id=DELIVERY,
            address=TO.address,
            code=code,
        )
    ]


@pytest.mark.parametrize("status", ["accepted", "scheduled", "queued", "sending", "partially_delivered", "pondering"])
def test_a_status_that_says_nothing_yet_is_left_out(status: str, make: Any) -> None:
    assert make().read_receipts(called({**STATUS, "MessageStatus": status})) == []


def test_who_is_found_to_have_answered_stop_has_stopped(make: Any) -> None:
    told = {**STATUS, "MessageStatus": "failed", "ErrorCode": "21610"}
    failed, stopped = make().read_receipts(called(told))
    assert (failed.kind, failed.delivery_id) == ("failed", DELIVERY)
    assert stopped == Event(f"{MESSAGE}:stopped", "stopped", AT, address=TO.address, code="21610")


# What it posts for a message of theirs: https://www.twilio.com/docs/messaging/guides/webhook-request
INBOUND = {
    "AccountSid": ACCOUNT,
    "ApiVersion": "2010-04-01",
    "Body": "STOP",
    "From": TO.address,
    "FromCountry": "DE",
    "MessageSid": "SM" + "4" * 32,
    "NumMedia": "0",
    "NumSegments": "1",
    "SmsMessageSid": "SM" + "4" * 32,
    "SmsSid": "SM" + "4" * 32,
    "SmsStatus": "received",
    "To": FROM,
}


@pytest.mark.parametrize(
    ("body", "opt_out_type", "kind"),
    [
        *((word, None, "stopped") for word in ("STOP", " stop\n", "Unsubscribe", "CANCEL", "end", "quit", "STOPALL")),
        *((word, None, "started") for word in ("START", "unstop", " Yes ")),
        ("Stopp", "STOP", "stopped"),
        ("weiter", "START", "started"),
        ("HELP", "HELP", None),
        ("STOP", "HELP", None),
        ("please stop", None, None),
        ("thanks!", None, None),
        ("", None, None),
    ],
)
def test_stop_and_start_are_events_and_nothing_else_that_they_write(
    body: str, opt_out_type: str | None, kind: Any, make: Any
) -> None:
    told = {**INBOUND, "Body": body} | ({"OptOutType": opt_out_type} if opt_out_type else {})
    code = opt_out_type or body.strip().upper()
    event = Event(
        f"{INBOUND['MessageSid']}:{kind}",
        kind,
        AT,
        provider_message_id=INBOUND["MessageSid"],
        address=TO.address,
        code=code,
    )
    assert make().read_receipts(called(told, url=HOOK)) == ([event] if kind else [])


def test_a_call_that_is_not_twilios_is_refused(make: Any) -> None:
    right = called(STATUS)
    for wrong in (
        called(STATUS, token="another"),
        called(STATUS, signature="bm90IHRoZSBzaWduYXR1cmU="),
        replace(right, body=right.body.replace(b"delivered", b"undelivered")),
        replace(right, url=right.url.replace("0001", "0002")),
        HookRequest("POST", CALLBACK, {}, right.body, AT),
    ):
        with pytest.raises(HookRefused) as caught:
            make().read_receipts(wrong)
        assert type(caught.value) is HookRefused


def test_without_the_token_no_call_is_believed(make: Any) -> None:
    adapter = make(TWILIO_AUTH_TOKEN=None, TWILIO_API_KEY=KEY, TWILIO_API_SECRET=KEY_SECRET)
    with pytest.raises(HookRefused, match="TWILIO_AUTH_TOKEN"):
        adapter.read_receipts(called(STATUS, token=""))


@pytest.mark.parametrize(
    ("changes", "family"),
    [
        ({"AccountSid": "AC" + "9" * 32}, Misdirected),
        ({"AccountSid": ""}, Unreadable),
        ({"MessageSid": ""}, Unreadable),
        ({"To": "whatsapp:+4915112345678"}, Misdirected),
        ({"MessageSid": None, "CallSid": "CA" + "5" * 32}, Misdirected),
    ],
)
def test_a_hook_at_the_wrong_place_is_named(changes: Any, family: type[HookRefused], make: Any) -> None:
    told = {name: value for name, value in {**STATUS, **changes}.items() if value is not None}
    with pytest.raises(HookRefused) as caught:
        make().read_receipts(called(told))
    assert type(caught.value) is family
