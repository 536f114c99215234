"""Roles in the console, and disabled accounts: changed by admins.

Called by the accounts page, by `access.invitations` and `access.openid_accounts`. One active admin always remains.
Admins cannot change themselves. Both accounts are checked under locks that every such change takes in the same order,
so if two admins demote each other at once, the second one is no longer allowed to.
"""

from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.access import sessions, wall_links
from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.database import retried, transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import Account, Invitation
from notifier.models.account import CONSOLE_ROLES, ROLES
from notifier.people import profiles

ADMIN = ROLES[-1]
_IS_ADMIN = sa.and_(Account.role == ADMIN, Account.disabled_at.is_(None))

log = structlog.get_logger()


@retried
def change(account_id: UUID, role: str, *, by: UUID) -> bool:
    """Gives an account a role, from the next request on. False if it has that role already. Raises Rejected."""
    if role not in ROLES:
        raise Rejected("validation_failed", f"the role must be one of {', '.join(ROLES)}")
    with transaction():
        account = _held(account_id, by)
        if account.role == role:
            return False
        _give(account, role)
    return True


@retried
def disable(account_id: UUID, *, by: UUID) -> bool:
    """The account cannot sign in any more, and all its sessions end for good. False if that was so before. Raises
    Rejected.
    """
    with transaction():
        account = _held(account_id, by)
        if account.disabled_at is not None:
            return False
        account.disabled_at = now()
        sessions.end_all(account.id)
        audit.write("account.disabled", account.email)
        _end_what_is_theirs(account)
    return True


@retried
def enable(account_id: UUID, *, by: UUID) -> bool:
    """False if it was not disabled. Raises Rejected."""
    with transaction():
        account = _held(account_id, by)
        if account.disabled_at is None:
            return False
        account.disabled_at = None
        audit.write("account.enabled", account.email)
    return True


def follow(account_id: UUID, role: str) -> None:
    """The provider gives the account that role, from now on; the last admin stays one. Inside the caller's
    transaction.
    """
    found = _lock(account_id)
    account = found[account_id]
    if account.role == role:
        return
    if account.role == ADMIN and not any(other.role == ADMIN for key, other in found.items() if key != account_id):
        log.warning("account.last_admin_kept", account=account.shown_id)
        return
    _give(account, role)


def must_be_admin(account_id: UUID) -> None:
    """The account is an admin, and stays one until the end of the running transaction. Raises Rejected."""
    if (
        db.session.scalar(sa.select(Account.id).where(Account.id == account_id, _IS_ADMIN).with_for_update(read=True))
        is None
    ):
        raise _lost_the_right()


def _held(account_id: UUID, by: UUID) -> Account:
    """That account, locked together with all active admins, `by` among them."""
    found = _lock(account_id)
    if by not in found or found[by].role != ADMIN or not found[by].is_active:
        raise _lost_the_right()
    if account_id not in found:
        raise Rejected("not_found", "there is no such account any more")
    if account_id == by:
        raise Rejected("conflict", "nobody can change their own role or disable themselves: ask another admin")
    return found[account_id]


def _lock(account_id: UUID) -> dict[UUID, Account]:
    statement = sa.select(Account).where(sa.or_(Account.id == account_id, _IS_ADMIN)).order_by(Account.id)
    locked = statement.with_for_update().execution_options(populate_existing=True)
    return {account.id: account for account in db.session.scalars(locked)}


def _give(account: Account, role: str) -> None:
    audit.write("account.role_changed", account.email, before={"role": account.role}, after={"role": role})
    if account.role not in CONSOLE_ROLES:
        profiles.let_tokens_end(account.user_id)
    account.role = role
    if role != ADMIN:
        _end_what_is_theirs(account)


def _lost_the_right() -> Rejected:
    return Rejected("conflict", "nothing was changed: you are no longer an admin")


def _end_what_is_theirs(account: Account) -> None:
    """A disabled or demoted admin no longer decides who comes in, or sees figures on a wall."""
    wall_links.end_those_of(account.email)
    is_open = (Invitation.invited_by == account.id, Invitation.used_at.is_(None), Invitation.withdrawn_at.is_(None))
    statement = (
        sa.update(Invitation).where(*is_open).values(withdrawn_at=now()).execution_options(synchronize_session=False)
    )
    for email, role in db.session.execute(statement.returning(Invitation.email, Invitation.role)).all():
        audit.write("account.invitation_withdrawn", email, before={"role": role, "invited_by": account.email})
