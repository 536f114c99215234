"""Finds the faults of a template version, by field and line, before it is saved or published.

Compiles its texts and renders them with sample data in every channel and language. This takes a while, so
`catalogue.templates` runs it in the process pool. Pure: the caller passes in the facts about the event type.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from notifier.channels import CHANNELS
from notifier.core.errors import Fault
from notifier.core.wording import FIELDS, TemplateSource, Words, sources
from notifier.ground.zones import UTC
from notifier.words.fallback import find_words
from notifier.words.grammar import MOST_PARTS
from notifier.words.language import Compiled, TemplateFault, undeclared
from notifier.words.link_hosts import MESSAGE, made_of_data
from notifier.words.render import RenderFault, RenderRequest, render_some

MOST_PARTS_OF_A_LANGUAGE = 2 * MOST_PARTS
_MOST_WORK = 1_000_000  # units, for trying a whole version
_READER = "Alexandra Featherstonehaugh"

Place = tuple[str, str]  # channel or `*`, locale


@dataclass(frozen=True, slots=True)
class About:
    """The event type that goes by the template's name, as far as it matters here."""

    key: str
    sample: Mapping[str, Any]
    category: str = "transactional"
    is_mandatory: bool = False


def faults(contents: Mapping[Place, Words], about: About) -> list[Fault]:
    """Pointers are into `/contents`, in the order given."""
    found: list[Fault] = []
    parts: dict[str, int] = {}
    names: set[str] = set()
    for index, ((_, locale), words) in enumerate(contents.items()):
        for name in FIELDS:
            for before, source in enumerate(sources(name, getattr(words, name) or "")):
                try:
                    parts[locale] = parts.get(locale, 0) + Compiled(source, is_html=name == "html").parts
                    names |= undeclared(source)
                except TemplateFault as fault:
                    at = None if fault.line is None else fault.line + before
                    found.append(Fault(f"/contents/{index}/{name}", "template_syntax", fault.message, at))
                    continue
                line = made_of_data(source) if about.is_mandatory else None
                if line is not None:
                    found.append(Fault(f"/contents/{index}/{name}", "data_in_host", MESSAGE, line + before))
        if parts.get(locale, 0) > MOST_PARTS_OF_A_LANGUAGE:
            found.append(
                Fault(
                    f"/contents/{index}",
                    "too_long",
                    f"the words of one language may have {MOST_PARTS_OF_A_LANGUAGE} parts in all",
                )
            )
    return found or _dear(contents, about, names)


def _dear(contents: Mapping[Place, Words], about: About, names: set[str]) -> list[Fault]:
    """Texts that take too much work with the sample data; for missing data, a word is assumed."""
    source = TemplateSource(None, about.key, 0, contents)
    data = {name: name.replace("_", " ") for name in names} | dict(about.sample)
    tried = [(channel, locale) for locale in sorted({locale for _, locale in contents}) for channel in CHANNELS]
    requests = [
        RenderRequest(
            channel,
            locale,
            about.key,
            source,
            {},
            data,
            _READER,
            UTC,
            about.category,
            None,
            "https://notifier.invalid",
            None,
        )
        for channel, locale in tried
    ]
    places = list(contents)
    found: dict[str, Fault] = {}
    for (channel, locale), result in zip(
        tried, render_some(requests, _MOST_WORK, compile=lru_cache(maxsize=None)(Compiled)), strict=True
    ):
        if result is None:
            return [
                *found.values(),
                Fault("/contents", "too_much_work", "all of this together takes too much work to be tried"),
            ]
        if isinstance(result, RenderFault) and result.is_too_much:
            words = find_words(source, channel, locale)
            assert words is not None, "it was rendered with them"
            pointer = f"/contents/{places.index((words[1], words[2]))}" + (f"/{result.field}" if result.field else "")
            found.setdefault(pointer, Fault(pointer, "too_much_work", result.message, result.line))
    return list(found.values())
