"""Shapes of notifications and their deliveries, as they are answered."""

from typing import Any

from pydantic import Field

from notifier.api.schemas.base import Answer, Page


class NotificationsQuery(Page):
    user: str | None = Field(default=None, description="One or more, separated by commas; so are the others.")
    type: str | None = None
    status: str | None = None
    channel: str | None = None


class AttemptOut(Answer):
    number: int
    at: str
    provider: str | None
    outcome: str
    code: str | None
    message: str | None
    duration_ms: int


class DeliveryOut(Answer):
    """One channel and address. A skipped channel is a delivery too, with its `reason`."""

    id: str
    channel: str
    address: str | None = Field(description="Masked.")
    status: str
    reason: str | None
    detail: dict[str, Any]
    due_at: str | None
    provider: str | None
    sent_at: str | None
    delivered_at: str | None
    opened_at: str | None
    clicked_at: str | None
    attempts: list[AttemptOut]


class ReceiptOut(Answer):
    """What a provider said of a delivery afterwards."""

    delivery: str
    provider: str = Field(description="The account of the provider; `~tracking`: links and pixel of Notifier's own.")
    status: str = Field(
        description="sent, delivered, opened, clicked, bounced, failed, complained, unsubscribed, stopped or started."
    )
    code: str | None = Field(description="The provider's own word for it.")
    by: str = Field(description="Who opened or clicked: person, machine (it does not count), or unknown.")
    at: str


class NotificationSummary(Answer):
    id: str
    user: str
    deliveries: list[DeliveryOut]


class DecisionLine(Answer):
    """One line of a decision: which rule spoke about which channel (`*`: all), and what it said."""

    rule: str
    channel: str
    outcome: str
    reason: str
    detail: dict[str, Any]
    sentence: str


class NotificationOut(Answer):
    id: str
    submission: str
    user: str
    test: bool = Field(description="Sent with a test key.")
    type: str
    priority: str
    data: dict[str, Any] | None
    created_at: str
    send_at: str | None
    expires_at: str | None
    deliveries: list[DeliveryOut]
    receipts: list[ReceiptOut]


class NotificationInFull(NotificationOut):
    decision: list[DecisionLine] = Field(
        description="How it was decided, rule by rule, and what has become of each delivery since."
    )


class NotificationPage(Answer):
    data: list[NotificationOut]
    next: str | None
