"""The key ring: AES-256-GCM with key ids, so that keys can be rotated, and a keyed digest for look-ups.

`create_app` opens `vault` once per process; the column types in `models.types` use it. Each ciphertext is bound to its
purpose (`table.column`), so it cannot be moved to another column.
"""

import base64
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = b"\x01"
_NONCE_BYTES = 12


class KeysDoNotFit(Exception):
    """Stored data cannot be decrypted with the given keys."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys by id; the first encrypts, all of them decrypt. Text form: `id:base64,id:base64`."""

    keys: tuple[tuple[str, bytes], ...]

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Raises ValueError, without quoting the text, when it is not a key ring."""
        keys = []
        for entry in text.split(","):
            key_id, colon, encoded = entry.strip().partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except ValueError:
                key = b""
            if not colon or not 1 <= len(key_id) <= 32 or not key_id.isalnum() or len(key) != 32:
                raise ValueError("must be a comma-separated list of id:base64 with 32-byte keys")
            keys.append((key_id, key))
        return cls(tuple(keys))

    @staticmethod
    def generate() -> str:
        return f"k{secrets.token_hex(3)}:{base64.b64encode(secrets.token_bytes(32)).decode()}"


class Vault:
    """Encrypts, decrypts and digests with the ring it was opened with."""

    def __init__(self) -> None:
        self._ciphers: dict[bytes, AESGCM] = {}
        self._current = b""
        self._digest_key = b""

    def open(self, ring: KeyRing) -> None:
        self._ciphers = {key_id.encode(): AESGCM(key) for key_id, key in ring.keys}
        self._current = ring.keys[0][0].encode()

    @property
    def key_id(self) -> str:
        """Of the key that encrypts."""
        return self._current.decode()

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Of all keys, the one that encrypts first."""
        return tuple(key_id.decode() for key_id in self._ciphers)

    def use_digest_key(self, key: bytes) -> None:
        """The digest key is stored (encrypted) in the database: it outlives every rotation of the ring."""
        self._digest_key = key

    def encrypt(self, plain: bytes, purpose: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, plain, purpose.encode())
        return _VERSION + bytes([len(self._current)]) + self._current + nonce + sealed

    def decrypt(self, sealed: bytes, purpose: str) -> bytes:
        """Raises KeysDoNotFit when no key of the ring opens it."""
        id_end = 2 + sealed[1]
        cipher = self._ciphers.get(sealed[2:id_end])
        if sealed[:1] != _VERSION or cipher is None:
            raise KeysDoNotFit(f"no key of the ring fits {purpose}")
        try:
            return cipher.decrypt(
                sealed[id_end : id_end + _NONCE_BYTES], sealed[id_end + _NONCE_BYTES :], purpose.encode()
            )
        except InvalidTag:
            raise KeysDoNotFit(f"the key named in {purpose} is another one than it was written with") from None

    def digest(self, text: str) -> bytes:
        """A keyed digest (HMAC-SHA256) by which an encrypted value is found again."""
        if not self._digest_key:
            raise KeysDoNotFit("the digest key has not been loaded from the database")
        return hmac.new(self._digest_key, text.encode(), hashlib.sha256).digest()


def key_id_of(sealed: bytes) -> str:
    """The id of the key that it was encrypted with; its first 34 bytes are enough."""
    return bytes(sealed[2 : 2 + sealed[1]]).decode(errors="replace")


vault = Vault()
