"""The catalogues, and what is put into words with them."""

import re
import subprocess
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from notifier.ground.config import ROOT
from notifier.ground.languages import SOURCE, catalogue, forms, language_for, names

OTHERS = tuple(name for name in names() if name != SOURCE)
BERLIN = ZoneInfo("Europe/Berlin")
_FILLED = re.compile(r"%\(\w+\)[sd]|\{\w+\}|<[^>]+>|[\[\]]")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Everything that is marked in code and templates, as `make languages` finds it."""
    made = tmp_path_factory.mktemp("languages") / "messages.pot"
    recipe = (ROOT / "Makefile").read_text()
    options = re.search(r"babel.messages.frontend -q (extract .*?) -o \$\(POT\) \.", recipe, re.DOTALL)
    assert options
    words = options[1].replace("\\\n", " ").split()
    subprocess.run(
        [sys.executable, "-m", "babel.messages.frontend", "-q", *words, "-o", made, "."], cwd=ROOT, check=True
    )
    with made.open("rb") as file:
        return read_po(file)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_every_text_is_translated(texts: Catalog, name: str) -> None:
    known = {message.id: message for message in catalogue(name) if message.id}
    missing = [
        text.id
        for text in texts
        if text.id and (text.id not in known or not all(said(known[text.id].string)) or known[text.id].fuzzy)
    ]
    assert missing == [], "run `make languages`, then put them into words"
    assert {text for text in known if text not in texts} == set(), "these are said nowhere: run `make languages`"


@pytest.mark.parametrize("name", OTHERS)
def test_a_translation_is_filled_with_what_its_text_is_filled_with(name: str) -> None:
    for message in catalogue(name):
        if message.id:
            assert filled(said(message.string)[-1]) == filled(said(message.id)[-1]), message.id


def filled(text: str) -> set[str]:
    return set(_FILLED.findall(text))


_FOREIGN = {
    "de": r"[\"“](?=\w)|\b(du|dein|dir|dich)\b",
    "es": r"[\"“]|\b(tú|tus?|ti)\b",
    "fr": r"[\"“']| [?!;:]|\b(tu|tes|toi)\b",
}


@pytest.mark.parametrize(("name", "foreign"), _FOREIGN.items())
def test_a_translation_has_the_manners_of_its_language(name: str, foreign: str) -> None:
    """Its quotes and spaces, and the polite form of address."""
    found = [
        text for message in catalogue(name) if message.id for text in said(message.string) if re.search(foreign, text)
    ]
    assert found == []


def said(text: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


@pytest.mark.parametrize(
    ("locale", "tag", "direction"),
    [
        ("de", "de", "ltr"),
        ("de_AT", "de-AT", "ltr"),
        ("en-GB", "en-GB", "ltr"),
        ("fr-CA", "fr-CA", "ltr"),
        (None, "en", "ltr"),
        ("ja", "en", "ltr"),
        ("ar", "en", "rtl"),
        ("he-IL", "en", "rtl"),
        ("nonsense", "en", "ltr"),
    ],
)
def test_a_language_without_a_catalogue_is_english_in_its_own_direction(
    locale: str | None, tag: str, direction: str
) -> None:
    found = language_for(locale)
    assert (found.tag, found.direction) == (tag, direction)


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en", "Nov 29, 2026, 2:53\u202fPM"),
        ("en-GB", "29 Nov 2026, 14:53"),
        ("de", "29.11.2026, 14:53"),
        ("fr", "29 nov. 2026, 14:53"),
        ("es", "29 nov 2026, 14:53"),
    ],
)
def test_a_moment_is_told_by_the_locale_in_the_persons_zone(locale: str, words: str) -> None:
    assert language_for(locale).moment(datetime.fromisoformat("2026-11-29T13:53:00+00:00"), BERLIN) == words


def test_a_plural_has_the_categories_that_browsers_know() -> None:
    told = forms("de", "{n} new notification", "{n} new notifications")
    assert told == {"one": "{n} neue Benachrichtigung", "other": "{n} neue Benachrichtigungen"}
