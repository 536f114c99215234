"""The inbox: items, and one row of counts per user that changes in the same transaction."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, ForeignKey, Index, Integer, String, Text, or_, text
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.models.types import EncryptedJSON, UtcDateTime

FILTERS = ("unread", "all", "archived", "snoozed")
_UNREAD = "read_at IS NULL AND archived_at IS NULL AND snoozed_until IS NULL"
_ARCHIVED = "archived_at IS NOT NULL"
_SNOOZED = "snoozed_until IS NOT NULL"


class InboxItem(Base):
    """`id` is the delivery's. `seq` is the user's sequence number of the item's last change.

    `replaced_by`: a newer item of the same collapse key took its place; it is archived too, and in no list.

    `language`: of its words (BCP 47); None for items from before it was kept.

    A list is in the order of `created_at`, which for a scheduled item is later than its id. An item is
    snoozed until the scheduler has woken it: as long as `snoozed_until` is set, whatever the time.
    """

    __tablename__ = "inbox_item"
    __table_args__ = (
        Index("ix_inbox_item_user_id", "user_id", "created_at", "id"),
        Index("ix_inbox_item_seq", "user_id", "seq", unique=True),
        Index(
            "ix_inbox_item_unread",
            "user_id",
            "created_at",
            "id",
            sqlite_where=text(_UNREAD),
            postgresql_where=text(_UNREAD),
        ),
        Index(
            "ix_inbox_item_archived",
            "user_id",
            "created_at",
            "id",
            sqlite_where=text(_ARCHIVED),
            postgresql_where=text(_ARCHIVED),
        ),
        Index(
            "ix_inbox_item_snoozed",
            "user_id",
            "created_at",
            "id",
            sqlite_where=text(_SNOOZED),
            postgresql_where=text(_SNOOZED),
        ),
        Index(
            "ix_inbox_item_snoozed_until", "snoozed_until", sqlite_where=text(_SNOOZED), postgresql_where=text(_SNOOZED)
        ),
    )

    id: Mapped[UUID] = mapped_column(ForeignKey("delivery.id", ondelete="CASCADE"), primary_key=True)
    notification_id: Mapped[UUID] = mapped_column(ForeignKey("notification.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    seq: Mapped[int] = mapped_column(BigInteger)
    type: Mapped[str] = mapped_column(String(64))
    category: Mapped[str] = mapped_column(String(32))
    title: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    language: Mapped[str | None] = mapped_column(String(35))
    action_label: Mapped[str | None] = mapped_column(Text)
    action_url: Mapped[str | None] = mapped_column(Text)
    secondary_label: Mapped[str | None] = mapped_column(Text)
    secondary_url: Mapped[str | None] = mapped_column(Text)
    image: Mapped[str | None] = mapped_column(Text)
    data: Mapped[dict[str, object]] = mapped_column(EncryptedJSON("inbox_item.data"), nullable=True)
    seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    read_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    snoozed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    replaced_by: Mapped[UUID | None] = mapped_column()
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    @classmethod
    def in_view(cls, filter: str, category: str | None = None, q: str | None = None) -> list[ColumnElement[bool]]:
        """The conditions of what a person has in view: one of FILTERS, a category, words in title or body.

        `all` and `unread` leave out what is archived or snoozed, but words find in `all` what is snoozed too. The list
        and "mark all of it" share this.
        """
        conditions: list[ColumnElement[bool]]
        if filter == "archived":
            conditions = [cls.archived_at.is_not(None), cls.replaced_by.is_(None)]
        elif filter == "snoozed":
            conditions = [cls.archived_at.is_(None), cls.snoozed_until.is_not(None)]
        elif filter == "all" and q:
            conditions = [cls.archived_at.is_(None)]
        else:
            conditions = [cls.archived_at.is_(None), cls.snoozed_until.is_(None)]
        if filter == "unread":
            conditions.append(cls.read_at.is_(None))
        if category is not None:
            conditions.append(cls.category == category)
        if q:
            conditions.append(or_(cls.title.icontains(q, autoescape=True), cls.body.icontains(q, autoescape=True)))
        return conditions


class InboxState(Base):
    """`unread` and `unseen` count what is neither archived nor snoozed. `seq` rises with every change."""

    __tablename__ = "inbox_state"

    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, default=0)
    unread: Mapped[int] = mapped_column(Integer, default=0)
    unseen: Mapped[int] = mapped_column(Integer, default=0)
