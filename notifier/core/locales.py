"""Which languages a reader of one understands, by CLDR's inheritance: what words are looked for, in what order.

Pure: the tables come from the caller (`words.fallback` takes Babel's). Tags are BCP 47, in any spelling.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

ROOT = "root"


class Tables(NamedTuple):
    """CLDR's, with `_` between subtags. `parents`: for locales whose parent is not the shorter tag (es_MX: es_419);
    `likely`: the script and country that go without saying (zh_TW: zh_Hant_TW); `aliases`: of old codes (iw: he);
    `by_country`: the languages whose script depends on the country.
    """

    parents: Mapping[str, str]
    likely: Mapping[str, str]
    aliases: Mapping[str, str]
    by_country: frozenset[str]

    @classmethod
    def of(cls, parents: Mapping[str, str], likely: Mapping[str, str], aliases: Mapping[str, str]) -> "Tables":
        pairs = (name.split("_") for name in likely if "_" in name)
        return cls(parents, likely, aliases, frozenset(one[0] for one in pairs if _is_region(one[1])))


class _Locale(NamedTuple):
    language: str
    script: str | None  # None: the one that its language is usually written in
    region: str | None


def lineage(tag: str, tables: Tables) -> tuple[str, ...]:
    """es-MX → es-MX, es-419, es. A script is never left for another: zh-TW → zh-TW, zh-Hant-TW, zh-Hant, but not zh.

    Every way to write a locale is in it, so that words kept under zh-Hant-TW are found for zh-TW. Nothing for no tag.
    """
    return tuple(dict.fromkeys(_names(spelled(tag), tables))) if tag else ()


def spelled(tag: str) -> str:
    """`pt_br` → pt-BR, `zh-hant` → zh-Hant: the spelling under which templates keep their locales."""
    first, *others = tag.replace("_", "-").split("-")
    return "-".join([first.lower(), *map(_subtag, others)])


def _subtag(text: str) -> str:
    return text.upper() if len(text) == 2 else text.title() if len(text) == 4 else text.lower()


def _names(tag: str, tables: Tables) -> Iterator[str]:
    subtags = tag.split("-")
    if not subtags[0]:
        return
    script = subtags[1] if len(subtags) > 1 and _is_script(subtags[1]) else None
    after = 2 if script else 1
    region = subtags[after] if len(subtags) > after and _is_region(subtags[after]) else None
    known = after + bool(region)
    yield from ("-".join(subtags[:count]) for count in range(len(subtags), known - 1, -1))
    language, _, aliased_script = tables.aliases.get(subtags[0], subtags[0]).partition("_")
    seen: set[_Locale] = set()
    locale: _Locale | None = _known(language, script or aliased_script or None, region, tables)
    while locale is not None and locale not in seen:
        seen.add(locale)
        yield from _spellings(locale, tables)
        locale = _parent(locale, tables)


def _known(language: str, script: str | None, region: str | None, tables: Tables) -> _Locale:
    script = script or _script(f"{language}_{region}", tables)
    return _Locale(language, None if script == _script(language, tables) else script, region)


def _script(name: str, tables: Tables) -> str | None:
    likely = tables.likely.get(name, "").split("_")
    return likely[1] if len(likely) > 1 else None


def _parent(locale: _Locale, tables: Tables) -> _Locale | None:
    exception = tables.parents.get("_".join(filter(None, locale)))
    if exception == ROOT:
        return None
    if exception is not None:
        language, *others = exception.split("_")
        script = next(filter(_is_script, others), None)
        return _known(language, script, next(filter(_is_region, others), None), tables)
    if locale.region is not None:
        return locale._replace(region=None)
    return None  # a script is not readable to all who read the language's usual one


def _spellings(locale: _Locale, tables: Tables) -> Iterator[str]:
    language, script, region = locale
    written = script or _script(language, tables)
    if written == ((region and _script(f"{language}_{region}", tables)) or _script(language, tables)):
        yield "-".join(filter(None, (language, region)))
    if script is not None or language in tables.by_country:
        yield "-".join(filter(None, (language, written, region)))


def _is_script(subtag: str) -> bool:
    return len(subtag) == 4 and subtag.isalpha()


def _is_region(subtag: str) -> bool:
    return (len(subtag) == 2 and subtag.isalpha()) or (len(subtag) == 3 and subtag.isdecimal())
