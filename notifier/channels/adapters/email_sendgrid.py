"""E-mail through SendGrid's v3 API, and its signed Event Webhook.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send ·
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event (the events) ·
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from notifier.channels.contract import Setting
from notifier.channels.mailing import DELIVERY, MailAdapter, is_offer, sender_setting, tracking_setting
from notifier.channels.receipts import Event, HookRefused, HookRequest, Kind, Unreadable, mapping, moment, text
from notifier.channels.wire.answers import AMBIGUOUS, STATUSES, Family, Response, explain_code, not_understood
from notifier.channels.wire.http import Http, bearer
from notifier.channels.wire.mail import Mailbox
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured
from notifier.core.message import Message, Receipt, Recipient

_STATUSES: dict[int, Family] = {
    **STATUSES,
    404: Misconfigured,
    405: Misconfigured,
    500: AMBIGUOUS,
    502: AMBIGUOUS,
    504: AMBIGUOUS,
}
# The field that a 400 is about; the sentence beside it is English.
_FIELDS: dict[str | int, Family] = {
    "personalizations.0.to.0.email": InvalidRecipient,
    "from": Misconfigured,
    "from.email": Misconfigured,
}

# `deferred` ends in one of the others; `group_resubscribe` is no consent of ours.
_KINDS: dict[str, Kind] = {
    "processed": "sent",
    "delivered": "delivered",
    "bounce": "bounced",
    "dropped": "failed",
    "open": "opened",
    "click": "clicked",
    "spamreport": "complained",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
}
# What is not said of the address but of this mail: a bounce's `type`.
_REFUSED_ONCE = ("blocked", "expired")
# Why SendGrid did not even try, in its word → what that says of the address beside.
_DROPPED: dict[str, Kind] = {
    "invalid": "bounced",
    "bounced address": "bounced",
    "spam reporting address": "complained",
    "unsubscribed address": "unsubscribed",
}


class SendGrid(MailAdapter):
    provider = "sendgrid"
    label = "SendGrid"
    prefix = "SENDGRID"
    settings = (
        Setting("SENDGRID_API_KEY", "key with the permission Mail Send", is_secret=True, example="SG.aB3.x-y_z"),
        sender_setting("SENDGRID"),
        tracking_setting("SENDGRID"),
        Setting(
            "SENDGRID_WEBHOOK_KEY",
            "verification key of the Signed Event Webhook",
            is_required=False,
            verifies=True,
            example="MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEL+3TzCmjbNzfabhWkWFf+joXhTKivqyznohHrlT5CU7FhAXrb8AD72h5AUVRSHr5"
            "slbLks0eTBmK3jv3VzNoaw==",
        ),
        Setting(
            "SENDGRID_URL",
            "base of the API; EU subusers have `https://api.eu.sendgrid.com`",
            is_required=False,
            default="https://api.sendgrid.com",
            example="https://api.sendgrid.com",
        ),
    )
    per_second = 3_000  # none is documented; more than accounts send, and a bound all the same
    tells = ("sent", "delivered", "opened", "clicked", "bounced", "failed", "complained", "unsubscribed")

    def __init__(self, settings: Mapping[str, str], http: Http) -> None:
        super().__init__(settings, http)
        key = self.options.get("SENDGRID_WEBHOOK_KEY")
        self._webhook_key = _public_key(key) if key else None

    def send(self, message: Message, to: Recipient) -> Receipt:
        self.check_complete()
        response = self.http.post_json(
            f"{self.options['SENDGRID_URL'].rstrip('/')}/v3/mail/send",
            self._body(message, to),
            bearer(self.options["SENDGRID_API_KEY"]),
            explain=self.explain,
        )
        return Receipt("sent", provider_message_id=response.headers.get("x-message-id"))

    def _body(self, message: Message, to: Recipient) -> dict[str, Any]:
        mail = self.compose(message, to)
        content = [{"type": "text/plain", "value": mail.text or "\n"}]  # must come first, and may not be empty
        if mail.html:
            content.append({"type": "text/html", "value": mail.html})
        tracks = {"enable": self.is_tracked(message)}
        body = {
            "personalizations": [{"to": [_mailbox(mail.to)], "custom_args": {DELIVERY: message.delivery_id}}],
            "from": _mailbox(mail.by),
            "subject": mail.subject,
            "content": content,
            "headers": mail.given_headers,
            "tracking_settings": {
                "click_tracking": tracks,
                "open_tracking": tracks,
                "subscription_tracking": {"enable": False},  # a footer with a link of SendGrid's
            },
        }
        if not is_offer(message):
            # Whoever is tired of offers must still get the link to a new password. Bounces are heeded.
            body["mail_settings"] = {
                "bypass_spam_management": {"enable": True},
                "bypass_unsubscribe_management": {"enable": True},
            }
        return body

    def explain(self, response: Response) -> DeliveryError | None:
        """202 and no body: taken."""
        if response.is_success:
            return None if response.status == 202 else not_understood(response)
        return explain_code(_field(response), response, _FIELDS, _STATUSES)

    def read_receipts(self, request: HookRequest) -> Sequence[Event]:
        """The signature covers the bytes as they came, with the line breaks behind each event."""
        if self._webhook_key is None:
            raise HookRefused("SENDGRID_WEBHOOK_KEY is not set")
        signed_at = request.headers.get("x-twilio-email-event-webhook-timestamp", "")
        try:
            signature = base64.b64decode(request.headers.get("x-twilio-email-event-webhook-signature", ""))
            self._webhook_key.verify(signature, signed_at.encode() + request.body, ECDSA(SHA256()))
        except (ValueError, InvalidSignature):
            raise HookRefused("the signature is wrong") from None
        request.check_age(signed_at)
        told = request.json()
        if not isinstance(told, list):
            raise Unreadable("the body is not an array")
        return [event for one in told if isinstance(one, dict) for event in _events(one, request)]


def _events(one: Mapping[str, Any], request: HookRequest) -> Iterator[Event]:
    word, event_id = str(one.get("event")), one.get("sg_event_id")
    kind = _KINDS.get(word)
    if kind is None or not isinstance(event_id, str):
        return
    reason, status = str(one.get("reason") or ""), str(one.get("status") or "")
    if word == "bounce" and one.get("type") in _REFUSED_ONCE:
        kind = "failed"
    about_address = _DROPPED.get(reason.lower()) if word == "dropped" else None
    if about_address == "bounced":
        kind, about_address = "bounced", None
    facts: dict[str, Any] = {
        "at": moment(one.get("timestamp"), request.at),
        "provider_message_id": str(one.get("sg_message_id") or "").partition(".")[0] or None,
        "delivery_id": text(one.get(DELIVERY)),
        "address": text(one.get("email")),
        "code": reason if word == "dropped" else status or str(one.get("type") or ""),
        "by": "machine" if one.get("sg_machine_open") is True else "unknown",
    }
    yield Event(event_id, kind, **facts)
    if about_address is not None:
        yield Event(f"{event_id}:{about_address}", about_address, **facts)


def _public_key(text: str) -> EllipticCurvePublicKey:
    try:
        key = load_der_public_key(base64.b64decode(text))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePublicKey):
        raise ValueError("SENDGRID_WEBHOOK_KEY: it is not the verification key that SendGrid shows")
    return key


def _mailbox(box: Mailbox) -> dict[str, str]:
    """Of a name with a comma SendGrid makes two recipients: https://github.com/sendgrid/sendgrid-python/issues/291"""
    return {"email": box.address, "name": box.plain_name} if box.plain_name else {"email": box.address}


def _field(response: Response) -> str | None:
    errors = response.json().get("errors")
    return text(mapping(errors[0]).get("field")) if isinstance(errors, list) and errors else None
