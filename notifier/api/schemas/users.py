"""Shapes of people, their addresses, tokens and preferences."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from notifier.api.fields import (
    BY_CHANNEL,
    WHOLE,
    Attributes,
    Body,
    Email,
    Key,
    Locale,
    Part,
    Phone,
    ShortText,
    TextVersion,
    Time,
    UserId,
    Zone,
)
from notifier.api.schemas.base import Answer

VERIFIED = (
    "Needs the scope `admin`: it vouches that the address is this person's own, so that sign-in links and our own "
    "pages may go there."
)


class UserIn(Body):
    """A whole profile: what is left out is cleared."""

    id: UserId | None = Field(default=None, description="If given, that of the path.")
    name: ShortText | None = None
    email: Email | None = None
    phone: Phone | None = None
    locale: Locale | None = None
    time_zone: Zone | None = None
    attributes: Attributes | None = None
    home_region: Annotated[str, Field(max_length=64)] | None = None
    verified: bool = Field(default=False, description=VERIFIED)


class UserPatch(UserIn):
    """The fields to change; null clears one."""


class AddressIn(Body):
    channel: Key = Field(examples=["webhook"])
    value: Annotated[str, Field(min_length=1, max_length=2048)] = Field(examples=["https://example.com/hook"])
    label: Annotated[str, Field(max_length=100)] | None = None
    platform: Literal["ios", "android"] | None = Field(
        default=None, description="Of the phone, for `push`: which providers can send to it. Left out: those for both."
    )
    app: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9._-]+$")] | None = Field(
        default=None,
        description="Which app on the phone: its bundle id or package name.",
        examples=["com.example.shop"],
    )
    verified: bool = Field(default=False, description=VERIFIED)


class TokenIn(Body):
    expires_in: int = Field(default=3600, ge=1, le=30 * 86_400, description="Seconds.")


Switches = dict[str, bool | None]


# Told apart before they are read, so that a fault is one of the kind that was meant.
WholeOrByChannel = Annotated[
    Annotated[Switches, Tag(BY_CHANNEL)] | Annotated[bool | None, Tag(WHOLE)],
    Discriminator(lambda value: BY_CHANNEL if isinstance(value, dict) else WHOLE),
]


class QuietHoursIn(Part):
    start: str = Field(examples=["22:00"])
    end: str = Field(examples=["07:00"])
    days: list[Annotated[int, Field(ge=1, le=7)]] = Field(
        default_factory=lambda: [1, 2, 3, 4, 5, 6, 7],
        min_length=1,
        max_length=7,
        description="ISO days on which the interval starts; 1 is Monday.",
    )


class PreferencesIn(Body):
    """A person's choices. Instead of a channel → on/off map, `true` or `false` switches a whole type or category."""

    channels: Switches | None = None
    categories: dict[str, WholeOrByChannel] | None = None
    types: dict[str, WholeOrByChannel] | None = None
    quiet_hours: QuietHoursIn | None = None
    mute_until: Time | None = None
    held: Literal["wait", "summary", "drop"] | None = Field(
        default=None, description="What becomes of what comes in quiet hours."
    )
    digest: dict[str, Literal["off", "hourly", "daily", "weekly"] | None] | None = Field(
        default=None, description="category → how often it is summed up."
    )
    digest_at: str | None = Field(
        default=None, description="Local hour of a daily or weekly digest.", examples=["08:00"]
    )
    caps: dict[str, Any] | None = Field(
        default=None,
        description="By category, any hour and any 24 hours, and under `channels` by channel. Of these and the "
        "installation's own "
        "the lower one holds. Counted is what goes out, for the time it is due.",
        examples=[{"marketing": {"hour": 2, "day": 3, "channels": {"email": {"day": 1}}}}],
    )
    do_not_track: bool | None = Field(
        default=None, description="Opens and clicks are neither asked for nor recorded, whatever the type says."
    )
    time_zone: Zone | None = None
    text_version: TextVersion | None = Field(
        default=None,
        description="Which version of your own words the person was asked with; kept with these changes as proof of "
        "their consent, and no choice itself.",
        examples=["checkout-2026-11"],
    )
    effective: Any = Field(
        default=None, exclude=True, description="As GET shows it; ignored, so that its answer can be sent back."
    )


class UserOut(Answer):
    id: str
    name: str | None
    email: str | None
    phone: str | None
    locale: str | None
    time_zone: str | None
    attributes: dict[str, Any]
    home_region: str | None


class AddressOut(Answer):
    id: str
    channel: str
    value: str
    label: str | None
    platform: str | None = Field(description="Of a phone: `ios` or `android`.")
    app: str | None = Field(description="Of a phone: the bundle id or package name of the app.")
    verified_at: str | None = Field(description="Good for deliveries since then.")
    confirmed_at: str | None = Field(
        description="Known to be this person's own since then: sign-in links and our own pages may go there."
    )
    disabled_at: str | None
    disabled_reason: str | None
    left_out_by: Literal["installation", "producer"] | None = Field(
        description="Whose list of webhook targets leaves it out, so that nothing is sent there; your own or all."
    )


class NewAddressOut(AddressOut):
    secret: str | None = Field(default=None, description="Signs what is posted to this webhook. Shown this once.")


class AddressPage(Answer):
    data: list[AddressOut]
    next: str | None


class TokenOut(Answer):
    token: str
    expires_at: str


class ErasureOut(Answer):
    id: str
    at: str
    by: str | None = Field(description="Whose key or account it was, or the person themselves; null: not the caller's.")
    erased: dict[str, int] = Field(description="Class → how many.", examples=[{"addresses": 2, "inbox_items": 14}])
    kept: dict[str, int] = Field(
        description="What stays: notifications as figures, and suppressed addresses as keyed digests."
    )
    consent_digest: str | None = Field(
        description="Keyed digest of the history of choices: proves an export of it that somebody has kept."
    )


class ErasurePage(Answer):
    data: list[ErasureOut]
    next: str | None


class ExportOut(Answer):
    format: Literal["notifier-person/2"]
    exported_at: str
    user: UserOut


class EffectiveOut(Answer):
    enabled: bool
    because: str


class PreferencesOut(Answer):
    channels: dict[str, bool]
    categories: dict[str, dict[str, bool]]
    types: dict[str, dict[str, bool]]
    quiet_hours: dict[str, Any] | None
    mute_until: str | None
    held: str
    digest: dict[str, str]
    digest_at: str
    caps: dict[str, Any]
    do_not_track: bool
    time_zone: str | None
    effective: dict[str, dict[str, EffectiveOut]] = Field(
        description="type → channel → whether it is on, and which choice says so"
    )
