"""What a cell knows of the others: who lives there, how they answer, what they are still to be told."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.models.types import STORED_USER_ID, EncryptedJSON, UtcDateTime

_REGION = String(32)


class Home(Base):
    """Somebody who lives in another cell, as that cell has said."""

    __tablename__ = "home"

    user_id: Mapped[str] = mapped_column(String(STORED_USER_ID), primary_key=True)
    region: Mapped[str] = mapped_column(_REGION)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Claim(Base):
    """Somebody who is about to be created in `region`, as the cell `by` has told the cell that keeps claims. For a
    moment, no other may.
    """

    __tablename__ = "claim"
    __table_args__ = (Index("ix_claim_at", "at"),)

    user_id: Mapped[str] = mapped_column(String(STORED_USER_ID), primary_key=True)
    region: Mapped[str] = mapped_column(_REGION)
    by: Mapped[str] = mapped_column(_REGION)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Neighbour(Base):
    """Another cell. `failures`: in a row, the last of them `error`; until `due_at` it is left alone. `lease_until`: a
    process is telling it what was held.
    """

    __tablename__ = "neighbour"

    region: Mapped[str] = mapped_column(_REGION, primary_key=True)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    error: Mapped[str | None] = mapped_column(String(200))
    away_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Forward(Base):
    """A call for another cell, held until that has answered; the same call may be for several. `refused`: the code it
    was answered with, if it will never be carried out. `error`: why it is held, or refused; None: it is being said.
    """

    __tablename__ = "forward"
    __table_args__ = (Index("ix_forward_region", "region", "refused", "id"),)

    region: Mapped[str] = mapped_column(_REGION, primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    call: Mapped[Any] = mapped_column(EncryptedJSON("forward.call"))
    refused: Mapped[str | None] = mapped_column(String(64))
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class CellCall(Base):
    """A call of another cell that was carried out here, and its answer, should it come again."""

    __tablename__ = "cell_call"
    __table_args__ = (Index("ix_cell_call_at", "at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    region: Mapped[str] = mapped_column(_REGION)
    answer: Mapped[Any] = mapped_column(EncryptedJSON("cell_call.answer"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
