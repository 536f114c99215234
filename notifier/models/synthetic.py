"""What the synthetic person is told, and whether it arrived."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.extensions import Base
from notifier.models.types import PlainJSON, UtcDateTime


class SyntheticTurn(Base):
    """One thing that is said again and again: an event type (`key`), or through an account of a provider (`@name`) one
    type after the other, of which `type` was the last.

    `notification_id`: the last one (no foreign key: it is soon deleted). While it `is_open` it is watched, and `so_far`
    is what is known of it; `results` are those of the last one that has been settled: a `core.synthetic.Result` each,
    by channel. `bad`: how many in a row were late, missing or failed.
    """

    __tablename__ = "synthetic_turn"
    __table_args__ = (Index("ix_synthetic_turn_due_at", "due_at"),)

    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    type: Mapped[str | None] = mapped_column(String(64))
    priority: Mapped[str | None] = mapped_column(String(16))
    account: Mapped[str | None] = mapped_column(String(64))
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    triggered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    notification_id: Mapped[UUID | None] = mapped_column()
    is_open: Mapped[bool] = mapped_column(default=False)
    results: Mapped[list[dict[str, Any]]] = mapped_column(PlainJSON, default=list)
    so_far: Mapped[list[dict[str, Any]]] = mapped_column(PlainJSON, default=list)
    bad: Mapped[int] = mapped_column(Integer, default=0)
