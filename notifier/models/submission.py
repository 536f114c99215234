"""Submissions of producers, and their idempotency keys."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Integer, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.ground.ids import new_id, show
from notifier.models.types import EncryptedJSON, PlainJSON, UtcDateTime


class Submission(Base):
    """One accepted request. `status` is expanded (its notifications are stored), or expanding.

    While it is expanding, `body` holds the data still needed and `expanded` the number of finished recipients; it stays
    below `recipients` where the rest was stopped (`intake.expand`). That of
    a broadcast (`models.broadcast`) names an audience instead of recipients.
    `wake_at`: when the scheduler looks at it again. `idempotency_key` is for its events: the key's own row is gone
    after a day.
    """

    __tablename__ = "submission"
    __table_args__ = (
        Index(
            "ix_submission_wake_at",
            "wake_at",
            sqlite_where=text("wake_at IS NOT NULL"),
            postgresql_where=text("wake_at IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    producer_id: Mapped[UUID | None] = mapped_column(ForeignKey("producer.id"), index=True)
    type: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16), default="accepted")
    is_test: Mapped[bool] = mapped_column(default=False)
    recipients: Mapped[int] = mapped_column(Integer)
    expanded: Mapped[int] = mapped_column(Integer)
    body: Mapped[Any] = mapped_column(EncryptedJSON("submission.body"), nullable=True)
    request_id: Mapped[str | None] = mapped_column(String(64))
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    # What is done for it belongs to this trace (`ground.tracing`); None: to none that is recorded
    traceparent: Mapped[str | None] = mapped_column(String(55))
    wake_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    @property
    def shown_id(self) -> str:
        return show("sub", self.id)


class IdempotencyKey(Base):
    """Decides which of several requests with one key is the first: by its primary key, never by looking first.

    `answer` is what the first one was answered; repeats get it again, word for word. Of a bulk call as a whole there is
    one beside those of its items: without a submission, and `answer` is empty until all of them are stored.
    """

    __tablename__ = "idempotency_key"

    producer_id: Mapped[UUID] = mapped_column(ForeignKey("producer.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    # A rehearsal with a test key must not swallow the real call
    is_test: Mapped[bool] = mapped_column(primary_key=True)
    body_digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    submission_id: Mapped[UUID | None] = mapped_column(ForeignKey("submission.id", ondelete="CASCADE"), index=True)
    answer: Mapped[dict[str, Any]] = mapped_column(PlainJSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
