"""Sign-in and producers' keys. Called by the doors and the commands; signed tokens are in `tokens`.

Keys are looked up through a small cache, so that the hot path makes no query: what is revoked here is
refused here at once, and in other processes after CACHED_S. Each function that writes is a transaction
of its own. Knows nothing of requests, cookies or headers.
"""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from flask import current_app
from sqlalchemy.orm import Session, scoped_session

from notifier.access import sessions
from notifier.core.errors import Rejected
from notifier.core.networks import Network
from notifier.core.networks import parse as parse_networks
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ledgers import audit
from notifier.models import Account, ApiKey, Producer, User
from notifier.models.account import CONSOLE_ROLES, ROLES
from notifier.models.producer import SCOPES, label_of

CACHED_S = 3.0
_CACHE_SIZE = 10_000
_PREFIX_LENGTH = 16
_CHOSEN_PREFIX_LENGTH = 4  # of a key that somebody chose: it may be short, and all of it is secret
_LONGEST_EMAIL = 254
_LONGEST_PASSWORD_BYTES = 1024
SHORTEST_PASSWORD = 12  # that people may choose

_IS_ACTIVE = Account.disabled_at.is_(None)

# OWASP's smallest recommendation: a web process on one thread must not stand still for a sign-in.
_passwords: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Of 32 random bytes that nobody kept, with the same parameters: what a password is compared with where there is none.
_NOBODYS_HASH: Final = (
    "$argon2id$v=19$m=19456,t=2,p=1$ok0ELaEpBM2PqFJ6dBTdsQ$a2sbIO/xqpV7nGqEf7/KsYGUHJ5/uZBlWWC/CfLYgXI"
)

# One comparison at a time: it takes 25 ms, in which a process on green threads does nothing else. As long again belongs
# to the others, so that a flood of passwords takes half of the process at most.
_comparing: Final = Lock()
_TIME_OF_OTHERS_S = 0.025


# --- producers and their keys


@dataclass(frozen=True, slots=True)
class KeyIdentity:
    """Who is calling with a key. `types` limits it to those event types, `networks` to where it may be used from (None:
    all).

    `label`: what people know it by.
    """

    key_id: UUID
    producer_id: UUID
    scopes: frozenset[str]
    types: frozenset[str] | None
    is_test: bool
    expires_at: datetime | None
    label: str
    networks: tuple[Network, ...] | None = None


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
    """→ (the row, the key in plain text, which is never to be had again). `plain`: a key somebody chose themselves."""
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


def ensure_key(plain: str, *, producer_name: str, scopes: Iterable[str]) -> bool:
    """Stores a live key that a setting names, with a producer of its own. False if it is there, revoked or not."""
    with transaction() as session:
        if session.scalar(sa.select(ApiKey.id).where(ApiKey.hash == _digest(plain))) is not None:
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
    """False if there is no such key, or it was revoked before."""
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


def rotate_key(key_id: UUID, overlap: timedelta, networks: Iterable[Network] | None) -> tuple[ApiKey, str]:
    """A new key that may do the same, from `networks`; the old one ends after the overlap, or when it would have ended
    anyway. Raises Rejected.

    → (the new row, the key in plain text, which is never to be had again).
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
        )
        old.expires_at = ends_at if old.expires_at is None else min(ends_at, old.expires_at)
        audit.write("key.rotated", f"{old.prefix}…", after={"new": f"{key.prefix}…", "ends_at": old.expires_at})
    forget_cached_keys()
    return key, plain


def disable_producer(producer_id: UUID, *, disabled: bool = True) -> None:
    """None of a disabled producer's keys is accepted."""
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
    """Whose key it is; None for one that is unknown, revoked, expired, or of a disabled producer."""
    place = (str(current_app.config["SQLALCHEMY_DATABASE_URI"]), _digest(plain))
    at = now()
    identity, is_known = _known_keys.get(place, at)
    if not is_known:
        identity, is_known = _unknown_keys.get(place, at)
    if not is_known:
        identity = _load_key(place[1])
        (_unknown_keys if identity is None else _known_keys).put(place, identity, at)
    if identity is None or (identity.expires_at is not None and identity.expires_at <= at):
        return None
    return identity


def _load_key(digest: bytes) -> KeyIdentity | None:
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
        .where(ApiKey.hash == digest, ApiKey.revoked_at.is_(None), Producer.disabled_at.is_(None))
    ).first()
    if row is None:
        return None
    types = None if row.types is None else frozenset(row.types)
    label = label_of(row.name, row.prefix)
    networks = None if row.networks is None else parse_networks(row.networks)
    return KeyIdentity(
        row.id, row.producer_id, frozenset(row.scopes), types, row.is_test, row.expires_at, label, networks
    )


def _digest(plain: str) -> bytes:
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).digest()


class _Recent:
    """What was looked up in the last CACHED_S seconds, the latest _CACHE_SIZE of it."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, bytes], tuple[KeyIdentity | None, datetime]] = OrderedDict()

    def get(self, place: tuple[str, bytes], at: datetime) -> tuple[KeyIdentity | None, bool]:
        """→ (what was found then, whether it was looked up lately)."""
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


# --- people who sign in


def create_account(email: str, password: str | None, role: str, user_id: str) -> Account:
    """An account, and its user if that is not there yet. Raises ValueError for an unusable e-mail, role or password."""
    address = _email_key(email)
    if address is None or "@" not in address:
        raise ValueError("the e-mail address is not usable")
    if role not in ROLES:
        raise ValueError(f"no such role: {role}")
    password_hash = None if password is None else hash_password(password)
    with transaction() as session:
        if session.get(User, user_id) is None:
            session.add(User(id=user_id))
            session.flush()
        account = Account(email=address, password_hash=password_hash, role=role, user_id=user_id)
        session.add(account)
        audit.write("account.created", address, after={"role": role, "user": user_id})
    return account


def set_password(account_id: UUID, password: str) -> None:
    """Signs them out everywhere: whoever knew the old one is out. Raises ValueError for one that cannot be used."""
    password_hash = hash_password(password)
    with transaction() as session:
        email, role = session.execute(
            sa.update(Account)
            .where(Account.id == account_id)
            .values(password_hash=password_hash)
            .returning(Account.email, Account.role)
        ).one()
        sessions.end_all(account_id)
        if role in CONSOLE_ROLES:
            audit.write("account.password_changed", email)


def check_password(email: str, password: str) -> Account | None:
    """The account, if it may sign in with that password. Takes as long for an e-mail that nobody has."""
    address = _email_key(email)
    # The same work for everybody: one question, and one comparison.
    row = db.session.execute(
        sa.select(Account.id, Account.password_hash).where(Account.email == (address or ""), _IS_ACTIVE)
    ).first()
    # The answer of the database is let go: hashing takes a while, and nothing should be held meanwhile.
    db.session.rollback()
    stored = row.password_hash if row is not None else None
    given = _password_bytes(password)
    try:
        with _comparing:
            try:
                _passwords.verify(stored or _NOBODYS_HASH, given if given is not None else b"")
            finally:
                time.sleep(_TIME_OF_OTHERS_S)
    except VerificationError:
        return None
    if row is None or stored is None or given is None:
        return None
    if _passwords.check_needs_rehash(stored):
        with transaction() as session:
            # Only while the old one still stands: a password changed meanwhile wins.
            unchanged = (Account.id == row.id, Account.password_hash == stored)
            session.execute(sa.update(Account).where(*unchanged).values(password_hash=_passwords.hash(given)))
    return db.session.scalar(
        sa.select(Account).where(Account.id == row.id, _IS_ACTIVE).execution_options(populate_existing=True)
    )


def hash_password(password: str) -> str:
    """Takes a while, so in no transaction. Raises ValueError for one that cannot be used."""
    given = _password_bytes(password)
    if not given:
        raise ValueError(f"a password has 1 to {_LONGEST_PASSWORD_BYTES} bytes")
    return _passwords.hash(given)


def _password_bytes(password: str) -> bytes | None:
    given = password.encode("utf-8", "surrogatepass")
    return given if len(given) <= _LONGEST_PASSWORD_BYTES else None


def _email_key(email: str) -> str | None:
    """As `account.email` holds it; None for what no account can have."""
    email = email.strip().lower()
    is_text = "\0" not in email and not any("\ud800" <= letter <= "\udfff" for letter in email)
    return email if is_text and 0 < len(email) <= _LONGEST_EMAIL else None
