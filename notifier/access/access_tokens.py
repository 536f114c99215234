"""Access tokens of OAuth 2 (JWT, RFC 9068): signed, verified, revoked.

Called by `access.keys`, which gives a token the rights of the key it was issued for, and by `api.oauth`. Verifying asks
the database only for signing keys, and these are cached: whether the token was revoked, and what its key may do, is one
question of `access.keys`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import sqlalchemy as sa

from notifier.access import signing_keys
from notifier.core.errors import Rejected
from notifier.ground import database
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import insert, transaction
from notifier.ground.ids import new_id, parse, show
from notifier.models import RevokedToken
from notifier.models.producer import SCOPES

LIFETIME_S = 600
TYPE = "at+jwt"
_KEY = "key"  # kind of the id in `key_id`
_KEY_ID = "key_id"  # our own claim: a client_id is the beginning of a key, and may be that of several

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_LONGEST = 4096
_KID = re.compile(r"[0-9a-f]{32}")
_CLAIMS = ["iss", "aud", "sub", "client_id", "exp", "iat", "jti", "scope", _KEY_ID]


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token whose signature is ours and whose time is not over."""

    jti: UUID
    key_id: UUID
    scopes: frozenset[str]
    expires_at: datetime


def sign(key_id: UUID, client_id: str, scopes: Iterable[str], lifetime_s: int) -> str:
    """A token for that key, which may do no more than the key when it is used."""
    issuer, at = current_settings().public_url, int(now().timestamp())
    claims = {
        "iss": issuer,
        "aud": issuer,
        "sub": client_id,
        "client_id": client_id,
        "scope": as_text(scopes),
        "iat": at,
        "exp": at + lifetime_s,
        "jti": new_id().hex,
        _KEY_ID: show(_KEY, key_id),
    }
    signer = signing_keys.current()
    return jwt.encode(claims, signer.private, signing_keys.ALGORITHM, headers={"typ": TYPE, "kid": signer.kid})


def as_text(scopes: Iterable[str]) -> str:
    """As `scope` has it, in the order of SCOPES."""
    wanted = frozenset(scopes)
    return " ".join(scope for scope in SCOPES if scope in wanted)


def read(token: str) -> AccessToken | None:
    """None for what is no token of ours, or an expired one."""
    if len(token) > _LONGEST or not _SHAPE.fullmatch(token):
        return None
    try:
        header = jwt.get_unverified_header(token)
        if header.get("typ") != TYPE or header.get("alg") != signing_keys.ALGORITHM:
            return None
        kid = str(header.get("kid"))
        key = signing_keys.public_key(kid) if _KID.fullmatch(kid) else None
        return None if key is None else _token(_claims(token, key))
    except (jwt.InvalidTokenError, Rejected, ValueError, OverflowError):
        return None


def _claims(token: str, key: Any) -> dict[str, Any]:
    issuer = current_settings().public_url
    # Times are compared with the database's clock, in `_token`
    options: Any = {"require": _CLAIMS, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
    return jwt.decode(token, key, [signing_keys.ALGORITHM], issuer=issuer, audience=issuer, options=options)


def _token(claims: dict[str, Any]) -> AccessToken | None:
    expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
    if expires_at <= now():
        return None
    scopes = frozenset(str(claims["scope"]).split())
    return AccessToken(UUID(hex=str(claims["jti"])), parse(_KEY, str(claims[_KEY_ID])), scopes, expires_at)


def is_unrevoked(jti: UUID) -> sa.ColumnElement[bool]:
    """For the question of `access.keys`."""
    return ~sa.exists().where(RevokedToken.jti == jti)


def revoke(token: AccessToken) -> None:
    """Ends a token before its time. Holds in other processes as soon as for a revoked key."""
    row = {"jti": token.jti, "expires_at": token.expires_at + timedelta(seconds=1), "created_at": now()}
    with transaction() as session:
        session.execute(insert(RevokedToken.__table__).values(**row).on_conflict_do_nothing())


def prune() -> int:
    """Forgets revoked tokens whose time is over; → how many. Called by the scheduler."""
    return database.prune(RevokedToken.__table__, RevokedToken.expires_at < now())
