"""Browser push: encrypted for the browser (RFC 8291), signed with our VAPID key (RFC 8292), posted to its push service
(RFC 8030).

http_ece encrypts and py_vapid signs, the libraries that pywebpush is built on. Our own client makes the call, since the
endpoint is a URL that a browser gave, and browsers are not to be believed. The service worker shows what `_payload`
holds.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from email.utils import parseaddr
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlsplit

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02, VapidException

from notifier.channels.contract import Setting
from notifier.channels.table import WEB_PUSH
from notifier.channels.wire import mail
from notifier.channels.wire.answers import STATUSES, Family, Response, explain
from notifier.channels.wire.http import HOSTS, Http
from notifier.channels.wire.push import PushAdapter, ttl_s
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent
from notifier.core.message import Message, Receipt, Recipient
from notifier.ground.clock import now
from notifier.ground.config import Settings

LONGEST_PAYLOAD = 3993  # bytes: every push service takes 4,096, of which encryption uses 103
_TOKEN_HOURS = 12  # RFC 8292 allows 24

_URGENCY = {"urgent": "high", "high": "high", "medium": "normal", "low": "low"}

# 404 and 410: the person has taken the permission back, or the browser is gone. 401 and 403 are about our signature
# (Apple: BadJwtToken), or the subscription was made with another key than ours, which a person can bring about.
_OUR_SIGNATURE = partial(Misconfigured, is_certain=False)
_STATUSES: dict[int, Family] = {
    **STATUSES,
    401: _OUR_SIGNATURE,
    403: _OUR_SIGNATURE,
    404: InvalidRecipient,
    410: InvalidRecipient,
    413: Permanent,
}


def new_private_key() -> str:
    """The 32 bytes of a P-256 key, as VAPID_KEY is written."""
    key = Vapid02()
    key.generate_keys()
    return _text(key.private_key.private_numbers().private_value.to_bytes(32, "big"))


def _contact(settings: Settings) -> str:
    """The first admin, or else the sender of mails."""
    sender = settings.of_provider("SMTP_FROM") or mail.sender_here(settings)
    return f"mailto:{settings.notifier_admin_email or parseaddr(sender)[1]}"


class WebPush(PushAdapter):
    """One key serves the whole installation: a subscription is bound to the key it was made with."""

    channel = WEB_PUSH
    provider = "webpush"
    label = "Web Push"
    settings = (
        Setting(
            "VAPID_KEY",
            "private key that browsers know us by; made by `migrate`",
            is_secret=True,
            make=new_private_key,
            example="AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
        ),
        Setting(
            "VAPID_CONTACT",
            "whom push services tell of trouble: `mailto:` or `https:`",
            default="mailto:notifier@localhost",
            default_here=_contact,
            example="mailto:ops@x.test",
        ),
    )
    is_safe_to_repeat = True  # `tag`: the browser puts a repeat in the place of the first
    calls_peoples_hosts = True

    def __init__(self, settings: Mapping[str, str], http: Http) -> None:
        super().__init__(settings, http)
        key = self.options.get("VAPID_KEY")
        try:
            self._vapid = Vapid02.from_string(key) if key else None
        except ValueError:
            raise ValueError("VAPID_KEY is not a private key on the curve P-256") from None
        self._authorisation = lru_cache(HOSTS)(self._sign)  # a signature costs more than the encryption

    @property
    def public_key(self) -> str | None:
        """The key with which a browser subscribes (`applicationServerKey`)."""
        if self._vapid is None:
            return None
        return _text(self._vapid.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))

    def send(self, message: Message, to: Recipient) -> Receipt:
        if self._vapid is None:
            raise Misconfigured("there is no VAPID key: run `migrate`", code="no_vapid_key")
        subscription = _read(to)
        headers = {
            "Authorization": self._authorisation(_origin(subscription["endpoint"]), int(now().timestamp()) // 3600),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "X-Request-Id": message.delivery_id,
            **_headers(message, now()),
        }
        body = _encrypted(self.counted(self.shortened(message, to), to), subscription["keys"])
        response = self.http.post(subscription["endpoint"], body, headers, explain=self.explain)
        return Receipt("sent", provider_message_id=response.headers.get("location"))

    def explain(self, response: Response) -> DeliveryError | None:
        return explain(response, _STATUSES)

    @property
    def most_bytes(self) -> int:
        return LONGEST_PAYLOAD

    def counted(self, message: Message, to: Recipient) -> bytes:
        return _payload(message)

    def preview(self, message: Message, to: Recipient) -> dict[str, Any]:
        return {**super().preview(message, to), "to": _read(to)["endpoint"], "headers": _headers(message, now())}

    def _sign(self, origin: str, hour: int) -> str:
        """The same for an hour, so that it is made once for a push service and not once for a message."""
        assert self._vapid is not None
        try:
            signed = self._vapid.sign(
                {"aud": origin, "sub": self.options["VAPID_CONTACT"], "exp": (hour + _TOKEN_HOURS) * 3600}
            )
        except VapidException:
            raise Misconfigured(
                "VAPID_CONTACT is not a mailto: or https: address, or the push service has no name", code="vapid"
            ) from None
        return str(signed["Authorization"])


def _read(to: Recipient) -> dict[str, Any]:
    try:
        subscription: dict[str, Any] = json.loads(to.address)
        return {"endpoint": subscription["endpoint"], "keys": subscription["keys"]}
    except (ValueError, KeyError, TypeError):
        raise InvalidRecipient("this is not a web-push subscription", code="bad_subscription") from None


def _encrypted(payload: bytes, keys: Mapping[str, str]) -> bytes:
    """For one browser, with a key for this message only. Its keys were checked when the address was given."""
    once = ec.generate_private_key(ec.SECP256R1())
    sealed: bytes = http_ece.encrypt(payload, private_key=once, dh=_raw(keys["p256dh"]), auth_secret=_raw(keys["auth"]))
    return sealed


def _origin(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return parts._replace(path="", query="", fragment="").geturl()


def _headers(message: Message, at: datetime) -> dict[str, str]:
    headers = {"TTL": str(ttl_s(message, at)), "Urgency": _URGENCY[message.priority]}
    # Only where one message is to replace another: of those with topics, services keep a handful for a device
    # that is away.
    return headers | (
        {"Topic": _text(hashlib.sha256(message.collapse_key.encode()).digest()[:24])} if message.collapse_key else {}
    )


def _payload(message: Message) -> bytes:
    """The data for `static/service-worker.js`."""
    content = message.content
    return _json(
        {
            "title": content.title,
            "body": content.body,
            "url": content.action_url,
            "image": content.image,
            "tag": message.collapse_key or message.delivery_id,
            "delivery": message.delivery_id,
        }
    )


def _json(shown: Mapping[str, Any]) -> bytes:
    return json.dumps(
        {name: value for name, value in shown.items() if value}, ensure_ascii=False, separators=(",", ":")
    ).encode(errors="replace")


def _raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
