"""The second factor of accounts: codes of an authenticator app (TOTP, RFC 6238), passkeys, recovery codes.

Called by the pages of sign-in and second factor, by `access.passkeys`, `web.access`, `realtime.door` and the commands.
An account has a second factor while it has an app or a passkey; the recovery codes are for both. Each code works once.
Whoever calls `use` limits the tries (`web.throttle`).
"""

import base64
import hmac
import secrets
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from notifier.access import recovery_codes, sessions, staff_trail
from notifier.core.errors import Fault, Rejected
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import insert, transaction
from notifier.ground.extensions import db
from notifier.ground.languages import N_
from notifier.ledgers import audit
from notifier.models import Account, Authenticator, Passkey

ISSUER = "Notifier"
STEP_S = 30

_SECRET_BYTES = 20  # as RFC 4226 recommends
_DIGITS = 6
_CLOCKS_APART = (0, -1, 1)  # steps
_WRONG: Final = N_("That is not a valid code. Each code works once; the app shows a new one every 30 seconds.")


def is_missing(account: Account) -> bool:
    """Whether the account must have a second factor before it may work in the console, and has none."""
    least = current_settings().second_factor
    return least is not None and account.second_factor_at is None and account.has_role(least)


def has_app(account_id: UUID) -> bool:
    confirmed = (Authenticator.account_id == account_id, Authenticator.confirmed_at.is_not(None))
    return db.session.scalar(sa.select(Authenticator.account_id).where(*confirmed)) is not None


def begin(account_id: UUID) -> str:
    """→ the secret that the app is to learn, in base32; the same for as long as a sign-in is recent. Raises Rejected
    where there is an app already.
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
        raise _has_one()
    return str(found.secret)


def app_address(secret: str, email: str) -> str:
    """What the QR code says."""
    return _totp(secret).get_provisioning_uri(email, ISSUER)


def confirm(account_id: UUID, code: str, *, here: str) -> list[str]:
    """Takes up the app, and ends all sessions but the one `here`; → recovery codes, or none where the account has some
    already. Raises Rejected.
    """
    begin(account_id)
    if not _use_app(account_id, _plain(code), is_confirmed=False):
        raise Rejected("validation_failed", _WRONG, (Fault("/code", "wrong_code", _WRONG),))
    with transaction() as session:
        hold(account_id)
        confirmed = session.execute(
            sa.update(Authenticator)
            .where(Authenticator.account_id == account_id, Authenticator.confirmed_at.is_(None))
            .values(confirmed_at=now())
            .returning(Authenticator.account_id)
        ).first()
        if confirmed is None:  # another request was faster
            raise _has_one()
        return turn_on(account_id, "account.second_factor_added", here=here)


def use(account_id: UUID, text: str) -> bool:
    """Whether it is a code of the app that has not been used, or a recovery code, which is used up."""
    return _use_app(account_id, _plain(text), is_confirmed=True) or recovery_codes.use(account_id, text)


def renew_codes(account_id: UUID) -> list[str]:
    """New recovery codes, instead of those before. None where there is no second factor."""
    with transaction():
        account = hold(account_id)
        if account.second_factor_at is None:
            return []
        staff_trail.write(account.role, "account.recovery_codes_renewed", account.email)
        return recovery_codes.replace(account_id)


def remove_app(account_id: UUID, *, here: str) -> bool:
    """Ends the account's other sessions. False if there was none."""
    with transaction() as session:
        hold(account_id)
        gone = session.execute(
            sa.delete(Authenticator)
            .where(Authenticator.account_id == account_id, Authenticator.confirmed_at.is_not(None))
            .returning(Authenticator.account_id)
        ).first()
        if gone is not None:
            turn_off_unless_left(account_id, "account.second_factor_removed", here=here)
    return gone is not None


def remove(account_id: UUID) -> bool:
    """All of it, for somebody who has lost it, by an admin or the command line. Ends the account's sessions. False if
    there is none.
    """
    with transaction() as session:
        account = hold(account_id)
        had = account.second_factor_at is not None
        for table in (Authenticator, Passkey):
            session.execute(sa.delete(table).where(table.account_id == account_id))
        recovery_codes.delete(account_id)
        account.second_factor_at = None
        if had:
            sessions.end_all(account_id)
            audit.write("account.second_factor_removed", account.email)
    return had


def turn_on(account_id: UUID, action: str, *, here: str) -> list[str]:
    """Inside the transaction that has stored an app or a passkey. Where it is the first, all sessions but the one
    `here` end; → the recovery codes.
    """
    account = hold(account_id)
    staff_trail.write(account.role, action, account.email)
    if account.second_factor_at is not None:
        return []
    account.second_factor_at = now()
    sessions.end_all(account_id, but=here)
    return recovery_codes.replace(account_id)


def turn_off_unless_left(account_id: UUID, action: str, *, here: str) -> None:
    """Inside the transaction that has deleted an app or a passkey. Ends all sessions but the one `here`."""
    account = hold(account_id)
    staff_trail.write(account.role, action, account.email)
    sessions.end_all(account_id, but=here)
    theirs = sa.select(Passkey.id).where(Passkey.account_id == account_id).limit(1)
    if not has_app(account_id) and db.session.scalar(theirs) is None:
        account.second_factor_at = None
        recovery_codes.delete(account_id)


def hold(account_id: UUID) -> Account:
    """Two who take away one factor each must not both find the other's. Everybody locks the account before what it has,
    and not against those who only refer to it: so nobody waits for somebody who waits for them.
    """
    statement = sa.select(Account).where(Account.id == account_id).with_for_update(key_share=True)
    return db.session.scalars(statement.execution_options(populate_existing=True)).one()


def _use_app(account_id: UUID, given: str, *, is_confirmed: bool) -> bool:
    """An app that is only being set up answers no question but that one."""
    mine = (Authenticator.account_id == account_id, Authenticator.confirmed_at.is_not(None) == is_confirmed)
    secret = db.session.scalar(sa.select(Authenticator.secret).where(*mine))
    step = None if secret is None else _step_of(secret, given)
    if step is None:
        return False
    unused = (*mine, Authenticator.last_step < step)
    with transaction() as session:
        statement = sa.update(Authenticator).where(*unused).values(last_step=step)
        return session.execute(statement.returning(Authenticator.account_id)).first() is not None


def _has_one() -> Rejected:
    return Rejected("conflict", N_("You have an authenticator app already."))


def _plain(text: str) -> str:
    return "".join(text.split())


def _step_of(secret: str, given: str) -> int | None:
    """The step whose code it is, of those around now."""
    current, totp = int(now().timestamp()) // STEP_S, _totp(secret)
    steps = [current + apart for apart in _CLOCKS_APART]
    return next((s for s in steps if hmac.compare_digest(totp.generate(s * STEP_S), given.encode())), None)


def _totp(secret: str) -> TOTP:
    return TOTP(base64.b32decode(secret), _DIGITS, SHA1(), STEP_S)  # as every app has it


def _new_secret() -> str:
    return base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode()
