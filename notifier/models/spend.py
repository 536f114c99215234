"""What SMS and calls cost each producer, and the limits that have stopped messages.

A producer of nil stands for the product itself.
"""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, Date, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.ground.ids import new_id
from notifier.models.types import UtcDateTime


class SpendDay(Base):
    """What a producer has spent on a day (UTC), what is on its way included, and by how much its ceiling was raised for
    that day; both in millionths of the currency.
    """

    __tablename__ = "spend_day"

    producer_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True, index=True)
    amount: Mapped[int] = mapped_column(BigInteger, default=0)
    raised: Mapped[int] = mapped_column(BigInteger, default=0)


class SpendEntry(Base):
    """A try that is under way and has been counted: whoever deletes the row may give its amount back. The row of a try
    that a dying worker left behind stays, since it may have cost what it was counted for, until it is pruned.
    """

    __tablename__ = "spend_entry"

    delivery_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    producer_id: Mapped[UUID] = mapped_column()
    day: Mapped[date] = mapped_column(Date, index=True)
    amount: Mapped[int] = mapped_column(BigInteger)


class LimitStop(Base):
    """A limit (`core.limit_policies`) has stopped messages of a producer on a day: once for each `subject` (a block of
    phone numbers; "" where there is none). `told_at`: when the admins were told.
    """

    __tablename__ = "limit_stop"
    __table_args__ = (Index("uq_limit_stop", "policy", "producer_id", "subject", "day", unique=True),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    policy: Mapped[str] = mapped_column(String(32))
    producer_id: Mapped[UUID] = mapped_column(index=True)
    subject: Mapped[str] = mapped_column(String(64), default="")
    day: Mapped[date] = mapped_column(Date)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    told_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
