"""The keys that sign access tokens, and access tokens that were revoked before their time."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.ground.ids import new_id
from notifier.models.types import EncryptedText, UtcDateTime


class SigningKey(Base):
    """An Ed25519 key: signs from `signs_from` until `signs_until`, and is published before and after. `private_key` is
    PEM; the id's digits are the `kid`.
    """

    __tablename__ = "signing_key"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    private_key: Mapped[str] = mapped_column(EncryptedText("signing_key.private_key"))
    signs_from: Mapped[datetime] = mapped_column(UtcDateTime, unique=True)
    signs_until: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class RevokedToken(Base):
    """The `jti` of an access token that ends before `expires_at`, after which the row is deleted."""

    __tablename__ = "revoked_token"

    jti: Mapped[UUID] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
