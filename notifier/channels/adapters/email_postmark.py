"""E-mail through Postmark.

https://postmarkapp.com/developer/api/email-api · https://postmarkapp.com/developer/api/overview (the codes) ·
https://postmarkapp.com/developer/webhooks/webhooks-overview
"""

import hashlib
import hmac
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

from notifier.channels.contract import Setting
from notifier.channels.mailing import DELIVERY, MailAdapter, sender_setting, tracking_setting
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
from notifier.channels.wire.answers import AMBIGUOUS, STATUSES, Family, Response, explain_code, not_understood
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited, Retryable
from notifier.core.message import Message, Receipt, Recipient

_SECRET_HEADER = "x-hook-secret"

_CODES: dict[str | int, Family] = {
    10: Misconfigured,  # no such token
    100: Retryable,  # maintenance
    300: Permanent,
    400: Misconfigured,  # the sender is not known, or not confirmed
    401: Misconfigured,
    402: Permanent,
    403: Permanent,
    405: Misconfigured,  # no credits
    406: Permanent,  # on the stream's list, of which we do not know whether it bounced, complained or unsubscribed
    412: Misconfigured,  # the account is pending, or may not send
    413: Misconfigured,
    429: RateLimited,
    1235: Misconfigured,  # no such stream
}
_STATUSES: dict[int, Family] = {**STATUSES, 404: Misconfigured, **dict.fromkeys((500, 502, 503), AMBIGUOUS)}
# How the sentence of a 300 begins that is about the recipient
_BAD_RECIPIENT = ("Invalid 'To'", "Error parsing 'To'")

# `Transient` and `DnsError` are tried again; what is not here says nothing of the message
_BOUNCES: dict[str, Kind] = {
    "HardBounce": "bounced",
    "BadEmailAddress": "bounced",
    "SoftBounce": "failed",
    "Blocked": "failed",
    "SpamNotification": "failed",  # a filter's word, nobody's
    "VirusNotification": "failed",
    "DMARCPolicy": "failed",
    "ManuallyDeactivated": "failed",
    "TemplateRenderingFailed": "failed",
    "SMTPApiError": "failed",
    "Undeliverable": "failed",
    "Unknown": "failed",
    "SpamComplaint": "complained",
    "Unsubscribe": "unsubscribed",
}


class Postmark(MailAdapter):
    provider = "postmark"
    label = "Postmark"
    prefix = "POSTMARK"
    settings = (
        Setting("POSTMARK_TOKEN", "API token of the server", is_secret=True, example="d0a1b2c3-0000-4000-8000-tok3n"),
        sender_setting("POSTMARK"),
        Setting("POSTMARK_STREAM", "message stream", is_required=False, default="outbound", example="outbound"),
        tracking_setting("POSTMARK"),
        Setting(
            "POSTMARK_HOOK_SECRET",
            "what Postmark must say with each call: as the password, or in the header `X-Hook-Secret`",
            is_secret=True,
            is_required=False,
            verifies=True,
            example="a-long-random-s3cret-text",
        ),
        Setting(
            "POSTMARK_URL",
            "base of the API",
            is_required=False,
            default="https://api.postmarkapp.com",
            example="https://api.postmarkapp.com",
        ),
    )
    tells = ("delivered", "opened", "clicked", "bounced", "failed", "complained", "unsubscribed")

    def send(self, message: Message, to: Recipient) -> Receipt:
        self.check_complete()
        token = self.options["POSTMARK_TOKEN"]
        if not token.isascii() or not token.isprintable():
            raise Misconfigured("POSTMARK_TOKEN is no token", code="bad_credentials")
        response = self.http.post_json(
            f"{self.options['POSTMARK_URL'].rstrip('/')}/email",
            self._body(message, to),
            {"X-Postmark-Server-Token": token, "Accept": "application/json"},
            explain=self.explain,
        )
        return Receipt("sent", provider_message_id=response.json()["MessageID"])

    def _body(self, message: Message, to: Recipient) -> dict[str, Any]:
        mail = self.compose(message, to)
        is_tracked = self.is_tracked(message)
        headers = {**mail.given_headers, "X-PM-KeepID": "true"}  # else the Message-ID becomes one of Postmark's
        return {
            "From": str(mail.by),
            "To": str(mail.to),
            "Subject": mail.subject,
            "TextBody": mail.text or "\n",
            **({"HtmlBody": mail.html} if mail.html else {}),
            "Headers": [{"Name": name, "Value": value} for name, value in headers.items()],
            "MessageStream": self.options["POSTMARK_STREAM"],
            "Metadata": {DELIVERY: message.delivery_id},
            "TrackOpens": is_tracked,
            "TrackLinks": "HtmlAndText" if is_tracked else "None",
        }

    def explain(self, response: Response) -> DeliveryError | None:
        told = response.json()
        code = told.get("ErrorCode")
        if response.is_success and code == 0:
            return None if isinstance(told.get("MessageID"), str) else not_understood(response)
        if type(code) is not int:
            code = None
        if code is None and response.is_success:
            return not_understood(response)
        if code == 300 and str(told.get("Message")).startswith(_BAD_RECIPIENT):
            return InvalidRecipient("the provider answered 300: no address", code="300")
        return explain_code(code, response, _CODES, _STATUSES)

    def read_receipts(self, request: HookRequest) -> Sequence[Event]:
        """Postmark signs nothing: a secret that only it and we know stands in the call."""
        self._check_secret(request)
        told = request.json()
        if not isinstance(told, dict):
            raise Unreadable("the body is not an object")
        record = told.get("RecordType")
        if record == "Inbound" or (record is None and "FromFull" in told):
            raise Misdirected("Postmark's hook for incoming mail leads here")
        kind, code = _meaning(told)
        if kind is None:
            return []
        at = next((told[name] for name in _TIMES if told.get(name)), None)
        return [
            Event(
                _event_id(told, str(at)),
                kind,
                moment(at, request.at),
                provider_message_id=text(told.get("MessageID")),
                delivery_id=text(mapping(told.get("Metadata")).get(DELIVERY)),
                address=text(told.get("Recipient") or told.get("Email")),
                code=code,
            )
        ]

    def _check_secret(self, request: HookRequest) -> None:
        secret = self.options.get("POSTMARK_HOOK_SECRET")
        if not secret:
            raise HookRefused("POSTMARK_HOOK_SECRET is not set")
        given = request.headers.get(_SECRET_HEADER) or _password(request.headers.get("authorization", ""))
        if not hmac.compare_digest(given.encode(errors="replace"), secret.encode()):
            raise HookRefused("the secret is missing or wrong")


_TIMES = ("DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt")


def _meaning(told: Mapping[str, Any]) -> tuple[Kind | None, str]:
    """→ the kind, and Postmark's word for why. None: it says nothing final, or another record says it."""
    match told.get("RecordType"):
        case "Delivery":
            return "delivered", ""
        case "Open":
            return "opened", ""
        case "Click":
            return "clicked", ""
        case "Bounce" | "SpamComplaint" as record:
            word = str(told.get("Type") or record)
            return _BOUNCES.get(word), word
        case "SubscriptionChange":
            # Put on the list by a bounce or complaint, they have a record of their own; by us, it is nobody's wish
            is_theirs = told.get("SuppressionReason") == "ManualSuppression" and told.get("Origin") == "Recipient"
            is_off = told.get("SuppressSending") is True
            return ("unsubscribed" if is_theirs and is_off else None), "ManualSuppression"
        case _:
            return None, ""


def _event_id(told: Mapping[str, Any], at: str) -> str:
    """Bounces have one. The others are told apart by what they say."""
    if isinstance(told.get("ID"), int):
        return f"{told['RecordType']}:{told['ID']}"
    parts = [told.get(name) for name in ("RecordType", "MessageID", "Recipient", "OriginalLink")]
    return hashlib.sha256("\n".join([*map(str, parts), at]).encode(errors="replace")).hexdigest()


def _password(authorization: str) -> str:
    """Of basic authentication; whatever the user is called."""
    try:
        return b64decode(authorization.removeprefix("Basic ")).decode().partition(":")[2]
    except ValueError:
        return ""
