"""Recovery codes: each signs in once without the authenticator app and without a passkey.

Called by `access.second_factor`, which says when an account has some. Only keyed digests are kept.
"""

import secrets
from uuid import UUID

import sqlalchemy as sa

from notifier.access import staff_trail
from notifier.ground.database import transaction
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.models import Account, RecoveryCode

COUNT = 10
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without those that look alike
_LENGTH = 12


def replace(account_id: UUID) -> list[str]:
    """New ones instead of all before; nothing can show them again. Inside the caller's transaction."""
    codes = [_new() for _ in range(COUNT)]
    delete(account_id)
    db.session.add_all(
        RecoveryCode(digest=vault.newest(_digest(account_id, code)), account_id=account_id) for code in codes
    )
    return codes


def delete(account_id: UUID) -> None:
    """Inside the caller's transaction."""
    db.session.execute(sa.delete(RecoveryCode).where(RecoveryCode.account_id == account_id))


def use(account_id: UUID, text: str) -> bool:
    """Whether it is one of the account's, which is used up."""
    mine = (RecoveryCode.digest.in_(vault.forms(_digest(account_id, text))), RecoveryCode.account_id == account_id)
    with transaction() as session:
        if session.execute(sa.delete(RecoveryCode).where(*mine).returning(RecoveryCode.account_id)).first() is None:
            return False
        email, role = session.execute(sa.select(Account.email, Account.role).where(Account.id == account_id)).one()
        staff_trail.write(role, "account.recovery_code_used", email)
    return True


def left(account_id: UUID) -> int:
    theirs = RecoveryCode.account_id == account_id
    return db.session.scalar(sa.select(sa.func.count()).select_from(RecoveryCode).where(theirs)) or 0


def _new() -> str:
    letters = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
    return "-".join(letters[place : place + 4] for place in range(0, _LENGTH, 4))


def _digest(account_id: UUID, code: str) -> bytes:
    plain = "".join(code.split()).replace("-", "").lower()
    return vault.digest(f"recovery_code\0{account_id.hex}\0{plain}")
