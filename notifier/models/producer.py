"""Programs that call the API, and their keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.ground.ids import new_id, show
from notifier.models.types import PlainJSON, UtcDateTime

SCOPES = ("notify", "read", "users", "templates", "urgent", "broadcast", "alerts", "admin")


def label_of(producer_name: str, key_prefix: str) -> str:
    """The name of a key for people."""
    return f"{producer_name}, key {key_prefix}…"


class Producer(Base):
    """`allowed_origins`: the sites whose pages may use its users' tokens, `https://shop.example` (None: any site).
    `webhook_targets`: what its people's and its own webhooks may lead to, as `TargetList.parse` reads it (None:
    anything that the installation allows). `phone_countries`: where phones may be reached, as `DE` (None: as the
    installation has it). `daily_spend`: for SMS and calls, in millionths of the currency (None: as the installation has
    it).
    """

    __tablename__ = "producer"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(200))
    allowed_origins: Mapped[list[str] | None] = mapped_column(PlainJSON)
    webhook_targets: Mapped[list[str] | None] = mapped_column(PlainJSON)
    phone_countries: Mapped[list[str] | None] = mapped_column(PlainJSON)
    daily_spend: Mapped[int | None] = mapped_column(BigInteger)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    @property
    def shown_id(self) -> str:
        return show("prd", self.id)


class ApiKey(Base):
    """Only the SHA-256 of a key is stored: it has at least 128 random bits, so a slow hash adds nothing.

    `prefix` is what people recognise a key by. `types` limits it to those event types, `networks` to callers from there
    (CIDR; None: all). `last_used_at` is right to the minute.
    """

    __tablename__ = "api_key"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    producer_id: Mapped[UUID] = mapped_column(ForeignKey("producer.id", ondelete="CASCADE"), index=True)
    prefix: Mapped[str] = mapped_column(String(16))
    hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    scopes: Mapped[list[str]] = mapped_column(PlainJSON)
    types: Mapped[list[str] | None] = mapped_column(PlainJSON)
    networks: Mapped[list[str] | None] = mapped_column(PlainJSON)
    is_test: Mapped[bool] = mapped_column(default=False)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    producer: Mapped[Producer] = relationship(lazy="joined")
