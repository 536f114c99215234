"""The second factor of those who work in the console: codes of an authenticator app (TOTP, RFC 6238), recovery codes.

Called by the pages of sign-in and second factor, by `web.access`, `realtime.door` and the commands. Each code works
once. A try at the sign-in is counted before it is compared, whatever address it comes from: only somebody who knows the
password can use up the tries. `web.reauthentication` counts those of each session apart, since its cookie may be
stolen.
"""

import base64
import hmac
import secrets
from datetime import timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from notifier.access import sessions
from notifier.core.errors import Fault, Rejected
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import insert, transaction
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.ground.languages import N_
from notifier.ledgers import audit
from notifier.models import Account, Authenticator, RecoveryCode

ISSUER = "Notifier"
STEP_S = 30
MOST_TRIES = 5  # then one in each WAIT
WAIT = timedelta(minutes=15)
RECOVERY_CODES = 10

_SECRET_BYTES = 20  # as RFC 4226 recommends
_DIGITS = 6
_CLOCKS_APART = (0, -1, 1)  # steps
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without those that look alike
_CODE_LENGTH = 12
_WRONG: Final = N_("That is not a valid code. Each code works once; the app shows a new one every 30 seconds.")


def is_missing(account: Account) -> bool:
    """Whether the account must have a second factor before it may work in the console, and has none."""
    least = current_settings().second_factor
    return least is not None and account.second_factor_at is None and account.has_role(least)


def begin(account_id: UUID) -> str:
    """→ the secret that the app is to learn, in base32; the same for as long as a sign-in is recent. Raises Rejected
    where there is a second factor already.
    """
    row = {"secret": _new_secret(), "created_at": now()}
    is_old = (Authenticator.confirmed_at.is_(None), Authenticator.created_at < now() - sessions.FRESH_FOR)
    with transaction() as session:
        session.execute(
            insert(Authenticator.__table__)
            .values(account_id=account_id, **row)
            .on_conflict_do_update(index_elements=["account_id"], set_=row, where=sa.and_(*is_old))
        )
        found = session.execute(
            sa.select(Authenticator.secret, Authenticator.confirmed_at).where(Authenticator.account_id == account_id)
        ).one()
    if found.confirmed_at is not None:
        raise Rejected("conflict", N_("You have a second factor already."))
    return str(found.secret)


def app_address(secret: str, email: str) -> str:
    """What the QR code says."""
    return _totp(secret).get_provisioning_uri(email, ISSUER)


def confirm(account_id: UUID, code: str, *, here: str) -> list[str]:
    """Takes up the second factor, and ends all sessions but the one `here`; → recovery codes, which nothing can show
    again. Raises Rejected.
    """
    begin(account_id)
    if not check(account_id, code):
        raise Rejected("validation_failed", _WRONG, (Fault("/code", "wrong_code", _WRONG),))
    codes = [_new_code() for _ in range(RECOVERY_CODES)]
    with transaction() as session:
        confirmed = session.execute(
            sa.update(Authenticator)
            .where(Authenticator.account_id == account_id, Authenticator.confirmed_at.is_(None))
            .values(confirmed_at=now())
            .returning(Authenticator.account_id)
        ).first()
        if confirmed is None:  # another request was faster
            raise Rejected("conflict", N_("You have a second factor already."))
        email = session.execute(
            sa.update(Account).where(Account.id == account_id).values(second_factor_at=now()).returning(Account.email)
        ).scalar_one()
        session.execute(sa.delete(RecoveryCode).where(RecoveryCode.account_id == account_id))
        session.add_all(RecoveryCode(digest=_digest(account_id, code), account_id=account_id) for code in codes)
        sessions.end_all(account_id, but=here)
        audit.write("account.second_factor_added", email)
    return codes


def check(account_id: UUID, text: str) -> bool:
    """As `use`, with the account's tries counted. Raises Rejected('rate_limited') after too many."""
    _count_try(account_id)
    return use(account_id, text)


def use(account_id: UUID, text: str) -> bool:
    """Whether it is a code of the app that has not been used, or a recovery code, which is used up. The caller limits
    the tries.
    """
    given = "".join(text.split()).replace("-", "").lower()
    secret = db.session.scalar(sa.select(Authenticator.secret).where(Authenticator.account_id == account_id))
    step = None if secret is None else _step_of(secret, given)
    with transaction() as session:
        if step is not None:
            unused = (Authenticator.account_id == account_id, Authenticator.last_step < step)
            values: dict[str, int] = {"last_step": step, "failures": 0}
            done = session.execute(
                sa.update(Authenticator).where(*unused).values(**values).returning(Authenticator.account_id)
            ).first()
            return done is not None
        used = session.execute(
            sa.delete(RecoveryCode)
            .where(RecoveryCode.digest == _digest(account_id, given), RecoveryCode.account_id == account_id)
            .returning(RecoveryCode.account_id)
        ).first()
        if used is None:
            return False
        session.execute(sa.update(Authenticator).where(Authenticator.account_id == account_id).values(failures=0))
        email = session.scalar(sa.select(Account.email).where(Account.id == account_id))
        audit.write("account.recovery_code_used", str(email))
    return True


def codes_left(account_id: UUID) -> int:
    return (
        db.session.scalar(
            sa.select(sa.func.count()).select_from(RecoveryCode).where(RecoveryCode.account_id == account_id)
        )
        or 0
    )


def remove(account_id: UUID, *, here: str | None = None) -> bool:
    """Also for somebody who has lost it. Ends the account's sessions, but the one `here`. False if there is none."""
    with transaction() as session:
        had = session.execute(
            sa.update(Account)
            .where(Account.id == account_id, Account.second_factor_at.is_not(None))
            .values(second_factor_at=None)
            .returning(Account.email)
        ).scalar()
        session.execute(sa.delete(Authenticator).where(Authenticator.account_id == account_id))
        session.execute(sa.delete(RecoveryCode).where(RecoveryCode.account_id == account_id))
        if had is not None:
            sessions.end_all(account_id, but=here)
            audit.write("account.second_factor_removed", had)
    return had is not None


def _count_try(account_id: UUID) -> None:
    """Raises Rejected."""
    at = now()
    with transaction() as session:
        counted = session.execute(
            sa.update(Authenticator)
            .where(
                Authenticator.account_id == account_id,
                sa.or_(Authenticator.failures < MOST_TRIES, Authenticator.tried_at < at - WAIT),
            )
            .values(failures=Authenticator.failures + 1, tried_at=at)
            .returning(Authenticator.account_id)
        ).first()
    if counted is None:
        raise Rejected(
            "rate_limited",
            N_("Too many attempts. Try again in a quarter of an hour."),
            retry_after=WAIT.total_seconds(),
        )


def _step_of(secret: str, given: str) -> int | None:
    """The step whose code it is, of those around now."""
    current, totp = int(now().timestamp()) // STEP_S, _totp(secret)
    steps = [current + apart for apart in _CLOCKS_APART]
    return next((s for s in steps if hmac.compare_digest(totp.generate(s * STEP_S), given.encode())), None)


def _totp(secret: str) -> TOTP:
    return TOTP(base64.b32decode(secret), _DIGITS, SHA1(), STEP_S)  # as every app has it


def _new_secret() -> str:
    return base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _new_code() -> str:
    letters = "".join(secrets.choice(_LETTERS) for _ in range(_CODE_LENGTH))
    return "-".join(letters[place : place + 4] for place in range(0, _CODE_LENGTH, 4))


def _digest(account_id: UUID, code: str) -> bytes:
    return vault.digest(f"recovery_code\0{account_id.hex}\0{code.replace('-', '')}")
