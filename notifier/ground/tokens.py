"""Signed tokens: for an inbox, for a person's preferences, for unsubscribing with one click, and for tracked links.

Signed with SECRET_KEY and a salt for each purpose, in the alphabet `[A-Za-z0-9._-]`; those that SECRET_KEY_FALLBACK has
signed are accepted, too. Opened by the doors, and put into messages by `words.compose`.

A token names the person it was made for (`Subject`), including their generation, so a new person with the same id
cannot use it; and it names its cause. The signature only shows that we made the token. Whether it is still valid is in
the database: the statement that reads the person checks it (`conditions_of`), or `queries.valid_tokens` does for many
at once:

| token | ends with |
|---|---|
| user token (embedded inbox) | its time, its key, and as the next |
| preferences (`/p/…`) | a disabled producer, the person's erasure or first role in the console, `profiles.end_tokens` |
| unsubscribe (`/u/…`) | only the person's erasure: one click works as long as the person exists |
| unsubscribe at an address that only came with a notification | never: it names no person, and works for that address |
| tracked link, pixel (`/t/…`, `/o/…`) | the delivery, whose row knows where the link leads; the person's erasure |
| device (a cookie of the sign-in) | its time: it opens nothing |

Tokens from releases without generations count as generation 0, which is the generation of all people of that time.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from flask import current_app
from itsdangerous import BadData, URLSafeSerializer

from notifier.core.record import record
from notifier.ground.clock import now

_TOKEN_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_LONGEST_TOKEN = 2048


class Subject(NamedTuple):
    """A person as tokens name them. `generation`: of all who have had or will have the id, this one. `version` rises
    when all their tokens are ended.
    """

    user_id: str
    generation: int
    version: int


NOBODY = Subject("nobody", -1, -1)  # for links that are shown and must not work: previews, dry runs


@dataclass(frozen=True, slots=True)
class UserToken:
    """`key_id`, `producer_id`: what made it and whose it was, and so on whose sites it may be used (None: anywhere)."""

    subject: Subject
    expires_at: datetime
    key_id: UUID | None = None
    producer_id: UUID | None = None

    @property
    def user_id(self) -> str:
        return self.subject.user_id


@record
class PreferenceLink:
    """`producer_id`: the producer of the message with the link (None: one of our own)."""

    subject: Subject
    producer_id: UUID | None = None

    @property
    def user_id(self) -> str:
        return self.subject.user_id


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """The effect of one click on an unsubscribe link: what is switched off, and for whom."""

    user_id: str
    generation: int
    category: str
    channel: str


class TrackedLink(NamedTuple):
    """A link of a mail that was sent, by its number. It says nothing of where it leads: no token can send anybody to an
    address that did not stand in the mail.
    """

    delivery_id: UUID
    number: int


class Device(NamedTuple):
    """A browser in which the account of that e-mail has signed in."""

    email: str
    number: str


Token = UserToken | PreferenceLink | Unsubscribe


def sign_user_token(
    subject: Subject, expires_in: int, *, key_id: UUID | None = None, producer_id: UUID | None = None
) -> tuple[str, datetime]:
    """→ (token, when it expires): acts for that person in the inbox until then. `expires_in` in seconds."""
    expires_at = (now() + timedelta(seconds=expires_in)).replace(microsecond=0)
    return _signer("user-token").dumps(
        [*subject, int(expires_at.timestamp()), _hex(key_id), _hex(producer_id)]
    ), expires_at


def open_user_token(token: str) -> UserToken | None:
    """None for a token that is forged, of another kind, or expired. Whether it still holds, the database knows:
    `holding`.
    """
    content = _open("user-token", token)
    if content is None or len(content) != _USER_TOKEN_LENGTH:
        return None
    *subject, expires, key, producer = content
    opened = UserToken(Subject(*subject), datetime.fromtimestamp(expires, now().tzinfo), _uuid(key), _uuid(producer))
    return opened if opened.expires_at > now() else None


def is_ours(token: str) -> bool:
    """Whether it is a user token that was made here, however long ago it ended: nobody's guess."""
    return _open("user-token", token) is not None


def sign_unsubscribe(whom: Subject, category: str, channel: str) -> str:
    """For a link in a message: works as long as the message is kept."""
    return str(_signer("unsubscribe").dumps([whom.user_id, category, channel, whom.generation]))


def read_unsubscribe(token: str) -> Unsubscribe | None:
    content = _open("unsubscribe", token)
    if content is None:
        return None
    user_id, category, channel, *rest = content
    return Unsubscribe(user_id, rest[0] if rest else _FIRST, category, channel)


@dataclass(frozen=True, slots=True)
class AddressUnsubscribe:
    """The effect of one click for an address that came with a message and is stored with no person: only that address
    is unsubscribed.
    """

    digest: bytes
    category: str
    channel: str


def sign_address_unsubscribe(digest: bytes, category: str, channel: str) -> str:
    """`digest` is the address's keyed digest: the link reveals neither the address nor the person."""
    return str(_signer("address-unsubscribe").dumps([digest.hex(), category, channel]))


def read_address_unsubscribe(token: str) -> AddressUnsubscribe | None:
    content = _open("address-unsubscribe", token)
    return None if content is None else AddressUnsubscribe(bytes.fromhex(content[0]), *content[1:])


def sign_preferences(link: PreferenceLink) -> str:
    """For the links in a message that lead to the person's preferences: works as long as the message is kept."""
    return str(_signer("preferences").dumps([*link.subject, _hex(link.producer_id)]))


def read_preferences(token: str) -> PreferenceLink | None:
    """The person whose preferences the link opens, or None."""
    content = _open("preferences", token)
    if content is None:
        return None
    user_id, generation, version, producer = (content, _FIRST, 0, None) if isinstance(content, str) else content
    return PreferenceLink(Subject(user_id, generation, version), _uuid(producer))


def sign_link(link: TrackedLink) -> str:
    return str(_signer("link").dumps([link.delivery_id.hex, link.number]))


def read_link(token: str) -> TrackedLink | None:
    content = _open("link", token)
    return None if content is None else TrackedLink(UUID(hex=content[0]), content[1])


def sign_pixel(delivery_id: UUID) -> str:
    return str(_signer("pixel").dumps(delivery_id.hex))


def read_pixel(token: str) -> UUID | None:
    """The delivery whose mail holds it, or None."""
    content = _open("pixel", token)
    return None if content is None else UUID(hex=content)


def sign_device(email: str) -> str:
    """For the browser in which somebody has just signed in: tries at their password from there are not a stranger's.
    Opens nothing.
    """
    return str(_signer("device").dumps([email, secrets.token_hex(8)]))


def read_device(token: str) -> Device | None:
    content = _open("device", token)
    return None if content is None else Device(*content)


_FIRST = 0  # the generation that tokens mean which name none
_USER_TOKEN_LENGTH = 6


def _hex(key: UUID | None) -> str | None:
    return key.hex if key else None


def _uuid(text: str | None) -> UUID | None:
    return UUID(hex=text) if text else None


def _signer(purpose: str, key: str | None = None) -> Any:
    return URLSafeSerializer(
        key or current_app.config["SECRET_KEY"],
        salt=f"notifier.{purpose}",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )


def _open(purpose: str, token: str) -> Any:
    """The signed value, or None. Only exactly the text that we made is accepted: base64 has several texts for one
    value.
    """
    if len(token) > _LONGEST_TOKEN or not _TOKEN_ALPHABET.issuperset(token):
        return None
    for key in (current_app.config["SECRET_KEY"], *current_app.config["SECRET_KEY_FALLBACKS"]):
        signer = _signer(purpose, key)
        try:
            content = signer.loads(token)
        except BadData:
            continue
        return content if signer.dumps(content) == token else None
    return None
