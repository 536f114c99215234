"""The ends of push that are not ours. Of web push, after the RFCs and by no library of the sender's: a browser's keys,
and what a push service checks. Of FCM: Google, for tokens and messages. Of APNs: Apple.
"""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.channels.discovery import faults
from tests.channels.keys import p256_pem

TOKEN = "ya29.c.t0ken"
GIVEN = {"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"}
IPHONE = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"
NAME = "projects/shop-1234/messages/0:1500415314455276%31bd1c9631bd1c96"


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _derive(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


@dataclass
class Browser:
    """One browser's subscription. `read` decrypts what it is sent (RFC 8291, RFC 8188)."""

    endpoint: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = b"sixteen bytes it"

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def subscription(self) -> str:
        """As `JSON.stringify(subscription)` gives it."""
        return json.dumps(
            {
                "endpoint": self.endpoint,
                "expirationTime": None,
                "keys": {"p256dh": text(self.public), "auth": text(self.auth)},
            }
        )

    def read(self, body: bytes) -> dict[str, Any]:
        salt, id_length = body[:16], body[20]
        sender, sealed = body[21 : 21 + id_length], body[21 + id_length :]
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        secret = _derive(shared, self.auth, b"WebPush: info\0" + self.public + sender, 32)
        key, nonce = (
            _derive(secret, salt, b"Content-Encoding: aes128gcm\0", 16),
            _derive(secret, salt, b"Content-Encoding: nonce\0", 12),
        )
        plain = AESGCM(key).decrypt(nonce, sealed, None)
        assert plain[-1:] == b"\x02"  # the last record, without padding
        read: dict[str, Any] = json.loads(plain[:-1])
        return read


def read_vapid(authorization: str) -> tuple[dict[str, Any], str]:
    """→ the claims, and the key that has signed them. Raises when the signature is wrong (RFC 8292)."""
    scheme, _, rest = authorization.partition(" ")
    assert scheme == "vapid"
    parts = dict(part.split("=", 1) for part in rest.split(","))
    signed, _, signature = parts["t"].rpartition(".")
    assert json.loads(raw(signed.split(".")[0])) == {"typ": "JWT", "alg": "ES256"}
    numbers = raw(signature)
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw(parts["k"]))
    der = encode_dss_signature(int.from_bytes(numbers[:32], "big"), int.from_bytes(numbers[32:], "big"))
    key.verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
    return json.loads(raw(signed.split(".")[1])), parts["k"]


class Google:
    """`token` and `message` are what it answers next, as (status, headers, body)."""

    def __init__(self, sink: Any, scheme: str = "https") -> None:
        self.sink = sink
        self.url = f"{scheme}://127.0.0.1:{sink.port}"
        self.token: tuple[int, dict[str, str], Any] = 200, {}, GIVEN
        self.message: tuple[int, dict[str, str], Any] = 200, {}, {"name": NAME}
        sink.choose = lambda request: self._answer(*(self.token if request.path == "/token" else self.message))

    def _answer(self, status: int, headers: dict[str, str], body: Any) -> Any:
        if body is None:
            return lambda handler, _: setattr(handler, "close_connection", True)
        return self.sink.answering(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())

    @property
    def asked_for_tokens(self) -> list[Any]:
        return [request for request in self.sink.requests if request.path == "/token"]

    @property
    def sent(self) -> list[Any]:
        return [request for request in self.sink.requests if request.path != "/token"]

    @property
    def bodies(self) -> list[Any]:
        """What was sent; all of it is what the API describes."""
        found = [json.loads(request.body) for request in self.sent]
        assert [faults("fcm.v1", "SendMessageRequest", body) for body in found] == [[] for _ in found]
        return found


class Apple:
    """`answers` maps a device's token to (status, headers, body); others are accepted, as by Apple."""

    def __init__(self, sink: Any) -> None:
        self.sink = sink
        self.answers: dict[str, tuple[int, dict[str, str], Any]] = {}
        sink.choose = self._choose

    def _choose(self, request: Any) -> Any:
        device = request.path.removeprefix("/3/device/")
        status, headers, body = self.answers.get(device, (200, {}, b""))
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.sink.answering(status, {"apns-id": request.headers.get("apns-id", "made-up"), **headers}, raw)

    def refuses(self, status: int, reason: str, device: str = IPHONE, **more: Any) -> None:
        self.answers[device] = status, {}, {"reason": reason, **more}

    @property
    def account(self) -> dict[str, str]:
        """The settings that lead here."""
        return {
            "APNS_KEY": p256_pem(),
            "APNS_KEY_ID": "ABC123DEFG",
            "APNS_TEAM_ID": "DEF123GHIJ",
            "APNS_TOPIC": "com.example.shop",
            "APNS_URL": f"https://127.0.0.1:{self.sink.port}",
        }

    @property
    def tokens(self) -> list[str]:
        return [request.headers["authorization"].removeprefix("bearer ") for request in self.sink.requests]
