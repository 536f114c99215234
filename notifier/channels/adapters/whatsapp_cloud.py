"""WhatsApp by Meta's Cloud API (https://developers.facebook.com/docs/whatsapp/cloud-api/reference/messages).

Codes: https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes
Webhooks: https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/payload-examples
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from notifier.channels.contract import Adapter, Setting
from notifier.channels.receipts import (
    Event,
    HookRefused,
    HookRequest,
    Kind,
    Misdirected,
    Unreadable,
    listing,
    mapping,
    text,
)
from notifier.channels.table import WHATSAPP
from notifier.channels.wire.answers import AMBIGUOUS, STATUSES, Family, Response, explain_code, not_understood
from notifier.channels.wire.http import bearer
from notifier.core.errors import (
    DeliveryError,
    InvalidRecipient,
    Misconfigured,
    Permanent,
    RateLimited,
    Retryable,
)
from notifier.core.message import Message, Receipt, Recipient

_CODES: dict[str | int, Family] = {
    131026: InvalidRecipient,  # not on WhatsApp, or has not accepted its terms
    131030: Misconfigured,  # a test number sends to listed people only
    100: Permanent,
    131008: Permanent,  # a parameter is missing
    131009: Permanent,  # a parameter's value
    131047: Permanent,  # more than 24 hours since they wrote: it needs an approved template
    131049: Permanent,  # Meta limits marketing to this person
    131050: Permanent,  # they have stopped marketing, and nothing else
    131051: Permanent,
    131052: Permanent,
    131053: Permanent,
    132000: Permanent,  # another number of parameters than the template has
    132001: Permanent,  # no such template in this language
    132005: Permanent,
    132007: Permanent,
    132012: Permanent,
    132015: Permanent,  # the template is paused
    132016: Permanent,  # … and disabled
    4: RateLimited,
    80007: RateLimited,
    130429: RateLimited,
    131048: RateLimited,
    0: Misconfigured,
    3: Misconfigured,
    10: Misconfigured,
    190: Misconfigured,  # the token has expired
    131005: Misconfigured,
    131031: Misconfigured,
    131042: Misconfigured,  # payment
    131045: Misconfigured,
    133010: Misconfigured,  # the number is not registered
    1: AMBIGUOUS,
    2: Retryable,
    131000: AMBIGUOUS,
    131016: Retryable,
    131057: Retryable,
    **dict.fromkeys(range(200, 300), Misconfigured),  # permissions
}
_TOO_MANY_TO_ONE, _BETWEEN_TWO_S = 131056, 6.0  # one message to the same person in six seconds
_STATUSES: dict[int, Family] = {**STATUSES, 500: AMBIGUOUS, 502: AMBIGUOUS}
_KINDS: dict[str, Kind] = {"sent": "sent", "delivered": "delivered", "read": "opened", "failed": "failed"}
_VERSION = re.compile(r"v\d{1,3}\.\d{1,2}")


class WhatsAppCloud(Adapter):
    channel = WHATSAPP
    provider = "whatsapp_cloud"
    label = "WhatsApp Cloud API"
    settings = (
        Setting(
            "WHATSAPP_PHONE_NUMBER_ID", "id of the sending number (not the number itself)", example="106540352242922"
        ),
        Setting("WHATSAPP_TOKEN", "token of a system user", is_secret=True, example="EAAGm0PX4ZCpsBA"),
        Setting(
            "WHATSAPP_APP_SECRET",
            "the app's secret, with which Meta signs its receipts",
            is_secret=True,
            is_required=False,
            verifies=True,
            example="0123456789abcdef0123456789abcdef",
        ),
        Setting(
            "WHATSAPP_VERIFY_TOKEN",
            "a word of your choice: enter it with the webhook's URL at Meta",
            is_secret=True,
            is_required=False,
            example="a-long-word-of-mine",
        ),
        Setting("WHATSAPP_VERSION", "version of the Graph API", is_required=False, default="v23.0", example="v23.0"),
        Setting(
            "WHATSAPP_URL",
            "base of the Graph API",
            is_required=False,
            default="https://graph.facebook.com",
            example="https://graph.facebook.com",
        ),
    )
    tells = ("sent", "delivered", "opened", "failed")
    per_second = 80

    def send(self, message: Message, to: Recipient) -> Receipt:
        number, version = self.options.get("WHATSAPP_PHONE_NUMBER_ID", ""), self.options["WHATSAPP_VERSION"]
        if not number.isdecimal() or not _VERSION.fullmatch(version):
            raise Misconfigured("WHATSAPP_PHONE_NUMBER_ID or WHATSAPP_VERSION is not one", code="not_configured")
        url = f"{self.options['WHATSAPP_URL'].rstrip('/')}/{version}/{number}/messages"
        token = bearer(self.options.get("WHATSAPP_TOKEN", ""))
        answer = self.http.post_json(url, _payload(message, to), token, explain=self.explain).json()
        return Receipt("sent", provider_message_id=str(answer["messages"][0]["id"]))

    def explain(self, response: Response) -> DeliveryError | None:
        answer = response.json()
        error = answer.get("error")
        if isinstance(error, dict):
            return _meant(error.get("code"), response) or not_understood(response)
        if response.is_success:
            return None if _is_sent(answer) else not_understood(response)
        return explain_code(None, response, _CODES, _STATUSES)

    def preview(self, message: Message, to: Recipient) -> dict[str, Any]:
        return {**super().preview(message, to), "payload": _payload(message, to)}

    # ---- what Meta tells afterwards ---------------------------------------------------------------------------------

    def answer_challenge(self, request: HookRequest) -> str:
        """Meta asks by GET when the URL is entered there."""
        expected, given = self.options.get("WHATSAPP_VERIFY_TOKEN"), request.query
        if not expected:
            raise HookRefused("WHATSAPP_VERIFY_TOKEN is not set")
        if not hmac.compare_digest(given.get("hub.verify_token", "").encode(), expected.encode()):
            raise HookRefused("the verify token is another one than WHATSAPP_VERIFY_TOKEN")
        if given.get("hub.mode") != "subscribe" or not given.get("hub.challenge", "").isalnum():
            raise HookRefused("this is not Meta's question")
        return given["hub.challenge"]

    def read_receipts(self, request: HookRequest) -> Sequence[Event]:
        """Signed over the bytes: Meta escapes what is not ASCII in its own way."""
        secret = self.options.get("WHATSAPP_APP_SECRET")
        if not secret:
            raise HookRefused("WHATSAPP_APP_SECRET is not set")
        signature = "sha256=" + hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(request.headers.get("x-hub-signature-256", "").encode(), signature.encode()):
            raise HookRefused("the signature is not right: is WHATSAPP_APP_SECRET that of the app?")
        # What cannot be read keeps nothing else back: Meta would repeat the whole call, in vain.
        entries = listing(mapping(request.json()).get("entry"))
        changes = [change for entry in entries for change in listing(mapping(entry).get("changes"))]
        values = [change["value"] for change in changes if mapping(mapping(change).get("value"))]
        mine = [value for value in values if self._is_mine(value)]
        if values and not mine:
            raise Misdirected("the events are of another number than WHATSAPP_PHONE_NUMBER_ID")
        read = [_event(status) for value in mine for status in listing(value.get("statuses", []), instead=[None])]
        if not values or (read and all(isinstance(one, Unreadable) for one in read)):
            raise Unreadable("the body is not what Meta documents")
        return [one for one in read if isinstance(one, Event)]

    def _is_mine(self, value: dict[str, Any]) -> bool:
        """Changes of the account itself name no number."""
        number = mapping(mapping(value).get("metadata")).get("phone_number_id")
        return number is not None and number == self.options.get("WHATSAPP_PHONE_NUMBER_ID")


def _meant(code: object, response: Response) -> DeliveryError | None:
    known = code if isinstance(code, int) else None
    if known == _TOO_MANY_TO_ONE:
        said = f"the provider answered {known}"
        return RateLimited(said, code=str(known), retry_after=_BETWEEN_TWO_S, is_of_recipient=True)
    return explain_code(known, response, _CODES, _STATUSES)


def _is_sent(answer: dict[str, Any]) -> bool:
    messages = answer.get("messages")
    return (
        isinstance(messages, list) and bool(messages) and isinstance(messages[0], dict) and bool(messages[0].get("id"))
    )


def _payload(message: Message, to: Recipient) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": to.address.removeprefix("+"),
        "biz_opaque_callback_data": message.delivery_id,
    }
    approved = message.content.extra.get("approved")
    if not approved:
        return payload | {"type": "text", "text": {"preview_url": False, "body": message.content.body or message.type}}
    name, _, language = approved[0].partition(" ")
    template: dict[str, Any] = {"name": name, "language": {"code": language}}
    components: list[dict[str, Any]] = []
    if approved[1:]:
        components.append({"type": "body", "parameters": [_parameter(text) for text in approved[1:]]})
    components += [
        {"type": "button", "sub_type": "url", "index": str(index), "parameters": [_parameter(text)]}
        for index, text in enumerate(message.content.extra.get("approved_buttons", ()))
        if text
    ]
    if components:
        template["components"] = components
    return payload | {"type": "template", "template": template}


def _parameter(text: str) -> dict[str, str]:
    return {"type": "text", "text": text or " "}  # Meta refuses an empty one


def _event(status: Any) -> Event | Unreadable | None:
    """None for a status that is not among ours. Messages that people send are no statuses."""
    try:
        kind = _KINDS.get(status["status"])
        if kind is None:
            return None
        error = (status.get("errors") or [{}])[0]
        return Event(
            # There is no id of the event. Each status of a message comes once, but for repeats of the same call.
            id=hashlib.sha256(f"{status['id']} {status['status']}".encode()).hexdigest(),
            kind=kind,
            at=datetime.fromtimestamp(int(status["timestamp"]), UTC),
            provider_message_id=str(status["id"]),
            delivery_id=text(status.get("biz_opaque_callback_data")),
            code=str(error.get("code", "")),
            by="person" if kind == "opened" else "unknown",
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError):
        return Unreadable("the status is not what Meta documents")
