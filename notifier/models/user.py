"""People who are notified, their addresses and their preferences."""

import secrets
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, LargeBinary, String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.ground.ids import new_id, show
from notifier.models.types import STORED_USER_ID, EncryptedText, KeyedDigest, PlainJSON, UtcDateTime

API, CONSOLE, PAGE = "api", "console", "page"  # sources of choices: keys, people with a role, people themselves
_LARGEST_GENERATION = 2**48


def new_generation() -> int:
    """Drawn by lot: nothing is kept of who had an id before, and yet no two of them are taken for each other. 0 is that
    of the first ones.
    """
    return 1 + secrets.randbelow(_LARGEST_GENERATION)


class User(Base):
    """`id` is the producer's own: `[A-Za-z0-9._@+-]{1,128}`. `attributes` are not encrypted: they select audiences.

    `generation` tells this person from others who had or will have the same id; `token_version` rises when all their
    tokens are ended (see `ground.tokens`).
    """

    __tablename__ = "user"
    __table_args__ = (
        # What conditions ask for by equality (`people.audiences`)
        Index(
            "ix_user_attributes",
            "attributes",
            postgresql_using="gin",
            postgresql_ops={"attributes": "jsonb_path_ops"},
        ).ddl_if(dialect="postgresql"),
        # In the order of code points (`queries.people`): the primary key is in that of the database's language
        Index("ix_user_id_code_points", "id", postgresql_ops={"id": 'COLLATE "C"'}).ddl_if(dialect="postgresql"),
    )

    id: Mapped[str] = mapped_column(String(STORED_USER_ID), primary_key=True)
    name: Mapped[str | None] = mapped_column(String(200))
    locale: Mapped[str | None] = mapped_column(String(35))
    time_zone: Mapped[str | None] = mapped_column(String(64))
    attributes: Mapped[dict[str, Any]] = mapped_column(PlainJSON, default=dict)
    home_region: Mapped[str | None] = mapped_column(String(64))
    generation: Mapped[int] = mapped_column(BigInteger, default=new_generation, server_default="0")
    token_version: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, onupdate=now)


class Address(Base):
    """Where a user can be reached on one channel. `secret` is the address's own (a webhook's signing secret).

    `digest` is keyed over channel and normalised value. One address a channel is the primary one.
    `verified_at`: good for deliveries, which whatever a producer gives is. `confirmed_at`: its owner has confirmed it
    here (a code, a link in a mail), or an admin's key has vouched for it; only there go sign-in links and whatever else
    opens our own pages. `is_device`: a phone or a browser, which belongs to the last person it was registered for, and
    to nobody else. `platform` and `app`, of a phone: see `core.message.Recipient`. `revived_at`: when a producer last
    gave it again after it had bounced; of a device, when it was last given again at all.
    """

    __tablename__ = "address"
    __table_args__ = (
        # Partial in name only: to change a column of a whole unique index, PostgreSQL would lock out every
        # delivery that refers to the row, and two submissions that change each other's people would deadlock.
        Index(
            "uq_address_value", "user_id", "channel", "digest", unique=True, postgresql_where=text("digest IS NOT NULL")
        ),
        Index(
            "uq_address_primary",
            "user_id",
            "channel",
            unique=True,
            sqlite_where=text("is_primary"),
            postgresql_where=text("is_primary"),
        ),
        Index(
            "uq_address_device",
            "channel",
            "digest",
            unique=True,
            sqlite_where=text("is_device"),
            postgresql_where=text("is_device"),
        ),
        Index("ix_address_digest", "digest"),
        # PostgreSQL does not see that the one above, which is partial there, would serve
        Index("ix_address_user_id", "user_id").ddl_if(dialect="postgresql"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    channel: Mapped[str] = mapped_column(String(32))
    value: Mapped[str] = mapped_column(EncryptedText("address.value"))
    digest: Mapped[bytes] = mapped_column(KeyedDigest)
    masked: Mapped[str] = mapped_column(String(120))
    platform: Mapped[str | None] = mapped_column(String(16))
    app: Mapped[str | None] = mapped_column(String(255))
    secret: Mapped[str | None] = mapped_column(EncryptedText("address.secret"))
    label: Mapped[str | None] = mapped_column(String(100))
    is_primary: Mapped[bool] = mapped_column(default=False)
    is_device: Mapped[bool] = mapped_column(default=False, server_default=false())
    verified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    disabled_reason: Mapped[str | None] = mapped_column(String(64))
    revived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class AddressCode(Base):
    """The code an address has to be confirmed with. Only its keyed digest is kept; `tries` counts wrong ones."""

    __tablename__ = "address_code"

    address_id: Mapped[UUID] = mapped_column(ForeignKey("address.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[bytes] = mapped_column(KeyedDigest)
    tries: Mapped[int] = mapped_column(Integer, default=0)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Preference(Base):
    """A user's whole preference document (API.md, Preferences), without what is merely default.

    `version` rises with every change: caches compare it.
    """

    __tablename__ = "preference"

    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(PlainJSON, default=dict)
    version: Mapped[int] = mapped_column(Integer, default=1)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, onupdate=now)


class ConsentEvent(Base):
    """Append-only: which choice changed, how, when and where (`page`, `api`, `one_click`, …).

    `actor`: whose key or account it was, if it was not the person. `origin`: the network address. `text_version`: of
    the words it was asked with: a `ConsentText`, or whatever a producer calls its own.
    """

    __tablename__ = "consent_event"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    source: Mapped[str] = mapped_column(String(32))
    change: Mapped[dict[str, Any]] = mapped_column(PlainJSON)
    actor: Mapped[str | None] = mapped_column(String(200))
    origin: Mapped[str | None] = mapped_column(String(64))
    text_version: Mapped[str | None] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class ConsentText(Base):
    """Words of ours that a choice was asked with, since they were first shown. `version` follows from both."""

    __tablename__ = "consent_text"

    version: Mapped[str] = mapped_column(String(16), primary_key=True)
    language: Mapped[str] = mapped_column(String(35))
    text: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Erasure(Base):
    """The certificate of an erasure. `person`: the keyed digest of their id. `erased`: how many of what; `kept`: what
    stays, and cannot be read. `ledger`: the keyed digest of their consent history, by which an export of it can be
    proven; it has been shown to people, and keeps its digest key.
    """

    __tablename__ = "erasure"
    __table_args__ = (Index("ix_erasure_person", "person"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    person: Mapped[bytes] = mapped_column(KeyedDigest)
    actor: Mapped[str] = mapped_column(String(200))
    erased: Mapped[dict[str, int]] = mapped_column(PlainJSON)
    kept: Mapped[dict[str, int]] = mapped_column(PlainJSON)
    ledger: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    @property
    def shown_id(self) -> str:
        return show("era", self.id)


class Suppression(Base):
    """An address nothing may be sent to any more, for one category or (`*`) for all.

    Keyed by the address's digest, so that it outlives the address and its user. `provider`: the account that said so;
    None: the person themselves, or nobody has noted it.
    """

    __tablename__ = "suppression"

    digest: Mapped[bytes] = mapped_column(KeyedDigest, primary_key=True)
    scope: Mapped[str] = mapped_column(String(32), primary_key=True)
    channel: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(String(64))
    provider: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
