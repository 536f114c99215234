"""Sign-in by a link in a mail: created and sent, checked, used once, deleted after a while.

Called by the sign-in page, the scheduler and `access.invitations`. Only the mail contains the secret; the database
holds its SHA-256. The caller never learns whether anybody was found: the mail goes to the e-mail that was entered, or
nowhere.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.channels import addresses, serving
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground import database
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import insert, retried, transaction
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.ledgers import audit
from notifier.models import Account, Address, SignInLink
from notifier.people import redigesting
from notifier.pipeline.intake import own

LIFETIME = timedelta(minutes=15)
TYPE = "sign_in_link"
_CHANNEL = addresses.PRIMARY["email"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Whom:
    """The person who may sign in by an e-mail. `account_id` None: a person without an account, who gets one by using
    the link.

    `address`: the destination of the link. It is given with the message, not read from the person's addresses: a
    producer's key that changes these while the mail is waiting must not redirect it.
    """

    user_id: str
    account_id: UUID | None
    address: str


def send_link(email: str) -> None:
    """Mails a link to the account with that e-mail, or to the one person without an account who has confirmed it as
    theirs (`Address.confirmed_at`).
    """
    email, secret = email.strip(), secrets.token_urlsafe(32)
    whom = _store(email, digest_of(secret))
    if whom is None:
        log.info("sign_in.nobody_to_send_to")
        return
    lifetime_s = int(LIFETIME.total_seconds())
    data = {"url": current_settings().link("login", "link", secret), "minutes": lifetime_s // 60}
    own.submit(Submission(TYPE, (InlineRecipient(whom.user_id, {"email": whom.address}),), data, expires_in=lifetime_s))


def is_good(secret: str) -> bool:
    return db.session.scalar(sa.select(SignInLink.digest).where(*_usable(secret))) is not None


@retried
def redeem(secret: str) -> Account | None:
    """The person that the link signs in; None for a link that is forged, used or expired, or whose e-mail is no longer
    theirs. Works once.
    """
    with transaction() as session:
        statement = (
            sa.update(SignInLink)
            .where(*_usable(secret))
            .values(used_at=now())
            .execution_options(synchronize_session=False)
        )
        used = session.execute(statement.returning(SignInLink.account_id, SignInLink.user_id, SignInLink.email)).first()
        if used is None:
            return None
        if used.account_id is None:
            _give_account(used.user_id, used.email)
        theirs = (Account.email == used.email.lower(), Account.user_id == used.user_id, Account.disabled_at.is_(None))
        account = session.scalar(sa.select(Account).where(*theirs))
        if account is not None:
            confirm(used.user_id, used.email)
        return account


def prune() -> int:
    """Forgets the links that have expired; → how many. Called by the scheduler."""
    return database.prune(SignInLink.__table__, SignInLink.expires_at < now())


def _usable(secret: str) -> tuple[sa.ColumnElement[bool], ...]:
    return SignInLink.digest == digest_of(secret), SignInLink.used_at.is_(None), SignInLink.expires_at > now()


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


@retried
def _store(email: str, digest: bytes) -> Whom | None:
    with transaction() as session:
        whom = find_whom(email)
        if whom is not None:
            session.add(
                SignInLink(
                    digest=digest,
                    account_id=whom.account_id,
                    user_id=whom.user_id,
                    email=email,
                    expires_at=now() + LIFETIME,
                )
            )
    return whom


def find_whom(email: str) -> Whom | None:
    """The person who may sign in with that e-mail, or None. Inside a transaction: an account's address may have to be
    made.
    """
    key = email.lower()
    try:
        values = {serving.normalise(_CHANNEL, text) for text in (email, key)}
    except ValueError:
        return None
    account = db.session.execute(
        sa.select(Account.id, Account.user_id, Account.disabled_at).where(Account.email == key)
    ).first()
    if account is None:
        return _find_person(values)
    if account.disabled_at:
        return None
    address = serving.normalise(_CHANNEL, key)
    own_address(account.user_id, address)
    return Whom(account.user_id, account.id, address)


def own_address(user_id: str, value: str) -> None:
    """Makes sure that the user has an address of exactly that normalised value; using the link confirms it."""
    given = addresses.digest_of(_CHANNEL, value)
    redigesting.settle([given])
    row = {
        "id": new_id(),
        "user_id": user_id,
        "channel": _CHANNEL,
        "value": value,
        "digest": vault.newest(given),
        "masked": serving.mask(_CHANNEL, value),
    }
    db.session.execute(
        insert(Address.__table__).values(**row, is_primary=False, created_at=now()).on_conflict_do_nothing()
    )


def confirm(user_id: str, email: str) -> None:
    """Using a link that was sent to this address proves that the mailbox is theirs. Inside a transaction."""
    written = {serving.normalise(_CHANNEL, text) for text in (email, email.lower())}
    digests = {form for value in written for form in _forms(value)}
    mine = (Address.user_id == user_id, Address.digest.in_(digests))
    values = {"confirmed_at": now(), "verified_at": sa.func.coalesce(Address.verified_at, now())}
    db.session.execute(sa.update(Address).where(*mine).values(**values).execution_options(synchronize_session=False))


def _find_person(values: set[str]) -> Whom | None:
    """A person without any account: a producer's key could change the address of one who has an account, and lead us
    astray.
    """
    confirmed = (Address.is_primary, Address.confirmed_at.is_not(None), Address.disabled_at.is_(None))
    digests = {form: value for value in values for form in _forms(value)}
    found = db.session.execute(
        sa.select(Address.digest, Address.user_id).where(Address.digest.in_(digests), *confirmed)
    ).all()
    if (
        len(found) != 1
        or db.session.scalar(sa.select(Account.id).where(Account.user_id == found[0].user_id).limit(1)) is not None
    ):
        return None
    return Whom(found[0].user_id, None, digests[bytes(found[0].digest)])


def _forms(value: str) -> tuple[bytes, ...]:
    return vault.forms(addresses.digest_of(_CHANNEL, value))


def _give_account(user_id: str, email: str) -> None:
    """If the address is theirs still, and nobody has been faster."""
    whom = find_whom(email)
    if whom is not None and whom.user_id == user_id and whom.account_id is None:
        row = {"id": new_id(), "email": email.lower(), "role": "person", "user_id": user_id, "created_at": now()}
        if (
            db.session.execute(
                insert(Account.__table__).values(**row).on_conflict_do_nothing().returning(Account.id)
            ).first()
            is not None
        ):
            # An e-mail of theirs could not be erased there
            audit.write("account.created", user_id, after={"role": row["role"], "by": "sign-in link"})
