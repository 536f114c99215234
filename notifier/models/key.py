"""The keys of ENCRYPTION_KEYS that have been in use, the later digest keys, and the run that encrypts and digests
everything with the newest of both.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.models.types import EncryptedText, PlainJSON, UtcDateTime


class EncryptionKey(Base):
    """A key that has encrypted here, by its id: the key itself is stored nowhere. While `unused_at` is None something
    may be encrypted with it, and no process starts without it.
    """

    __tablename__ = "encryption_key"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    since: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    unused_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class DigestKey(Base):
    """A digest key after the first, which is an `InstallationSecret` (`ground.encryption` says how they work together).
    `stored_from`: until then its digests are only looked for, so that every process knows it before one is stored.
    `finished_at`: since when no digest of an older key is stored.
    """

    __tablename__ = "digest_key"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    secret: Mapped[str] = mapped_column(EncryptedText("digest_key.secret"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    stored_from: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Reencryption(Base):
    """The one run there is at a time, or the last one. `target`: the id of the key that everything is encrypted with;
    `digest_key`: the number of the one that everything is digested with.

    It goes through all tables again and again, until a round has found nothing to do. `table_name` and `after`: the
    last row looked at (None: the round begins). Of this round: `looked` at so many rows, `found` so many to write anew,
    `passed` over so many that others held; `unreadable`: values by the id of the key that is missing. `total`: about
    how many rows there were at the start, `encrypted`: so many in all rounds.
    """

    __tablename__ = "reencryption"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, default=1)
    target: Mapped[str] = mapped_column(String(32))
    digest_key: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    actor: Mapped[str] = mapped_column(String(200))
    round: Mapped[int] = mapped_column(Integer, default=1)
    table_name: Mapped[str | None] = mapped_column(String(64))
    after: Mapped[list[Any] | None] = mapped_column(PlainJSON)
    looked: Mapped[int] = mapped_column(BigInteger, default=0)
    found: Mapped[int] = mapped_column(BigInteger, default=0)
    passed: Mapped[int] = mapped_column(BigInteger, default=0)
    unreadable: Mapped[dict[str, int]] = mapped_column(PlainJSON, default=dict)
    total: Mapped[int] = mapped_column(BigInteger)
    encrypted: Mapped[int] = mapped_column(BigInteger, default=0)
    wake_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=now)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    looked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
