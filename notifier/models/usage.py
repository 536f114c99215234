"""How many messages of each event type went out on each channel, by month."""

from datetime import date

from sqlalchemy import BigInteger, Date, String
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.extensions import Base


class UsageMonth(Base):
    """Messages that an account of a provider has taken in the month (UTC) that begins on `month`, without those of test
    keys. Counted from the event stream.
    """

    __tablename__ = "usage_month"

    month: Mapped[date] = mapped_column(Date, primary_key=True)
    type: Mapped[str] = mapped_column(String(64), primary_key=True)
    channel: Mapped[str] = mapped_column(String(32), primary_key=True)
    provider: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
