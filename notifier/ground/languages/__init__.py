"""The languages that people's pages speak: English, and a gettext catalogue (`<language>.po`) beside this module for
each of the others.

A catalogue is read with Babel when its language is first asked for, and kept: there is nothing to compile. `make
languages` brings the catalogues up to date with the texts in code and templates; a new language is a new file. Texts
are marked where they stand: `_()`, `ngettext()` and `{% trans %}` in templates, `N_()` in Python for those that are
put into words later. Knows nothing of requests: see `web.language`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from functools import cache, lru_cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from io import BytesIO
from typing import Literal
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time, get_datetime_format
from babel.lists import format_list
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

_COUNTED = 102  # numbers that show every plural form of a language
_MOST_PARTS = 4  # of a tag that are looked at: Babel knows none with more
SOURCE = "en"  # in which the texts stand in code and templates


def N_(text: str) -> str:  # noqa: N802 (gettext's own name for it)
    """Marks a text for the catalogues, which is put into the reader's language when it is shown."""
    return text


@dataclass(frozen=True, slots=True)
class Language:
    """A reader's language. `name`: of its catalogue; `locale`: for numbers and dates, with the reader's own country."""

    name: str
    locale: Locale
    is_rtl: bool = False

    @property
    def tag(self) -> str:
        """For `<html lang>`."""
        return str(self.locale).replace("_", "-")

    @property
    def direction(self) -> str:
        return "rtl" if self.is_rtl else "ltr"

    def gettext(self, text: str) -> str:
        return _translations(self.name).gettext(text) if text else ""

    def ngettext(self, one: str, many: str, number: int) -> str:
        return _translations(self.name).ngettext(one, many, number)

    def title(self, titles: Mapping[str, str]) -> str | None:
        """The one in this language of a type's titles (or descriptions), or the words for the English one; None for
        neither.
        """
        own = titles.get(self.tag) or titles.get(self.name)
        return own or self.gettext(titles.get(SOURCE, "")) or None

    def number(self, value: float) -> str:
        return format_decimal(value, locale=self.locale)

    def moment(self, at: datetime, zone: ZoneInfo) -> str:
        """As `Intl.DateTimeFormat` with `dateStyle: "medium", timeStyle: "short"`, which the browser uses."""
        day = format_date(at.astimezone(zone), "medium", locale=self.locale)
        time = format_time(at, "short", tzinfo=zone, locale=self.locale)
        return str(get_datetime_format("medium", self.locale)).format(time, day).replace("'", "")

    def time(self, at: time, length: Literal["short"] = "short") -> str:
        return format_time(at, length, locale=self.locale)

    def weekday(self, number: int, width: Literal["wide", "abbreviated"] = "wide") -> str:
        """0 is Monday."""
        return str(self.locale.days["stand-alone"][width][number])

    def listed(self, words: Iterable[str]) -> str:
        """`A, B and C`."""
        return format_list(list(words), locale=self.locale)


ENGLISH = Language(SOURCE, Locale(SOURCE))


@cache
def names() -> tuple[str, ...]:
    """The languages that there are, English first."""
    found = sorted(file.name.removesuffix(".po") for file in files(__name__).iterdir() if file.name.endswith(".po"))
    return SOURCE, *found


@lru_cache(maxsize=512)
def language_for(locale: str | None) -> Language:
    """The language for a reader of that locale (BCP 47); English for those that have no catalogue: its direction is the
    reader's all the same.
    """
    parsed = locale_for(locale or SOURCE)
    if parsed.language in names():
        return Language(parsed.language, parsed, parsed.text_direction == "rtl")
    return Language(SOURCE, ENGLISH.locale, parsed.text_direction == "rtl")


@lru_cache(maxsize=512)
def locale_for(tag: str) -> Locale:
    """Babel's locale of a BCP 47 tag, or the nearest that it knows; English when it knows none."""
    parts = tag.replace("_", "-").split("-")[:_MOST_PARTS]
    while parts:
        try:
            return Locale.parse("_".join(parts), sep="_")
        except (ValueError, UnknownLocaleError):
            parts.pop()
    return Locale(SOURCE)


def is_rtl(tag: str) -> bool:
    """Whether the language is written from right to left."""
    return bool(locale_for(tag).text_direction == "rtl")


@cache
def catalogue(name: str) -> Catalog:
    """The messages of one language, as its file has them."""
    with (files(__name__) / f"{name}.po").open("rb") as file:
        return read_po(file, locale=name)


@cache
def _translations(name: str) -> NullTranslations:
    if name == SOURCE:
        return NullTranslations()
    compiled = BytesIO()
    write_mo(compiled, catalogue(name))
    compiled.seek(0)
    return GNUTranslations(compiled)


def forms(name: str, one: str, many: str) -> dict[str, str]:
    """A plural in that language by CLDR's categories, which browsers know, instead of gettext's numbers."""
    rule, words = Locale(name).plural_form, _translations(name)
    found = {rule(count): words.ngettext(one, many, count) for count in reversed(range(_COUNTED))}
    return {"other": many, **found}
