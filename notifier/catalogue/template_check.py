"""Finds the faults of a template version, by field and line, before it is saved or published.

Compiles its texts and renders them with sample data in every channel and language. This takes a while, so
`catalogue.templates` runs it in the process pool. Pure: the caller passes in the facts about the event type.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from notifier.channels import CHANNELS, FIELDS, fields_of
from notifier.core.errors import Fault
from notifier.core.wording import TEXTS, TemplateSource, Words
from notifier.ground.zones import UTC
from notifier.words.fallback import find_words
from notifier.words.grammar import MOST_PARTS
from notifier.words.language import Budget, TemplateFault, TooMuchWork, Trial, undeclared
from notifier.words.link_hosts import MESSAGE, made_of_data
from notifier.words.render import RenderFault, RenderRequest, try_with

MOST_PARTS_OF_A_LANGUAGE = 2 * MOST_PARTS
_MOST_WORK = 1_000_000  # units, for a whole version: compiling and filling all its channels and languages
_TOO_MUCH = Fault("/contents", "too_much_work", "all of this together takes too much work to be tried")
_READER = "Alexandra Featherstonehaugh"

Place = tuple[str, str]  # channel or `*`, locale


@dataclass(frozen=True, slots=True)
class About:
    """The event type that goes by the template's name, as far as it matters here."""

    key: str
    sample: Mapping[str, Any]
    category: str = "transactional"
    is_mandatory: bool = False


def faults(contents: Mapping[Place, Words], about: About, *, is_whole: bool = False) -> list[Fault]:
    """Pointers are into `/contents`, in the order given. `is_whole`: these are all of the version, which is going to be
    published.
    """
    found: list[Fault] = []
    trial = Trial(Budget(_MOST_WORK))
    parts: dict[str, int] = {}
    names: set[str] = set()
    for index, ((channel, locale), words) in enumerate(contents.items()):
        for name, before, source in _sources(words):
            try:
                parts[locale] = parts.get(locale, 0) + trial(source, is_html=name == "html").parts
                names |= undeclared(source)
            except TooMuchWork:
                return [*found, _TOO_MUCH]
            except TemplateFault as fault:
                at = None if fault.line is None else fault.line + before
                found.append(Fault(f"/contents/{index}/{name}", "template_syntax", fault.message, at))
                continue
            line = made_of_data(source) if about.is_mandatory else None
            if line is not None:
                found.append(Fault(f"/contents/{index}/{name}", "data_in_host", MESSAGE, line + before))
        found += _faults_of_fields(words.extra, channel, f"/contents/{index}")
        if parts.get(locale, 0) > MOST_PARTS_OF_A_LANGUAGE:
            found.append(
                Fault(
                    f"/contents/{index}",
                    "too_long",
                    f"the words of one language may have {MOST_PARTS_OF_A_LANGUAGE} parts in all",
                )
            )
    if is_whole:
        found += _missing_languages(contents)
    return found or _dear(contents, about, names, trial)


def _sources(words: Words) -> Iterator[tuple[str, int, str]]:
    """(field, lines before it, Jinja source)"""
    yield from ((name, 0, text) for name in TEXTS if (text := getattr(words, name)))
    for name, text in words.extra.items():
        for before, row in enumerate(FIELDS[name].sources(text) if name in FIELDS else ()):
            yield from ((name, before, source) for source in row)


def _faults_of_fields(extra: Mapping[str, str], channel: str, pointer: str) -> Iterator[Fault]:
    known = fields_of(channel)
    for name, text in extra.items():
        if name in known:
            yield from known[name].faults(text, f"{pointer}/{name}")
        else:
            yield Fault(f"{pointer}/{name}", "unknown_field", f"words for {_called(channel)} have no field {name!r}")


def _called(channel: str) -> str:
    return CHANNELS[channel].label if channel in CHANNELS else channel


def _missing_languages(contents: Mapping[Place, Words]) -> list[Fault]:
    """Of fields that the words of a channel have in one language and not in another."""
    found = []
    for index, ((channel, locale), words) in enumerate(contents.items()):
        for field in fields_of(channel).values():
            if not field.in_every_language or words.extra.get(field.name):
                continue
            having = sorted(
                other for (of, other), theirs in contents.items() if of == channel and theirs.extra.get(field.name)
            )
            if having:
                found.append(
                    Fault(
                        f"/contents/{index}/{field.name}",
                        "missing_in_language",
                        f"the words in {', '.join(having)} have one, and those in {locale} need one as well",
                    )
                )
    return found


def _dear(contents: Mapping[Place, Words], about: About, names: set[str], trial: Trial) -> list[Fault]:
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
    for (channel, locale), result in zip(tried, try_with(trial, requests), strict=True):
        if result is None:
            return [*found.values(), _TOO_MUCH]
        if isinstance(result, RenderFault) and result.is_too_much:
            words = find_words(source, channel, locale)
            assert words is not None, "it was rendered with them"
            pointer = f"/contents/{places.index((words[1], words[2]))}" + (f"/{result.field}" if result.field else "")
            found.setdefault(pointer, Fault(pointer, "too_much_work", result.message, result.line))
    return list(found.values())
