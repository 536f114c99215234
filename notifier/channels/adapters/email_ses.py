"""E-mail through Amazon SES, API version 2, and the events that it publishes to an SNS topic.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html ·
https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html ·
https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html (almost the same, without a configuration set)
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from notifier.channels.contract import Setting
from notifier.channels.mailing import DELIVERY, MailAdapter, sender_setting
from notifier.channels.receipts import (
    Event,
    HookRefused,
    HookRequest,
    Kind,
    Misdirected,
    Unreadable,
    mapping,
    moment,
    text,
)
from notifier.channels.wire import amazon
from notifier.channels.wire.amazon_topic import Topic
from notifier.channels.wire.answers import STATUSES, Family, Response, explain_code, not_understood
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, Misconfigured, Permanent, RateLimited
from notifier.core.message import Message, Receipt, Recipient
from notifier.ground.clock import now

_CODES: dict[str | int, Family] = {
    **amazon.CODES,
    "LimitExceededException": RateLimited,
    "AccountSuspendedException": Misconfigured,
    "SendingPausedException": Misconfigured,
    "MailFromDomainNotVerifiedException": Misconfigured,
    "NotFoundException": Misconfigured,  # the configuration set
    "MessageRejected": Permanent,
    "BadRequestException": Permanent,
}
# What only the sentence tells apart. A rate is over in a second, a quota is that of the last 24 hours.
_QUOTA = "Daily message quota exceeded"
_QUOTA_WAIT_S, _RATE_WAIT_S = 600.0, 1.0
_NOT_VERIFIED = "Email address is not verified"

_TEST = "Successfully validated SNS topic for Amazon SES event publishing."

_KINDS: dict[str, Kind] = {
    "Send": "sent",
    "Delivery": "delivered",
    "Reject": "failed",
    "Rendering Failure": "failed",
    "Open": "opened",
    "Click": "clicked",
}


class Ses(MailAdapter):
    provider = "ses"
    label = "Amazon SES"
    prefix = "SES"
    settings = (
        Setting("SES_REGION", "region of the account", example="eu-central-1"),
        Setting("SES_ACCESS_KEY", "id of an access key that may call `ses:SendEmail`", example="AKIAIOSFODNN7EXAMPLE"),
        Setting("SES_SECRET_KEY", "its secret", is_secret=True, example="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        sender_setting("SES"),
        Setting(
            "SES_CONFIGURATION_SET",
            "configuration set whose events go to the topic",
            is_required=False,
            example="notifier",
        ),
        Setting(
            "SES_TOPIC_ARN",
            "SNS topic of the events",
            is_required=False,
            verifies=True,
            example="arn:aws:sns:eu-central-1:123456789012:mail-events",
        ),
        Setting(
            "SES_PER_SECOND",
            "mails a second that the account may send",
            is_required=False,
            default="14",
            example="14",
        ),
        Setting(
            "SES_URL",
            "base of the API, instead of `https://email.REGION.amazonaws.com`",
            is_required=False,
            example="https://email.eu-central-1.amazonaws.com",
        ),
    )
    per_second = 14  # what SES begins with outside of its sandbox
    tells = ("sent", "delivered", "opened", "clicked", "bounced", "failed", "complained", "unsubscribed")

    def __init__(self, settings: Mapping[str, str], http: Http) -> None:
        super().__init__(settings, http)
        self._signer = amazon.Signer.of("ses", self.options, "SES")
        arn = self.options.get("SES_TOPIC_ARN")
        try:
            self._topic = Topic(arn, http) if arn else None
        except ValueError as error:
            raise ValueError(f"SES_TOPIC_ARN: {error}") from None
        pace = self.options["SES_PER_SECOND"]
        if not pace.isdecimal() or not 1 <= int(pace) <= 10_000:
            raise ValueError("SES_PER_SECOND: must be a number from 1 to 10000")
        self.per_second = int(pace)

    def send(self, message: Message, to: Recipient) -> Receipt:
        self.check_complete()
        assert self._signer is not None
        mail = self.compose(message, to)
        sent: dict[str, Any] = {
            "FromEmailAddress": mail.by.address,
            "Destination": {"ToAddresses": [mail.to.address]},
            "Content": {"Raw": {"Data": base64.b64encode(mail.raw).decode()}},
            "EmailTags": [{"Name": DELIVERY, "Value": message.delivery_id}],
        }
        if self.options.get("SES_CONFIGURATION_SET"):
            sent["ConfigurationSetName"] = self.options["SES_CONFIGURATION_SET"]
        base = self.options.get("SES_URL") or f"https://{amazon.host('email', self._signer.region)}"
        url, body = f"{base.rstrip('/')}/v2/email/outbound-emails", json.dumps(sent).encode()
        headers = self._signer.headers(url, body, "application/json", now())
        response = self.http.post(url, body, headers, explain=self.explain)
        return Receipt("sent", provider_message_id=response.json()["MessageId"])

    def explain(self, response: Response) -> DeliveryError | None:
        told = response.json()
        if response.is_success:
            return None if isinstance(told.get("MessageId"), str) else not_understood(response)
        error = explain_code(amazon.code_of(response), response, _CODES, {**STATUSES, 404: Misconfigured})
        said = str(told.get("message") or told.get("Message"))
        if isinstance(error, RateLimited) and "retry-after" not in response.headers:
            error.retry_after = _QUOTA_WAIT_S if said.startswith(_QUOTA) else _RATE_WAIT_S
        if isinstance(error, Permanent) and said.startswith(_NOT_VERIFIED):
            return Misconfigured("the sender is not verified, or SES's sandbox refuses the recipient", code=error.code)
        return error

    def read_receipts(self, request: HookRequest) -> Sequence[Event]:
        if self._topic is None:
            raise HookRefused("SES_TOPIC_ARN is not set")
        published = self._topic.read(request)
        if published is None or published.text.strip() == _TEST:
            return []
        try:
            told = json.loads(published.text)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict) or not isinstance(told.get("mail"), dict):
            raise Unreadable("what the topic says is no event of SES")
        if told.get("notificationType") == "Received":
            raise Misdirected("a rule for incoming mail publishes to this topic")
        found = _said(told)
        mail = told["mail"]
        return [
            Event(
                published.id if number == 0 else f"{published.id}:{number}",
                kind,
                moment(_details(told).get("timestamp"), published.at),
                provider_message_id=text(mail.get("messageId")),
                delivery_id=_delivery(mail),
                address=address,
                code=code,
            )
            for number, (kind, address, code) in enumerate(found)
        ]


def _said(told: Mapping[str, Any]) -> list[tuple[Kind, str | None, str]]:
    """What an event says of whom, and SES's word for why. Several recipients may stand in one."""
    word, details = _word(told), _details(told)
    match word:
        case "Bounce":
            code = f"{details.get('bounceType')}/{details.get('bounceSubType')}"
            recipients = _dicts(details.get("bouncedRecipients"))
            found = [(_of_bounce(details, one), text(one.get("emailAddress"))) for one in recipients]
            return [(kind, address, code) for kind, address in found if kind is not None]
        case "Complaint":
            code = str(details.get("complaintSubType") or details.get("complaintFeedbackType") or "")
            addresses = [text(one.get("emailAddress")) for one in _dicts(details.get("complainedRecipients"))]
            return [(kind, address, code) for address in addresses for kind in _of_complaint(details)]
        case "Subscription":
            is_over = mapping(details.get("newTopicPreferences")).get("unsubscribeAll") is True
            return [("unsubscribed", _recipient(told), "")] if is_over else []
    return [(_KINDS[word], _recipient(told), str(details.get("reason") or ""))] if word in _KINDS else []


def _of_complaint(complaint: Mapping[str, Any]) -> tuple[Kind, ...]:
    if complaint.get("complaintFeedbackType") == "not-spam":
        return ()
    # With a sub type, SES has not even tried: they complained before
    return ("failed", "complained") if complaint.get("complaintSubType") else ("complained",)


def _of_bounce(bounce: Mapping[str, Any], recipient: Mapping[str, Any]) -> Kind | None:
    """SES publishes what it tries no longer. A transient bounce without a reason may be an out-of-office reply."""
    if bounce.get("bounceType") == "Permanent" or recipient.get("status") == "5.4.4":  # there is no such domain
        return "bounced"
    if bounce.get("bounceType") == "Transient" and bounce.get("bounceSubType") == "General":
        return None
    return "failed"


def _word(told: Mapping[str, Any]) -> str:
    return str(told.get("eventType") or told.get("notificationType"))


def _details(told: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(told.get("failure" if _word(told) == "Rendering Failure" else _word(told).lower()))


def _recipient(told: Mapping[str, Any]) -> str | None:
    """Ours have one each."""
    destination = told["mail"].get("destination")
    return text(destination[0]) if isinstance(destination, list) and len(destination) == 1 else None


def _delivery(mail: Mapping[str, Any]) -> str | None:
    """From the tag; without a configuration set, from the Message-ID that we gave it, if the headers are included."""
    tag = mapping(mail.get("tags")).get(DELIVERY)
    if isinstance(tag, list) and tag:
        return text(tag[0])
    ids = [one.get("value") for one in _dicts(mail.get("headers")) if str(one.get("name")).lower() == "message-id"]
    return str(ids[0]).lstrip("<").partition("@")[0] if ids and str(ids[0]).startswith("<dlv_") else None


def _dicts(value: object) -> Iterator[Mapping[str, Any]]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())
