"""Shapes of broadcasts, and of what became of their people."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from notifier.api.fields import Body, JsonObject, Key, ShortText, Time, wrong
from notifier.api.schemas.audiences import AudienceIn
from notifier.api.schemas.base import PRIORITY, Answer, Page
from notifier.api.schemas.submissions import LONGEST_EXPIRY_S
from notifier.core.broadcasts import MOST_PER_SECOND, STATUSES
from notifier.core.submission import DEFAULT_EXPIRES_IN_S, Submission

_FIRST_YEAR, _LAST_YEAR = 2000, 9000  # beyond them zones lead out of the calendar


def _read_local(value: Any) -> datetime:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        at = None
    if at is None or at.tzinfo is not None or "T" not in value or not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise wrong("invalid_time", "a date and time without a zone is needed, as in 2026-12-01T09:00")
    return at


LocalTime = Annotated[datetime, BeforeValidator(_read_local, json_schema_input_type=str)]


class BroadcastIn(Body):
    name: ShortText = Field(min_length=1, examples=["Spring sale"])
    type: Key = Field(examples=["promotional_offer"])
    audience: AudienceIn
    data: JsonObject = Field(default_factory=dict, description="Validated against the JSON Schema of the type.")
    channels: list[Key] | None = Field(
        default=None, min_length=1, max_length=32, description="Instead of the type's own. Never overrides an opt-out."
    )
    template: Annotated[str, Field(min_length=1, max_length=80)] | None = Field(
        default=None, description="Another template, or a pinned version of one.", examples=["newsletter@3"]
    )
    priority: PRIORITY | None = Field(default=None, description="If left out, that of the type.")
    expires_in: int = Field(
        default=DEFAULT_EXPIRES_IN_S,
        ge=1,
        le=LONGEST_EXPIRY_S,
        description="Seconds after which it is no longer sent, from `send_at`, each person's `local_time`, or now. If "
        "left out, a day after each person's turn.",
    )
    send_at: Time | None = Field(default=None, description="When it begins, within the coming year.")
    local_time: LocalTime | None = Field(
        default=None,
        description="Instead of `send_at`: that time in each person's own zone. Where it has passed, at once.",
        examples=["2026-12-01T09:00"],
    )
    per_second: Annotated[int, Field(ge=1, le=MOST_PER_SECOND)] | None = Field(
        default=None, description="At most so many people have their turn in a second."
    )
    stop_at_failures: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="It pauses itself when this share of at least 100 sends has failed.", examples=[0.2]
    )
    idempotency_key: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None, description="The same as the header."
    )

    def said(self) -> Submission:
        """What it says, to nobody yet."""
        return Submission(
            type=self.type,
            recipients=(),
            data=self.data,
            channels=tuple(dict.fromkeys(self.channels)) if self.channels else None,
            priority=self.priority,
            send_at=self.send_at,
            expires_in=self.expires_in,
            is_perishable="expires_in" in self.model_fields_set,
            template=self.template,
        )


class BroadcastsQuery(Page):
    status: str | None = Field(
        default=None, max_length=200, description=f"Of {', '.join(STATUSES)}; several by commas."
    )


class RecipientsQuery(Page):
    status: str | None = Field(default=None, max_length=200, description="Of a delivery; several by commas.")
    channel: str | None = Field(default=None, max_length=200, description="Several by commas.")


class BroadcastCounts(Answer):
    notifications: int = Field(description="As many as `expanded`.")
    channels: dict[str, dict[str, int]] = Field(
        description="channel → status → deliveries. At every moment they add up to the deliveries made."
    )
    skipped: dict[str, int] = Field(description="reason → deliveries, of all channels.")


class BroadcastVariantOut(Answer):
    name: str = Field(examples=["b"])
    weight: int
    channels: dict[str, dict[str, int]] = Field(
        description="channel → what happened, up to some seconds ago → deliveries.",
        examples=[{"email": {"sent": 500, "delivered": 498, "opened": 240, "clicked": 31}}],
    )


class RegionalProgress(Answer):
    """How far a broadcast is in one cell. `status` may also be `away`, `held` or `refused`."""

    region: str
    status: str
    audience: int | None = None
    expanded: int | None = None
    counts: BroadcastCounts | None = None


class BroadcastOut(Answer):
    id: str
    submission: str
    name: str
    type: str
    test: bool
    status: Literal[STATUSES]  # type: ignore[valid-type]
    to: dict[str, Any] = Field(description="The audience as it was asked for; of `users`, how many it names.")
    audience: int = Field(description="How many people it was for when it began; before that, when it was made.")
    expanded: int = Field(description="How many of them have been notified so far; who was erased meanwhile is not.")
    retries: int = Field(description="How many deliveries `retry-failed` has sent again.")
    counts: BroadcastCounts
    variants: list[BroadcastVariantOut] = Field(description="Of experiments with its template; else none.")
    per_second: int | None
    stop_at_failures: float | None
    send_at: str | None
    local_time: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    paused_reason: str | None = Field(description="Why it paused itself; null if somebody did.")
    regions: list[RegionalProgress] | None = Field(default=None, description="With several cells, of one broadcast.")


class BroadcastPage(Answer):
    data: list[BroadcastOut]
    next: str | None


class BroadcastRecipient(Answer):
    user: str
    notification: str
    delivery: str
    channel: str
    status: str
    reason: str | None
    code: str | None


class BroadcastRecipientPage(Answer):
    data: list[BroadcastRecipient]
    next: str | None
