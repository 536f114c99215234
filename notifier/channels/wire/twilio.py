"""What Twilio's three adapters share: the account and its API, the codes of its errors, and the signature of its calls.

API: https://www.twilio.com/docs/messaging/api/message-resource and https://www.twilio.com/docs/voice/api/call-resource;
signatures: https://www.twilio.com/docs/usage/security; codes: https://www.twilio.com/docs/api/errors.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar
from urllib.parse import urlencode, urlsplit

from notifier.channels.contract import Adapter, Setting
from notifier.channels.receipts import Event, HookRefused, HookRequest, Kind, Misdirected, Unreadable
from notifier.channels.wire.answers import STATUSES, Family, Response, explain_code, not_understood
from notifier.channels.wire.http import Http, basic_auth
from notifier.core.errors import (
    DeliveryError,
    InvalidRecipient,
    Misconfigured,
    OptedOut,
    Permanent,
    RateLimited,
    Retryable,
)
from notifier.core.message import Message, Receipt
from notifier.ground.clock import now
from notifier.ground.config import Settings

PER_SECOND = 100.0  # calls; beyond them Twilio answers 429 (20429)
LONGEST_VALIDITY_S = 36_000
WHATSAPP = "whatsapp:"  # before a number
PHONE = r"\+[0-9]{5,15}"
_DEFAULT_PORTS = {"http": 80, "https": 443}

SETTINGS = (
    Setting("TWILIO_ACCOUNT_SID", "the account (`AC…`)", example="AC" + "0" * 32),
    Setting(
        "TWILIO_AUTH_TOKEN",
        "signs Twilio's calls to us, and signs us in where there is no API key",
        is_secret=True,
        is_required=False,
        verifies=True,
        example="0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    ),
    Setting("TWILIO_API_KEY", "API key to sign in with (`SK…`)", is_required=False, example="SK" + "1" * 32),
    Setting(
        "TWILIO_API_SECRET", "its secret", is_secret=True, is_required=False, example="pQ7rS8tU9vW0xY1zA2bC3dE4fG5hI6jK"
    ),
    Setting(
        "TWILIO_URL",
        "base of the API's address",
        is_required=False,
        default="https://api.twilio.com",
        example="https://api.twilio.com",
    ),
)

_SIDS = {"TWILIO_ACCOUNT_SID": "AC", "TWILIO_API_KEY": "SK", "TWILIO_MESSAGING_SERVICE": "MG"}

# A country or route that is switched off for the account: ours to mend if it concerns everybody, not if it is one
# number abroad.
_OF_SOME_COUNTRIES = partial(Misconfigured, is_certain=False)

# Twilio splits and moves codes, so one that is not here says nothing about the address.
CODES: dict[str | int, Family] = {
    20003: Misconfigured,  # credentials
    20005: Misconfigured,  # account suspended
    20404: Misconfigured,  # no such account
    20429: RateLimited,
    20500: Retryable,
    20503: Retryable,
    21210: Misconfigured,  # From is not ours to call from
    21211: InvalidRecipient,  # not a number
    21212: Misconfigured,  # From is not a number
    21215: _OF_SOME_COUNTRIES,  # calls to that country
    21217: InvalidRecipient,
    21265: InvalidRecipient,  # a short code
    21408: _OF_SOME_COUNTRIES,
    21603: Misconfigured,  # no From
    21606: Misconfigured,  # From is not ours
    21609: Misconfigured,  # StatusCallback, and so PUBLIC_URL, is no address on the internet
    21610: OptedOut,  # they answered STOP
    21611: RateLimited,  # the sender's queue is full
    21612: _OF_SOME_COUNTRIES,
    21614: InvalidRecipient,  # not a mobile
    21617: Permanent,  # too long
    21635: InvalidRecipient,  # a landline
    21659: Misconfigured,
    21660: Misconfigured,
    21703: Misconfigured,  # the messaging service has no numbers
    21704: Misconfigured,
    30001: RateLimited,  # the queue is full
    30002: Retryable,
    30003: Retryable,  # the handset is off
    30004: Permanent,  # blocked
    30005: InvalidRecipient,
    30006: InvalidRecipient,
    30007: Permanent,  # filtered as spam
    30008: Retryable,
    30034: Misconfigured,  # a number in the USA that is not registered
    63016: Permanent,  # WhatsApp: outside the 24 hours, without a template
    63018: RateLimited,
}
_STATUSES: dict[int, Family] = {**STATUSES, 404: Misconfigured}


class TwilioAdapter(Adapter):
    """`resource`: what it creates. `senders`: the settings that say from whom; one of them must be given.

    The other settings are shared, so that these tell which of Twilio's adapters an environment is meant for.
    """

    per_second = PER_SECOND
    resource: ClassVar[str]
    senders: ClassVar[tuple[str, ...]]

    def __init__(self, settings: Mapping[str, str], http: Http) -> None:
        super().__init__(settings, http)
        for name, prefix in _SIDS.items():
            value = self.options.get(name)
            if value and not re.fullmatch(prefix + "[0-9a-fA-F]{32}", value):
                raise ValueError(f"{name}: must be {prefix} and 32 hexadecimal digits")

    @classmethod
    def missing(cls, options: Mapping[str, str]) -> list[str]:
        missing = super().missing(options)
        key = [name for name in ("TWILIO_API_KEY", "TWILIO_API_SECRET") if options.get(name)]
        if len(key) == 1:
            missing += {"TWILIO_API_KEY", "TWILIO_API_SECRET"} - set(key)
        elif not key and not options.get("TWILIO_AUTH_TOKEN"):
            missing.append("TWILIO_AUTH_TOKEN (or TWILIO_API_KEY and TWILIO_API_SECRET)")
        if not any(options.get(name) for name in cls.senders):
            missing.append(" or ".join(cls.senders))
        return missing

    @classmethod
    def is_begun(cls, settings: Settings) -> bool:
        return any(settings.of_provider(name) for name in cls.senders)

    def create(self, message: Message, fields: Mapping[str, str]) -> Receipt:
        """Posts the fields, and where to tell what became of it. Raises a DeliveryError."""
        self.check_complete()
        if self.called_back_at is not None:
            callback = f"{self.called_back_at}?{urlencode({'delivery': message.delivery_id})}"
            fields = {**fields, "StatusCallback": callback}
        response = self.http.post_form(self._url_of_api(), fields, self._auth(), explain=self.explain)
        return Receipt("sent", provider_message_id=response.json()["sid"])

    def explain(self, response: Response) -> DeliveryError | None:
        error = _explained(response)
        if error is None and not isinstance(response.json().get("sid"), str):
            return not_understood(response)
        return error

    def try_out(self) -> str:
        """Asks for the latest message or call: API keys may not read the account itself."""
        self.check_complete()
        url = f"{self._url_of_api()}?PageSize=1"
        self.http.request("GET", url, headers=self._auth(), explain=_explained)
        return urlsplit(self.options["TWILIO_URL"]).netloc

    def read_receipts(self, request: HookRequest) -> Sequence[Event]:
        token = self.options.get("TWILIO_AUTH_TOKEN")
        if not token:
            raise HookRefused("TWILIO_AUTH_TOKEN is not set")
        check_signature(request, token)
        if is_json(request):
            raise Misdirected("a JSON call, and messages and calls are told of as forms")
        form = request.form
        if not form.get("AccountSid"):
            raise Unreadable("it names no account")
        if form["AccountSid"] != self.options.get("TWILIO_ACCOUNT_SID"):
            raise Misdirected("it is about another account of Twilio's")
        return self.events(form, request)

    def events(self, form: Mapping[str, str], request: HookRequest) -> Sequence[Event]:
        """The events in a call that is Twilio's."""
        raise NotImplementedError

    def _url_of_api(self) -> str:
        base, account = self.options["TWILIO_URL"].rstrip("/"), self.options["TWILIO_ACCOUNT_SID"]
        return f"{base}/2010-04-01/Accounts/{account}/{self.resource}.json"

    def _auth(self) -> dict[str, str]:
        """An API key can be revoked alone; the token is the account itself."""
        if self.options.get("TWILIO_API_KEY"):
            return basic_auth(self.options["TWILIO_API_KEY"], self.options["TWILIO_API_SECRET"])
        return basic_auth(self.options["TWILIO_ACCOUNT_SID"], self.options["TWILIO_AUTH_TOKEN"])


def _explained(response: Response) -> DeliveryError | None:
    """`code` of an error; `error_code` of a message that was taken and has failed already."""
    body = response.json()
    code = body.get("code") or body.get("error_code")
    return explain_code(code if isinstance(code, int | str) else None, response, CODES, _STATUSES)


def is_json(request: HookRequest) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def check_signature(request: HookRequest, token: str) -> None:
    """Base64 of HMAC-SHA1 over the URL that Twilio was given and, sorted, the fields of a form. Of JSON, the URL holds
    the hash, and what has none is not Twilio's. Raises HookRefused.

    The port of the scheme may stand in the URL or not, whatever stands in ours.
    """
    given = request.headers.get("x-twilio-signature", "").encode(errors="replace")
    signed = ""
    if is_json(request):
        told = request.query.get("bodySHA256", "").encode()
        if not hmac.compare_digest(told, hashlib.sha256(request.body).hexdigest().encode()):
            raise HookRefused("the hash of the body is wrong or missing")
    else:
        signed = "".join(name + value for name, value in sorted(set(request.fields)))
    matches = [
        hmac.compare_digest(
            given, base64.b64encode(hmac.digest(token.encode(), (url + signed).encode(errors="replace"), "sha1"))
        )
        for url in _with_and_without_port(request.url)
    ]
    if not any(matches):
        raise HookRefused("the signature is wrong or missing")


def _with_and_without_port(url: str) -> list[str]:
    parts = urlsplit(url)
    host = parts.netloc.removesuffix(f":{parts.port}")
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 443)
    return [url, *(parts._replace(netloc=netloc).geturl() for netloc in (host, f"{host}:{port}"))]


def validity(message: Message) -> dict[str, str]:
    """For how many seconds Twilio may go on trying."""
    if message.expires_at is None:
        return {}
    left_s = int((message.expires_at - now()).total_seconds())
    return {"ValidityPeriod": str(min(max(left_s, 1), LONGEST_VALIDITY_S))}


# What is not here (accepted, queued, sending …) is only on its way.
_KINDS: dict[str, Kind] = {
    "sent": "sent",
    "delivered": "delivered",
    "undelivered": "failed",
    "failed": "failed",
    "canceled": "failed",
    "read": "opened",
}
# The words that Twilio itself obeys, as the whole of a message in any case
# (https://help.twilio.com/articles/223134027); with Advanced Opt-Out, OptOutType says what it obeyed.
STOPS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
STARTS = frozenset({"START", "UNSTOP", "YES"})
_ANSWERED_STOP = 21610


def events_of_message(
    form: Mapping[str, str], request: HookRequest, *, of_whatsapp: bool, starts: frozenset[str]
) -> list[Event]:
    """What became of a message, or that they wrote STOP or START; other words of theirs are left out.

    Raises Misdirected, Unreadable.
    """
    if "CallSid" in form and "MessageSid" not in form:
        raise Misdirected("it is about a call, and this URL is for messages")
    sid, told = form.get("MessageSid"), form.get("MessageStatus")
    if not sid:
        raise Unreadable("it names no message")
    theirs = form.get("From" if told is None else "To", "")
    if theirs.startswith(WHATSAPP) != of_whatsapp:
        raise Misdirected("it is about a message of another channel")
    address = theirs.removeprefix(WHATSAPP)
    if told is None:
        return _opting(form, sid, address, request, starts)
    kind, code = _KINDS.get(told), form.get("ErrorCode", "")
    if kind is None:
        return []
    number = int(code) if code.isascii() and code.isdecimal() and len(code) < 10 else 0
    if kind == "failed" and CODES.get(number) is InvalidRecipient:
        kind = "bounced"
    event = Event(
        f"{sid}:{told}",
        kind,
        request.at,
        provider_message_id=sid,
        delivery_id=request.query.get("delivery"),
        address=address or None,
        code=code,
        by="person" if kind == "opened" else "unknown",
    )
    if number == _ANSWERED_STOP:
        return [event, Event(f"{sid}:stopped", "stopped", request.at, address=address, code=code)]
    return [event]


def _opting(
    form: Mapping[str, str], sid: str, address: str, request: HookRequest, starts: frozenset[str]
) -> list[Event]:
    told, word = form.get("OptOutType", "").upper(), form.get("Body", "").strip().upper()
    kind: Kind | None = None
    if told == "STOP" or (not told and word in STOPS):
        kind = "stopped"
    elif told == "START" or (not told and word in starts):
        kind = "started"
    if kind is None or not address:
        return []
    return [Event(f"{sid}:{kind}", kind, request.at, provider_message_id=sid, address=address, code=told or word)]
