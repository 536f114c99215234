"""Data that decisions need from earlier notifications: repeats, replacements, digests, schedules, flags, and what
people open.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.ground.ids import new_id
from notifier.models.types import EncryptedJSON, KeyedDigest, UtcDateTime


class ContentMark(Base):
    """Marks a notification sent to a user lately: the digest of its content, until a repeat is allowed.

    The primary key decides which of two equal ones is the first. Written in the notification's own transaction, so a
    rollback leaves no mark.
    """

    __tablename__ = "content_mark"

    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[bytes] = mapped_column(KeyedDigest, primary_key=True)
    notification_id: Mapped[UUID] = mapped_column()
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class CollapseHead(Base):
    """The newest notification of a collapse key. `scope` is the producer's id: keys of two producers never meet.

    The newest has the greatest `sequence` (0 if none was given), or among equals was submitted last. `previous_id` is
    the one it replaced, `item_id` the key's item in the inbox.
    """

    __tablename__ = "collapse_head"

    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    scope: Mapped[str] = mapped_column(String(40), primary_key=True)
    collapse_key: Mapped[str] = mapped_column(String(255), primary_key=True)
    notification_id: Mapped[UUID] = mapped_column()
    previous_id: Mapped[UUID | None] = mapped_column()
    item_id: Mapped[UUID | None] = mapped_column()
    sequence: Mapped[int] = mapped_column(BigInteger, default=0)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class Digest(Base):
    """Several notifications that become one at `due_at`. It is gone once that one is stored: what stands here is open.

    `window_at` is the end of the window it was opened for: there is one for each user, key and window, and the index
    decides which of two processes opens it. `due_at` is sooner when the person has changed their mind meanwhile.
    """

    __tablename__ = "digest"
    __table_args__ = (Index("uq_digest_window", "user_id", "key", "is_test", "window_at", unique=True),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(100))
    category: Mapped[str] = mapped_column(String(32))
    is_test: Mapped[bool] = mapped_column(default=False)
    window_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class DigestEntry(Base):
    """A delivery that went into a digest instead of out."""

    __tablename__ = "digest_entry"

    digest_id: Mapped[UUID] = mapped_column(ForeignKey("digest.id", ondelete="CASCADE"), primary_key=True)
    delivery_id: Mapped[UUID] = mapped_column(
        ForeignKey("delivery.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class Schedule(Base):
    """A submission that is made again and again. `cron` has five fields, read in `time_zone`; `body` is the submission.

    Without `next_at` it rests: paused, or stopped by `last_fault`. Made with the rights of its key at that time.
    """

    __tablename__ = "schedule"
    __table_args__ = (
        Index(
            "ix_schedule_next_at",
            "next_at",
            sqlite_where=text("next_at IS NOT NULL"),
            postgresql_where=text("next_at IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    producer_id: Mapped[UUID] = mapped_column(ForeignKey("producer.id", ondelete="CASCADE"), index=True)
    key_id: Mapped[UUID | None] = mapped_column(ForeignKey("api_key.id", ondelete="SET NULL"), index=True)
    is_test: Mapped[bool] = mapped_column(default=False)
    cron: Mapped[str] = mapped_column(String(120))
    time_zone: Mapped[str] = mapped_column(String(64))
    body: Mapped[Any] = mapped_column(EncryptedJSON("schedule.body"))
    next_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_submission_id: Mapped[UUID | None] = mapped_column()
    last_fault: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Flag(Base):
    """For whom a channel (`sms`) or a provider (`sms:twilio`) is on: a percentage of the users, always the
    same ones.
    """

    __tablename__ = "flag"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    percentage: Mapped[int] = mapped_column(Integer)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, onupdate=now)


class ChannelScore(Base):
    """How often a user opened messages on a channel: the data that routing `best` learns from."""

    __tablename__ = "channel_score"

    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    channel: Mapped[str] = mapped_column(String(32), primary_key=True)
    sent: Mapped[int] = mapped_column(Integer, default=0)
    opened: Mapped[int] = mapped_column(Integer, default=0)


class ChannelPrior(Base):
    """The same for everyone together, counted by the scheduler: where `best` begins with somebody it does not know."""

    __tablename__ = "channel_prior"

    channel: Mapped[str] = mapped_column(String(32), primary_key=True)
    sent: Mapped[int] = mapped_column(BigInteger, default=0)
    opened: Mapped[int] = mapped_column(BigInteger, default=0)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
