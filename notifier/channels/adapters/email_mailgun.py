"""E-mail through Mailgun, as whole MIME messages.

https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages ·
https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks ·
https://documentation.mailgun.com/docs/mailgun/user-manual/events/events
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any

from urllib3 import encode_multipart_formdata

from notifier.channels.contract import Setting
from notifier.channels.mailing import DELIVERY, MailAdapter, sender_setting, tracking_setting
from notifier.channels.receipts import Event, HookRefused, HookRequest, Kind, Unreadable, mapping, moment, text
from notifier.channels.wire.answers import AMBIGUOUS, STATUSES, Family, Response, explain, not_understood
from notifier.channels.wire.http import Http, basic_auth
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured
from notifier.core.message import Message, Receipt, Recipient

_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")

# Mailgun has no codes: the beginning of its sentence.
_BAD_RECIPIENT = "'to' parameter is not a valid address"
_STATUSES: dict[int, Family] = {
    **STATUSES,
    402: Misconfigured,
    404: Misconfigured,  # the domain: of the other region, perhaps
    500: AMBIGUOUS,
    502: AMBIGUOUS,
    503: AMBIGUOUS,
}

_KINDS: dict[str, Kind] = {
    "accepted": "sent",
    "delivered": "delivered",
    "failed": "failed",  # for good, see _REASONS; temporary ones are tried again
    "rejected": "failed",
    "opened": "opened",
    "clicked": "clicked",
    "complained": "complained",
    "unsubscribed": "unsubscribed",
}
# Why it failed → what that says of the address.
_REASONS: dict[str, Kind] = {
    "bounce": "bounced",
    "suppress-bounce": "bounced",
    "suppress-complaint": "complained",
    "suppress-unsubscribe": "unsubscribed",
}


class Mailgun(MailAdapter):
    provider = "mailgun"
    label = "Mailgun"
    prefix = "MAILGUN"
    settings = (
        Setting("MAILGUN_API_KEY", "sending key of the domain", is_secret=True, example="0a1b2c3d-s3nding-k3y"),
        Setting("MAILGUN_DOMAIN", "domain that the mails are sent by", example="mg.example.com"),
        sender_setting("MAILGUN"),
        tracking_setting("MAILGUN"),
        Setting(
            "MAILGUN_SIGNING_KEY",
            "HTTP webhook signing key",
            is_secret=True,
            is_required=False,
            verifies=True,
            example="f00d-s1gning-k3y",
        ),
        Setting(
            "MAILGUN_URL",
            "base of the API; domains in the EU have `https://api.eu.mailgun.net`",
            is_required=False,
            default="https://api.mailgun.net",
            example="https://api.mailgun.net",
        ),
    )
    tells = ("sent", "delivered", "opened", "clicked", "bounced", "failed", "complained", "unsubscribed")

    def __init__(self, settings: Mapping[str, str], http: Http) -> None:
        super().__init__(settings, http)
        if not _DOMAIN.fullmatch(self.options.get("MAILGUN_DOMAIN", "none")):
            raise ValueError("MAILGUN_DOMAIN: it is not a domain")

    def send(self, message: Message, to: Recipient) -> Receipt:
        self.check_complete()
        mail = self.compose(message, to)
        fields: dict[str, str | tuple[str, bytes, str]] = {
            "to": mail.to.address,
            "message": ("mail.eml", mail.raw, "message/rfc822"),
            "o:tracking": "yes" if self.is_tracked(message) else "no",
            f"v:{DELIVERY}": message.delivery_id,
        }
        body, content_type = encode_multipart_formdata(fields)
        response = self.http.post(
            f"{self.options['MAILGUN_URL'].rstrip('/')}/v3/{self.options['MAILGUN_DOMAIN']}/messages.mime",
            body,
            {"Content-Type": content_type, **basic_auth("api", self.options["MAILGUN_API_KEY"])},
            explain=self.explain,
        )
        return Receipt("sent", provider_message_id=response.json()["id"])

    def explain(self, response: Response) -> DeliveryError | None:
        """A wrong path is answered with 200 and a text."""
        told = response.json()
        if response.is_success:
            return None if isinstance(told.get("id"), str) else not_understood(response)
        if response.status == 400 and str(told.get("message")).startswith(_BAD_RECIPIENT):
            return InvalidRecipient("the provider takes it for no address", code="invalid_recipient")
        return explain(response, _STATUSES)

    def read_receipts(self, request: HookRequest) -> Sequence[Event]:
        """The signature covers the time and a token that is used once, not the event. With the token as the event's id,
        a call that is played again is a repeat.
        """
        key = self.options.get("MAILGUN_SIGNING_KEY")
        if not key:
            raise HookRefused("MAILGUN_SIGNING_KEY is not set")
        told = request.json()
        signature, data = (told.get(name) if isinstance(told, dict) else None for name in ("signature", "event-data"))
        if not isinstance(signature, dict):
            raise Unreadable("the body has no signature")
        signed_at, token, given = (str(signature.get(name)) for name in ("timestamp", "token", "signature"))
        wanted = hmac.digest(key.encode(), f"{signed_at}{token}".encode(errors="replace"), "sha256").hex()
        if not hmac.compare_digest(given.encode(errors="replace"), wanted.encode()):
            raise HookRefused("the signature is wrong")
        request.check_age(signed_at)
        if not isinstance(data, dict):
            raise Unreadable("the body has no event")
        return [
            Event(
                token if number == 0 else f"{token}:{kind}",
                kind,
                moment(data.get("timestamp"), request.at),
                provider_message_id=_message_id(data),
                delivery_id=text(mapping(data.get("user-variables")).get(DELIVERY)),
                address=text(data.get("recipient")),
                code=str(data.get("reason") or mapping(data.get("reject")).get("reason") or ""),
                by="machine" if mapping(data.get("client-info")).get("bot") else "unknown",
            )
            for number, kind in enumerate(_kinds(data))
        ]


def _kinds(data: Mapping[str, Any]) -> tuple[Kind, ...]:
    word = str(data.get("event"))
    kind = _KINDS.get(word)
    if kind is None or (word == "failed" and data.get("severity") == "temporary"):
        return ()
    about_address = _REASONS.get(str(data.get("reason"))) if word == "failed" else None
    if about_address is None:
        return (kind,)
    return ("bounced",) if about_address == "bounced" else (kind, about_address)


def _message_id(data: Mapping[str, Any]) -> str | None:
    """As the answer to the send has it; here it stands without the brackets."""
    found = mapping(mapping(data.get("message")).get("headers")).get("message-id")
    return f"<{found.strip('<>')}>" if isinstance(found, str) else None
