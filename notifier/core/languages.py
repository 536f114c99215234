"""How complete a template is in each of its languages. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of `of` channels that have words of their own in some language, one language has `has`; `lacks` names the rest.

    For a channel in `lacks` its readers get words for any channel in that language, or another language as a whole.
    """

    locale: str
    has: int
    of: int
    lacks: tuple[str, ...]


def coverage(places: Iterable[tuple[str, str]]) -> list[Coverage]:
    """By language, sorted; `places` are (channel or `*`, locale)."""
    channels: dict[str, set[str]] = {}
    for channel, locale in places:
        channels.setdefault(locale, set()).add(channel)
    wanted = set().union(*channels.values())
    return [
        Coverage(locale, len(has), len(wanted), tuple(sorted(wanted - has))) for locale, has in sorted(channels.items())
    ]


def lacking(languages: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Language → the templates that have none of its words, of all `languages` by template; without those that are
    nowhere lacking.
    """
    spoken = {key: set(locales) for key, locales in languages.items()}
    every = sorted(set().union(*spoken.values()))
    found = {locale: tuple(sorted(key for key, has in spoken.items() if locale not in has)) for locale in every}
    return {locale: keys for locale, keys in found.items() if keys}
