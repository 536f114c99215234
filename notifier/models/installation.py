"""Rows of the whole installation: its digest key, configured providers, brands, the audit trail."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.ground.ids import new_id
from notifier.models.types import EncryptedJSON, PlainJSON, UtcDateTime


class InstallationSecret(Base):
    """Secrets made once by `migrate`, sealed with the key ring. Being unable to open them means: wrong keys."""

    __tablename__ = "installation_secret"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)


class Revision(Base):
    """Counts up when all processes have to notice something, and Redis cannot tell them."""

    __tablename__ = "revision"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)


class Provider(Base):
    """A configured provider: its adapter and settings. Lower `position` first; equal positions share by `weight`.

    A few seconds after `changed_at` every process knows the change.
    """

    __tablename__ = "provider"
    __table_args__ = (Index("ix_provider_channel", "channel", "position"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    channel: Mapped[str] = mapped_column(String(32))
    adapter: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64), unique=True)
    settings: Mapped[Any] = mapped_column(EncryptedJSON("provider.settings"))
    position: Mapped[int] = mapped_column(Integer, default=0)
    weight: Mapped[int] = mapped_column(Integer, default=1)
    is_on: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    changed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=now, onupdate=now)


class Brand(Base):
    """What mails show of who sends them (`core.brand`). `id`: the producer's; nil: the installation."""

    __tablename__ = "brand"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(60))
    logo: Mapped[str | None] = mapped_column(String(500))
    accent: Mapped[str | None] = mapped_column(String(7))
    address: Mapped[str | None] = mapped_column(String(300))


class AuditEntry(Base):
    """Append-only: who did what to what. `before` and `after` never hold a secret. Only the name of a person who is
    erased may be replaced, once, by that of the erasure.
    """

    __tablename__ = "audit_entry"
    __table_args__ = (
        # In the order of code points: erasing a person asks by their id, and by what begins with it
        Index("ix_audit_entry_subject", "subject", postgresql_ops={"subject": 'COLLATE "C"'}),
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
    actor: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(200))
    before: Mapped[dict[str, Any] | None] = mapped_column(PlainJSON)
    after: Mapped[dict[str, Any] | None] = mapped_column(PlainJSON)
    origin: Mapped[str | None] = mapped_column(String(64))
