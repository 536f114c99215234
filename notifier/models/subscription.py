"""Status webhooks: who subscribes to which events, the events that wait for another try, and every try."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.ground.ids import new_id
from notifier.models.types import EncryptedText, PlainJSON, UtcDateTime

ASKED, GONE, FAILING = "asked", "gone", "failing"  # why one is disabled: by a key or a person, by a 410, by failing
WEBHOOK_ID = 64  # characters


class Subscription(Base):
    """A URL that is told of events. `position` is that of the last event of the stream that it has had its turn with.

    `kinds` are the events as they were named (`delivery.*`), `types` the event types of their notifications (None: of
    all). What goes beyond its producer's own notifications (`sees_people`, `sees_all`) ends with the key `key_id`.
    `previous_secret` (or several, with a space between) signs too, until `previous_until`. A replay has a position of
    its own and ends with `replay_end`. `ping`: the id of a test event that is still to be sent.
    `is_slow`: its last turn met time-outs or slow answers. `wake_at`: it is not rung before. One worker at a time has
    it: until `leased_until`, by `holder` (`ground.lifeline`), and only the last `turn` may record anything.
    """

    __tablename__ = "subscription"
    __table_args__ = (Index("ix_subscription_wake_at", "wake_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    producer_id: Mapped[UUID] = mapped_column(ForeignKey("producer.id", ondelete="CASCADE"), index=True)
    key_id: Mapped[UUID | None] = mapped_column(ForeignKey("api_key.id", ondelete="SET NULL"), index=True)
    is_test: Mapped[bool] = mapped_column(default=False)
    sees_people: Mapped[bool] = mapped_column(default=False)
    sees_all: Mapped[bool] = mapped_column(default=False)
    url: Mapped[str] = mapped_column(EncryptedText("subscription.url"))
    secret: Mapped[str] = mapped_column(EncryptedText("subscription.secret"))
    previous_secret: Mapped[str | None] = mapped_column(EncryptedText("subscription.previous_secret"))
    previous_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    kinds: Mapped[list[str]] = mapped_column(PlainJSON)
    types: Mapped[list[str] | None] = mapped_column(PlainJSON)
    description: Mapped[str | None] = mapped_column(String(200))
    position: Mapped[int] = mapped_column(BigInteger)
    replay_position: Mapped[int | None] = mapped_column(BigInteger)
    replay_end: Mapped[int | None] = mapped_column(BigInteger)
    replay_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    replay_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ping: Mapped[str | None] = mapped_column(String(WEBHOOK_ID))
    failing_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    is_slow: Mapped[bool] = mapped_column(default=False)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    disabled_reason: Mapped[str | None] = mapped_column(String(16))
    told_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    wake_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    holder: Mapped[int | None] = mapped_column(BigInteger)
    turn: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class SubscriptionRetry(Base):
    """An event that waits for its next try. The event itself stays in the stream alone, where people are erased."""

    __tablename__ = "subscription_retry"
    __table_args__ = (Index("ix_subscription_retry_due_at", "subscription_id", "due_at"),)

    subscription_id: Mapped[UUID] = mapped_column(ForeignKey("subscription.id", ondelete="CASCADE"), primary_key=True)
    event_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    webhook_id: Mapped[str] = mapped_column(String(WEBHOOK_ID))
    kind: Mapped[str] = mapped_column(String(32))
    tries: Mapped[int] = mapped_column(Integer)
    first_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SubscriptionAttempt(Base):
    """One request to a subscriber, or (outcome `missed`) the events that were pruned before one could be made.

    Holds nothing of a person. No foreign key: whatever becomes of the subscription, `RETENTION` prunes these rows in
    the order of their ids, which is that of time.
    """

    __tablename__ = "subscription_attempt"
    __table_args__ = (Index("ix_subscription_attempt_subscription_id", "subscription_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    subscription_id: Mapped[UUID] = mapped_column()
    webhook_id: Mapped[str | None] = mapped_column(String(WEBHOOK_ID))
    kind: Mapped[str | None] = mapped_column(String(32))
    number: Mapped[int | None] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    duration_ms: Mapped[int | None] = mapped_column(Integer)
    outcome: Mapped[str] = mapped_column(String(16))
    code: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str | None] = mapped_column(String(200))
    next_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
