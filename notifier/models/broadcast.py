"""Broadcasts, and what became of their deliveries, counted."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Float, ForeignKey, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.models.types import STORED_USER_ID, PlainJSON, UtcDateTime

_OPEN = "finished_at IS NULL"


class Broadcast(Base):
    """One notification for a whole audience. It shares its id with its submission, which holds what is said, how many
    people it is for and how many have had their turn; each person is there once, as in every submission.

    `key_id`: of the key in whose name it goes on, until that is revoked (None: of somebody in the console). No foreign
    key, which SQLite could add only by writing the table anew; keys are revoked, and never deleted.
    `audience`: as `core.audience` reads it; of people by name only their number, once all have had their turn.
    `cursor`: the last user id that has had its turn. `turn_at`: when the pace allows the next chunk (None: at once).
    `starts_at`: when the expansion is to begin. `ended_before` and `failed_before`: sends and failures that do not
    count for `stop_at_failures`, since somebody has resumed it in spite of them, or had them retried. `retries`:
    deliveries that were sent again as failed ones; `retrying`: those that had failed by then are being sent again,
    after `retried_to`. `expanded_at`: everybody has had their turn. `finished_at`: nothing is to come any more, be it
    cancelled or not.
    """

    __tablename__ = "broadcast"
    __table_args__ = (Index("ix_broadcast_open", "id", sqlite_where=text(_OPEN), postgresql_where=text(_OPEN)),)

    id: Mapped[UUID] = mapped_column(ForeignKey("submission.id", ondelete="CASCADE"), primary_key=True)
    producer_id: Mapped[UUID | None] = mapped_column(ForeignKey("producer.id"), index=True)
    key_id: Mapped[UUID | None] = mapped_column()
    is_test: Mapped[bool] = mapped_column(default=False)
    name: Mapped[str] = mapped_column(String(200))
    type: Mapped[str] = mapped_column(String(64))
    category: Mapped[str] = mapped_column(String(32))
    audience: Mapped[dict[str, Any]] = mapped_column(PlainJSON)
    status: Mapped[str] = mapped_column(String(16))
    paused_reason: Mapped[str | None] = mapped_column(String(200))
    cursor: Mapped[str | None] = mapped_column(String(STORED_USER_ID))
    per_second: Mapped[int | None] = mapped_column(Integer)
    turn_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    stop_at_failures: Mapped[float | None] = mapped_column(Float)
    ended_before: Mapped[int] = mapped_column(Integer, default=0)
    failed_before: Mapped[int] = mapped_column(Integer, default=0)
    send_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    local_time: Mapped[str | None] = mapped_column(String(32))
    retries: Mapped[int] = mapped_column(Integer, default=0)
    retrying: Mapped[datetime | None] = mapped_column(UtcDateTime)
    retried_to: Mapped[UUID | None] = mapped_column()
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expanded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class BroadcastTally(Base):
    """How many more deliveries of a broadcast are in a status than were before: the sum of all rows is how many are.

    Every transaction that makes or moves deliveries adds rows of its own, so that no two wait for one row; the
    scheduler adds them up. `reason`: why they were skipped, empty for any other status. No foreign key: it would be
    asked with every row, and would wait for whoever expands the broadcast.
    """

    __tablename__ = "broadcast_tally"
    __table_args__ = (Index("ix_broadcast_tally_place", "broadcast_id", "channel", "status", "reason"),)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    broadcast_id: Mapped[UUID] = mapped_column()
    channel: Mapped[str] = mapped_column(String(32))
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(32))
    count: Mapped[int] = mapped_column(Integer)


class BroadcastHour(Base):
    """How often something happened to a broadcast's deliveries within an hour, as the event stream tells it.

    `event`: sent, delivered, opened, clicked, failed, bounced, complained; and unsubscribed, of the last broadcast that
    the person had on that channel, in that category. `at`: when the hour began.
    """

    __tablename__ = "broadcast_hour"

    broadcast_id: Mapped[UUID] = mapped_column(ForeignKey("broadcast.id", ondelete="CASCADE"), primary_key=True)
    channel: Mapped[str] = mapped_column(String(32), primary_key=True)
    event: Mapped[str] = mapped_column(String(16), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    count: Mapped[int] = mapped_column(Integer)
