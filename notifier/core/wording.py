"""The parts of a template: channels, languages and fields. Used by rendering, the editor and the API."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from uuid import UUID

ANY_CHANNEL = "*"  # words for every channel that has none of its own
DRAFT, PUBLISHED, ARCHIVED = "draft", "published", "archived"
VARIANT = "variant"  # part of an experiment; like a published version, it never changes


@dataclass(frozen=True, slots=True)
class Words:
    """A template's sources for one channel and locale. `html` is the inner part of a mail; an empty `body` is derived
    from it. `extra`: by name, what the shapes of channels declare besides (`core.shape_fields`); none of them is empty.
    `secondary_…`: a second action beside the first, where the channel shows one; it needs both.
    """

    title: str
    body: str = ""
    subject: str | None = None
    html: str | None = None
    action_label: str | None = None
    action_url: str | None = None
    image: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    secondary_label: str | None = None
    secondary_url: str | None = None

    @classmethod
    def of(cls, texts: Mapping[str, str | None]) -> "Words":
        """From texts by name, as a form, a file or the API writes them: common fields and declared ones side by
        side.
        """
        return cls(**columns_of(texts))

    def texts(self) -> dict[str, str | None]:
        """The opposite of `of`."""
        return {**{name: getattr(self, name) for name in TEXTS}, **self.extra}


@dataclass(frozen=True, slots=True)
class About:
    """What people keep about a template: `metadata` are keys and values of their own, such as the team it belongs to.
    It is never sent.
    """

    name: str = ""
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """One version of a template. `contents` is keyed by (channel or `*`, locale)."""

    id: UUID | None
    key: str
    version: int
    contents: Mapping[tuple[str, str], Words]


FIELDS = tuple(one.name for one in fields(Words))  # as they are stored
TEXTS = tuple(name for name in FIELDS if name != "extra")  # those that all channels share


def columns_of(texts: Mapping[str, str | None]) -> dict[str, Any]:
    """What is stored of texts by name: those that are declared by shapes together, without the empty ones."""
    extra = {name: text for name, text in texts.items() if name not in TEXTS and text}
    return {**{name: text for name, text in texts.items() if name in TEXTS}, "extra": extra}
