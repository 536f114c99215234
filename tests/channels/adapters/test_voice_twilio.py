"""Calls by Twilio: what is said is judged by Twilio's own library, the voices by Amazon's model of Polly."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree

import botocore.session
import pytest
from twilio.twiml.voice_response import VoiceResponse

from notifier.channels.adapters import voice_twilio
from notifier.channels.adapters.voice_twilio import LONGEST_TWIML, TwilioVoice, twiml
from notifier.channels.receipts import Event, HookRefused, Misdirected, Unreadable
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, OptedOut, Permanent, RateLimited
from notifier.core.message import Content, Receipt, Recipient
from notifier.ground.config import Settings
from tests.channels.twilio import ACCOUNT, AT, CALLBACK, DELIVERY, HOOK, MESSAGE, TOKEN, called

TO = Recipient("+4915112345678", locale="de")
FROM = "+15005550006"
CALL = "CA" + "5" * 32
ANSWER = json.loads((Path(__file__).parents[1] / "answers" / "twilio_voice.json").read_text())
SETTINGS = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN, "TWILIO_VOICE_FROM": FROM}


@pytest.fixture
def adapter(http: Http, sink: Any) -> TwilioVoice:
    sink.answers(ANSWER["status"], ANSWER["headers"], json.dumps(ANSWER["body"]).encode())
    adapter = TwilioVoice({**SETTINGS, "TWILIO_URL": f"http://127.0.0.1:{sink.port}"}, http)
    adapter.hook_url = HOOK
    return adapter


def said(body: str, make_message: Any, *, locale: str | None = "de") -> ElementTree.Element:
    call = twiml(make_message(content=Content("t", body)), Recipient(TO.address, locale=locale))
    return ElementTree.fromstring(call)


def test_a_call_is_one_request(adapter: TwilioVoice, sink: Any, make_message: Any) -> None:
    message = make_message(content=Content("t", "Ihr Code ist 482913, für <Shop & Co>."))
    receipt = adapter.send(message, TO)
    [request] = sink.requests
    assert (request.path, receipt) == (
        f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json",
        Receipt("sent", provider_message_id=CALL),
    )
    sent = dict(parse_qsl(request.body.decode(), strict_parsing=True))
    expected = VoiceResponse()
    for _ in range(2):
        expected.pause(length=1)
        expected.say("Ihr Code ist 4 8 2 9 1 3, für <Shop & Co>.", language="de-DE", voice="Polly.Marlene")
    assert ElementTree.canonicalize(sent.pop("Twiml")) == ElementTree.canonicalize(str(expected))
    assert sent == {"To": TO.address, "From": FROM, "StatusCallback": CALLBACK}


@pytest.mark.parametrize(
    ("locale", "language", "voice"),
    [
        ("de", "de-DE", "Polly.Marlene"),
        ("de-AT", "de-DE", "Polly.Marlene"),
        ("en", "en-US", "Polly.Joanna"),
        ("en-GB", "en-GB", "Polly.Amy"),
        ("pt_BR", "pt-BR", "Polly.Camila"),
        ("pt", "pt-PT", "Polly.Ines"),
        ("zh-Hans-CN", "cmn-CN", "Polly.Zhiyu"),
        ("cs", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_the_voice_follows_the_persons_language(
    locale: str | None, language: str | None, voice: str | None, make_message: Any
) -> None:
    [first, second] = said("Hallo.", make_message, locale=locale).findall("Say")
    assert (first.get("language"), first.get("voice"), first.attrib) == (language, voice, second.attrib)


def test_the_voices_are_pollys() -> None:
    model = botocore.session.get_session().get_service_model("polly")
    voices, languages = model.shape_for("VoiceId").enum, model.shape_for("LanguageCode").enum
    assert [pair for pair in voice_twilio._VOICES.values() if pair[0] not in languages or pair[1] not in voices] == []


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("482913 is your code", "4 8 2 9 1 3 is your code"),
        ("Code: 482 913.", "Code: 4 8 2 9 1 3."),
        ("4829-1357", "4 8 2 9 1 3 5 7"),
        ("(0042)", "(0 0 4 2)"),
        ("G-482913, valid for 10 minutes", "G-4 8 2 9 1 3, valid for 10 minutes"),
        ("Call +4915112345678", "Call +4 9 1 5 1 1 2 3 4 5 6 7 8"),
        ("1250.00 EUR or 1,250 USD", "1250.00 EUR or 1,250 USD"),
        ("on 2026-12-01 at 10:15", "on 2026-12-01 at 10:15"),
        ("Order A12345 of 3 items", "Order A12345 of 3 items"),
    ],
)
def test_codes_are_spoken_digit_by_digit(text: str, spoken: str, make_message: Any) -> None:
    assert {element.text for element in said(text, make_message).iter("Say")} == {spoken}


@pytest.mark.parametrize(
    ("text", "spelled", "spoken"),
    [
        ("Order AB-12 is here", ("AB-12",), "Order A B 1 2 is here"),
        ("AB-12 and AB-123", ("AB-12",), "A B 1 2 and AB-123"),
        ("x.y or x.y.z", ("x.y", "x.y.z"), "x y or x y z"),
        ("Room 12 of 12", ("12", ""), "Room 1 2 of 1 2"),
        ("<break/> AB", ("AB",), "<break/> A B"),
    ],
)
def test_what_the_words_name_is_spelled_out(
    text: str, spelled: tuple[str, ...], spoken: str, make_message: Any
) -> None:
    call = twiml(make_message(content=Content("t", text, extra={"spelled": spelled})), TO)
    assert {element.text for element in ElementTree.fromstring(call).iter("Say")} == {spoken}


def test_what_xml_cannot_hold_is_left_out(make_message: Any) -> None:
    body = 'a\x00b\x0b\ud800\ufffe <Dial>+19</Dial> ]]> " 😀'
    assert [element.text for element in said(body, make_message).iter("Say")] == ['ab <Dial>+19</Dial> ]]> " 😀'] * 2


@pytest.mark.parametrize("character", ["a ", "&", "<", "1", "1 ", "😀"])
def test_a_long_text_is_cut_to_what_twilio_takes(character: str, make_message: Any) -> None:
    content = Content("t", (character * 1000)[:1000])
    call = twiml(make_message(content=content), TO)
    assert LONGEST_TWIML * 0.4 < len(call) <= LONGEST_TWIML
    assert len(list(ElementTree.fromstring(call).iter("Say"))) == 2


@pytest.mark.parametrize(
    ("status", "code", "family"),
    [
        (400, 21211, InvalidRecipient),
        (400, 21217, InvalidRecipient),
        (400, 21210, Misconfigured),
        (400, 21215, Misconfigured),
        (400, 21610, OptedOut),
        (400, 13225, Permanent),
        (401, 20003, Misconfigured),
        (429, 20429, RateLimited),
    ],
)
def test_each_answer_means_one_thing(
    status: int, code: int, family: type[DeliveryError], adapter: TwilioVoice, sink: Any, make_message: Any
) -> None:
    sink.answers(status, {}, json.dumps({"code": code, "status": status}).encode())
    with pytest.raises(DeliveryError) as caught:
        adapter.send(make_message(), TO)
    assert (type(caught.value), caught.value.code) == (family, str(code))


# What Twilio posts to a StatusCallback of a call:
# https://www.twilio.com/docs/voice/api/call-resource#statuscallback
STATUS = {
    "AccountSid": ACCOUNT,
    "ApiVersion": "2010-04-01",
    "CallDuration": "12",
    "CallSid": CALL,
    "CallStatus": "completed",
    "CallbackSource": "call-progress-events",
    "Called": TO.address,
    "Caller": FROM,
    "Direction": "outbound-api",
    "Duration": "1",
    "From": FROM,
    "SequenceNumber": "0",
    "Timestamp": "Tue, 01 Dec 2026 08:59:59 +0000",
    "To": TO.address,
}


@pytest.mark.parametrize(
    ("status", "error", "kind", "code"),
    [
        ("completed", None, "delivered", ""),
        ("busy", None, "failed", "busy"),
        ("no-answer", None, "failed", "no-answer"),
        ("failed", "13224", "failed", "13224"),
        ("canceled", None, "failed", "canceled"),
    ],
)
def test_the_end_of_a_call_is_one_event(
    status: str, error: str | None, kind: Any, code: str, adapter: TwilioVoice
) -> None:
    told = {**STATUS, "CallStatus": status} | ({"ErrorCode": error} if error else {})
    assert adapter.read_receipts(called(told)) == [
        Event(
            f"{CALL}:{status}",
            kind,
            AT,
            provider_message_id=CALL,
            delivery_id=DELIVERY,
            address=TO.address,
            code=code,
        )
    ]


@pytest.mark.parametrize("status", ["queued", "initiated", "ringing", "in-progress", "dreaming", ""])
def test_a_call_that_goes_on_says_nothing_yet(status: str, adapter: TwilioVoice) -> None:
    assert adapter.read_receipts(called({**STATUS, "CallStatus": status})) == []


@pytest.mark.parametrize(
    ("changes", "family"),
    [
        ({"AccountSid": "AC" + "9" * 32}, Misdirected),
        ({"MessageSid": MESSAGE}, Misdirected),
        ({"Direction": "inbound"}, Misdirected),
        ({"CallSid": ""}, Unreadable),
    ],
)
def test_a_hook_at_the_wrong_place_is_named(
    changes: dict[str, str], family: type[HookRefused], adapter: TwilioVoice
) -> None:
    with pytest.raises(HookRefused) as caught:
        adapter.read_receipts(called({**STATUS, **changes}))
    assert type(caught.value) is family


def test_another_token_is_not_believed(adapter: TwilioVoice) -> None:
    with pytest.raises(HookRefused):
        adapter.read_receipts(called(STATUS, token="another"))


def test_it_needs_a_number_of_its_own(http: Http, tmp_path: Path) -> None:
    """An account for SMS is not half an account for calls."""
    assert TwilioVoice.missing({**SETTINGS, "TWILIO_VOICE_FROM": ""}) == ["TWILIO_VOICE_FROM"]
    for given, is_begun in (({"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_FROM": FROM}, False), (SETTINGS, True)):
        settings = Settings.from_env({"NOTIFIER_HOME": str(tmp_path), **given})
        assert TwilioVoice.is_begun(settings) == is_begun
    with pytest.raises(ValueError, match=re.escape("TWILIO_VOICE_FROM: ")):
        TwilioVoice({**SETTINGS, "TWILIO_VOICE_FROM": "Shop"}, http)


def test_the_pace_is_that_of_the_account(http: Http) -> None:
    assert TwilioVoice(SETTINGS, http).per_second == 1
    assert TwilioVoice({**SETTINGS, "TWILIO_VOICE_PER_SECOND": "30"}, http).per_second == 30
    for wrong in ("0", "1.5", "-1", "many", "10000"):
        with pytest.raises(ValueError, match=r"^TWILIO_VOICE_PER_SECOND: "):
            TwilioVoice({**SETTINGS, "TWILIO_VOICE_PER_SECOND": wrong}, http)
