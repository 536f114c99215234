"""Accounts, sessions, second factors, invitations and sign-in links.

Every account has a user, so that alerts reach admins like everybody else.
"""

from datetime import datetime
from uuid import UUID

from flask_login import UserMixin
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from notifier.core import roles
from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.ground.ids import new_id, show
from notifier.models.types import EncryptedText, KeyedDigest, UtcDateTime

ROLES = roles.ALL
CONSOLE_ROLES = roles.OF_CONSOLE
_OPEN = "used_at IS NULL AND withdrawn_at IS NULL"


class Account(UserMixin, Base):  # type: ignore[misc]
    """`email` is kept lower-cased. `password_hash` is argon2id; None means no password sign-in. `second_factor_at`:
    since when signing in takes a second factor (None: it does not).
    """

    __tablename__ = "account"
    __table_args__ = (CheckConstraint(f"role IN {ROLES}", name="role"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(16), default="person")
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    second_factor_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    signed_in_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    @property
    def shown_id(self) -> str:
        return show("acc", self.id)

    @property
    def is_active(self) -> bool:
        return self.disabled_at is None

    def has_role(self, role: str) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)


class AccountSession(Base):
    """A browser in which somebody is signed in. `way`: how they proved who they are. `device`: `Firefox · Windows`.
    `proven_at`: when they last did. `id_token`: the OpenID provider's, for signing out there, too. When the session
    ends, the row is deleted.
    """

    __tablename__ = "account_session"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    way: Mapped[str] = mapped_column(String(16))
    device: Mapped[str | None] = mapped_column(String(64))
    proven_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    id_token: Mapped[str | None] = mapped_column(EncryptedText("account_session.id_token"), deferred=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class OpenIdIdentity(Base):
    """Whom an OpenID provider means by `subject`. The account is found by that alone, never again by its e-mail."""

    __tablename__ = "openid_identity"

    issuer: Mapped[str] = mapped_column(String(500), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Authenticator(Base):
    """An account's authenticator app (TOTP). `secret` is base32; the code of `last_step` and those before are used up.
    Before `confirmed_at` nobody is asked for it.
    """

    __tablename__ = "authenticator"

    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
    secret: Mapped[str] = mapped_column(EncryptedText("authenticator.secret"))
    last_step: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Passkey(Base):
    """A public key with which a device of the account's owner signs them in (WebAuthn). `sign_count`: how often the
    device says it has signed; one that is synchronised between devices does not count.
    """

    __tablename__ = "passkey"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    credential_id: Mapped[bytes] = mapped_column(LargeBinary(1023), unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    sign_count: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(60))
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    @property
    def shown_id(self) -> str:
        return show("psk", self.id)


class PasskeyChallenge(Base):
    """What a browser was asked to sign, once: the row is deleted with the answer. `digest` is the challenge's SHA-256.
    `account_id`: the only account that may answer; None: any, at the sign-in.
    """

    __tablename__ = "passkey_challenge"

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(8))
    account_id: Mapped[UUID | None] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class RecoveryCode(Base):
    """Signs in once without app and passkey; the row is deleted then. Only a keyed digest is kept."""

    __tablename__ = "recovery_code"

    digest: Mapped[bytes] = mapped_column(KeyedDigest, primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class SignInLink(Base):
    """A link by e-mail that signs somebody in, once. Only the SHA-256 of its secret is kept.

    `account_id` None: the person has no account yet, and gets one for `email` (as it was given) by using the link.
    """

    __tablename__ = "sign_in_link"

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    account_id: Mapped[UUID | None] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    email: Mapped[str] = mapped_column(EncryptedText("sign_in_link.email"))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Invitation(Base):
    """The link in a mail to `email` gives its user `role` here, once. Only the SHA-256 of its secret is stored; sending
    the invitation again makes another secret.

    `email_digest` is that of an address: an e-mail has one invitation at a time. `user_id`: the user the mail is for,
    who gets the account.
    """

    __tablename__ = "invitation"
    __table_args__ = (
        CheckConstraint(f"role IN {CONSOLE_ROLES}", name="role"),
        Index(
            "uq_invitation_open", "email_digest", unique=True, sqlite_where=text(_OPEN), postgresql_where=text(_OPEN)
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(EncryptedText("invitation.email"))
    email_digest: Mapped[bytes] = mapped_column(KeyedDigest)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    invited_by: Mapped[UUID | None] = mapped_column(ForeignKey("account.id", ondelete="SET NULL"), index=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    withdrawn_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    @property
    def shown_id(self) -> str:
        return show("inv", self.id)
