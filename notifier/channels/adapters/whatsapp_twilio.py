"""WhatsApp by Twilio: https://www.twilio.com/docs/whatsapp/api. Text, which WhatsApp takes within 24 hours of the
person's last message (63016 afterwards), or an approved template by its content sid
(https://www.twilio.com/docs/content/send-templates-created-with-the-content-template-builder).
"""

import json
import re
from collections.abc import Mapping, Sequence

from notifier.channels.contract import Setting
from notifier.channels.receipts import Event, HookRequest
from notifier.channels.table import WHATSAPP as CHANNEL
from notifier.channels.wire.http import Http
from notifier.channels.wire.twilio import (
    PHONE,
    SETTINGS,
    STARTS,
    WHATSAPP,
    TwilioAdapter,
    events_of_message,
    validity,
)
from notifier.core.message import Content, Message, Receipt, Recipient
from notifier.core.shortening import cut

LONGEST_BODY = 1600
# Of SMS Twilio itself keeps who may be written to, and takes YES for START. Here YES answers any question.
_STARTS = STARTS - {"YES"}


class TwilioWhatsApp(TwilioAdapter):
    channel = CHANNEL
    provider = "twilio_whatsapp"
    label = "Twilio WhatsApp"
    settings = (
        *SETTINGS,
        Setting(
            "TWILIO_WHATSAPP_FROM",
            "number that WhatsApp messages come from",
            is_required=False,
            example="+15005550006",
        ),
    )
    tells = ("sent", "delivered", "opened", "failed", "bounced", "stopped", "started")
    resource = "Messages"
    senders = ("TWILIO_WHATSAPP_FROM",)

    def __init__(self, settings: Mapping[str, str], http: Http) -> None:
        super().__init__(settings, http)
        self.sender = self.options.get("TWILIO_WHATSAPP_FROM", "").removeprefix(WHATSAPP)
        if self.sender and not re.fullmatch(PHONE, self.sender):
            raise ValueError("TWILIO_WHATSAPP_FROM: must be a number, such as +15005550006")

    def send(self, message: Message, to: Recipient) -> Receipt:
        fields = {
            "To": WHATSAPP + to.address,
            "From": WHATSAPP + self.sender,
            **_said(message.content),
        }
        return self.create(message, fields | validity(message))

    def events(self, form: Mapping[str, str], request: HookRequest) -> Sequence[Event]:
        return events_of_message(form, request, of_whatsapp=True, starts=_STARTS)


def _said(content: Content) -> dict[str, str]:
    """An approved template is one of Twilio's if its name is a content sid; others are Meta's own account's."""
    name, *parameters = content.extra.get("approved") or ("",)
    sid = name.partition(" ")[0]
    if not re.fullmatch(r"HX[0-9a-f]{32}", sid):
        return {"Body": cut(content.body, LONGEST_BODY)}
    # None may be empty: https://www.twilio.com/docs/api/errors/21656
    variables = {str(number): text or " " for number, text in enumerate(parameters, start=1)}
    return {"ContentSid": sid, "ContentVariables": json.dumps(variables, ensure_ascii=False)}
