"""The keys that sign access tokens: made, published, used, replaced and deleted, all of it in the database.

Called by `access.access_tokens`, `api.oauth`, the commands and the scheduler. Each key signs for SIGNS_FOR. Its
successor is published AHEAD of its first signature, and it stays published for KEPT after its last, so that whoever
caches the public keys always has the right one. A process reads them again after CACHED_S.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from flask import current_app
from jwt.algorithms import OKPAlgorithm

from notifier.ground import database
from notifier.ground.clock import now
from notifier.ground.database import insert, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.ledgers import audit
from notifier.models import SigningKey

ALGORITHM = "EdDSA"
SIGNS_FOR = timedelta(days=30)
AHEAD = timedelta(days=1)
KEPT = timedelta(days=1)  # no token lives as long
CACHED_S = 1.0  # with the seconds for which a token's verification is cached, less than 5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that this process has read. `kid`: its name in tokens."""

    kid: str
    private: Ed25519PrivateKey
    signs_from: datetime
    signs_until: datetime


@dataclass(frozen=True, slots=True)
class _Read:
    """The published keys, as they were read."""

    at: datetime
    latest_first: Sequence[Signer]

    def get(self, kid: str) -> Signer | None:
        return next((signer for signer in self.latest_first if signer.kid == kid), None)


def current() -> Signer:
    """The key that signs now; makes one where there is none, and its successor when it is time."""
    at, known = now(), _read().latest_first
    if not known or known[0].signs_until - at < AHEAD:
        keep_ready()
        known = _read(again=True).latest_first
    # The oldest where none has begun: another process's clock may be a moment ahead of ours
    return next((signer for signer in known if signer.signs_from <= now()), known[-1])


def public_key(kid: str) -> Ed25519PublicKey | None:
    """The published key of that name. Another process may have made it a moment ago, so it is looked up at once."""
    signer = _read().get(kid) or _read(again=True).get(kid)
    return None if signer is None else signer.private.public_key()


def published() -> list[dict[str, Any]]:
    """The JSON Web Key Set's keys (RFC 7517, RFC 8037). Writes nothing, since anybody may ask: there are none before
    the first token, and the scheduler makes successors in time.
    """
    return [
        {**OKPAlgorithm.to_jwk(signer.private.public_key(), as_dict=True), "kid": signer.kid}
        | {"use": "sig", "alg": ALGORITHM}
        for signer in _read().latest_first
    ]


def keep_ready() -> None:
    """Makes the key that is needed next, unless it is there: several processes at once make one."""
    at = now()
    with transaction():
        latest = db.session.execute(
            sa.select(SigningKey.signs_until).order_by(SigningKey.signs_until.desc()).limit(1)
        ).scalar()
        if latest is None or latest - at < AHEAD:
            _add(at if latest is None else max(at, latest))


def replace_now() -> None:
    """For a key that may be known to others: all keys end at once, and with them every token; a new one signs."""
    with transaction() as session:
        session.execute(sa.delete(SigningKey))
        _add(now())
        audit.write("signing_keys.replaced", "access tokens")
    forget_cached()


def rotate() -> int:
    """Makes the next key in time, and deletes those that are published no more; → how many. Called by the scheduler.

    An installation that has issued no token has no keys, and gets none.
    """
    if db.session.scalar(sa.select(SigningKey.id).limit(1)) is not None:
        keep_ready()
    return database.prune(SigningKey.__table__, SigningKey.signs_until < now() - KEPT)


def forget_cached() -> None:
    current_app.extensions.pop("signing_keys", None)


def _add(signs_from: datetime) -> None:
    private = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key_id = new_id()
    row = {"id": key_id, "private_key": private.decode(), "created_at": now()}
    times = {"signs_from": signs_from, "signs_until": signs_from + SIGNS_FOR}
    statement = insert(SigningKey.__table__).values(**row, **times).on_conflict_do_nothing()
    if db.session.execute(statement.returning(SigningKey.id)).first() is not None:
        log.info("oauth.signing_key_made", kid=key_id.hex, signs_from=signs_from.isoformat())


def _read(*, again: bool = False) -> _Read:
    known: _Read | None = current_app.extensions.get("signing_keys")
    at = now()
    if again or known is None or abs(at - known.at) >= timedelta(seconds=CACHED_S):
        rows = db.session.execute(
            sa.select(SigningKey.id, SigningKey.private_key, SigningKey.signs_from, SigningKey.signs_until)
            .where(SigningKey.signs_until > at - KEPT)
            .order_by(SigningKey.signs_from.desc(), SigningKey.id.desc())
        ).all()
        known = current_app.extensions["signing_keys"] = _Read(at, [_signer(*row) for row in rows])
    return known


def _signer(key_id: UUID, pem: str, signs_from: datetime, signs_until: datetime) -> Signer:
    private = serialization.load_pem_private_key(pem.encode(), None)
    assert isinstance(private, Ed25519PrivateKey)
    return Signer(key_id.hex, private, signs_from, signs_until)
