"""Counts by event type, account of a provider, and error, to be compared over time."""

from datetime import datetime

from sqlalchemy import Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.extensions import Base
from notifier.models.types import UtcDateTime


class Trend(Base):
    """How often something happened in the `grain` seconds that begin `at`. Each event is counted in every grain
    (`queries.trends`), so that a window of any length reads a handful of rows. `kind` and `event` as in `core.trends`.
    """

    __tablename__ = "trend"

    grain: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    name: Mapped[str] = mapped_column(String(140), primary_key=True)
    event: Mapped[str] = mapped_column(String(8), primary_key=True)
    count: Mapped[int] = mapped_column(Integer)
