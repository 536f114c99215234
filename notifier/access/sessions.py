"""Who is signed in, in which browser: a row for each session, whose id is in the browser's signed cookie.

Without its row a cookie is worthless, so deleting the row ends every copy of the cookie. Called by the pages of
sign-in, account and invitations, by `realtime.door`, by `access.roles` and `access.accounts` (which end sessions) and
by the scheduler. A request reads its session and account in one statement, and writes nothing.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from notifier.access import staff_trail
from notifier.ground import database
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Account, AccountSession

KEY = "session_id"  # by which the cookie holds the id
LIFETIME = timedelta(days=14)
PROVIDER_LIFETIME = timedelta(hours=12)  # the provider may have let the person go
# Ways to sign in
PASSWORD, LINK, INVITATION, PASSKEY, PROVIDER = "password", "link", "invitation", "passkey", "provider"
BY_MAIL = (LINK, INVITATION)  # sign-ins that prove who has the mailbox
FRESH_FOR = timedelta(minutes=15)
PROVEN_FOR = timedelta(minutes=10)  # after which secrets, roles and erasure ask again who it is

_ID = re.compile("[0-9a-f]{32}")
_LOOK_UP = sa.select(AccountSession.id, Account).join(Account, Account.id == AccountSession.account_id)


def begin(
    account: Account,
    way: str,
    *,
    device: str | None = None,
    instead_of: str | None = None,
    proven_at: datetime | None = None,
    id_token: str | None = None,
) -> str:
    """→ the id of a new session, as text; `instead_of`: the browser's session until now, which ends. `proven_at` and
    `id_token`: of a sign-in with the provider, which may have asked the person long ago.

    Sign-ins of people with a console role are written to the audit trail; those of others would only fill it, and their
    e-mail could not be erased there.
    """
    at = now()
    with transaction() as session:
        session.execute(sa.update(Account).where(Account.id == account.id).values(signed_in_at=at))
        is_provider = way == PROVIDER
        times = {"proven_at": proven_at if is_provider else at, "created_at": at}
        times["expires_at"] = at + (PROVIDER_LIFETIME if is_provider else LIFETIME)
        begun = AccountSession(account_id=account.id, way=way, device=device, id_token=id_token, **times)
        session.add(begun)
        if instead_of is not None:
            session.execute(sa.delete(AccountSession).where(AccountSession.id.in_(_ids([instead_of]))))
        staff_trail.write(account.role, "account.signed_in", account.email, after={"by": way})
    return begun.id.hex


def find(session_id: object) -> Account | None:
    """The owner of a session; None if it has ended, or the account may not sign in any more. One statement."""
    return find_many([session_id] if isinstance(session_id, str) else []).get(str(session_id))


def find_many(session_ids: Iterable[str]) -> dict[str, Account]:
    """Session → account, of those that have not ended. One statement."""
    ids = _ids(session_ids)
    if not ids:
        return {}
    good = (AccountSession.id.in_(ids), AccountSession.expires_at > now(), Account.disabled_at.is_(None))
    return {
        row.id.hex: row.Account
        for row in db.session.execute(_LOOK_UP.where(*good).execution_options(populate_existing=True))
    }


def of_account(account_id: UUID) -> list[AccountSession]:
    """The account's sessions, the latest first."""
    theirs = (AccountSession.account_id == account_id, AccountSession.expires_at > now())
    return list(db.session.scalars(sa.select(AccountSession).where(*theirs).order_by(AccountSession.id.desc())))


def is_recent(session: AccountSession) -> bool:
    """Whether the person has signed in just now: an unattended browser, or a copy of its cookie, is older."""
    return session.created_at > now() - FRESH_FOR


def is_proven(session_id: object) -> bool:
    """Whether the owner of the session has shown who they are in the last minutes: by signing in, or when asked again.
    A copy of its cookie counts as much, so it is for minutes only.
    """
    ids = _ids([session_id] if isinstance(session_id, str) else [])
    proven_at = db.session.scalar(sa.select(AccountSession.proven_at).where(AccountSession.id.in_(ids)))
    return proven_at is not None and proven_at > now() - PROVEN_FOR


def prove(session_id: object) -> None:
    """The owner of the session has just shown who they are."""
    ids = _ids([session_id] if isinstance(session_id, str) else [])
    with transaction() as session:
        session.execute(sa.update(AccountSession).where(AccountSession.id.in_(ids)).values(proven_at=now()))


def of_provider(session_id: object) -> tuple[bool, str | None]:
    """Whether the session began with the provider, and the token that it then gave."""
    ids = _ids([session_id] if isinstance(session_id, str) else [])
    found = db.session.execute(
        sa.select(AccountSession.way, AccountSession.id_token).where(AccountSession.id.in_(ids))
    ).first()
    return (False, None) if found is None else (found.way == PROVIDER, found.id_token)


def is_fresh_by_mail(session: AccountSession) -> bool:
    """Whether the person has just shown that the mailbox is theirs, which is as good as the old password."""
    return session.way in BY_MAIL and is_recent(session)


def end(session_id: object) -> None:
    """Ends a session; an unknown id is ignored."""
    ids = _ids([session_id] if isinstance(session_id, str) else [])
    if ids:
        with transaction() as session:
            session.execute(sa.delete(AccountSession).where(AccountSession.id.in_(ids)))


def end_own(account: Account, session_id: str) -> bool:
    """Ends one of the account's sessions. False for one that is over, or somebody else's."""
    ids = _ids([session_id])
    with transaction() as session:
        ended = session.execute(
            sa.delete(AccountSession)
            .where(AccountSession.id.in_(ids), AccountSession.account_id == account.id)
            .returning(AccountSession.id)
        ).first()
        if ended is not None:
            staff_trail.write(account.role, "account.session_ended", account.email)
    return ended is not None


def end_all(account_id: UUID, *, but: str | None = None) -> None:
    """Signs the account out everywhere, or everywhere but in one session. Inside the caller's transaction."""
    kept = _ids([but] if but is not None else [])
    db.session.execute(
        sa.delete(AccountSession)
        .where(AccountSession.account_id == account_id, AccountSession.id.not_in(kept))
        .execution_options(synchronize_session=False)
    )


def sign_out_everywhere(account: Account) -> None:
    with transaction():
        end_all(account.id)
        staff_trail.write(account.role, "account.signed_out_everywhere", account.email)


def prune() -> int:
    """Forgets the sessions whose time is over; → how many. Called by the scheduler."""
    return database.prune(AccountSession.__table__, AccountSession.expires_at <= now())


def _ids(texts: Iterable[str]) -> list[UUID]:
    """The valid ids among the texts."""
    return [UUID(hex=text) for text in texts if _ID.fullmatch(text)]
