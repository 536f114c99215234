"""What delivery hands to a channel adapter, and what the adapter returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Content:
    """One notification rendered for one channel. Everything is final text; `html` is a whole document."""

    title: str
    body: str
    subject: str | None = None
    html: str | None = None
    action_label: str | None = None
    action_url: str | None = None
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A rendered delivery. The same `delivery_id` on every try lets providers recognise a repeat.

    `try_number` starts at 1 and counts rate-limited tries too. `unsubscribe_url` is set for
    non-transactional mail only.
    """

    delivery_id: str
    notification_id: str
    user_id: str
    try_number: int
    type: str
    category: str
    priority: str
    created_at: datetime
    content: Content
    data: Mapping[str, Any] = field(default_factory=dict)
    unsubscribe_url: str | None = None
    collapse_key: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where a message goes. `secret` is the address's own (a webhook's signing secret)."""

    address: str
    secret: str | None = None
    name: str | None = None
    locale: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A provider's acceptance. `captured` is what the sandbox kept instead of sending."""

    status: Literal["sent", "delivered"] = "sent"
    provider_message_id: str | None = None
    captured: Mapping[str, Any] | None = None
