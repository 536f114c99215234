"""Shapes of the calls of the design papers, and how their names stand for the canonical ones.

Used by `api.seeds` alone.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import ConfigDict, Field, PlainValidator

from notifier.api.fields import Body, JsonObject, Key, Part, UserId
from notifier.api.schemas.base import PRIORITY, Answer
from notifier.api.schemas.submissions import batch_of
from notifier.api.schemas.users import PreferencesOut
from notifier.core.errors import Fault, Rejected

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_IS_CAMEL = re.compile(r"[a-z][a-z0-9]*+[A-Z][A-Za-z0-9]*+\Z")


@dataclass(frozen=True, slots=True)
class Words:
    """How one call names the fields of the canonical body, so that faults point into the body that was sent.

    `fields`: canonical field → the field here. `lists`: the same for lists, where an index follows. `data`: the field
    that holds the data here; `sent`: the data as they were sent.
    """

    fields: Mapping[str, str]
    data: str
    lists: Mapping[str, str] = field(default_factory=dict)
    sent: Mapping[str, Any] = field(default_factory=dict)

    def translate(self, refused: Rejected) -> Rejected:
        faults = tuple(Fault(self.pointer(fault.pointer), fault.code, fault.message) for fault in refused.faults)
        return Rejected(refused.code, refused.detail, faults, retry_after=refused.retry_after)

    @contextmanager
    def spoken(self) -> Iterator[None]:
        """Refusals from inside are translated into these words."""
        try:
            yield
        except Rejected as refused:
            raise self.translate(refused) from None

    def pointer(self, canonical: str) -> str:
        _, name, *rest = (*canonical.split("/"), "") if canonical.count("/") == 0 else canonical.split("/")
        if name == "data":
            names = {_snake(key): key for key in self.sent}
            rest = [names.get(rest[0], rest[0]), *rest[1:]] if rest else []
            return "/".join(["", self.data, *rest])
        if name in self.fields:
            return "/" + self.fields[name]
        return "/".join(["", self.lists.get(name, name), *rest]) if name else canonical


def snake_case(value: Any) -> Any:
    """camelCase keys to snake_case, at every depth; if a key is there in both forms, the snake_case one counts."""
    if isinstance(value, list):
        return [snake_case(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {_snake(key): snake_case(item) for key, item in value.items() if _snake(key) != key}
    return renamed | {key: snake_case(item) for key, item in value.items() if _snake(key) == key}


def channel_name(name: str) -> str:
    """`SMS` → `sms`; `in_app` → `inapp`."""
    lowered = name.lower()
    return "inapp" if lowered in ("in_app", "in-app") else lowered


def _snake(key: str) -> str:
    return _CAMEL.sub("_", key).lower() if _IS_CAMEL.match(key) else key


class NotifyIn(Body):
    """`type` names the channel, `template` the event type."""

    # Generators make the same name of both spellings
    model_config = ConfigDict(json_schema_extra=lambda schema: schema["properties"].pop("user_id"))

    userId: UserId | None = Field(  # noqa: N815 (the call's own word)
        default=None, examples=["123"], description="May be written `user_id`, too."
    )
    user_id: UserId | None = None
    type: Key | None = Field(default=None, examples=["EMAIL"])
    template: Key = Field(examples=["ORDER_SHIPPED"])
    data: JsonObject = Field(default_factory=dict, examples=[{"orderId": "A123"}])


class NotifyBulkIn(Part):
    notifications: Annotated[
        list[Any],
        PlainValidator(
            batch_of, json_schema_input_type=Annotated[list[NotifyIn], Field(min_length=1, max_length=1000)]
        ),
    ]


class TriggerIn(Body):
    eventType: Key = Field(examples=["ORDER_SHIPPED"])  # noqa: N815
    userId: UserId  # noqa: N815
    metadata: JsonObject = Field(
        default_factory=dict, examples=[{"orderId": "ORD123", "trackingUrl": "https://track.com/ORD123"}]
    )
    eventId: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(  # noqa: N815
        default=None, description="The idempotency key."
    )


class ChoiceIn(Body):
    userId: UserId  # noqa: N815
    eventType: Key = Field(examples=["ORDER_CANCELLED"])  # noqa: N815
    channel: Key = Field(examples=["SMS"])
    enabled: bool


class SendIn(Body):
    user_ids: list[UserId] = Field(min_length=1, max_length=1000)
    notification_type: Key = Field(description="The category of the event type.", examples=["transactional"])
    priority: PRIORITY | None = None
    channels: list[Key] | None = Field(
        default=None, min_length=1, max_length=32, examples=[["push", "email", "sms", "in_app"]]
    )
    template_id: Key
    variables: JsonObject = Field(default_factory=dict)
    scheduled_time: Annotated[int, Field(ge=0, le=253_402_300_799)] | None = Field(
        default=None, description="Unix time; one in the past means now."
    )
    ttl: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Seconds.")


class QueuedOut(Answer):
    id: str | None
    status: str


class StatusOut(Answer):
    id: str
    status: str = Field(description="The furthest any delivery got.")
    deliveries: list[dict[str, Any]]


class SentOut(Answer):
    status: str
    count: int
    notification_ids: list[str] | None = Field(
        description="Null while more than 100 people are notified in the background."
    )
    submission: str


class SeedPreferencesOut(PreferencesOut):
    allowed_channels: list[str]
    blocked_types: list[str]
    mute_start: str | None
    mute_end: str | None
