"""The parts of a template: channels, languages and fields. Used by rendering, the editor and the API."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from uuid import UUID

ANY_CHANNEL = "*"  # words for every channel that has none of its own
DRAFT, PUBLISHED, ARCHIVED = "draft", "published", "archived"


@dataclass(frozen=True, slots=True)
class Words:
    """A template's sources for one channel and locale. `html` is the inner part of a mail; an empty `body` is derived
    from it.
    """

    title: str
    body: str = ""
    subject: str | None = None
    html: str | None = None
    action_label: str | None = None
    action_url: str | None = None
    image: str | None = None


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """One version of a template. `contents` is keyed by (channel or `*`, locale)."""

    id: UUID | None
    key: str
    version: int
    contents: Mapping[tuple[str, str], Words]


FIELDS = tuple(field.name for field in fields(Words))
