"""What can happen: event types with their schemas and templates, and the ones delivered with the product (a TOML file
each).

`operations.installation` stores shipped types that are not in the database yet; after that the database's copy counts
and may be changed. This module only reads the package's own files, once. It knows nothing of rendering.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from notifier.catalogue.kinds import schema_of
from notifier.channels import CHANNELS
from notifier.core.wording import ANY_CHANNEL, Words, columns_of

DEDUPE_WINDOW_S = 3_600  # of every type that is neither mandatory nor the product's own, unless its file says otherwise
_INHERITED = ("title", "body", "action_label", "action_url", "image")


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueContent(Words):
    """Jinja2 sources for one channel (`*`: any that has none) and locale."""

    channel: str
    locale: str


@dataclass(frozen=True, slots=True)
class CatalogueType:
    """`schema` is JSON Schema 2020-12 of the data; `sample` is data that fits it, for previews."""

    key: str
    titles: Mapping[str, str]
    descriptions: Mapping[str, str]
    category: str
    priority: str
    channels: tuple[str, ...]
    schema: dict[str, Any]
    is_mandatory: bool
    to_admins: bool
    is_internal: bool
    dedupe_window_s: int | None
    tracks_opens: bool
    tracks_clicks: bool
    contents: tuple[CatalogueContent, ...]
    sample: Mapping[str, Any]


def load() -> list[CatalogueType]:
    """Every type, sorted by key. The files are read once in a process."""
    return list(_read())


@lru_cache(maxsize=1)
def _read() -> tuple[CatalogueType, ...]:
    documents = sorted(
        (file for file in files(__name__).iterdir() if file.name.endswith(".toml")), key=lambda file: file.name
    )
    return tuple(
        _parse(file.name.removesuffix(".toml"), tomllib.loads(file.read_text(encoding="utf-8"))) for file in documents
    )


def _parse(key: str, document: dict[str, Any]) -> CatalogueType:
    may_repeat = document.get("mandatory", False) or document.get("internal", False)
    return CatalogueType(
        key=key,
        titles=document["titles"],
        descriptions=document["descriptions"],
        category=document["category"],
        priority=document["priority"],
        channels=_channels(document["channels"]),
        schema=schema_of(document["data"], required=document["required"]),
        is_mandatory=document.get("mandatory", False),
        to_admins=document.get("to_admins", False),
        is_internal=document.get("internal", False),
        dedupe_window_s=document.get("dedupe_window", None if may_repeat else DEDUPE_WINDOW_S),
        tracks_opens=document.get("tracking", {}).get("opens", False),
        tracks_clicks=document.get("tracking", {}).get("clicks", False),
        contents=tuple(worded(document["words"])),
        sample=document["sample"],
    )


def _channels(given: list[str] | str) -> tuple[str, ...]:
    """By name, or all to which something can be sent (`every`), or whose addresses a person can type in (`typed`)."""
    if isinstance(given, list):
        return tuple(given)
    kinds = {name: channel.address for name, channel in CHANNELS.items() if channel.address is not None}
    return tuple(name for name, kind in kinds.items() if given == "every" or kind.is_typed)


def worded(words: dict[str, dict[str, dict[str, str]]]) -> list[CatalogueContent]:
    """A file's words by locale and channel. A channel says only what it says differently: the rest it has from `*` of
    its locale. A mail's text comes from its HTML.
    """
    contents = []
    for locale, by_channel in words.items():
        shared = {name: text for name, text in by_channel.get(ANY_CHANNEL, {}).items() if name in _INHERITED}
        for channel, own in by_channel.items():
            inherited = {**shared, "body": ""} if "html" in own else shared
            contents.append(CatalogueContent(channel=channel, locale=locale, **columns_of({**inherited, **own})))
    return contents
