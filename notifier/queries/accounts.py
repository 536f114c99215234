"""Accounts and open invitations for the console's list."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.ids import parse
from notifier.models import Account, Invitation
from notifier.models.account import CONSOLE_ROLES, ROLES

PAGE_SIZE = 50
# What a list can be narrowed or widened to; by itself it shows who may look into the console
SHOWN = ("all", "disabled", *ROLES)
_LONGEST_EMAIL = 254
_MOST_INVITATIONS = 100


@dataclass(frozen=True, slots=True)
class Invited:
    invitation: Invitation
    invited_by: str | None
    has_expired: bool


def page(text: str = "", shown: str = "", after: str | None = None) -> tuple[Sequence[Account], str | None]:
    """Sorted by e-mail; `text` is a part of it. → the accounts, and the cursor of the next page."""
    statement = sa.select(Account).order_by(Account.email).limit(PAGE_SIZE + 1)
    if shown == "disabled":
        statement = statement.where(Account.disabled_at.is_not(None))
    elif shown in ROLES:
        statement = statement.where(Account.role == shown)
    elif shown != "all":
        statement = statement.where(Account.role.in_(CONSOLE_ROLES))
    if text:
        statement = statement.where(Account.email.contains(text.lower(), autoescape=True))
    if after:
        statement = statement.where(Account.email > after[:_LONGEST_EMAIL].replace("\0", ""))
    rows = db.session.scalars(statement.execution_options(populate_existing=True)).all()
    return rows[:PAGE_SIZE], rows[PAGE_SIZE - 1].email if len(rows) > PAGE_SIZE else None


def one(account_id: str) -> Account:
    """Raises Rejected('not_found')."""
    account = db.session.get(Account, parse("acc", account_id), populate_existing=True)
    if account is None:
        raise Rejected("not_found", f"there is no account {account_id[:80]!r}")
    return account


def invitations() -> list[Invited]:
    """Invitations neither accepted nor withdrawn, the newest first."""
    return _invited(_is_open().order_by(Invitation.id.desc()).limit(_MOST_INVITATIONS))


def invitation(invitation_id: str) -> Invited:
    """One open invitation. Raises Rejected('not_found')."""
    found = _invited(_is_open().where(Invitation.id == parse("inv", invitation_id)))
    if not found:
        raise Rejected("not_found", f"there is no open invitation {invitation_id[:80]!r}")
    return found[0]


def _is_open() -> "sa.Select[Invitation, str]":
    joined = sa.select(Invitation, Account.email).outerjoin(Account, Account.id == Invitation.invited_by)
    return joined.where(Invitation.used_at.is_(None), Invitation.withdrawn_at.is_(None))


def _invited(statement: "sa.Select[Invitation, str]") -> list[Invited]:
    rows = db.session.execute(statement.execution_options(populate_existing=True))
    return [Invited(invitation, invited_by, invitation.expires_at <= now()) for invitation, invited_by in rows]
