"""The channels and the adapters that serve them.

A new provider is one file in `channels/adapters/` and its class in ADAPTERS here. `channels.serving` builds the
adapters of an installation. Knows nothing of notifications or the database.
"""

from notifier.channels.adapters.apprise import Apprise
from notifier.channels.adapters.discord import Discord
from notifier.channels.adapters.email_mailgun import Mailgun
from notifier.channels.adapters.email_postmark import Postmark
from notifier.channels.adapters.email_sendgrid import SendGrid
from notifier.channels.adapters.email_ses import Ses
from notifier.channels.adapters.email_smtp import EmailSmtp
from notifier.channels.adapters.push_apns import Apns
from notifier.channels.adapters.push_fcm import Fcm
from notifier.channels.adapters.slack import Slack
from notifier.channels.adapters.sms_sns import Sns
from notifier.channels.adapters.sms_twilio import TwilioSms
from notifier.channels.adapters.sms_vonage import Vonage
from notifier.channels.adapters.teams import Teams
from notifier.channels.adapters.telegram import Telegram
from notifier.channels.adapters.voice_twilio import TwilioVoice
from notifier.channels.adapters.webhook_standard import StandardWebhook
from notifier.channels.adapters.webpush_vapid import WebPush
from notifier.channels.adapters.whatsapp_cloud import WhatsAppCloud
from notifier.channels.adapters.whatsapp_twilio import TwilioWhatsApp
from notifier.channels.contract import Adapter, Channel, Setting
from notifier.channels.table import BUILT_IN
from notifier.core.shape_fields import ShapeField
from notifier.core.wording import ANY_CHANNEL

ADAPTERS: tuple[type[Adapter], ...] = (
    EmailSmtp,
    Ses,
    SendGrid,
    Postmark,
    Mailgun,
    TwilioSms,
    Vonage,
    Sns,
    Fcm,
    Apns,
    TwilioVoice,
    TwilioWhatsApp,
    StandardWebhook,
    WebPush,
    Slack,
    Teams,
    Discord,
    Telegram,
    Apprise,
    WhatsAppCloud,
)

# What `migrate` makes once for an installation: the name it is kept under → the setting.
MADE: dict[str, Setting] = {
    setting.kept_as: setting for adapter in ADAPTERS for setting in adapter.settings if setting.make
}

CHANNELS: dict[str, Channel] = {
    channel.name: channel for channel in (*BUILT_IN, *(adapter.channel for adapter in ADAPTERS))
}

# The fields that shapes declare, by name: each is the same wherever it is declared.
FIELDS: dict[str, ShapeField] = {field.name: field for channel in CHANNELS.values() for field in channel.shape.fields}


def fields_of(channel: str) -> dict[str, ShapeField]:
    """Those that words for a channel may have; for any channel (`*`) all there are."""
    if channel == ANY_CHANNEL:
        return FIELDS
    return {field.name: field for field in CHANNELS[channel].shape.fields} if channel in CHANNELS else {}
