"""The heart of the data: notification, its deliveries, their attempts, receipts and captures."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text, text, true
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.ground.ids import new_id, show
from notifier.models.types import STORED_USER_ID, EncryptedJSON, EncryptedText, KeyedDigest, PlainJSON, UtcDateTime

_DEAD = "status IN ('failed', 'unknown') AND reason IS NULL"  # a discarded delivery has that as its reason
_LATER = "send_at IS NOT NULL"
_OF_TESTS_SQLITE, _OF_TESTS_POSTGRESQL = "is_test IS 1", "is_test IS true"  # as queries say it
_HELD = "status = 'waiting' AND held_for IS NOT NULL"
_KEPT = "applied_at IS NULL"
_BROADCAST = "broadcast_id IS NOT NULL"
_OF_ADDRESS = "digest IS NOT NULL"
_OF_NOBODY = "delivery_id IS NULL"
# What a provider said no to. Queries spell these out, so that SQLite too sees that the indexes serve.
REFUSED_ATTEMPT = "outcome NOT IN ('sent', 'delivered')"
REFUSED_RECEIPT = "status NOT IN ('sent', 'delivered', 'opened', 'clicked')"


class Notification(Base):
    """One submission for one user. No foreign key to the user: counts outlive an erased person.

    `decision` holds the trace of the decision, rule by rule (`core.explain`). `sequence` orders those of one collapse
    key. `push`: how phones present it, where the producer has said. `is_perishable`: the producer has set the expiry
    (older rows count as such). `given`: profile fields that apply to this notification only, before the stored ones.
    `variant_id`: of an experiment, whose words it has; no foreign key, as for users.
    """

    __tablename__ = "notification"
    __table_args__ = (
        # A replayed chunk changes nothing
        Index("ix_notification_submission_id", "submission_id", "user_id", unique=True),
        Index("ix_notification_user_id", "user_id", "id"),
        Index("ix_notification_producer_id", "producer_id", "id"),
        Index(
            "ix_notification_tests",
            "producer_id",
            "id",
            sqlite_where=text(_OF_TESTS_SQLITE),
            postgresql_where=text(_OF_TESTS_POSTGRESQL),
        ),
        Index(
            "ix_notification_send_at", "user_id", "send_at", sqlite_where=text(_LATER), postgresql_where=text(_LATER)
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    submission_id: Mapped[UUID] = mapped_column(ForeignKey("submission.id", ondelete="CASCADE"))
    producer_id: Mapped[UUID | None] = mapped_column(ForeignKey("producer.id"))
    user_id: Mapped[str] = mapped_column(String(STORED_USER_ID))
    type: Mapped[str] = mapped_column(String(64))
    category: Mapped[str] = mapped_column(String(32))
    priority: Mapped[str] = mapped_column(String(16))
    template_id: Mapped[UUID | None] = mapped_column(ForeignKey("template.id"))
    variant_id: Mapped[UUID | None] = mapped_column()
    data: Mapped[Any] = mapped_column(EncryptedJSON("notification.data"), nullable=True)
    given: Mapped[dict[str, Any] | None] = mapped_column(EncryptedJSON("notification.given"))
    is_test: Mapped[bool] = mapped_column(default=False)
    routing: Mapped[str] = mapped_column(String(16), default="all")
    collapse_key: Mapped[str | None] = mapped_column(String(255))
    sequence: Mapped[int | None] = mapped_column(BigInteger)
    push: Mapped[dict[str, Any] | None] = mapped_column(PlainJSON)
    decision: Mapped[list[Any] | None] = mapped_column(PlainJSON)
    send_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    is_perishable: Mapped[bool] = mapped_column(default=False, server_default=true())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    @property
    def shown_id(self) -> str:
        return show("ntf", self.id)


class Delivery(Base):
    """A notification on one channel to one address. Its status moves as `core.lifecycle` allows.

    `due_at`: when it may be sent (None: at once). `wake_at`: when the scheduler must look at it: due (waiting), its
    doorbell may be lost (queued), or its lease lapses (sending). None when nothing more happens by itself. `held_for`:
    the outage that a waiting delivery waits for (`delivery.outages`), however often it is due meanwhile; None: none.
    `step`: its place in a routing; a later one is held back with the reason `fallback` or `escalation` until its turn
    comes. `tries` counts every provider call; `failures` those that used up an attempt. `expires_at` is the
    notification's, or later if mute or quiet hours hold it and the producer set no expiry. `failed_at`, `outcome` and
    `code` are those of the last failed attempt: failed deliveries are grouped by them. `failed_type` is the
    notification's type, once an attempt has failed: hundreds of thousands of rows are filtered by it without reading
    another table. `holder`: the number of the worker that has claimed it (see `ground.lifeline`), while it is
    `sending`. `broadcast_id`: whose part it is; of such, `moved_from` says where `ledgers.moves` moved it from together
    with others. `links`: where its tracked links lead, from number 1. A dead letter is failed or unknown and has no
    `reason`; the reason `discarded` takes it off the lists.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        # By status, too: those of a broadcast that are held back have all come due, and are many
        Index(
            "ix_delivery_awake",
            "status",
            "wake_at",
            sqlite_where=text("wake_at IS NOT NULL"),
            postgresql_where=text("wake_at IS NOT NULL"),
        ),
        Index(
            "ix_delivery_waiting",
            "channel",
            "priority",
            "wake_at",
            sqlite_where=text("status = 'waiting'"),
            postgresql_where=text("status = 'waiting'"),
        ),
        Index(
            "ix_delivery_reason",
            "reason",
            "wake_at",
            sqlite_where=text("status = 'waiting'"),
            postgresql_where=text("status = 'waiting'"),
        ),
        Index(
            "ix_delivery_held", "held_for", "priority", "due_at", sqlite_where=text(_HELD), postgresql_where=text(_HELD)
        ),
        Index("ix_delivery_notification_id", "notification_id"),
        Index(
            "ix_delivery_provider_message_id",
            "provider_message_id",
            sqlite_where=text("provider_message_id IS NOT NULL"),
            postgresql_where=text("provider_message_id IS NOT NULL"),
        ),
        Index(
            "ix_delivery_cause",
            "channel",
            "provider",
            "outcome",
            "code",
            "failed_at",
            sqlite_where=text(_DEAD),
            postgresql_where=text(_DEAD),
        ),
        Index("ix_delivery_failed", "id", sqlite_where=text(_DEAD), postgresql_where=text(_DEAD)),
        Index(
            "ix_delivery_broadcast",
            "broadcast_id",
            "status",
            "id",
            sqlite_where=text(_BROADCAST),
            postgresql_where=text(_BROADCAST),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    notification_id: Mapped[UUID] = mapped_column(ForeignKey("notification.id", ondelete="CASCADE"))
    broadcast_id: Mapped[UUID | None] = mapped_column()
    channel: Mapped[str] = mapped_column(String(32))
    priority: Mapped[str] = mapped_column(String(16))
    address_id: Mapped[UUID | None] = mapped_column(ForeignKey("address.id", ondelete="SET NULL"), index=True)
    address_masked: Mapped[str | None] = mapped_column(String(120))
    status: Mapped[str] = mapped_column(String(16))
    moved_from: Mapped[str | None] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(32))
    step: Mapped[int] = mapped_column(Integer, default=0)
    detail: Mapped[dict[str, Any]] = mapped_column(PlainJSON, default=dict)
    links: Mapped[list[str] | None] = mapped_column(EncryptedJSON("delivery.links"))
    provider: Mapped[str | None] = mapped_column(String(64))
    provider_message_id: Mapped[str | None] = mapped_column(String(255))
    holder: Mapped[int | None] = mapped_column(Integer)
    tries: Mapped[int] = mapped_column(Integer, default=0)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    outcome: Mapped[str | None] = mapped_column(String(32))
    code: Mapped[str | None] = mapped_column(String(64))
    failed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failed_type: Mapped[str | None] = mapped_column(String(64))
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    wake_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    held_for: Mapped[str | None] = mapped_column(Text)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    opened_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    clicked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    @property
    def shown_id(self) -> str:
        return show("dlv", self.id)


class Attempt(Base):
    """One provider call and its result. `outcome` is sent, delivered, or the error's class in snake_case."""

    __tablename__ = "attempt"
    __table_args__ = (
        Index(
            "ix_attempt_refusal",
            "provider",
            "at",
            sqlite_where=text(REFUSED_ATTEMPT),
            postgresql_where=text(REFUSED_ATTEMPT),
        ),
    )

    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("delivery.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    provider: Mapped[str] = mapped_column(String(64))
    outcome: Mapped[str] = mapped_column(String(32))
    code: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str | None] = mapped_column(EncryptedText("attempt.message"))
    duration_ms: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class Receipt(Base):
    """What a provider says later of a send: one event, and what it was applied to. Unique, so a repeat is harmless.

    `provider` is the account, `status` the event's kind (`channels.receipts.Kind`). `reference`: the delivery's id, as
    the provider said it back; `delivery_id`: the delivery that it was found to be about. `digest`: keyed, of the
    address, where the provider names it. `applied_at` None: kept until its delivery is known or has been recorded.
    `wake_at`: when the scheduler looks for it again; None: never.
    """

    __tablename__ = "receipt"
    __table_args__ = (
        Index("uq_receipt_event", "provider", "event_id", unique=True),
        Index("ix_receipt_provider_message_id", "provider_message_id"),
        Index(
            "ix_receipt_kept", "reference", sqlite_where=text(_KEPT), postgresql_where=text(_KEPT)
        ),  # one statement for each batch that is recorded
        Index(
            "ix_receipt_wake_at",
            "wake_at",
            sqlite_where=text("wake_at IS NOT NULL"),
            postgresql_where=text("wake_at IS NOT NULL"),
        ),
        Index("ix_receipt_digest", "digest", sqlite_where=text(_OF_ADDRESS), postgresql_where=text(_OF_ADDRESS)),
        Index(
            "ix_receipt_refusal",
            "provider",
            "received_at",
            sqlite_where=text(REFUSED_RECEIPT),
            postgresql_where=text(REFUSED_RECEIPT),
        ),
        Index("ix_receipt_of_nobody", "received_at", sqlite_where=text(_OF_NOBODY), postgresql_where=text(_OF_NOBODY)),
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    provider: Mapped[str] = mapped_column(String(64))
    channel: Mapped[str] = mapped_column(String(32))
    event_id: Mapped[str] = mapped_column(String(255))
    provider_message_id: Mapped[str | None] = mapped_column(String(255))
    reference: Mapped[UUID | None] = mapped_column()
    delivery_id: Mapped[UUID | None] = mapped_column(ForeignKey("delivery.id", ondelete="CASCADE"), index=True)
    status: Mapped[str] = mapped_column(String(16))
    code: Mapped[str | None] = mapped_column(String(64))
    by: Mapped[str] = mapped_column(String(8), default="unknown")
    digest: Mapped[bytes | None] = mapped_column(KeyedDigest)
    detail: Mapped[dict[str, Any]] = mapped_column(PlainJSON, default=dict)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    applied_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    wake_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Capture(Base):
    """A message that the sandbox kept instead of sending; one per delivery and try. `content` holds to, subject, text,
    html, payload, headers. No foreign key to the delivery: each that is deleted would look into every partition.
    """

    __tablename__ = "capture"
    __table_args__ = (Index("ix_capture_user_id", "user_id", "id"), Index("ix_capture_channel", "channel", "id"))

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    delivery_id: Mapped[UUID] = mapped_column(index=True)
    user_id: Mapped[str] = mapped_column(String(STORED_USER_ID))
    channel: Mapped[str] = mapped_column(String(32))
    content: Mapped[Any] = mapped_column(EncryptedJSON("capture.content"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
