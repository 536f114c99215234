"""Lists of people that producers upload: what is still to be read of them, and who is on them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, ForeignKey, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.ground.ids import new_id
from notifier.models.types import STORED_USER_ID, EncryptedJSON, PlainJSON, UtcDateTime

RECEIVING, RUNNING, FINISHED = "receiving", "running", "finished"


class Upload(Base):
    """`status`: receiving (its request has not ended, and nobody sees it), running, finished.

    `columns`: of the file, as fields of a profile. `rows`: of the file, without its head; `created` and `changed`: the
    people; `bad`: the first bad lines, of `bad_rows`. Of `parts` stored, the first `read` are done. The key it came
    with decides what may be changed: `may_change_people`, `may_change_staff`; the audit trail names it `actor`.
    `erased`: who has been erased since it came, so that what is still to be read does not bring them back.
    `wake_at`: when the scheduler looks at it again.
    """

    __tablename__ = "upload"
    __table_args__ = (
        Index(
            "ix_upload_wake_at",
            "wake_at",
            sqlite_where=text("wake_at IS NOT NULL"),
            postgresql_where=text("wake_at IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    producer_id: Mapped[UUID | None] = mapped_column(ForeignKey("producer.id"), index=True)
    is_test: Mapped[bool] = mapped_column(Boolean)
    may_change_people: Mapped[bool] = mapped_column(Boolean)
    may_change_staff: Mapped[bool] = mapped_column(Boolean)
    actor: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(16))
    columns: Mapped[list[str]] = mapped_column(PlainJSON)
    parts: Mapped[int] = mapped_column(Integer, default=0)
    read: Mapped[int] = mapped_column(Integer, default=0)
    rows: Mapped[int] = mapped_column(Integer, default=0)
    created: Mapped[int] = mapped_column(Integer, default=0)
    changed: Mapped[int] = mapped_column(Integer, default=0)
    bad_rows: Mapped[int] = mapped_column(Integer, default=0)
    bad: Mapped[list[dict[str, Any]]] = mapped_column(PlainJSON, default=list)
    erased: Mapped[Any] = mapped_column(EncryptedJSON("upload.erased"), nullable=True)
    wake_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class UploadPart(Base):
    """Some rows of an upload that are still to be read: `[[line, [text of each column]], …]`. Gone once it is read."""

    __tablename__ = "upload_part"

    upload_id: Mapped[UUID] = mapped_column(ForeignKey("upload.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    rows: Mapped[Any] = mapped_column(EncryptedJSON("upload_part.rows"))


class UploadMember(Base):
    """Somebody an upload names."""

    __tablename__ = "upload_member"

    upload_id: Mapped[UUID] = mapped_column(ForeignKey("upload.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(
        String(STORED_USER_ID), ForeignKey("user.id", ondelete="CASCADE"), primary_key=True, index=True
    )
