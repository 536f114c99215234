"""Which of a template's words a reader gets, where none are in their very language or for the very channel.

Called by `words.render`, by the checks of templates, and by the editor. A message is taken from one place as a whole:
never the subject of one language and the text of another.
"""

from collections.abc import Iterable
from functools import lru_cache

from babel.core import get_global

from notifier.core import locales
from notifier.core.wording import ANY_CHANNEL, TemplateSource, Words

DEFAULT_LOCALE = "en"
LONGEST_LOCALE = 35
_TABLES = locales.Tables.of(
    get_global("parent_exceptions"), get_global("likely_subtags"), get_global("language_aliases")
)


def find_words(template: TemplateSource, channel: str, locale: str | None) -> tuple[Words, str, str] | None:
    """The words for a reader, with their channel and locale: the reader's language before the channel's own wording.

    pt-BR, then pt, then English, then whatever there is, another script of the reader's language last; in each, the
    channel's own before those for any (`*`).
    """
    found = _first_of(fall_backs(locale), template, channel)
    return found or _first_of(_others(template, locale), template, channel)


def _first_of(candidates: Iterable[str], template: TemplateSource, channel: str) -> tuple[Words, str, str] | None:
    for candidate in candidates:
        for owner in (channel, ANY_CHANNEL):
            words = template.contents.get((owner, candidate))
            if words is not None:
                return words, owner, candidate
    return None


def lineage(locale: str | None) -> tuple[str, ...]:
    """`pt_br` → pt-BR, pt: the languages that are the reader's own, as templates spell them. Of an endless one, the
    beginning.
    """
    return _lineage((locale or "")[:LONGEST_LOCALE])


def fall_backs(locale: str | None) -> tuple[str, ...]:
    """Those of `lineage`, and English."""
    return tuple(dict.fromkeys([*lineage(locale), DEFAULT_LOCALE]))


@lru_cache(maxsize=1024)
def _lineage(locale: str) -> tuple[str, ...]:
    return locales.lineage(locale, _TABLES)


def _others(template: TemplateSource, locale: str | None) -> list[str]:
    language = (lineage(locale) or ("",))[0].partition("-")[0]
    return sorted({known for _, known in template.contents}, key=lambda tag: (tag.split("-")[0] == language, tag))
