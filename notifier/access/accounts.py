"""Passwords of accounts: checked at the sign-in, changed, stored as argon2 hashes.

Called by the pages of sign-in, account and invitations, and by `operations.installation`. Every function that writes is
a transaction of its own, but for `add_account`. Knows nothing of requests or cookies; sessions are in
`access.sessions`, producers' keys in `access.keys`.
"""

import time
from threading import Lock
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from notifier.access import sessions, staff_trail
from notifier.ground.config import current_settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import Account, User
from notifier.models.account import CONSOLE_ROLES, ROLES
from notifier.people import profiles

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


def create_account(email: str, password: str | None, role: str, user_id: str) -> Account:
    """An account, and its user if that is not there yet. Raises ValueError for an unusable e-mail, role or password."""
    address = check_usable(email, password)
    if role not in ROLES:
        raise ValueError(f"no such role: {role}")
    password_hash = None if password is None else hash_password(password)
    with transaction():
        return add_account(address, password_hash, role, user_id)


def add_account(address: str, password_hash: str | None, role: str, user_id: str) -> Account:
    """The same of what `check_usable` and `hash_password` have made, inside the caller's transaction."""
    if db.session.get(User, user_id) is None:
        db.session.add(User(id=user_id))
        db.session.flush()
    elif role in CONSOLE_ROLES:
        profiles.let_tokens_end(user_id)
    account = Account(email=address, password_hash=password_hash, role=role, user_id=user_id)
    db.session.add(account)
    audit.write("account.created", address, after={"role": role, "user": user_id})
    return account


def check_usable(email: str, password: str | None) -> str:
    """→ the e-mail as it is stored. Raises ValueError for what no account can have; nothing is stored here."""
    address = _email_key(email)
    if address is None or "@" not in address:
        raise ValueError("the e-mail address is not valid")
    if password is not None:
        _usable(password)
    return address


def set_password(account_id: UUID, password: str) -> None:
    """Sets a password and ends all sessions: anybody who knew the old one is out. Raises ValueError for an unusable
    password.
    """
    password_hash = hash_password(password)
    with transaction() as session:
        email, role = session.execute(
            sa.update(Account)
            .where(Account.id == account_id)
            .values(password_hash=password_hash)
            .returning(Account.email, Account.role)
        ).one()
        sessions.end_all(account_id)
        staff_trail.write(role, "account.password_changed", email)


def find(account_id: UUID) -> Account | None:
    """None for an account that may not sign in."""
    return db.session.scalar(
        sa.select(Account).where(Account.id == account_id, _IS_ACTIVE).execution_options(populate_existing=True)
    )


def may_sign_in_here(email: str) -> bool:
    """Whether the account may sign in by itself, and not only with the OpenID provider."""
    allowed = current_settings().local_sign_in
    return allowed is None or email.strip().lower() in allowed


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
        anew = _passwords.hash(given)
        with transaction() as session:
            # Only if the old hash is still stored: a password changed meanwhile wins.
            unchanged = (Account.id == row.id, Account.password_hash == stored)
            session.execute(sa.update(Account).where(*unchanged).values(password_hash=anew))
    return db.session.scalar(
        sa.select(Account).where(Account.id == row.id, _IS_ACTIVE).execution_options(populate_existing=True)
    )


def hash_password(password: str) -> str:
    """Takes a while, so never call it in a transaction. Raises ValueError for an unusable password."""
    return _passwords.hash(_usable(password))


def _usable(password: str) -> bytes:
    given = _password_bytes(password)
    if not given:
        raise ValueError(f"a password must have 1 to {_LONGEST_PASSWORD_BYTES} bytes")
    return given


def _password_bytes(password: str) -> bytes | None:
    given = password.encode("utf-8", "surrogatepass")
    return given if len(given) <= _LONGEST_PASSWORD_BYTES else None


def _email_key(email: str) -> str | None:
    """As `account.email` holds it; None for what no account can have."""
    email = email.strip().lower()
    is_text = "\0" not in email and not any("\ud800" <= letter <= "\udfff" for letter in email)
    return email if is_text and 0 < len(email) <= _LONGEST_EMAIL else None
