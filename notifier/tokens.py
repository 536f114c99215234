"""Signed tokens: who may act in an inbox, whose preferences a link opens, and what one click on an unsubscribe link does.

Signed with SECRET_KEY, a salt for each purpose, in the alphabet `[A-Za-z0-9._-]`. Called by the doors
(which open them) and by `pipeline.words` (which puts links into messages).
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flask import current_app
from itsdangerous import BadData, URLSafeSerializer

from notifier.clock import now

_TOKEN_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_LONGEST_TOKEN = 2048


@dataclass(frozen=True, slots=True)
class UserToken:
    """`producer_id`: who made it, and so on whose sites it may be used (None: anywhere)."""

    user_id: str
    expires_at: datetime
    producer_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """What one click on an unsubscribe link switches off."""

    user_id: str
    category: str
    channel: str


def sign_user_token(user_id: str, expires_in: int, producer_id: UUID | None = None) -> tuple[str, datetime]:
    """→ (token, when it expires): acts for that user in the inbox until then. `expires_in` in seconds."""
    expires_at = (now() + timedelta(seconds=expires_in)).replace(microsecond=0)
    maker = [producer_id.hex] if producer_id else []
    return _signer("user-token").dumps([user_id, int(expires_at.timestamp()), *maker]), expires_at


def open_user_token(token: str) -> UserToken | None:
    """None for a token that is forged, of another kind, or expired."""
    content = _open("user-token", token)
    if content is None:
        return None
    user_id, expires, *maker = content
    opened = UserToken(user_id, datetime.fromtimestamp(expires, now().tzinfo), UUID(hex=maker[0]) if maker else None)
    return opened if opened.expires_at > now() else None


def read_user_token(token: str) -> str | None:
    """The user a token acts for, or None."""
    opened = open_user_token(token)
    return opened.user_id if opened else None


def sign_unsubscribe(user_id: str, category: str, channel: str) -> str:
    """For a link in a message: works as long as the message is kept."""
    return _signer("unsubscribe").dumps([user_id, category, channel])


def read_unsubscribe(token: str) -> Unsubscribe | None:
    content = _open("unsubscribe", token)
    return None if content is None else Unsubscribe(*content)


def sign_preferences(user_id: str) -> str:
    """For the links in a message that lead to the person's preferences: works as long as the message is kept."""
    return str(_signer("preferences").dumps(user_id))


def read_preferences(token: str) -> str | None:
    """Whose preferences the link opens, or None."""
    user_id = _open("preferences", token)
    return user_id if isinstance(user_id, str) else None


def _signer(purpose: str) -> Any:
    return URLSafeSerializer(current_app.secret_key, salt=f"notifier.{purpose}", signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256})


def _open(purpose: str, token: str) -> Any:
    """What was signed, or None. Only the very text that was handed out is taken: base64 has several for one value."""
    if len(token) > _LONGEST_TOKEN or not _TOKEN_ALPHABET.issuperset(token):
        return None
    signer = _signer(purpose)
    try:
        content = signer.loads(token)
    except BadData:
        return None
    return content if signer.dumps(content) == token else None
