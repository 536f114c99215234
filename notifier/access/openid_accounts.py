"""Whose account somebody of the OpenID provider has here: found, connected, made; and the role the provider gives.

Called by the pages of sign-in and account. An account is found by issuer and subject alone. The e-mail counts once,
when the two meet for the first time, and only if the provider has verified it: then it gives an account to somebody
new, or leads to one that nothing else protects. An account with a password, a second factor or a role in the console
is connected by its owner, signed in here, unless LOCAL_SIGN_IN keeps the owner from that (docs/accounts.md).
"""

from typing import Final

import sqlalchemy as sa
import structlog

from notifier.access import accounts, roles, sessions, sign_in, staff_trail
from notifier.access.invitations import new_user
from notifier.access.openid import Identity
from notifier.access.openid_provider import Refused
from notifier.channels import addresses, serving
from notifier.core.roles import ClaimMissing, RoleRule
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import insert, retried, transaction
from notifier.ground.extensions import db
from notifier.ground.languages import N_
from notifier.ledgers import audit
from notifier.models import Account, Address, OpenIdIdentity
from notifier.models.account import CONSOLE_ROLES
from notifier.people import profiles

_CHANNEL = addresses.PRIMARY["email"]
_NO_ROLE: Final = N_("%(name)s gives you no access to this site. Ask an admin.")
_NO_CLAIM: Final = N_("%(name)s does not say what you may do here: “%(claim)s” is missing. Tell an admin.")
_NO_EMAIL: Final = N_("%(name)s does not say that your e-mail address is verified. Tell an admin.")
_CONNECT: Final = N_(
    "There is an account with your e-mail address already. Sign in as before, and connect it with %(name)s on the page"
    " of your account."
)
_DISABLED: Final = N_("Your account here is disabled. Ask an admin.")
_TAKEN: Final = N_("That account of %(name)s is connected with another account here.")

log = structlog.get_logger()


def sign_in_as(identity: Identity, rule: RoleRule | None) -> Account:
    """The account, with the role that the provider gives now. Raises Refused."""
    try:
        role = rule.role_of(identity.claims) if rule else None
    except ClaimMissing as error:
        raise Refused(_NO_CLAIM, "claim_missing", str(error)) from None
    with audit.acting_as(identity.issuer[:200]):
        account = _find_or_make(identity, rule, role)
    if account is None:
        raise Refused(_NO_ROLE, "no_role")
    return account


@retried
def _find_or_make(identity: Identity, rule: RoleRule | None, role: str | None) -> Account | None:
    """None: the provider gives no role, and the account has none any more. Raises Refused."""
    with transaction() as session:
        account = _known(identity)
        is_out = rule is not None and role is None
        if account is None and is_out:
            return None
        if account is None:
            account = _meet(identity, role or "person")
        if not account.is_active:
            raise Refused(_DISABLED, "disabled")
        if rule is not None:
            roles.follow(account.id, role or "person")
        if is_out:
            sessions.end_all(account.id)
            return None
        session.execute(sa.update(OpenIdIdentity).where(*_is(identity)).values(used_at=now()))
        return session.get(Account, account.id, populate_existing=True)


def of_account(account_id: object) -> OpenIdIdentity | None:
    """Whom of a provider the account is connected with."""
    theirs = sa.select(OpenIdIdentity).where(OpenIdIdentity.account_id == account_id).limit(1)
    return db.session.scalar(theirs.execution_options(populate_existing=True))


@retried
def connect(account: Account, issuer: str, subject: str) -> None:
    """The owner of both wants them connected. Raises Refused."""
    account_id, email, role = account.id, account.email, account.role
    with transaction() as session:
        row = {"issuer": issuer, "subject": subject, "account_id": account_id, "created_at": now()}
        session.execute(insert(OpenIdIdentity.__table__).values(**row).on_conflict_do_nothing())
        mine = (OpenIdIdentity.issuer == issuer, OpenIdIdentity.subject == subject)
        if session.scalar(sa.select(OpenIdIdentity.account_id).where(*mine)) != account_id:
            raise Refused(_TAKEN, "taken")
        staff_trail.write(role, "account.provider_connected", email)


def disconnect(account: Account) -> bool:
    """False if it was not connected."""
    account_id, email, role = account.id, account.email, account.role
    with transaction() as session:
        gone = session.execute(
            sa.delete(OpenIdIdentity).where(OpenIdIdentity.account_id == account_id).returning(OpenIdIdentity.subject)
        ).first()
        if gone is not None:
            staff_trail.write(role, "account.provider_disconnected", email)
    return gone is not None


def _is(identity: Identity) -> tuple[sa.ColumnElement[bool], ...]:
    return OpenIdIdentity.issuer == identity.issuer, OpenIdIdentity.subject == identity.subject


def _known(identity: Identity) -> Account | None:
    joined = sa.select(Account).join(OpenIdIdentity, OpenIdIdentity.account_id == Account.id)
    return db.session.scalar(joined.where(*_is(identity)).execution_options(populate_existing=True))


def _meet(identity: Identity, role: str) -> Account:
    """The account of somebody who comes for the first time. Raises Refused."""
    email = identity.email
    if email is None:
        raise Refused(_NO_EMAIL, "email_not_verified")
    try:
        value, key = serving.normalise(_CHANNEL, email), email.strip().lower()
    except ValueError:
        raise Refused(_NO_EMAIL, "email_unusable") from None
    account = db.session.scalar(sa.select(Account).where(Account.email == key).with_for_update())
    if account is not None and not account.is_active:
        raise Refused(_DISABLED, "disabled")
    if account is not None and _is_protected(account):
        raise Refused(_CONNECT, "protected")
    if account is None:
        account = _make(key, value, role)
    row = {"account_id": account.id, "issuer": identity.issuer, "subject": identity.subject, "created_at": now()}
    db.session.execute(sa.insert(OpenIdIdentity.__table__).values(**row))
    sign_in.confirm(account.user_id, email)
    return account


def _is_protected(account: Account) -> bool:
    """Whether it takes more than the mailbox, or gives more than an inbox. Where the provider alone signs in, all but
    the accounts for emergencies are its own: nobody could come to connect them.
    """
    if of_account(account.id) is not None:
        return True
    has_more = account.password_hash is not None or account.second_factor_at is not None
    return (has_more or account.role in CONSOLE_ROLES) and accounts.may_sign_in_here(account.email)


def _make(email: str, value: str, role: str) -> Account:
    whom = sign_in.find_whom(email)
    user_id = whom.user_id if whom is not None else new_user(value)
    account = Account(email=email, role=role, user_id=user_id)
    db.session.add(account)
    db.session.flush()
    is_staff = role in CONSOLE_ROLES
    # The e-mail of somebody without a role could not be erased there
    audit.write("account.created", email if is_staff else user_id, after={"role": role, "by": "OpenID provider"})
    if is_staff:
        profiles.let_tokens_end(user_id)
    has_email = sa.select(Address.id).where(Address.user_id == user_id, Address.channel == _CHANNEL, Address.is_primary)
    if db.session.scalar(has_email) is None:
        profiles.upsert([InlineRecipient(user_id, {"email": value})])
    return account
