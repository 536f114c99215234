"""The event stream: what became of messages, addresses and wishes, in an order that readers can follow."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.models.types import STORED_USER_ID, UtcDateTime


class Event(Base):
    """One event, whole: readers need no other table, which may be hot or pruned by then. No foreign keys: each would be
    asked with every row, and counts outlive what they count.

    `id` is the position (`queries.events` says why nobody misses one). With PostgreSQL a trigger holds an advisory lock
    from before a statement takes its first id until its transaction ends. `producer_id` None: the product's own, or of
    a person and no message. `user_id` and `address_masked` are erased with the person.
    """

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_producer_id", "producer_id", "id"),
        Index("ix_event_user_id", "user_id"),
        {"sqlite_autoincrement": True},  # ids of pruned rows are never given again
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    producer_id: Mapped[UUID | None] = mapped_column()
    submission_id: Mapped[UUID | None] = mapped_column()
    notification_id: Mapped[UUID | None] = mapped_column()
    delivery_id: Mapped[UUID | None] = mapped_column()
    user_id: Mapped[str | None] = mapped_column(String(STORED_USER_ID))
    is_test: Mapped[bool] = mapped_column(default=False)
    type: Mapped[str | None] = mapped_column(String(64))
    category: Mapped[str | None] = mapped_column(String(32))
    channel: Mapped[str | None] = mapped_column(String(32))
    address_masked: Mapped[str | None] = mapped_column(String(120))
    provider: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str | None] = mapped_column(String(64))
    code: Mapped[str | None] = mapped_column(String(64))


class EventStream(Base):
    """The one row about the stream itself: its name, made at random with the table, by which cursors of other databases
    are known; and the highest position that has been pruned.
    """

    __tablename__ = "event_stream"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    pruned: Mapped[int] = mapped_column(BigInteger, default=0)


class EventReader(Base):
    """One that is sent the whole stream, and how far it has come: `position` is the last event that it has confirmed.

    Of the processes that could send to it, the one that has the `lease` does, until `leased_until`; `holder` is its
    number in `ground.lifeline` (None: it has none). `trouble`: a code, why nothing goes on. `set_aside`: how many were
    refused for good, and `refused` the cursor of the last of them; `missed`: how many were pruned before it had them.
    """

    __tablename__ = "event_reader"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, default=0)
    lease: Mapped[str | None] = mapped_column(String(32))
    holder: Mapped[int | None] = mapped_column(BigInteger)
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    trouble: Mapped[str | None] = mapped_column(String(64))
    set_aside: Mapped[int] = mapped_column(BigInteger, default=0)
    refused: Mapped[str | None] = mapped_column(String(40))
    missed: Mapped[int] = mapped_column(BigInteger, default=0)
