"""The channels that every installation has, one row each.

The registry (`channels.serving`) knows which of them can send. A channel that only one provider has is declared in that
provider's file.
"""

from dataclasses import replace

from notifier.channels.addresses import DEVICE_TOKEN, EMAIL, PHONE, SIGNED_URL, SLACK_TARGET, SUBSCRIPTION
from notifier.channels.contract import MESSAGE, Card, Channel, Shape
from notifier.channels.fields import APPROVED, APPROVED_BUTTONS, BUTTONS, FACTS, FOOTER, PLAIN_SIGNS, SPELLED
from notifier.ground.languages import N_

# What vendors of push messages publish: iOS on the lock screen, Android unfolded, Chrome on a desktop
_IOS, _ANDROID, _WEB = Card("iOS", 50, 178), Card("Android", 65, 240), Card("Web", 50, 120)
_CARD = Shape(has_card=True, longest_body=500)
# FCM and APNs alike; what browsers get leaves out the data, and is shortened to fit
_PUSHED = replace(_CARD, longest_payload=4_096, cards=(_IOS, _ANDROID))

INAPP = Channel(
    "inapp",
    N_("In-app"),
    None,
    Shape(has_card=True, has_secondary_action=True),
    by=N_("in the app"),
    waits_when_quiet=False,
)
MAIL = Channel("email", N_("E-mail"), EMAIL, Shape(has_subject=True, has_html=True), by=N_("by e-mail"))
# Ten segments of GSM-7
SMS = Channel(
    "sms",
    "SMS",
    PHONE,
    Shape(is_sms=True, longest_body=1530, fields=(PLAIN_SIGNS,)),
    default_on=False,
    charged_by="segment",
)
PUSH = Channel("push", N_("Mobile push"), DEVICE_TOKEN, _PUSHED, by=N_("by mobile push"), every_address=True)
WEB_PUSH = Channel(
    "webpush",
    N_("Browser push"),
    SUBSCRIPTION,
    replace(_CARD, cards=(_WEB,)),
    by=N_("by browser push"),
    every_address=True,
    follows="push",
)
WEBHOOK = Channel("webhook", "Webhook", SIGNED_URL, Shape(), by=N_("by webhook"), every_address=True)
SLACK = Channel(
    "slack",
    "Slack",
    SLACK_TARGET,
    Shape(has_card=True, longest_body=3000, fields=(BUTTONS, FACTS, FOOTER)),
    every_address=True,
)
WHATSAPP = Channel(
    "whatsapp",
    "WhatsApp",
    PHONE,
    Shape(longest_body=4096, fields=(APPROVED, APPROVED_BUTTONS)),
    default_on=False,
    borrows_from="sms",
    charged_by=MESSAGE,
)
VOICE = Channel(
    "voice",
    N_("Voice call"),
    PHONE,
    Shape(longest_body=1000, fields=(SPELLED,)),
    by=N_("by voice call"),
    default_on=False,
    borrows_from="sms",
    charged_by="call",
)

BUILT_IN = (INAPP, MAIL, SMS, PUSH, WEB_PUSH, WEBHOOK, SLACK, WHATSAPP, VOICE)
