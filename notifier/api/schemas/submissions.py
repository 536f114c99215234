"""Shapes of submissions, single and in bulk, and of the answers to them. Used by every route that takes one in."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator

from notifier.api.fields import (
    Attributes,
    Body,
    Email,
    JsonObject,
    Key,
    Locale,
    Part,
    Phone,
    ShortText,
    Time,
    UserId,
    Zone,
    wrong,
)
from notifier.api.schemas.base import PRIORITY, ROUTING, Answer, EscalateAfter
from notifier.api.schemas.notifications import DecisionLine, NotificationSummary
from notifier.core.people import parse_user_id
from notifier.core.submission import DEFAULT_EXPIRES_IN_S, MAX_AHEAD, InlineRecipient, Submission

LONGEST_EXPIRY_S = int(MAX_AHEAD.total_seconds())


class Recipient(Part):
    """A person to notify, with fields of a new person, changes to a known one (scope `users`), or values for this
    notification only.
    """

    id: UserId
    name: ShortText | None = None
    email: Email | None = None
    phone: Phone | None = None
    locale: Locale | None = None
    time_zone: Zone | None = None
    attributes: Attributes | None = None
    home_region: Annotated[str, Field(max_length=64)] | None = None

    def changes(self) -> dict[str, Any]:
        """The fields that were given, to be stored; null clears one."""
        return {name: getattr(self, name) for name in self.model_fields_set if name != "id"}


def _named(value: Any) -> Any:
    # A bare id becomes an object here, so that a fault in it is reported at the place it stands.
    if isinstance(value, dict | Recipient):
        return value
    try:
        return {"id": parse_user_id(value)}
    except ValueError as error:
        raise wrong("invalid_user_id", str(error)) from None


RecipientIn = Annotated[Recipient, BeforeValidator(_named, json_schema_input_type=str | int | Recipient)]


class PushIn(Part):
    """How phones present it."""

    sound: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")] | None = Field(
        default=None,
        description="`default`, or the name of a sound that the app brings; null for none. If left out, `default`, and "
        "none for the priority low.",
        examples=["default"],
    )
    content_available: bool = Field(default=False, description="Wakes the app in the background as well.")
    silent: bool = Field(default=False, description="Wakes the app and gives it the data; nothing is shown.")


class SubmissionIn(Body):
    """One event for 1 to 1,000 people."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "order_shipped",
                "recipients": [{"id": "alice", "email": "alice@example.test"}],
                "data": {"order_id": "A123", "tracking_url": "https://example.test/A123"},
            }
        }
    )

    type: Key = Field(examples=["order_shipped"])
    recipients: list[RecipientIn] = Field(min_length=1, max_length=1000)
    data: JsonObject = Field(
        default_factory=dict,
        description=(
            "Validated against the JSON Schema of the type. `notification` is reserved: webhooks get there what they "
            "are told of the notification."
        ),
    )
    channels: list[Key] | None = Field(
        default=None, min_length=1, max_length=32, description="Instead of the type's own. Never overrides an opt-out."
    )
    priority: PRIORITY | None = Field(
        default=None,
        description="Marketing is at most medium, social at most high; urgent needs the scope or an urgent type.",
    )
    routing: ROUTING | None = Field(
        default=None,
        description="If left out, that of the type. `all` channels; `first`: in order, the next one when a channel "
        "has failed, or has not been working for a while (urgent: at once, high: 10 s, medium: 1 minute, low: 10 "
        "minutes); `escalate`: in order, the next one when it has not been read in time, or has failed; `best`: as "
        "`first`, beginning with what the person opens most.",
    )
    escalate_after: EscalateAfter | None = Field(
        default=None, description="Seconds until the next step of routing `escalate`; if left out, that of the type."
    )
    send_at: Time | None = Field(default=None, description="Within the coming year.")
    expires_in: int = Field(
        default=DEFAULT_EXPIRES_IN_S,
        ge=1,
        le=LONGEST_EXPIRY_S,
        description=(
            "Seconds after which it is no longer sent. Left out: a day, in which the time does not count for which "
            "mute or quiet hours hold it."
        ),
    )
    collapse_key: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None,
        description=(
            "A newer notification with the same key replaces what the user has not been sent, or "
            "has not read in the inbox."
        ),
    )
    sequence: Annotated[int, Field(ge=0, le=2**53)] | None = Field(
        default=None,
        description=(
            "Which of a collapse_key is the newer one: the greater, and among equals the one submitted later. Left "
            "out, it counts as 0."
        ),
    )
    dedupe: bool | None = Field(
        default=None,
        description="Whether the same (type, template, data and the channels named) for the same person is left out "
        "if it was said within the type's `dedupe_window`, or an hour, by a call that asked for that or by one that "
        "did not. Left open, types that have a window do so, as all of the catalogue have that are not mandatory, and "
        "no mandatory one. A repeat is accepted, and its deliveries are skipped as `duplicate` with "
        "`detail.duplicate_of`. What is for another time, or came to nothing, is no repeat; neither is what goes to "
        "another e-mail address or phone, given inline or corrected by this call.",
    )
    push: PushIn | None = Field(default=None, description="For the channel `push` alone.")
    idempotency_key: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None, description="The same as the header."
    )
    template: Annotated[str, Field(min_length=1, max_length=80)] | None = Field(
        default=None, description="Another template, or a pinned version of one.", examples=["order_shipped@3"]
    )

    def canonical(self, recipients: tuple[InlineRecipient, ...], idempotency: tuple[str, str] | None) -> Submission:
        """As the pipeline takes it, for these recipients. `idempotency`: key and digest of the body."""
        return Submission(
            type=self.type,
            recipients=recipients,
            data=self.data,
            channels=tuple(dict.fromkeys(self.channels)) if self.channels else None,
            priority=self.priority,
            routing=self.routing,
            escalate_after=self.escalate_after,
            send_at=self.send_at,
            expires_in=self.expires_in,
            is_perishable="expires_in" in self.model_fields_set,
            collapse_key=self.collapse_key,
            sequence=self.sequence,
            dedupe=self.dedupe,
            push=self.push.model_dump(exclude_unset=True) if self.push else None,
            template=self.template,
            idempotency=idempotency,
        )


def batch_of(value: Any) -> list[Any]:
    """The items of a bulk call, unchecked: each is checked by itself."""
    if not isinstance(value, list):
        raise wrong("wrong_type", "a list is needed")
    if not 1 <= len(value) <= 1000:
        raise wrong("too_long" if value else "too_short", "1 to 1000 notifications in one call")
    return value


class BulkIn(Part):
    """Up to 1,000 submissions in one call, each checked by itself."""

    notifications: Annotated[
        list[Any],
        PlainValidator(
            batch_of, json_schema_input_type=Annotated[list[SubmissionIn], Field(min_length=1, max_length=1000)]
        ),
    ]


class DryRunQuery(Part):
    dry_run: Annotated[
        Literal["true", "false", "1", "0"],
        Field(description="Answers what would happen and why; nothing is stored or sent."),
    ] = "false"

    @property
    def is_rehearsal(self) -> bool:
        return self.dry_run in ("true", "1")


class RegionalPart(Answer):
    """What became of the part of a submission that is for people of one region."""

    region: str
    status: Literal["accepted", "held", "refused"] = Field(
        description="`held`: the cell gives no answer at the moment, and is told as soon as it does."
    )
    recipients: int
    id: str | None = None
    error: dict[str, Any] | None = Field(
        default=None, description="A problem, as a call there would have been answered."
    )


class SubmissionOut(Answer):
    id: str
    status: str
    regions: list[RegionalPart] | None = Field(
        default=None, description="With several cells, if some of the people live in another one."
    )
    notifications: list[NotificationSummary] | None = Field(
        description="Null while more than 100 recipients are expanded in the background, and for a broadcast."
    )


class SubmissionStatusOut(SubmissionOut):
    type: str
    recipients: int
    expanded: int = Field(
        description="How many of the recipients have been dealt with so far. The rest gets nothing if the producer is "
        "switched off, or its key revoked, meanwhile."
    )
    created_at: str


class RehearsedOut(Answer):
    user: str
    deliveries: list[dict[str, Any]]
    rendered: dict[str, dict[str, Any]]
    trace: list[DecisionLine]


class DryRunOut(Answer):
    notifications: list[RehearsedOut]


class BulkRehearsedResult(Answer):
    index: int
    notifications: list[RehearsedOut] | None = None
    error: dict[str, Any] | None = Field(
        default=None, description="A problem, as a single call would have been answered."
    )


class BulkRehearsedOut(Answer):
    results: list[BulkRehearsedResult]


class BulkResult(Answer):
    index: int
    id: str | None = None
    notifications: list[str] | None = None
    error: dict[str, Any] | None = Field(
        default=None, description="A problem, as a single call would have been answered."
    )


class BulkOut(Answer):
    results: list[BulkResult]
