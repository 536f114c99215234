"""In which language a page is: that of the person, else one that their browser asks for, else English.

The console speaks English. Chosen once a request; `speak_to` names the person where a link does, and signing in or out
chooses anew. Templates have `_`, `ngettext`, `{% trans %}` and `reader()`; views have `gettext` and `ngettext` here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.support import LazyProxy
from flask import Flask, has_request_context, request
from flask_login import current_user

from notifier.ground.database import UNAVAILABLE
from notifier.ground.languages import ENGLISH, SOURCE, Language, language_for, locale_for, names
from notifier.queries import readers
from notifier.queries.readers import Known

_MOST_ASKED = 10  # a browser's tags that are looked at: each unknown one costs a millisecond
_KEPT = "notifier.reader"  # in the request's environment: an app context may outlive it


@dataclass(frozen=True, slots=True)
class PageReader:
    """`zone`: the person's own, if it is known; otherwise times are shown in that of the browser."""

    language: Language
    zone: ZoneInfo | None = None


_CONSOLE = PageReader(Language(SOURCE, Locale("en", "GB")))
_NOBODY = PageReader(ENGLISH)


def init_app(app: Flask) -> None:
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.policies["ext.i18n.trimmed"] = True
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        lambda text: language().gettext(text),
        lambda one, many, number: language().ngettext(one, many, number),
        newstyle=True,
    )
    app.jinja_env.globals.update(reader=reader, language=language)


def reader() -> PageReader:
    if not has_request_context():
        return _NOBODY
    kept = request.environ.get(_KEPT)
    if kept is None:
        kept = request.environ[_KEPT] = _CONSOLE if request.path.startswith("/admin") else _choose()
    assert isinstance(kept, PageReader)
    return kept


def language() -> Language:
    return reader().language


def gettext(text: str, **values: Any) -> str:
    """In the reader's language; `values` fill its %(name)s."""
    words = language().gettext(text)
    return words % values if values else words


def ngettext(one: str, many: str, number: int, **values: Any) -> str:
    """The form for this number, which stands in it as %(num)s."""
    told = language()
    return told.ngettext(one, many, number) % {"num": told.number(number), **values}


def lazy(text: str) -> LazyProxy:
    """For what is made once and shown to many: the messages of a form's validators."""
    return LazyProxy(gettext, text, enable_cache=False)


def speak_to(person: Known | None) -> None:
    """To the person whom a link names, whoever opens it; None: the link does not hold."""
    request.environ[_KEPT] = _of_person(person) or _of_browser()


def speak_to_browser() -> None:
    """Without asking who is signed in: the database cannot tell."""
    request.environ[_KEPT] = _of_browser()


def choose_again() -> None:
    """Somebody has signed in or out."""
    request.environ.pop(_KEPT, None)


def _choose() -> PageReader:
    try:
        person = _of_person(readers.find(current_user.user_id)) if current_user.is_authenticated else None
    except UNAVAILABLE:
        person = None
    return person or _of_browser()


def _of_person(known: Known | None) -> PageReader | None:
    if known is None:
        return None
    spoken = language_for(known.locale) if known.locale else _asked_for(request.accept_languages.values())
    return PageReader(spoken, known.zone)


def _of_browser() -> PageReader:
    return PageReader(_asked_for(request.accept_languages.values()))


def _asked_for(tags: Iterable[str]) -> Language:
    """The first that there is a catalogue for; of none, the direction of the first is kept."""
    wanted = [tag for tag in tags if tag != "*"][:_MOST_ASKED]
    spoken = next((tag for tag in wanted if locale_for(tag).language in names() and _is_known(tag)), None)
    return language_for(spoken or next(iter(wanted), None))


def _is_known(tag: str) -> bool:
    """Not a language that only falls back to English."""
    return locale_for(tag).language == tag.replace("_", "-").split("-")[0].lower()
