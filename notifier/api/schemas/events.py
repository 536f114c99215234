"""Shapes of the event stream."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from notifier.api.fields import Body
from notifier.api.schemas.base import Answer, whole
from notifier.core import events

MOST = 1_000


class EventsQuery(Body):
    after: Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_-]+$")] | None = Field(
        default=None, description="The `cursor` of the last event read; without it, the oldest that are kept."
    )
    limit: Annotated[int, BeforeValidator(whole), Field(ge=1, le=MOST)] = 100
    types: Annotated[str, Field(max_length=1_000)] | None = Field(
        default=None, description="Events, separated by commas; `delivery.*` stands for all of a group."
    )


class EventDeliveryOut(Answer):
    id: str
    channel: str
    address: str | None = Field(description="Masked.")
    provider: str | None
    code: str | None


class EventDataOut(Answer):
    """`user`, `key` and the delivery's `address` are null once the person has been erased."""

    notification: str | None
    submission: str | None
    broadcast: str | None = Field(default=None, description="Of `broadcast.finished` and `broadcast.paused` alone.")
    user: str | None
    test: bool
    notification_type: str | None
    category: str | None
    channel: str | None
    delivery: EventDeliveryOut | None
    reason: str | None
    key: str | None = Field(description="The submission's idempotency key.")


class EventOut(Answer):
    """One line of the answer."""

    id: str
    type: Literal[events.KINDS]  # type: ignore[valid-type]
    timestamp: str
    data: EventDataOut
    cursor: str
