"""The console's own tables: counted events, bulk actions on failed jobs, paused channels."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.ground.ids import new_id, show
from notifier.models.types import PlainJSON, UtcDateTime

_OPEN = "finished_at IS NULL"


class Tally(Base):
    """How often something happened on a channel in the minute (later: the hour) that begins `at`.

    Every batch adds rows of its own in its own transaction, so that no two processes wait for one row;
    the scheduler adds rows of one minute up. `event` is accepted, sent, failed …, or `latency:N`.
    """

    __tablename__ = "tally"
    __table_args__ = (Index("ix_tally_at", "at", "channel", "event"),)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    channel: Mapped[str] = mapped_column(String(32))
    event: Mapped[str] = mapped_column(String(32))
    count: Mapped[int] = mapped_column(Integer)


class BulkAction(Base):
    """`kind` (retry, discard, repair) is done to all failed deliveries that `filter` selects, in the background, at
    `per_second` (None: as fast as possible).

    `cursor` is the last delivery looked at; `done` of them were acted on, `left` were left alone. `provider`: the one
    to retry through.
    """

    __tablename__ = "bulk_action"
    __table_args__ = (
        Index("ix_bulk_action_open", "created_at", sqlite_where=text(_OPEN), postgresql_where=text(_OPEN)),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[str] = mapped_column(String(16))
    filter: Mapped[dict[str, Any]] = mapped_column(PlainJSON)
    provider: Mapped[str | None] = mapped_column(String(64))
    per_second: Mapped[int | None] = mapped_column(Integer)
    total: Mapped[int] = mapped_column(Integer)
    done: Mapped[int] = mapped_column(Integer, default=0)
    left: Mapped[int] = mapped_column(Integer, default=0)
    cursor: Mapped[UUID | None] = mapped_column()
    actor: Mapped[str] = mapped_column(String(200))
    cancelled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    wake_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    @property
    def shown_id(self) -> str:
        return show("blk", self.id)


class PausedChannel(Base):
    """Nothing is sent on this channel until somebody resumes it. Due deliveries wait in the database."""

    __tablename__ = "paused_channel"

    channel: Mapped[str] = mapped_column(String(32), primary_key=True)
    paused_by: Mapped[str] = mapped_column(String(200))
    paused_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
