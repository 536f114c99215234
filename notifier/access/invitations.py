"""Invitations to the console by e-mail: sent, sent again, withdrawn, accepted once, deleted after a while.

Called by the pages of accounts and invitations, and by the scheduler. As with sign-in links, only the mail contains the
secret; the database holds its SHA-256. Having the link proves that the mailbox is theirs, and nothing else is asked.
Accepting never lowers a role.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from notifier.access import roles, sign_in
from notifier.channels import addresses, serving
from notifier.core.errors import Fault, Rejected
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground import database
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import insert, retried, transaction
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.ledgers import audit
from notifier.models import Account, Address, Invitation, User
from notifier.models.account import CONSOLE_ROLES, ROLES
from notifier.people import profiles
from notifier.pipeline.intake import own

LIFETIME = timedelta(days=7)
TYPE = "account_invitation"
_CHANNEL = addresses.PRIMARY["email"]
_KEPT = timedelta(days=30)  # after its time, so that it can be sent again without being written again
_MADE_HERE = "account-"  # begins the ids of users who are made for an invitation

_IS_OPEN = sa.and_(Invitation.used_at.is_(None), Invitation.withdrawn_at.is_(None))


@dataclass(frozen=True, slots=True)
class Found:
    """The invitation behind a link. `state`: open, used, withdrawn, expired, or disabled (its account is). `had`: the
    role that the person already has.
    """

    state: str
    email: str
    role: str
    had: str | None
    invited_by: str | None


def invite(email: str, role: str, by: Account) -> None:
    """Sends an invitation. Raises Rejected, naming the field."""
    email, inviter = email.strip(), (by.id, by.email)
    if role not in CONSOLE_ROLES:
        raise _refused("role", f"choose one of {', '.join(CONSOLE_ROLES)}")
    try:
        value, key = serving.normalise(_CHANNEL, email), serving.normalise(_CHANNEL, email.lower())
    except ValueError as error:
        raise _refused("email", str(error)) from None
    secret = secrets.token_urlsafe(32)
    user_id, address = _store(email, value, key, role, inviter[0], secret)
    _send(user_id, address, role, inviter[1], secret)


@retried
def _store(email: str, value: str, key: str, role: str, by: UUID, secret: str) -> tuple[str, str]:
    with transaction() as session:
        at = now()
        roles.must_be_admin(by)
        account = session.execute(
            sa.select(Account.role, Account.disabled_at).where(Account.email == email.lower())
        ).first()
        if account is not None and account.disabled_at is not None:
            raise _refused("email", "the account with that e-mail is disabled: enable it instead")
        if account is not None and ROLES.index(account.role) >= ROLES.index(role):
            raise _refused("email", f"somebody with that e-mail already has the role {account.role}")
        whom = sign_in.find_whom(email)
        user_id, address = (whom.user_id, whom.address) if whom else (new_user(value), value)
        digest = addresses.digest_of(_CHANNEL, key)
        if vault.is_changing_digests:  # else the index decides alone
            there = sa.select(Invitation.id).where(Invitation.email_digest.in_(vault.forms(digest)), _IS_OPEN)
            if session.scalar(there.limit(1)) is not None:
                raise _has_one()
        row = {
            "id": new_id(),
            "email": email,
            "email_digest": vault.newest(digest),
            "digest": sign_in.digest_of(secret),
            "role": role,
        }
        row |= {"user_id": user_id, "invited_by": by, "expires_at": at + LIFETIME, "created_at": at}
        if (
            session.execute(
                insert(Invitation.__table__).values(**row).on_conflict_do_nothing().returning(Invitation.id)
            ).first()
            is None
        ):
            raise _has_one()
        audit.write("account.invited", email, after={"role": role})
    return user_id, address


def _has_one() -> Rejected:
    return _refused("email", "there is already an invitation to that e-mail: send it again, or withdraw it")


def new_user(value: str) -> str:
    """→ the id of a new user with that (normalised) e-mail. Inside the caller's transaction."""
    user_id = f"{_MADE_HERE}{secrets.token_hex(6)}"
    profiles.upsert([InlineRecipient(user_id)])
    sign_in.own_address(user_id, value)
    return user_id


@retried
def _renew(invitation_id: UUID, by: UUID, secret: str) -> tuple[str, str, str]:
    with transaction() as session:
        roles.must_be_admin(by)
        values = {"digest": sign_in.digest_of(secret), "expires_at": now() + LIFETIME, "invited_by": by}
        statement = (
            sa.update(Invitation)
            .where(Invitation.id == invitation_id, _IS_OPEN)
            .values(**values)
            .execution_options(synchronize_session=False)
        )
        row = session.execute(statement.returning(Invitation.email, Invitation.role, Invitation.user_id)).first()
        if row is None:
            raise Rejected("conflict", "it has been accepted or withdrawn in the meantime")
        audit.write("account.invited", row.email, after={"role": row.role, "again": True})
        return row.user_id, _address_of(row.user_id, row.email), row.role


def _address_of(user_id: str, email: str) -> str:
    whom = sign_in.find_whom(email)
    if whom is not None and whom.user_id == user_id:
        return whom.address
    address = serving.normalise(_CHANNEL, email)
    sign_in.own_address(user_id, address)
    return address


def send_again(invitation_id: UUID, by: Account) -> None:
    """Sends a new link, good for the whole time again; the link before it ends. Raises Rejected."""
    inviter, secret = (by.id, by.email), secrets.token_urlsafe(32)
    user_id, address, role = _renew(invitation_id, inviter[0], secret)
    _send(user_id, address, role, inviter[1], secret)


def _send(user_id: str, address: str, role: str, invited_by: str, secret: str) -> None:
    data = {
        "url": current_settings().link("invitation", secret),
        "role": role,
        "days": LIFETIME.days,
        "invited_by": invited_by,
    }
    own.submit(
        Submission(
            TYPE, (InlineRecipient(user_id, {"email": address}),), data, expires_in=int(LIFETIME.total_seconds())
        )
    )


@retried
def withdraw(invitation_id: UUID) -> bool:
    """Ends the invitation's link. False if it was accepted or withdrawn before."""
    with transaction() as session:
        statement = sa.update(Invitation).where(Invitation.id == invitation_id, _IS_OPEN).values(withdrawn_at=now())
        row = session.execute(
            statement.returning(Invitation.email, Invitation.role).execution_options(synchronize_session=False)
        ).first()
        if row is not None:
            audit.write("account.invitation_withdrawn", row.email, before={"role": row.role})
    return row is not None


def find(secret: str) -> Found | None:
    """None for an invitation that was never sent, or was deleted long ago."""
    statement = sa.select(Invitation, Account.email).outerjoin(Account, Account.id == Invitation.invited_by)
    row = db.session.execute(
        statement.where(Invitation.digest == sign_in.digest_of(secret)).execution_options(populate_existing=True)
    ).first()
    if row is None:
        return None
    invitation, invited_by = row
    theirs = db.session.execute(
        sa.select(Account.role, Account.disabled_at).where(Account.email == invitation.email.lower())
    ).first()
    if invitation.used_at is not None:
        state = "used"
    elif invitation.withdrawn_at is not None:
        state = "withdrawn"
    elif invitation.expires_at <= now():
        state = "expired"
    else:
        state = "disabled" if theirs is not None and theirs.disabled_at is not None else "open"
    return Found(state, invitation.email, invitation.role, theirs.role if theirs else None, invited_by)


@retried
def accept(secret: str, password_hash: str | None = None) -> Account | None:
    """Gives the invited person the invitation's role, unless theirs is higher. → the account; None when the invitation
    no longer works: `find` says why. Works once.

    The password is for a new account; an existing account keeps its own. Raises Rejected for a disabled account.
    """
    with transaction() as session:
        usable = (Invitation.digest == sign_in.digest_of(secret), _IS_OPEN, Invitation.expires_at > now())
        statement = (
            sa.update(Invitation).where(*usable).values(used_at=now()).execution_options(synchronize_session=False)
        )
        used = session.execute(statement.returning(Invitation.email, Invitation.role, Invitation.user_id)).first()
        if used is None:
            return None
        _add_account(used.email, used.role, used.user_id, password_hash)
        sign_in.confirm(used.user_id, used.email)
        account = session.scalars(sa.select(Account).where(Account.email == used.email.lower()).with_for_update()).one()
        if not account.is_active:
            raise Rejected("conflict", "the account with this e-mail is disabled")
        if not account.has_role(used.role):
            audit.write("account.role_changed", account.email, before={"role": account.role}, after={"role": used.role})
            if account.role not in CONSOLE_ROLES:
                profiles.let_tokens_end(account.user_id)
            account.role = used.role
    return account


def _add_account(email: str, role: str, user_id: str, password_hash: str | None) -> None:
    """Unless there is one."""
    key = email.lower()
    row = {
        "id": new_id(),
        "email": key,
        "role": role,
        "user_id": user_id,
        "password_hash": password_hash,
        "created_at": now(),
    }
    if (
        db.session.execute(
            insert(Account.__table__).values(**row).on_conflict_do_nothing().returning(Account.id)
        ).first()
        is None
    ):
        return
    audit.write("account.created", key, after={"role": role, "user": user_id, "by": "invitation"})
    profiles.let_tokens_end(user_id)
    if (
        db.session.scalar(
            sa.select(Address.id).where(Address.user_id == user_id, Address.channel == _CHANNEL, Address.is_primary)
        )
        is None
    ):
        profiles.upsert([InlineRecipient(user_id, {"email": email})])  # alerts find them there


def prune() -> int:
    """Deletes invitations that ended long ago, and the users made for people who never came; → how many. Called by the
    scheduler.
    """
    is_old = Invitation.expires_at < now() - _KEPT
    has_account = sa.exists().where(Account.user_id == Invitation.user_id)
    # Producers may begin ids like that, too: such a person was there before.
    is_made_for_it = sa.exists().where(User.id == Invitation.user_id, User.created_at >= Invitation.created_at)
    never_came = db.session.scalars(
        sa.select(Invitation.user_id).where(
            is_old, Invitation.user_id.startswith(_MADE_HERE), is_made_for_it, ~has_account
        )
    ).all()
    for user_id in never_came:  # their invitations go with them: whoever dies here finds the others the next time
        profiles.erase(user_id)
    return len(never_came) + database.prune(Invitation.__table__, is_old)


def _refused(field: str, sentence: str) -> Rejected:
    return Rejected("validation_failed", sentence, (Fault(f"/{field}", "invalid", sentence),))
