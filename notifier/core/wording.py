"""The parts of a template: channels, languages and fields. Used by rendering, the editor and the API."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from uuid import UUID

ANY_CHANNEL = "*"  # words for every channel that has none of its own
DRAFT, PUBLISHED, ARCHIVED = "draft", "published", "archived"


@dataclass(frozen=True, slots=True)
class Words:
    """A template's sources for one channel and locale. `html` is the inner part of a mail; an empty `body` is derived
    from it. `approved`: the name of a message template that the provider has approved, and in each further line one of
    its parameters; WhatsApp sends nothing else to people who have not written lately.
    """

    title: str
    body: str = ""
    subject: str | None = None
    html: str | None = None
    action_label: str | None = None
    action_url: str | None = None
    image: str | None = None
    approved: str | None = None


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """One version of a template. `contents` is keyed by (channel or `*`, locale)."""

    id: UUID | None
    key: str
    version: int
    contents: Mapping[tuple[str, str], Words]


FIELDS = tuple(field.name for field in fields(Words))


def sources(field: str, text: str) -> list[str]:
    """The Jinja sources in a field: one, or in `approved` one a line, so that no data can add a parameter."""
    return text.split("\n") if field == "approved" and text else [text]
