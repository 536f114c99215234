"""What calls take and answer, as the OpenAPI document has it (`/api/openapi.json`). Answers may have further fields."""

from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict

Priority = Literal["urgent", "high", "medium", "low"]
Routing = Literal["all", "first", "escalate", "best"]
BroadcastStatus = Literal["scheduled", "running", "paused", "cancelled", "finished"]


class Recipient(TypedDict, total=False):
    """Somebody who is created, or for whom other values hold. `id` is required."""

    id: str
    name: str | None
    email: str | None
    phone: str | None
    locale: str | None
    time_zone: str | None
    attributes: dict[str, Any] | None
    home_region: str | None


class Options(TypedDict, total=False):
    """How something is sent."""

    channels: list[str] | None
    priority: Priority | None
    routing: Routing | None
    escalate_after: int | None
    send_at: datetime | str | None
    expires_in: int
    collapse_key: str | None
    sequence: int | None
    dedupe: bool | None
    push: dict[str, Any] | None
    template: str | None


class Submission(Options):
    """One item of `send_many`."""

    type: str
    recipients: list[str | int | Recipient]
    data: NotRequired[dict[str, Any]]
    idempotency_key: NotRequired[str | None]


class BroadcastOptions(TypedDict, total=False):
    data: dict[str, Any]
    channels: list[str] | None
    template: str | None
    priority: Priority | None
    expires_in: int
    send_at: datetime | str | None
    local_time: str | None
    per_second: int | None
    stop_at_failures: float | None


class Attempt(TypedDict):
    number: int
    at: str
    provider: str | None
    outcome: str
    code: str | None
    message: str | None
    duration_ms: int


class Delivery(TypedDict):
    """One channel and address. A skipped channel is a delivery too, with its `reason`."""

    id: str
    channel: str
    address: str | None
    status: str
    reason: str | None
    detail: dict[str, Any]
    due_at: str | None
    provider: str | None
    sent_at: str | None
    delivered_at: str | None
    opened_at: str | None
    clicked_at: str | None
    attempts: list[Attempt]


class NotificationSummary(TypedDict):
    id: str
    user: str
    deliveries: list[Delivery]


class RegionalPart(TypedDict):
    region: str
    status: Literal["accepted", "held", "refused"]
    recipients: int
    id: str | None
    error: dict[str, Any] | None


class RegionalProgress(TypedDict):
    region: str
    status: str
    audience: int | None
    expanded: int | None
    counts: "BroadcastCounts | None"


class Accepted(TypedDict):
    """`notifications` is None while more than 100 recipients are dealt with in the background."""

    id: str
    status: str
    notifications: list[NotificationSummary] | None
    regions: NotRequired[list[RegionalPart]]


class SubmissionStatus(Accepted):
    type: str
    recipients: int
    expanded: int
    created_at: str


class DecisionLine(TypedDict):
    rule: str
    channel: str
    outcome: str
    reason: str
    detail: dict[str, Any]
    sentence: str


class Rehearsed(TypedDict):
    user: str
    deliveries: list[dict[str, Any]]
    rendered: dict[str, dict[str, Any]]
    trace: list[DecisionLine]


class Receipt(TypedDict):
    delivery: str
    provider: str
    status: str
    code: str | None
    by: str
    at: str


class Notification(NotificationSummary):
    submission: str
    test: bool
    type: str
    priority: str
    data: dict[str, Any] | None
    created_at: str
    send_at: str | None
    expires_at: str | None
    receipts: list[Receipt]


class NotificationInFull(Notification):
    decision: list[DecisionLine]


class UserToken(TypedDict):
    token: str
    expires_at: str


class EventDelivery(TypedDict):
    id: str
    channel: str
    address: str | None
    provider: str | None
    code: str | None


class EventData(TypedDict):
    notification: str | None
    submission: str | None
    broadcast: NotRequired[str | None]
    user: str | None
    test: bool
    notification_type: str | None
    category: str | None
    channel: str | None
    delivery: EventDelivery | None
    reason: str | None
    key: str | None


class Event(TypedDict):
    """`cursor`: where to go on after it."""

    id: str
    type: str
    timestamp: str
    data: EventData
    cursor: str


class BroadcastCounts(TypedDict):
    """They add up at every moment."""

    notifications: int
    channels: dict[str, dict[str, int]]
    skipped: dict[str, int]


class BroadcastVariant(TypedDict):
    name: str
    weight: int
    channels: dict[str, dict[str, int]]


class Broadcast(TypedDict):
    id: str
    submission: str
    name: str
    type: str
    test: bool
    status: BroadcastStatus
    to: dict[str, Any]
    audience: int
    expanded: int
    retries: int
    counts: BroadcastCounts
    variants: list[BroadcastVariant]
    per_second: int | None
    stop_at_failures: float | None
    send_at: str | None
    local_time: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    paused_reason: str | None
    regions: NotRequired[list[RegionalProgress]]


class BroadcastRecipient(TypedDict):
    user: str
    notification: str
    delivery: str
    channel: str
    status: str
    reason: str | None
    code: str | None
