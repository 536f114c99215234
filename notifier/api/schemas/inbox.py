"""Shapes of the inbox: a selection of items, an item, the counts."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from notifier.api.fields import Body, Time, wrong
from notifier.api.schemas.base import CATEGORY, LANGUAGE, Answer, Page
from notifier.ground.ids import parse_many
from notifier.inbox.marks import MAX_IDS, Chosen

FILTER = Literal["unread", "all", "archived", "snoozed"]
Words = Annotated[str, Field(max_length=200, description="To be found in title or body, in either case.")]
Ids = Annotated[
    list[Annotated[str, Field(max_length=64)]], Field(max_length=MAX_IDS, description="Other people's ids are ignored.")
]


class ListQuery(Page):
    filter: FILTER = Field(
        default="all", description="`all` leaves archived out, and snoozed unless there are words to be found."
    )
    category: CATEGORY | None = None
    q: Words | None = None


class ChosenIn(Body):
    """Items by their ids, or all that a list with the same filter, category and search words would show."""

    ids: Ids | None = None
    all: Literal[True] | None = None
    filter: FILTER | None = None
    category: CATEGORY | None = None
    q: Words | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "ChosenIn":
        if self.ids is None and self.all is None:
            raise wrong("missing", "give ids, or all: true")
        return self._not_both()

    def _not_both(self) -> "ChosenIn":
        if self.ids is not None and any((self.all, self.filter, self.category, self.q)):
            raise wrong("contradiction", "give ids, or all: true with a filter, but not both")
        return self

    def chosen(self, default_filter: str = "all") -> Chosen:
        ids = None if self.ids is None else tuple(parse_many("dlv", self.ids))
        return Chosen(ids, self.filter or default_filter, self.category, self.q)


class SeenIn(ChosenIn):
    """No body at all means everything in view."""

    @model_validator(mode="after")
    def _one_way(self) -> "SeenIn":
        self._not_both()
        return self


class OpenedIn(Body):
    ids: Ids = Field(description="Of deliveries, as a push carries them (`notification.delivery`). Others are ignored.")


class SnoozeIn(ChosenIn):
    until: Time | None = Field(description="Within the coming year; null brings the items back.")


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19 else value


class ChangesQuery(Body):
    since: Annotated[
        int, BeforeValidator(_number), Field(ge=0, description="The `seq` up to which everything is known.")
    ]


class ActionOut(Answer):
    label: str
    url: str


class ItemOut(Answer):
    id: str
    type: str
    category: str
    title: str
    body: str
    language: str | None = Field(description="Of title and body (BCP 47); null where it is not known.")
    dir: Literal["ltr", "rtl", "auto"] = Field(description="The direction of that language, for `dir`.")
    action: ActionOut | None
    secondary_action: ActionOut | None
    image: str | None
    data: dict[str, Any]
    created_at: str
    seen_at: str | None
    read_at: str | None
    archived_at: str | None
    snoozed_until: str | None
    why: str = Field(description="Where the switch is that let it through.")


class WhyQuery(Body):
    language: LANGUAGE | None = Field(default=None, description="For somebody whose own language is not known.")


class WhyOut(Answer):
    title: str = Field(description="What kind of notification it is.")
    description: str | None = Field(description="What notifications of this kind are for, where it has been said.")
    language: str = Field(description="Of all these texts.")
    sentences: list[str]


class CountsOut(Answer):
    """Unread and unseen count items that are neither archived nor snoozed; `seq` rises with every change."""

    unread: int
    unseen: int
    seq: int


class MarkedOut(CountsOut):
    changed_ids: list[str] | None = Field(
        description=f"What this call has changed, to undo it by; null when that is more than {MAX_IDS:,} items."
    )


class InboxPage(CountsOut):
    data: list[ItemOut]
    next: str | None


class ChangesOut(Answer):
    reset: bool = Field(
        default=False, description="True when `since` is too long ago: read the list again. Nothing else is given then."
    )
    changed: list[ItemOut] | None = None
    unread: int | None = None
    unseen: int | None = None
    seq: int | None = None
