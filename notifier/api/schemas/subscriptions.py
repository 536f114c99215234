"""Shapes of status webhooks."""

from typing import Annotated, Literal

from pydantic import Field

from notifier.api.fields import Body, Key, ShortText, Time
from notifier.api.schemas.base import Answer
from notifier.models.subscription import ASKED, FAILING, GONE

Url = Annotated[str, Field(min_length=1, max_length=2_048, examples=["https://example.com/webhooks/notifier"])]
Events = Annotated[
    list[Key],
    Field(min_length=1, max_length=50, description="Events; `delivery.*` stands for all of a group."),
]
Types = Annotated[
    list[Key],
    Field(min_length=1, max_length=100, description="Only of notifications of these event types; null: of all."),
]


class SubscriptionIn(Body):
    url: Url
    events: Events
    types: Types | None = None
    description: ShortText | None = None
    all_producers: bool = Field(default=False, description="Not only your own notifications: needs the scope `admin`.")


class SubscriptionPatch(Body):
    """What is left out stays as it is."""

    url: Url = ""
    events: Events = Field(default_factory=list)
    types: Types | None = None
    description: ShortText | None = None
    all_producers: bool = False
    disabled: bool = False


class ReplayIn(Body):
    since: Time = Field(description="Events of this time or later,")
    until: Time = Field(description="but before this one.")


class ReplayOut(Answer):
    since: str
    until: str


class SubscriptionOut(Answer):
    id: str
    url: str
    events: list[str]
    types: list[str] | None
    description: str | None
    all_producers: bool
    test: bool
    disabled: bool
    disabled_at: str | None
    disabled_reason: Literal[ASKED, GONE, FAILING] | None = Field(  # type: ignore[valid-type]
        description="By a call; the URL answered 410; nothing but failures for five days."
    )
    left_out_by: Literal["installation", "producer"] | None = Field(
        description="Whose list of webhook targets leaves the URL out, so that nothing is sent there."
    )
    failing_since: str | None = Field(description="There has been no success since.")
    waiting: int = Field(description="Events that wait for another try.")
    replay: ReplayOut | None = Field(description="That is running.")
    previous_secret_until: str | None = Field(description="Until then what signed before the present secret signs too.")
    created_at: str


class NewSubscriptionOut(SubscriptionOut):
    secret: str = Field(description="Signs every request; shown this once.")


class SubscriptionPage(Answer):
    data: list[SubscriptionOut]
    next: str | None


class SecretOut(Answer):
    secret: str = Field(description="Shown this once.")
    previous_secret_until: str


class PingOut(Answer):
    id: str = Field(description="The `webhook-id` of the ping.")


class SubscriptionAttemptOut(Answer):
    """One request, or (`missed`) events that were deleted before it could be made."""

    id: str
    event: str | None
    type: str | None
    number: int | None
    at: str
    duration_ms: int | None
    outcome: Literal["sent", "failed", "missed"]
    code: str | None
    message: str | None
    next_at: str | None = Field(description="When the event is tried again.")


class SubscriptionAttemptPage(Answer):
    data: list[SubscriptionAttemptOut]
    next: str | None
