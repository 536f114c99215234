"""Push to iPhones, iPads and Macs by Apple's own service, APNs, over HTTP/2 with a token.

https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns, and
.../handling-notification-responses-from-apns, .../establishing-a-token-based-connection-to-apns. APNs says nothing of a
message after it has taken it.
"""

import base64
import json
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from notifier.channels.contract import Setting
from notifier.channels.table import PUSH
from notifier.channels.wire.answers import STATUSES, Family, Response, explain_code, not_understood
from notifier.channels.wire.http import Http
from notifier.channels.wire.http2 import Http2
from notifier.channels.wire.push import PushAdapter, about, apns_headers, aps, ttl_s
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited, Retryable
from notifier.core.message import IOS, Message, Receipt, Recipient
from notifier.ground.clock import now

# Apple takes a token for an hour, and no other one within 20 minutes. Every process signs the same one: with a token
# for each, Apple answers most of them TooManyProviderTokenUpdates (https://developer.apple.com/forums/thread/702056).
_TOKEN_S = 40 * 60
_LEAST_TOKEN_S = 20 * 60
_TOKEN_EXPIRED = "ExpiredProviderToken"
_TOKEN_CHANGES_TOO_OFTEN = "TooManyProviderTokenUpdates"

_TOKEN_WAIT_S = 60.0  # when another process signs a token of its own: its turn may be over
_ES256 = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)

_TOKEN = re.compile(r"[0-9A-Fa-f]{8,200}")
_TOPIC = re.compile(r"[A-Za-z0-9.-]{1,255}")
_NO_DEVICE = "0" * 64

# A device may name its app, which need not be ours: one wrong topic pauses nothing, many do.
_TOPIC_REFUSED = partial(Misconfigured, is_certain=False)

# `reason` → what it means. BadDeviceToken and DeviceTokenNotForTopic also mean the wrong server or topic: then every
# address gets them, and the account is paused.
_REASONS: dict[str | int, Family] = {
    "Unregistered": InvalidRecipient,
    "ExpiredToken": InvalidRecipient,
    "BadDeviceToken": InvalidRecipient,
    "DeviceTokenNotForTopic": InvalidRecipient,
    "InvalidProviderToken": Misconfigured,
    "MissingProviderToken": Misconfigured,
    _TOKEN_EXPIRED: Misconfigured,
    "UnrelatedKeyIdInToken": Misconfigured,
    "BadEnvironmentKeyIdInToken": Misconfigured,
    "BadEnvironmentKeyInToken": Misconfigured,
    "BadCertificate": Misconfigured,
    "BadCertificateEnvironment": Misconfigured,
    "Forbidden": Misconfigured,
    "BadTopic": _TOPIC_REFUSED,
    "MissingTopic": _TOPIC_REFUSED,
    "TopicDisallowed": _TOPIC_REFUSED,
    "BadPath": Misconfigured,
    "MethodNotAllowed": Misconfigured,
    "MissingDeviceToken": Permanent,
    "BadCollapseId": Permanent,
    "BadExpirationDate": Permanent,
    "BadMessageId": Permanent,
    "BadPriority": Permanent,
    "DuplicateHeaders": Permanent,
    "InvalidPushType": Permanent,
    "PayloadEmpty": Permanent,
    "PayloadTooLarge": Permanent,
    "TooManyRequests": RateLimited,  # to this device
    _TOKEN_CHANGES_TOO_OFTEN: RateLimited,
    "IdleTimeout": Retryable,
    "InternalServerError": Retryable,
    "ServiceUnavailable": Retryable,
    "Shutdown": Retryable,
}
_STATUSES: dict[int, Family] = {**STATUSES, 404: Misconfigured, 405: Misconfigured, 410: InvalidRecipient}


class Apns(PushAdapter):
    channel = PUSH
    provider = "apns"
    label = "Apple Push Notification service"
    settings = (
        Setting("APNS_KEY", "the .p8 file of a key for APNs", is_secret=True, example="-----BEGIN PRIVATE KEY-----…"),
        Setting("APNS_KEY_ID", "the key's id, ten characters", example="ABC123DEFG"),
        Setting("APNS_TEAM_ID", "the id of the developer team, ten characters", example="DEF123GHIJ"),
        Setting("APNS_TOPIC", "the app's bundle id, for devices that do not say theirs", example="com.example.shop"),
        Setting(
            "APNS_URL",
            "Apple's server; for builds from Xcode https://api.sandbox.push.apple.com",
            is_required=False,
            default="https://api.push.apple.com",
            example="https://api.push.apple.com",
        ),
    )
    is_safe_to_repeat = True  # apns-collapse-id: the device puts a repeat in the place of the first

    def __init__(self, settings: Mapping[str, str], http: Http) -> None:
        super().__init__(settings, http)
        text = self.options.get("APNS_KEY")
        self._key = _read_key(text) if text else None
        try:
            self._apple = Http2(http, self.options["APNS_URL"])
        except ValueError as error:
            raise ValueError(f"APNS_URL: {error}") from None
        self._renewed_at = 0
        self._renewing = threading.Lock()
        self._signed = lru_cache(2)(self._sign)

    @classmethod
    def serves(cls, platform: str | None) -> bool:
        return platform == IOS

    def send(self, message: Message, to: Recipient) -> Receipt:
        self.check_complete()
        if not _TOKEN.fullmatch(to.address):
            raise Permanent("this is no device token of Apple's; another provider's may be", code="not_apples_token")
        topic = to.app or self.options["APNS_TOPIC"]
        if not _TOPIC.fullmatch(topic):
            raise Permanent("the app is not named by its bundle id", code="bad_topic")
        body = self.counted(self.shortened(message, to), to)
        headers = {"apns-id": _uuid(message), "apns-topic": topic, **_headers(message)}
        response = self._post(to.address, body, headers)
        return Receipt("sent", provider_message_id=response.headers["apns-id"])

    def explain(self, response: Response) -> DeliveryError | None:
        if response.is_success:
            return None if "apns-id" in response.headers else not_understood(response)
        answer = response.json()
        reason = answer.get("reason")
        wait_s = _TOKEN_WAIT_S if reason == _TOKEN_CHANGES_TOO_OFTEN else None
        code = reason if isinstance(reason, str) else None
        error = explain_code(code, response, _REASONS, _STATUSES, retry_after=wait_s)
        if isinstance(error, InvalidRecipient):
            error.since = _time(answer.get("timestamp"))
        return error

    def preview(self, message: Message, to: Recipient) -> dict[str, Any]:
        return {**super().preview(message, to), "headers": _headers(message)}

    def counted(self, message: Message, to: Recipient) -> bytes:
        return _json(_payload(message))

    def try_out(self) -> str | None:
        """Apple judges the token before the device, and there is no such device."""
        self.check_complete()
        with suppress(InvalidRecipient):
            self._post(_NO_DEVICE, _json({"aps": {}}), {"apns-topic": self.options["APNS_TOPIC"]})
        return "the key"

    def receiver(self, to: Recipient) -> str:
        """Apple slows down one device (TooManyRequests), never an account."""
        return self.address_alone(to)

    def close(self) -> None:
        self._apple.close()

    def _post(self, device: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """A token that is refused for its age is made anew, once."""
        issued_at = self._issued_at()
        try:
            return self._post_as(issued_at, device, body, headers)
        except Misconfigured as error:
            if error.code != _TOKEN_EXPIRED or not self._renew(issued_at):
                raise
        return self._post_as(self._issued_at(), device, body, headers)

    def _post_as(self, issued_at: int, device: str, body: bytes, headers: Mapping[str, str]) -> Response:
        signed = {"authorization": f"bearer {self._signed(issued_at)}", "content-type": "application/json"}
        return self._apple.post(f"/3/device/{device}", body, {**signed, **headers}, explain=self.explain)

    # ---- the token --------------------------------------------------------------------------------------------------

    def _issued_at(self) -> int:
        """In Unix seconds; it follows from the clock, so that all processes sign the same token."""
        return max(int(now().timestamp()) // _TOKEN_S * _TOKEN_S, self._renewed_at)

    def _renew(self, refused: int) -> bool:
        """Whether another token than the one that was issued then may be tried. If it was refused for its age, our
        clock is slow: one that is as new as can be may do.
        """
        with self._renewing:
            at = int(now().timestamp())
            if self._issued_at() == refused and at - refused >= _LEAST_TOKEN_S:
                self._renewed_at = at
            return self._issued_at() != refused

    def _sign(self, issued_at: int) -> str:
        """A JSON web token (RFC 7519), signed without chance (RFC 6979): the same claims give the same bytes."""
        assert self._key is not None
        header = {"alg": "ES256", "kid": self.options["APNS_KEY_ID"]}
        claims = {"iss": self.options["APNS_TEAM_ID"], "iat": issued_at}
        signed = f"{_text(_json(header))}.{_text(_json(claims))}"
        numbers = decode_dss_signature(self._key.sign(signed.encode(), _ES256))
        return f"{signed}.{_text(b''.join(number.to_bytes(32, 'big') for number in numbers))}"


def _read_key(text: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("APNS_KEY is not the .p8 file of a key from Apple")
    return key


def _headers(message: Message) -> dict[str, str]:
    at = now()
    return {"apns-expiration": str(int(at.timestamp()) + ttl_s(message, at)), **apns_headers(message)}


def _payload(message: Message) -> dict[str, Any]:
    """`notification` as in a webhook, and the image, which the app's extension fetches."""
    image = message.content.image if not message.push.is_silent else None
    told = about(message) | ({"image": image} if image else {})
    return {"aps": aps(message), "data": dict(message.data), "notification": told}


def _uuid(message: Message) -> str:
    """The delivery's own key, as Apple writes ids."""
    return str(UUID(hex=message.delivery_id.removeprefix("dlv_")))


def _time(milliseconds: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(str(milliseconds)) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
