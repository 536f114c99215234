"""The key ring: AES-256-GCM with key ids, so that keys can be rotated, and keyed digests for look-ups.

`create_app` opens `vault` once per process; the column types in `models.types` use it. Each ciphertext is bound to its
purpose (`table.column`), so it cannot be moved to another column.

**Digest keys are a chain.** The first digests the text, and each later one digests the digest of the one before it. So
whatever is stored can be given a new key without its text, which nobody has of a suppressed address or of a code. A
digest says which key it is of: 32 bytes for the first, and a byte with the key's number before them for the others.
"""

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = b"\x01"
_NONCE_BYTES = 12
_DIGEST_BYTES = 32
MOST_DIGEST_KEYS = 255  # what the byte before a digest takes


class KeysDoNotFit(Exception):
    """Stored data cannot be decrypted with the given keys."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys by id; the first encrypts, all of them decrypt. Text form: `id:base64,id:base64`."""

    keys: tuple[tuple[str, bytes], ...]

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Raises ValueError, without quoting the text, when it is not a key ring."""
        keys: dict[str, bytes] = {}
        for entry in text.split(","):
            key_id, colon, encoded = entry.strip().partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except ValueError:
                key = b""
            is_id = 1 <= len(key_id) <= 32 and key_id.isascii() and key_id.isalnum()
            if not colon or not is_id or len(key) != 32:
                raise ValueError("must be a comma-separated list of id:base64 with 32-byte keys")
            if key_id in keys:  # what the one has encrypted, the other would not open
                raise ValueError(f"must be a comma-separated list of keys with an id each; {key_id} stands there twice")
            keys[key_id] = key
        return cls(tuple(keys.items()))

    @staticmethod
    def generate() -> str:
        return f"k{secrets.token_hex(3)}:{base64.b64encode(secrets.token_bytes(32)).decode()}"


class Vault:
    """Encrypts, decrypts and digests with the ring it was opened with."""

    def __init__(self) -> None:
        self._ciphers: dict[bytes, AESGCM] = {}
        self._current = b""
        self._digest_keys: tuple[bytes, ...] = ()
        self._oldest_digest = self._digest_number = 1
        self._keep_up: Callable[[], None] = lambda: None

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

    @property
    def digest_number(self) -> int:
        """Of the key whose digests are stored, from 1."""
        return self._digest_number

    @property
    def first_digest_key(self) -> bytes:
        return self._digest_keys[0]

    @property
    def is_changing_digests(self) -> bool:
        """Whether digests of more than one key may be stored."""
        return self._oldest_digest < len(self._digest_keys)

    def use_digest_keys(self, keys: Sequence[bytes], *, stored: int | None = None, oldest: int | None = None) -> None:
        """The chain, which is stored (encrypted) in the database: it outlives every rotation of the ring. `stored`: the
        number of the key whose digests are stored from now on; `oldest`: of the oldest one of which some may be stored
        still. None: the last.
        """
        self._digest_keys = tuple(keys)
        self._digest_number = stored or len(keys)
        self._oldest_digest = oldest or len(keys)

    def before_digests(self, keep_up: Callable[[], None]) -> None:
        """Has it called before each digest of a text: what is looked for may have been given a new key meanwhile. It
        may use the new keys, and must be quick.
        """
        self._keep_up = keep_up

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
        """A keyed digest (HMAC-SHA256) by which an encrypted value is found again: of the oldest key of which digests
        may be stored. `newest` makes of it what is stored, `forms` all that may be.
        """
        self._keep_up()
        if not self._digest_keys:
            raise KeysDoNotFit("the digest key has not been loaded from the database")
        first = hmac.new(self._digest_keys[0], text.encode(), hashlib.sha256).digest()
        return self._chained(first, self._oldest_digest)

    def newest(self, digest: bytes) -> bytes:
        """The digest of the same text as it is to be stored, however old the key of this one is."""
        return self._chained(digest, self._digest_number)

    def forms(self, digest: bytes) -> tuple[bytes, ...]:
        """This one, and those of the same text by each later key. All but while a key is being replaced: one alone."""
        numbers = range(digest_number_of(digest), len(self._digest_keys) + 1)
        return tuple(self._chained(digest, number) for number in numbers) or (bytes(digest),)

    def _chained(self, digest: bytes, number: int) -> bytes:
        digest = bytes(digest)
        for one in range(digest_number_of(digest) + 1, number + 1):
            digest = bytes([one]) + hmac.new(self._digest_keys[one - 1], digest, hashlib.sha256).digest()
        return digest


def key_id_of(sealed: bytes) -> str:
    """The id of the key that it was encrypted with; its first 34 bytes are enough."""
    return bytes(sealed[2 : 2 + sealed[1]]).decode(errors="replace")


def digest_number_of(digest: bytes) -> int:
    """The number of the key that it is of."""
    return 1 if len(digest) == _DIGEST_BYTES else digest[0]


vault = Vault()
