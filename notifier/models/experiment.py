"""Experiments with the words of templates: their variants, and whom they have reached."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Integer, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.ground.ids import new_id
from notifier.models.types import STORED_USER_ID, UtcDateTime

_CURRENT = "status <> 'stopped'"


class Experiment(Base):
    """A comparison of versions of a template: draft, running or stopped. A template has one at most that is not
    stopped.

    `goal`: opened or clicked, what its variants are compared by. `kept`: the name of the variant that was published at
    its end. `counted_at`: all that happened before its end has been counted, and whom it has reached is forgotten.
    """

    __tablename__ = "experiment"
    __table_args__ = (
        Index(
            "uq_experiment_current", "key", unique=True, sqlite_where=text(_CURRENT), postgresql_where=text(_CURRENT)
        ),
        Index("ix_experiment_key", "key"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    key: Mapped[str] = mapped_column(String(64))
    goal: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16))
    kept: Mapped[str | None] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    stopped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    counted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ExperimentVariant(Base):
    """One of the versions that are compared; at position 0 the control, which was published before.

    `weight`: of 100. `people`: whom something of it was sent to, each once; `opened` and `clicked`: of those.
    """

    __tablename__ = "experiment_variant"
    __table_args__ = (UniqueConstraint("experiment_id", "name"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    experiment_id: Mapped[UUID] = mapped_column(ForeignKey("experiment.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(String(32))
    weight: Mapped[int] = mapped_column(Integer)
    template_id: Mapped[UUID] = mapped_column(ForeignKey("template.id"))
    people: Mapped[int] = mapped_column(Integer, default=0)
    opened: Mapped[int] = mapped_column(Integer, default=0)
    clicked: Mapped[int] = mapped_column(Integer, default=0)


class ExperimentPerson(Base):
    """Somebody whom an experiment has reached, and what they have done, so that each counts once."""

    __tablename__ = "experiment_person"

    experiment_id: Mapped[UUID] = mapped_column(ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(
        String(STORED_USER_ID), ForeignKey("user.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    has_opened: Mapped[bool] = mapped_column(default=False)
    has_clicked: Mapped[bool] = mapped_column(default=False)


class BroadcastVariant(Base):
    """How often something happened to those of a broadcast's deliveries that have a variant's words, as the event
    stream tells it. `event`: sent, delivered, opened, clicked, failed, bounced, complained.
    """

    __tablename__ = "broadcast_variant"

    broadcast_id: Mapped[UUID] = mapped_column(ForeignKey("broadcast.id", ondelete="CASCADE"), primary_key=True)
    variant_id: Mapped[UUID] = mapped_column(ForeignKey("experiment_variant.id", ondelete="CASCADE"), primary_key=True)
    channel: Mapped[str] = mapped_column(String(32), primary_key=True)
    event: Mapped[str] = mapped_column(String(16), primary_key=True)
    count: Mapped[int] = mapped_column(Integer)
