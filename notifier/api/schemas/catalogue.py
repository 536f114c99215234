"""Shapes of event types and templates."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, create_model

from notifier.api.fields import (
    Body,
    JsonObject,
    Key,
    Part,
)
from notifier.api.schemas.base import CATEGORY, PRIORITY, ROUTING, Answer, EscalateAfter
from notifier.catalogue import about
from notifier.channels import CHANNELS, FIELDS
from notifier.core.shape_fields import ShapeField

Source = Annotated[str, Field(max_length=100_000)]
Tag = Annotated[str, Field(min_length=1, max_length=35)]  # of a language


def _described(field: ShapeField) -> str:
    having = [channel.label for channel in CHANNELS.values() if field in channel.shape.fields]
    return f"For {', '.join(having)}: {field.help}"


class CommonWords(Part):
    """The words for one channel (`*`: every channel that has none of its own) and language. Each is Jinja2 source."""

    channel: Annotated[str, Field(max_length=32)]
    locale: Annotated[str, Field(max_length=35)] = "en"
    title: Source
    body: Source = ""
    subject: Source | None = None
    html: Source | None = Field(default=None, description="The inner part of a mail.")
    action_label: Source | None = None
    action_url: Source | None = None
    secondary_label: Source | None = Field(
        default=None, description="Of a second action, shown in the inbox. It needs `secondary_url` too."
    )
    secondary_url: Source | None = None
    image: Source | None = None


if TYPE_CHECKING:  # mypy does not read classes that are made
    TemplateWords = CommonWords
else:  # with what the shapes of channels declare
    TemplateWords = create_model(
        "TemplateWords",
        __base__=CommonWords,
        __doc__=CommonWords.__doc__,
        **{name: (Source | None, Field(default=None, description=_described(field))) for name, field in FIELDS.items()},
    )


_ABOUT = {"name": "Shipping", "description": "Sent when the parcel leaves.", "metadata": {"team": "checkout"}}
_STAYS = "Left out: it stays as it is."


class TemplateAboutIn(Part):
    """What people keep about a template, for all its versions at once and in the place of what was kept. It is never
    sent.
    """

    name: Annotated[str, Field(max_length=about.LONGEST_NAME)] = ""
    description: Annotated[str, Field(max_length=about.LONGEST_DESCRIPTION)] = ""
    metadata: dict[str, Annotated[str, Field(max_length=about.LONGEST_VALUE)]] = Field(
        default_factory=dict, max_length=about.MOST_PAIRS, examples=[{"team": "checkout"}]
    )


class TemplateIn(Body):
    about: TemplateAboutIn | None = Field(default=None, description=_STAYS, examples=[_ABOUT])
    key: Annotated[str, Field(max_length=64)]
    contents: list[TemplateWords] | None = Field(
        default=None, max_length=500, description="Left out: those of `base`, or of the published version."
    )
    base: int | None = Field(default=None, ge=1, le=10**9, description="The version to begin with.")


class TemplateContentsIn(Body):
    about: TemplateAboutIn | None = Field(default=None, description=_STAYS, examples=[_ABOUT])
    contents: list[TemplateWords] = Field(max_length=500)


class TemplatePreviewIn(Body):
    channel: Annotated[str, Field(max_length=32)]
    locale: Annotated[str, Field(max_length=35)] = "en"
    data: JsonObject = Field(default_factory=dict)


class Tracking(Body):
    """What is asked of a type's mails."""

    opens: bool = Field(default=False, description="A pixel says that the mail was opened.")
    clicks: bool = Field(default=False, description="Links lead through Notifier, which says that they were clicked.")


class TypeIn(Body):
    key: str | None = Field(default=None, description="As GET shows it; the path decides.")
    titles: dict[Tag, Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        min_length=1, examples=[{"en": "Order shipped"}]
    )
    descriptions: dict[Tag, Annotated[str, Field(min_length=1, max_length=300)]] = Field(
        default_factory=dict,
        max_length=200,
        description="What people are told of it beside its switch, by language.",
        examples=[{"en": "Your order has left our warehouse."}],
    )
    category: CATEGORY
    priority: PRIORITY
    channels: list[Key] = Field(min_length=1, max_length=32)
    schema_: JsonObject = Field(
        alias="schema", default_factory=lambda: {"type": "object"}, description="JSON Schema 2020-12 of the data."
    )
    mandatory: bool = False
    to_admins: bool = False
    resend_unknown: bool | None = None
    routing: ROUTING | None = Field(default=None, description="For submissions that name none; null: `all`.")
    escalate_after: EscalateAfter | None = Field(
        default=None, description="Seconds until the next step of routing `escalate`; null: 15 minutes."
    )
    dedupe_window: Annotated[int, Field(ge=0, le=30 * 86_400)] | None = Field(
        default=None,
        description="Seconds within which the same content is left out even if a submission does not ask for that. "
        "Null or 0: only if it asks, for an hour; with 0 it finds those alone that asked as well.",
    )
    dedupe_near: bool = Field(
        default=False, description="Content that differs in case, spaces or the writing of numbers only is the same."
    )
    tracking: Tracking = Field(
        default_factory=Tracking,
        description="Whether opens and clicks of its mails are told, separately; never for mandatory types, nor for "
        "people who refused to be tracked.",
    )


class TypeOut(Answer):
    key: str
    titles: dict[str, str]
    descriptions: dict[str, str] = Field(examples=[{"en": "Your order has left our warehouse."}])
    category: str
    priority: str
    channels: list[str]
    schema_: dict[str, Any] = Field(alias="schema")
    mandatory: bool
    to_admins: bool
    resend_unknown: bool | None
    routing: str | None
    escalate_after: int | None
    dedupe_window: int | None
    dedupe_near: bool
    tracking: dict[str, bool] = Field(examples=[{"opens": False, "clicks": True}])


class TypePage(Answer):
    data: list[TypeOut]
    next: str | None


class TemplateSummary(Answer):
    key: str
    version: int
    status: str
    created_at: str
    published_at: str | None
    about: dict[str, Any] = Field(examples=[_ABOUT])


class TemplateOut(TemplateSummary):
    contents: list[dict[str, Any]]


class TemplateWarning(Answer):
    pointer: str = Field(description="A JSON pointer to the field, in the order of `contents`.")
    code: str
    message: str
    line: int | None


class TemplatePublishedOut(TemplateOut):
    warnings: list[TemplateWarning]


class CommonPreviewOut(Answer):
    title: str
    body: str
    subject: str | None
    html: str | None
    action_label: str | None
    action_url: str | None
    secondary_label: str | None
    secondary_url: str | None
    image: str | None
    language: str | None = Field(description="Of the words, as a BCP 47 tag.")
    about: dict[str, Any] = Field(description="As the template has it.", examples=[_ABOUT])


_SHOWN: dict[str, Any] = {"switch": bool, "list": list[str], "pairs": list[list[str]], "links": list[list[str]]}
if TYPE_CHECKING:
    TemplatePreviewOut = CommonPreviewOut
else:
    TemplatePreviewOut = create_model(
        "TemplatePreviewOut",
        __base__=CommonPreviewOut,
        **{
            name: (_SHOWN.get(field.kind, str | None), Field(description=_described(field)))
            for name, field in FIELDS.items()
        },
    )


class TemplatePage(Answer):
    data: list[TemplateSummary]
    next: str | None
