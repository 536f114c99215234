"""A device with a passkey, as a browser and its authenticator would answer for it (WebAuthn, level 2): honest unless
told otherwise.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import bytes_to_base64url

_PRESENT, _VERIFIED, _NEW = 0x01, 0x04, 0x40


@dataclass
class Device:
    """One passkey. `counts` False: one that is synchronised, whose count stays 0."""

    origin: str = "http://localhost"
    rp_id: str = "localhost"
    is_verified: bool = True
    counts: bool = True
    count: int = 0
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    user_handle: str | None = None

    def create(self, options: dict[str, Any]) -> str:
        """What the browser sends for `navigator.credentials.create`."""
        self.user_handle = options["user"]["id"]
        numbers = self.key.public_key().public_numbers()
        public = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        length = len(self.credential_id).to_bytes(2, "big")
        attested = bytes(16) + length + self.credential_id + cbor2.dumps(public)
        made = {"fmt": "none", "attStmt": {}, "authData": self._data(_NEW) + attested}
        return self._written(self._client("webauthn.create", options), attestationObject=cbor2.dumps(made))

    def get(self, options: dict[str, Any], **other: Any) -> str:
        """What the browser sends for `navigator.credentials.get`. `other`: parts of the answer that are forged."""
        self.count += self.counts
        client, data = self._client("webauthn.get", options), self._data()
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        parts = {"authenticatorData": data, "signature": signature, **other}
        return self._written(client, userHandle=self.user_handle, **parts)

    def _client(self, kind: str, options: dict[str, Any]) -> bytes:
        said = {"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": False}
        return json.dumps(said).encode()

    def _data(self, flags: int = 0) -> bytes:
        flags |= _PRESENT | (_VERIFIED if self.is_verified else 0)
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _written(self, client: bytes, **parts: Any) -> str:
        shown = bytes_to_base64url(self.credential_id)
        response = {
            name: bytes_to_base64url(part) if isinstance(part, bytes) else part
            for name, part in {"clientDataJSON": client, **parts}.items()
        }
        return json.dumps({"id": shown, "rawId": shown, "type": "public-key", "response": response})
