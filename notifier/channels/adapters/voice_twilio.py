"""Calls by Twilio that say the text, twice: https://www.twilio.com/docs/voice/api/call-resource.

The TwiML goes with the request, so that nothing has to be fetched from us:
https://www.twilio.com/docs/voice/twiml/say and https://www.twilio.com/docs/voice/twiml/say/text-speech.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from notifier.channels.contract import Setting
from notifier.channels.receipts import Event, HookRequest, Kind, Misdirected, Unreadable
from notifier.channels.table import VOICE
from notifier.channels.wire.http import Http
from notifier.channels.wire.twilio import PHONE, SETTINGS, TwilioAdapter
from notifier.core.message import Message, Receipt, Recipient
from notifier.core.shortening import cut

LONGEST_TWIML = 4000
_STEP = 100

# Language and region → Twilio's language and the voice that speaks it: Amazon Polly's standard voices, which cost
# nothing extra (https://docs.aws.amazon.com/polly/latest/dg/standard-voices.html). All others: the account's default.
_VOICES = {
    "ar": ("arb", "Zeina"),
    "cy": ("cy-GB", "Gwyneth"),
    "da": ("da-DK", "Naja"),
    "de": ("de-DE", "Marlene"),
    "en": ("en-US", "Joanna"),
    "en-au": ("en-AU", "Nicole"),
    "en-gb": ("en-GB", "Amy"),
    "en-in": ("en-IN", "Raveena"),
    "es": ("es-ES", "Conchita"),
    "es-mx": ("es-MX", "Mia"),
    "es-us": ("es-US", "Penelope"),
    "fr": ("fr-FR", "Celine"),
    "fr-ca": ("fr-CA", "Chantal"),
    "hi": ("hi-IN", "Aditi"),
    "is": ("is-IS", "Dora"),
    "it": ("it-IT", "Carla"),
    "ja": ("ja-JP", "Mizuki"),
    "ko": ("ko-KR", "Seoyeon"),
    "nb": ("nb-NO", "Liv"),
    "nl": ("nl-NL", "Lotte"),
    "no": ("nb-NO", "Liv"),
    "pl": ("pl-PL", "Ewa"),
    "pt": ("pt-PT", "Ines"),
    "pt-br": ("pt-BR", "Camila"),
    "ro": ("ro-RO", "Carmen"),
    "ru": ("ru-RU", "Tatyana"),
    "sv": ("sv-SE", "Astrid"),
    "tr": ("tr-TR", "Filiz"),
    "zh": ("cmn-CN", "Zhiyu"),
}
# Four digits and more, or two groups of them, that are not part of an amount, a date, a time or a word.
_CODE = re.compile(r"(?<![\w.,:/])(?:\d{4,}|\d{3}[ -]\d{3}|\d{4}[ -]\d{4})(?![\w:/]|[.,-]\d)")
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# `completed` also when an answering machine took it. What is not here is a call that goes on.
_KINDS: dict[str, Kind] = {
    "completed": "delivered",
    "busy": "failed",
    "no-answer": "failed",
    "failed": "failed",
    "canceled": "failed",
}


class TwilioVoice(TwilioAdapter):
    channel = VOICE
    provider = "twilio_voice"
    label = "Twilio voice"
    settings = (
        *SETTINGS,
        Setting("TWILIO_VOICE_FROM", "number that calls come from", is_required=False, example="+15005550006"),
        Setting(
            "TWILIO_VOICE_PER_SECOND",
            "calls a second that the account may start",
            is_required=False,
            default="1",
            example="1",
        ),
    )
    per_second = 1  # of a new account: https://www.twilio.com/docs/voice/api/call-resource#calls-per-second-cps
    tells = ("delivered", "failed")
    resource = "Calls"
    senders = ("TWILIO_VOICE_FROM",)

    def __init__(self, settings: Mapping[str, str], http: Http) -> None:
        super().__init__(settings, http)
        sender = self.options.get("TWILIO_VOICE_FROM")
        if sender and not re.fullmatch(PHONE, sender):
            raise ValueError("TWILIO_VOICE_FROM: must be a number, such as +15005550006")
        pace = self.options["TWILIO_VOICE_PER_SECOND"]
        if not pace.isdecimal() or not 1 <= int(pace) <= 1000:
            raise ValueError("TWILIO_VOICE_PER_SECOND: must be a number from 1 to 1000")
        self.per_second = int(pace)

    def send(self, message: Message, to: Recipient) -> Receipt:
        sender = self.options.get("TWILIO_VOICE_FROM", "")
        return self.create(message, {"To": to.address, "From": sender, "Twiml": twiml(message, to)})

    def preview(self, message: Message, to: Recipient) -> dict[str, Any]:
        return {**super().preview(message, to), "payload": {"Twiml": twiml(message, to)}}

    def events(self, form: Mapping[str, str], request: HookRequest) -> Sequence[Event]:
        if "MessageSid" in form:
            raise Misdirected("it is about a message, and this URL is for calls")
        if form.get("Direction", "").startswith("inbound"):
            raise Misdirected("it is about a call of theirs")
        sid, told = form.get("CallSid"), form.get("CallStatus", "")
        if not sid:
            raise Unreadable("it names no call")
        kind = _KINDS.get(told)
        if kind is None:
            return []
        return [
            Event(
                f"{sid}:{told}",
                kind,
                request.at,
                provider_message_id=sid,
                delivery_id=request.query.get("delivery"),
                address=form.get("To") or None,
                code=form.get("ErrorCode") or told if kind == "failed" else "",
            )
        ]


def twiml(message: Message, to: Recipient) -> str:
    """The call: the text twice, cut where it would be longer than Twilio takes."""
    text, spelled = _NOT_IN_XML.sub("", message.content.body), message.content.extra.get("spelled", ())
    for longest in range(len(text), 0, -_STEP):
        said = f"<Say{_voice(to.locale)}>{escape(_spoken(cut(text, longest), spelled))}</Say>"
        call = f'<Response><Pause length="1"/>{said}<Pause length="1"/>{said}</Response>'
        if len(call) <= LONGEST_TWIML:
            return call
    return "<Response/>"


def _voice(locale: str | None) -> str:
    """The attributes of the voice: of the language and region, else of the language alone."""
    language, _, region = (locale or "").lower().replace("_", "-").partition("-")
    found = _VOICES.get(f"{language}-{region}") or _VOICES.get(language)
    return f" language={quoteattr(found[0])} voice={quoteattr(f'Polly.{found[1]}')}" if found else ""


def _spoken(text: str, spelled: Sequence[str]) -> str:
    """Codes digit by digit: 482 913 is not four hundred and eighty-two. What the words name is spelled out, where it
    is not part of a longer word; A-10 is A 1 0.
    """
    whole = "|".join(re.escape(one) for one in sorted(filter(None, spelled), key=len, reverse=True))
    if whole:
        text = re.sub(rf"(?<!\w)(?:{whole})(?!\w)", lambda found: _one_by_one(found[0]), text)
    return _CODE.sub(lambda code: _one_by_one(code[0]), text)


def _one_by_one(text: str) -> str:
    return " ".join(c for c in text if c.isalnum())
