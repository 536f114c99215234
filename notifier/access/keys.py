"""Producers and their keys: created, shown once, looked up, rotated, revoked.

Called by the API's `auth`, the console and the commands. Keys are stored as SHA-256 hashes. A small cache makes
look-ups free of queries: a revoked key is refused here at once, and in other processes after CACHED_S.

An access token of OAuth 2 is looked up as a key is, and stands for the key it was issued for.
"""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from flask import current_app
from sqlalchemy.orm import Session, scoped_session

from notifier.access import access_tokens
from notifier.core.errors import Rejected
from notifier.core.networks import Network
from notifier.core.networks import parse as parse_networks
from notifier.ground.clock import now
from notifier.ground.database import retried, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ledgers import audit
from notifier.models import ApiKey, Producer
from notifier.models.producer import SCOPES, label_of

CACHED_S = 3.0
_CACHE_SIZE = 10_000
_PREFIX_LENGTH = 16
_CHOSEN_PREFIX_LENGTH = 4  # of a key that somebody chose: it may be short, and all of it is secret
_NAMES = 7246004  # the advisory lock of whoever looks for a producer by its name, and makes it


@dataclass(frozen=True, slots=True)
class KeyIdentity:
    """The caller behind a key or an access token. `types` limits it to those event types, `networks` to where it may be
    used from (None: all).

    `label`: the key's name for people. `prefix`: what it begins with, its `client_id`. `token`: the access token that
    was shown instead of the key. `producer`: whose it is, by name.
    """

    key_id: UUID
    producer_id: UUID
    scopes: frozenset[str]
    types: frozenset[str] | None
    is_test: bool
    expires_at: datetime | None
    label: str
    prefix: str
    networks: tuple[Network, ...] | None = None
    token: access_tokens.AccessToken | None = None
    producer: str = ""


def create_producer(name: str, *, allowed_origins: list[str] | None = None) -> Producer:
    with transaction() as session:
        producer = Producer(name=name, allowed_origins=allowed_origins)
        session.add(producer)
        session.flush()
        audit.write(
            "producer.created", name, after={"id": show("prd", producer.id), "allowed_origins": allowed_origins}
        )
    return producer


def create_key(
    producer_id: UUID,
    *,
    scopes: Iterable[str],
    is_test: bool = False,
    types: Iterable[str] | None = None,
    networks: Iterable[Network] | None = None,
    expires_at: datetime | None = None,
    plain: str | None = None,
) -> tuple[ApiKey, str]:
    """→ (the row, the key in plain text, which nothing can show again). `plain`: a key somebody chose themselves."""
    prefix_length = _CHOSEN_PREFIX_LENGTH if plain else _PREFIX_LENGTH
    plain = plain or f"ntf_{'test' if is_test else 'live'}_{secrets.token_urlsafe(32)}"
    with transaction() as session:
        key = _add_key(
            session,
            producer_id,
            plain,
            prefix_length,
            scopes=scopes,
            is_test=is_test,
            types=types,
            networks=networks,
            expires_at=expires_at,
        )
    forget_cached_keys()
    return key, plain


def ensure_producer_key(plain: str, *, producer_name: str, scopes: Iterable[str], is_test: bool) -> None:
    """Stores a key that is known beforehand, for the producer of that name, who is made if nobody is called so. One
    that is there stays as it is, revoked or not.
    """
    with transaction() as session:
        if db.engine.dialect.name == "postgresql":  # else two calls at once make two producers of one name
            session.execute(sa.select(sa.func.pg_advisory_xact_lock(_NAMES)))
        if session.scalar(sa.select(ApiKey.id).where(ApiKey.hash == _digest(plain))) is not None:
            return
        named = sa.select(Producer).where(Producer.name == producer_name).order_by(Producer.id).limit(1)
        producer = session.scalar(named)
        if producer is None:
            producer = Producer(name=producer_name)
            session.add(producer)
            session.flush()
        _add_key(session, producer.id, plain, _CHOSEN_PREFIX_LENGTH, scopes=scopes, is_test=is_test)
    forget_cached_keys()


@retried
def ensure_key(plain: str, *, producer_name: str, scopes: Iterable[str]) -> bool:
    """Stores a live key that a setting names, with a producer of its own. False if it is there, revoked or not: then it
    gets the scopes that have come with a release since.
    """
    with transaction() as session:
        known = session.scalar(sa.select(ApiKey).where(ApiKey.hash == _digest(plain)))
        if known is not None:
            known.scopes = [scope for scope in SCOPES if scope in {*known.scopes, *scopes}]
            return False
        producer = Producer(name=producer_name)
        session.add(producer)
        session.flush()
        _add_key(session, producer.id, plain, _CHOSEN_PREFIX_LENGTH, scopes=scopes)
    forget_cached_keys()
    return True


def _add_key(
    session: scoped_session[Session],
    producer_id: UUID,
    plain: str,
    prefix_length: int,
    *,
    scopes: Iterable[str],
    is_test: bool = False,
    types: Iterable[str] | None = None,
    networks: Iterable[Network] | None = None,
    expires_at: datetime | None = None,
) -> ApiKey:
    wanted = set(scopes)
    if not wanted <= set(SCOPES):
        raise ValueError(f"no such scope: {', '.join(sorted(wanted - set(SCOPES)))}")
    key = ApiKey(
        producer_id=producer_id,
        prefix=plain[:prefix_length],
        hash=_digest(plain),
        scopes=[scope for scope in SCOPES if scope in wanted],
        types=None if types is None else sorted(set(types)),
        networks=None if networks is None else [str(network) for network in networks],
        is_test=is_test,
        expires_at=expires_at,
    )
    session.add(key)
    kept = {"scopes": key.scopes, "types": key.types, "networks": key.networks, "test": is_test, "expires": expires_at}
    audit.write("key.created", f"{key.prefix}…", after={"producer": show("prd", producer_id), **kept})
    return key


def revoke_key(key_id: UUID) -> bool:
    """False if there is no such key, or it was revoked before. `upkeep.broadcasts` pauses the broadcasts it began."""
    with transaction() as session:
        statement = (
            sa.update(ApiKey)
            .where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
            .values(revoked_at=now())
            .returning(ApiKey.prefix)
        )
        prefix = session.scalar(statement)
        if prefix is not None:
            audit.write("key.revoked", f"{prefix}…")
    forget_cached_keys()
    return prefix is not None


def rotate_key(
    key_id: UUID, overlap: timedelta, *, networks: Iterable[Network] | None, expires_at: datetime | None
) -> tuple[ApiKey, str]:
    """A new key that may do the same, from `networks` and until `expires_at`; the old one ends after the overlap, or
    when it would have ended anyway. Raises Rejected.

    → (the new row, the key in plain text, which nothing can show again).
    """
    plain = ""
    with transaction() as session:
        old = session.scalar(sa.select(ApiKey).where(ApiKey.id == key_id).with_for_update(of=ApiKey))
        if old is None or old.revoked_at is not None:
            raise Rejected("not_found", "there is no such key any more")
        ends_at = now() + overlap
        plain = f"ntf_{'test' if old.is_test else 'live'}_{secrets.token_urlsafe(32)}"
        key = _add_key(
            session,
            old.producer_id,
            plain,
            _PREFIX_LENGTH,
            scopes=old.scopes,
            is_test=old.is_test,
            types=old.types,
            networks=networks,
            expires_at=expires_at,
        )
        old.expires_at = ends_at if old.expires_at is None else min(ends_at, old.expires_at)
        audit.write("key.rotated", f"{old.prefix}…", after={"new": f"{key.prefix}…", "ends_at": old.expires_at})
    forget_cached_keys()
    return key, plain


def disable_producer(producer_id: UUID, *, disabled: bool = True) -> None:
    """None of a disabled producer's keys is accepted. Its schedules stop, and `upkeep.broadcasts` pauses its
    broadcasts.
    """
    with transaction() as session:
        name = session.scalar(
            sa.update(Producer)
            .where(Producer.id == producer_id)
            .values(disabled_at=now() if disabled else None)
            .returning(Producer.name)
        )
        if name is not None:
            audit.write("producer.disabled" if disabled else "producer.enabled", name)
    forget_cached_keys()


def find_key(plain: str) -> KeyIdentity | None:
    """The owner of a key, or of the key that an access token was issued for; None for an unknown, revoked or expired
    key or token, or one of a disabled producer.
    """
    place = (str(current_app.config["SQLALCHEMY_DATABASE_URI"]), _digest(plain))
    at = now()
    identity, is_known = _known_keys.get(place, at)
    if not is_known:
        identity, is_known = _unknown_keys.get(place, at)
    if not is_known:
        identity = _load(plain, place[1])
        (_unknown_keys if identity is None else _known_keys).put(place, identity, at)
    if identity is None or (identity.expires_at is not None and identity.expires_at <= at):
        return None
    return identity


def _load(plain: str, digest: bytes) -> KeyIdentity | None:
    token = access_tokens.read(plain)
    if token is None:
        return _load_key(ApiKey.hash == digest)
    key = _load_key(ApiKey.id == token.key_id, access_tokens.is_unrevoked(token.jti))
    if key is None:
        return None
    ends = token.expires_at if key.expires_at is None else min(key.expires_at, token.expires_at)
    return replace(key, scopes=key.scopes & token.scopes, expires_at=ends, token=token)


def _load_key(*which: sa.ColumnElement[bool]) -> KeyIdentity | None:
    row = db.session.execute(
        sa.select(
            *(
                ApiKey.id,
                ApiKey.producer_id,
                ApiKey.scopes,
                ApiKey.types,
                ApiKey.networks,
                ApiKey.is_test,
                ApiKey.expires_at,
                ApiKey.prefix,
                Producer.name,
            )
        )
        .join(Producer, Producer.id == ApiKey.producer_id)
        .where(*which, ApiKey.revoked_at.is_(None), Producer.disabled_at.is_(None))
    ).first()
    if row is None:
        return None
    types = None if row.types is None else frozenset(row.types)
    label = label_of(row.name, row.prefix)
    networks = None if row.networks is None else parse_networks(row.networks)
    return KeyIdentity(
        *(row.id, row.producer_id, frozenset(row.scopes), types, row.is_test, row.expires_at, label, row.prefix),
        networks,
        producer=row.name,
    )


def _digest(plain: str) -> bytes:
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).digest()


class _Recent:
    """A cache of look-ups: at most _CACHE_SIZE of the last CACHED_S seconds."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, bytes], tuple[KeyIdentity | None, datetime]] = OrderedDict()

    def get(self, place: tuple[str, bytes], at: datetime) -> tuple[KeyIdentity | None, bool]:
        """→ (the cached result, whether there is one)."""
        identity, looked_up_at = self._entries.get(place, (None, None))
        return identity, looked_up_at is not None and abs(at - looked_up_at) < timedelta(seconds=CACHED_S)

    def put(self, place: tuple[str, bytes], identity: KeyIdentity | None, at: datetime) -> None:
        self._entries[place] = (identity, at)
        while len(self._entries) > _CACHE_SIZE:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        self._entries.clear()


# Two, so that a flood of invented keys never pushes out those in use.
_known_keys = _Recent()
_unknown_keys = _Recent()


def forget_cached_keys() -> None:
    _known_keys.clear()
    _unknown_keys.clear()
