"""Shapes of a person's own preferences, as switches."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from notifier.api.fields import Body, Part, Time, wrong
from notifier.api.schemas.base import CATEGORY, LANGUAGE, Answer
from notifier.api.schemas.users import QuietHoursIn

Key = Annotated[str, Field(max_length=64)]
Line = Annotated[int, Field(ge=0, lt=10**18)]


class GridQuery(Body):
    language: LANGUAGE = Field(
        default="en", description="Of the types' titles and descriptions; English where there are none."
    )


class SwitchIn(Part):
    """Of a type on a channel, of a category (on a channel, or whole), or of a channel."""

    on: bool
    type: Key | None = None
    category: CATEGORY | None = None
    channel: Key | None = None

    @model_validator(mode="after")
    def _one(self) -> "SwitchIn":
        if self.type is not None and (self.category is not None or self.channel is None):
            raise wrong("contradiction", "a type's switch has a channel, and no category")
        if self.type is None and self.category is None and self.channel is None:
            raise wrong("missing", "give type and channel, or category, or channel")
        return self


class OwnChoiceIn(Body):
    """One of these."""

    switch: SwitchIn | None = None
    quiet_hours: QuietHoursIn | None = Field(default=None, description="null: off.")
    mute_until: Time | None = Field(default=None, description="null: not muted.")
    undo: Annotated[list[Line], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="As the answer to a choice has it."
    )

    @model_validator(mode="after")
    def _just_one(self) -> "OwnChoiceIn":
        if len(self.model_fields_set) != 1 or (self.switch is None and self.model_fields_set & {"switch"}):
            raise wrong("contradiction", "give one of switch, quiet_hours, mute_until and undo")
        return self


class OverOut(Answer):
    channel: str | None
    label: str | None
    state: Literal["on", "off", "mixed"]
    locked: bool
    wish: Literal["on", "off"] | None = Field(description="What pressing it does; null: it cannot be pressed.")
    usual: bool = Field(description="Whether a switch below it is `usual`.")


class CellOut(Answer):
    channel: str
    on: bool
    locked: bool
    because: str = Field(description="Which choice decided: see `effective` of the preferences.")
    usual: bool = Field(description="Whether to show it at once: the type uses the channel, or it was chosen for it.")


class RowOut(Answer):
    type: str
    title: str
    description: str = Field(description="When it comes; empty where nobody has said that.")
    cells: list[CellOut]


class SectionOut(Answer):
    category: str
    whole: OverOut
    channels: list[OverOut]
    rows: list[RowOut]


class OwnPreferencesOut(Answer):
    columns: list[OverOut]
    sections: list[SectionOut]
    quiet_hours: QuietHoursIn | None
    mute_until: str | None
    time_zone: str | None
    undo: list[int] | None = Field(description="Send it to take the choice back; null: nothing has changed.")
