"""SMS by Vonage's SMS API: https://developer.vonage.com/en/api/sms. Signatures of receipts:
https://developer.vonage.com/en/getting-started/concepts/signing-messages.

It answers 200 whatever happens; each segment of the message has a status of its own.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any

from notifier.channels.contract import Adapter, Setting
from notifier.channels.receipts import Event, HookRefused, HookRequest, Kind, Misdirected, Unreadable, moment
from notifier.channels.table import SMS
from notifier.channels.wire.answers import AMBIGUOUS, STATUSES, Family, Response, explain, explain_code, not_understood
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited, Retryable
from notifier.core.message import Message, Receipt, Recipient
from notifier.core.segments import is_gsm
from notifier.ground.clock import now

SHORTEST_TTL_S, LONGEST_TTL_S = 20, 7 * 86_400
_SENDER = re.compile(r"\+?[0-9]{3,15}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}")

_CODES: dict[str | int, Family] = {
    "1": RateLimited,
    "2": Permanent,  # a parameter is missing
    "3": Permanent,  # a parameter is wrong
    "4": Misconfigured,
    "5": AMBIGUOUS,  # an error of theirs
    "6": Permanent,  # a prefix that is not known, or something else about the message
    "7": InvalidRecipient,  # barred
    "8": Misconfigured,  # account suspended
    "9": Misconfigured,  # no credit
    "10": RateLimited,
    "11": Misconfigured,  # account not made for this API
    "12": Permanent,  # too long
    "14": Misconfigured,
    "15": Misconfigured,  # the sender is not ours
    "22": Permanent,  # no such network
    "23": Misconfigured,  # callback, and so PUBLIC_URL
    "29": Misconfigured,  # a demo account, and the number is not on its list
    "32": Misconfigured,
    "33": InvalidRecipient,  # deactivated
}
_STATUSES: dict[int, Family] = {**STATUSES, 404: Misconfigured, 500: AMBIGUOUS, 502: AMBIGUOUS}

# What is not here (buffered, unknown) is only on its way.
_KINDS: dict[str, Kind] = {
    "accepted": "sent",
    "delivered": "delivered",
    "expired": "failed",
    "failed": "failed",
    "rejected": "failed",
}
_DEAD = {"3", "9"}  # the number is given up; it is none (err-code)
_HASHES = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}  # by the digits of the signature


class Vonage(Adapter):
    channel = SMS
    provider = "vonage"
    label = "Vonage SMS"
    settings = (
        Setting("VONAGE_API_KEY", "API key", example="abcd1234"),
        Setting("VONAGE_API_SECRET", "its secret", is_secret=True, example="c5f1b7d94a2e8630"),
        Setting("VONAGE_FROM", "number or name that SMS come from", example="Shop"),
        Setting(
            "VONAGE_SIGNATURE_SECRET",
            "signs the receipts; signed webhooks have to be switched on for the account",
            is_secret=True,
            is_required=False,
            verifies=True,
            example="xU4nB8mQ2sR6vT0yW3zA7cE1gH5jK9lP",
        ),
        Setting(
            "VONAGE_URL",
            "base of the API's address",
            is_required=False,
            default="https://rest.nexmo.com",
            example="https://rest.nexmo.com",
        ),
    )
    per_second = 30.0  # https://api.support.vonage.com/hc/en-us/articles/203993598
    tells = ("sent", "delivered", "failed", "bounced")

    def __init__(self, settings: Mapping[str, str], http: Http) -> None:
        super().__init__(settings, http)
        sender = self.options.get("VONAGE_FROM")
        if sender and not _SENDER.fullmatch(sender):
            raise ValueError("VONAGE_FROM: must be a number (+447700900000) or a name of 11 letters and digits")

    def send(self, message: Message, to: Recipient) -> Receipt:
        self.check_complete()
        text = message.content.body
        fields = {
            "api_key": self.options["VONAGE_API_KEY"],
            "api_secret": self.options["VONAGE_API_SECRET"],
            "from": self.options["VONAGE_FROM"].removeprefix("+"),
            "to": to.address.removeprefix("+"),
            "text": text,
            "type": "text" if is_gsm(text) else "unicode",
            "client-ref": message.delivery_id,
        }
        if message.expires_at is not None:
            left_s = (message.expires_at - now()).total_seconds()
            fields["ttl"] = str(int(min(max(left_s, SHORTEST_TTL_S), LONGEST_TTL_S) * 1000))
        if self.called_back_at is not None:
            fields["callback"] = self.called_back_at
        url = f"{self.options['VONAGE_URL'].rstrip('/')}/sms/json"
        response = self.http.post_form(url, fields, {}, explain=self.explain)
        return Receipt("sent", provider_message_id=_segments(response)[0]["message-id"])

    def explain(self, response: Response) -> DeliveryError | None:
        """A message of which a part went out may not be sent again, and is not sent either."""
        if not response.is_success:
            return explain(response, _STATUSES)
        segments = _segments(response)
        refused = [status for segment in segments if (status := str(segment.get("status"))) != "0"]
        if refused and len(refused) == len(segments):
            return explain_code(refused[0], response, _CODES)
        if refused:
            return Retryable("only a part of the message was taken", code=refused[0], ambiguous=True)
        return None if segments and isinstance(segments[0].get("message-id"), str) else not_understood(response)

    def read_receipts(self, request: HookRequest) -> Sequence[Event]:
        secret = self.options.get("VONAGE_SIGNATURE_SECRET")
        if not secret:
            raise HookRefused("VONAGE_SIGNATURE_SECRET is not set")
        told = _fields(request)
        _check_signature(told, secret)
        request.check_age(told.get("timestamp", ""))
        if told.get("api-key", self.options.get("VONAGE_API_KEY")) != self.options.get("VONAGE_API_KEY"):
            raise Misdirected("it is about another account of Vonage's")
        if "text" in told:
            raise Misdirected("it is an incoming message, and this URL is for receipts")
        sid, status, code = told.get("messageId"), told.get("status", ""), told.get("err-code", "")
        if not sid:
            raise Unreadable("it names no message")
        kind = _KINDS.get(status)
        if kind is None:
            return []
        if kind == "failed" and code in _DEAD:
            kind = "bounced"
        return [
            Event(
                f"{sid}:{status}",
                kind,
                moment(told.get("timestamp"), request.at),
                provider_message_id=sid,
                delivery_id=told.get("client-ref"),
                address=f"+{told['msisdn']}" if told.get("msisdn") else None,
                code=code if kind in {"failed", "bounced"} else "",
            )
        ]


def _segments(response: Response) -> list[dict[str, Any]]:
    """What became of each; an empty list for an answer that is not Vonage's."""
    found = response.json().get("messages")
    if not isinstance(found, list) or not all(isinstance(segment, dict) for segment in found):
        return []
    return found


def _fields(request: HookRequest) -> dict[str, str]:
    """A form, or JSON, as the account is set up."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return dict(request.form)
    found = request.json()
    if not isinstance(found, dict):
        raise Unreadable("the body is not an object")
    return {name: str(value) for name, value in found.items()}


def _check_signature(told: Mapping[str, str], secret: str) -> None:
    """Over all fields but `sig`, sorted: by HMAC, or, where the account chose none, by MD5 with the secret at the end.

    Raises HookRefused.
    """
    given = told.get("sig", "").lower().encode(errors="replace")
    signed = "".join(
        f"&{name}={value.replace('&', '_').replace('=', '_')}" for name, value in sorted(told.items()) if name != "sig"
    ).encode(errors="replace")
    method = _HASHES.get(len(given))
    if method is None:
        raise HookRefused("the signature is missing: signed webhooks are not switched on")
    right = [hmac.new(secret.encode(), signed, method).hexdigest()]
    if method == "md5":
        right.append(hashlib.md5(signed + secret.encode(), usedforsecurity=False).hexdigest())
    if not any([hmac.compare_digest(given, digest.encode()) for digest in right]):  # noqa: C419 - in constant time
        raise HookRefused("the signature is wrong")
