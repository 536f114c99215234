"""SMS by Twilio: https://www.twilio.com/docs/messaging/api/message-resource.

Its receipts, and answers such as STOP, come to the account's hook; for the latter, the number or the messaging service
names it as its webhook for incoming messages.
"""

import re
from collections.abc import Mapping, Sequence

from notifier.channels.contract import Setting
from notifier.channels.receipts import Event, HookRequest
from notifier.channels.table import SMS
from notifier.channels.wire.http import Http
from notifier.channels.wire.twilio import SETTINGS, STARTS, TwilioAdapter, events_of_message, validity
from notifier.core.message import Message, Receipt, Recipient
from notifier.ground.config import Settings

# A number, a short code, or a name where countries allow one
_SENDER = re.compile(r"\+?[0-9]{3,15}|(?=.*[A-Za-z])[A-Za-z0-9 +&_-]{1,11}")
_OTHER_SENDERS = ("TWILIO_VOICE_FROM", "TWILIO_WHATSAPP_FROM")


class TwilioSms(TwilioAdapter):
    channel = SMS
    provider = "twilio"
    label = "Twilio SMS"
    settings = (
        *SETTINGS,
        Setting(
            "TWILIO_FROM",
            "number or name that SMS come from; this or a messaging service",
            is_required=False,
            example="+15005550006",
        ),
        Setting(
            "TWILIO_MESSAGING_SERVICE",
            "messaging service (`MG…`) that chooses the number",
            is_required=False,
            example="MG" + "2" * 32,
        ),
    )
    tells = ("sent", "delivered", "failed", "bounced", "stopped", "started")
    resource = "Messages"
    senders = ("TWILIO_FROM", "TWILIO_MESSAGING_SERVICE")

    def __init__(self, settings: Mapping[str, str], http: Http) -> None:
        super().__init__(settings, http)
        sender = self.options.get("TWILIO_FROM")
        if sender and not _SENDER.fullmatch(sender):
            raise ValueError("TWILIO_FROM: must be a number (+15005550006), a short code, or a name of 11 characters")

    @classmethod
    def is_begun(cls, settings: Settings) -> bool:
        """Also by an account alone, which would otherwise serve nothing in silence."""
        return super().is_begun(settings) or bool(
            settings.of_provider("TWILIO_ACCOUNT_SID") and not any(map(settings.of_provider, _OTHER_SENDERS))
        )

    def send(self, message: Message, to: Recipient) -> Receipt:
        """With both, the messaging service sends, from that number of its pool."""
        sender = {
            "From": self.options.get("TWILIO_FROM"),
            "MessagingServiceSid": self.options.get("TWILIO_MESSAGING_SERVICE"),
        }
        fields = {"To": to.address, "Body": message.content.body, **validity(message)}
        return self.create(message, fields | {name: value for name, value in sender.items() if value})

    def events(self, form: Mapping[str, str], request: HookRequest) -> Sequence[Event]:
        return events_of_message(form, request, of_whatsapp=False, starts=STARTS)
