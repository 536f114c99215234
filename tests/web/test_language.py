"""Which language a page speaks, and that it speaks no other."""

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from jinja2 import Environment, nodes
from sqlalchemy import update

from notifier.access import address_codes
from notifier.ground import tokens
from notifier.ground.config import ROOT
from notifier.ground.database import transaction
from notifier.ground.languages import SOURCE, catalogue, language_for, names
from notifier.ground.tokens import PreferenceLink
from notifier.models import User
from notifier.queries import valid_tokens
from tests.web.conftest import Visitor

OTHERS = tuple(name for name in names() if name != SOURCE)
SPOKEN = ("aria-label", "alt", "placeholder", "title", "label")  # attributes that people read or hear
# Icons, and pages for whoever writes programs, which are English
_UNSPOKEN = {"icons.html", "api_docs.html", "problem.html", "problem_frame.html", "problems.html"}
# What strangers see is read from no database
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")


class Reading(HTMLParser):
    """What a page says: its texts, and its spoken attributes; not scripts, or what is marked as another language."""

    VOID = frozenset(("br", "hr", "img", "input", "link", "meta"))

    def __init__(self, page: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.root: dict[str, str | None] = {}
        self._silent = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        known = dict(attributes)
        if tag == "html":
            self.root = known
        elif self._silent or tag in ("script", "style", "code") or "lang" in known:
            self._silent += tag not in self.VOID
            return
        self.said += [words for name in SPOKEN if (words := known.get(name))]

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - 1)

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            self.said.append(" ".join(data.split()))


# ---- the language that is chosen ------------------------------------------------------------------------------------


@pytest.fixture
def reader(signed_in: Callable[..., Visitor]) -> Callable[..., Visitor]:
    """`reader("de-AT", zone="Europe/Vienna")`: a browser in which somebody with that locale is signed in."""

    def _reader(locale: str | None, zone: str | None = None, role: str = "person") -> Visitor:
        visitor = signed_in(role)
        with transaction() as writing:
            writing.execute(update(User).where(User.id == role).values(locale=locale, time_zone=zone))
        return visitor

    return _reader


def root_of(visitor: Visitor, path: str, accepts: str | None = None) -> tuple[str | None, ...]:
    page = Reading(visitor.get(path, headers={"Accept-Language": accepts} if accepts else {}).text)
    return page.root.get("lang"), page.root.get("dir"), page.root.get("data-zone")


@on_sqlite
@pytest.mark.parametrize(
    ("accepts", "lang", "direction"),
    [
        (None, "en", "ltr"),
        ("de", "de", "ltr"),
        ("pt;q=0.9, fr-CA;q=0.8, en;q=0.1", "fr-CA", "ltr"),
        ("en-GB, de;q=0.9", "en-GB", "ltr"),
        ("es-419, es;q=0.9", "es-419", "ltr"),
        ("*", "en", "ltr"),
        ("xx, de;q=0.5", "de", "ltr"),
        (", ".join(["xx"] * 10 + ["de"]), "en", "ltr"),  # no more are looked at
        ("ar", "en", "rtl"),
        ("ja", "en", "ltr"),
        ("';drop, \x7f, " + "a-" * 300, "en", "ltr"),
    ],
)
def test_a_stranger_is_spoken_to_as_their_browser_asks(
    visitor: Visitor, accepts: str | None, lang: str, direction: str
) -> None:
    assert root_of(visitor, "/login", accepts) == (lang, direction, None)


@pytest.mark.parametrize(
    ("locale", "zone", "root"),
    [
        ("de-AT", "Europe/Vienna", ("de-AT", "ltr", "Europe/Vienna")),
        ("fr", None, ("fr", "ltr", None)),
        ("ar", "Africa/Cairo", ("en", "rtl", "Africa/Cairo")),
        ("he", None, ("en", "rtl", None)),
        ("pt-BR", None, ("en", "ltr", None)),  # as the mails to them, whatever this browser asks for
        (None, None, ("es", "ltr", None)),
    ],
)
def test_a_person_is_spoken_to_in_their_own_language(
    reader: Callable[..., Visitor], locale: str | None, zone: str | None, root: tuple[str | None, ...]
) -> None:
    assert root_of(reader(locale, zone), "/account", "es") == root


def test_the_console_speaks_english(reader: Callable[..., Visitor]) -> None:
    visitor = reader("de", "Europe/Berlin", "admin")
    page = Reading(visitor.get("/admin/").text)
    assert page.root["lang"] == "en-GB"
    assert "Sign out" in page.said


def test_what_is_said_after_signing_in_or_out_is_in_the_language_of_who_reads_it(
    reader: Callable[..., Visitor],
) -> None:
    visitor, french = reader("de"), {"Accept-Language": "fr"}
    visitor.post("/logout", headers=french)
    assert "Vous êtes déconnecté." in Reading(visitor.get("/login", headers=french).text).said


# ---- nothing else is said -------------------------------------------------------------------------------------------


def templates() -> list[str]:
    return sorted(path.name for path in (ROOT / "templates").glob("*.html") if path.name not in _UNSPOKEN)


@pytest.mark.parametrize("name", templates())
def test_a_template_says_nothing_but_what_is_marked(name: str) -> None:
    assert unmarked((ROOT / "templates" / name).read_text()) == []


def unmarked(source: str) -> list[str]:
    """Words that stand in a template outside `_()` and `{% trans %}`."""
    environment = Environment(extensions=["jinja2.ext.i18n"])
    page = "".join(_outside_of_trans(environment.lex(source)))
    shown = [re.sub(r'[\w-]+="[^"]*"|\bautofocus\b|\bNotifier\b', "", words) for words in Reading(page).said]
    bare = [words for words in shown if re.search(r"[^\W\d_]{2}", words)]
    return bare + [
        words for words in _strings(environment.parse(source)) if re.match(r"[A-Z]\w+[ .\w]*|.*\w \w", words)
    ]


def _outside_of_trans(tokens: Iterator[tuple[int, str, str]]) -> Iterator[str]:
    inside = False
    for _line, kind, text in tokens:
        if kind == "name" and text in ("trans", "endtrans"):
            inside = text == "trans"
        elif kind == "data" and not inside:
            yield text


def _strings(node: nodes.Node) -> Iterator[str]:
    """The strings that may be shown: not those that are translated, or are an argument of something else."""
    if isinstance(node, (nodes.Call, nodes.Filter, nodes.Compare, nodes.Getitem, nodes.FromImport, nodes.Import)):
        return
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        yield node.value
    for child in node.iter_child_nodes():
        yield from _strings(child)


@on_sqlite
@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("path", ["/login", "/login/link/nonsense", "/nowhere", "/t/nonsense", "/u/nonsense"])
def test_a_strangers_page_is_in_one_language(visitor: Visitor, path: str, language: str) -> None:
    assert english(visitor.get(path, headers={"Accept-Language": language}).text, language) == []


def english(page: str, language: str) -> list[str]:
    """What a page says in English though there are words for it, or seems to."""
    told = language_for(language)
    sources = {text for message in catalogue(language) if message.id for text in [message.id] if isinstance(text, str)}
    found = Reading(page)
    assert (found.root["lang"] or "").split("-")[0] == language
    return [
        words
        for words in found.said
        if (words in sources and told.gettext(words) != words)
        or re.search(r"\b(the|you|your|and|with|this|is|are|not|for)\b", words)
    ]


@pytest.mark.parametrize("language", OTHERS)
def test_a_persons_pages_are_in_one_language(
    reader: Callable[..., Visitor], send: Callable[..., Any], language: str
) -> None:
    visitor = reader(language, "Europe/Berlin")
    send("person", channels=("inapp", "email"), email="person@sandbox.test")
    for form in (
        {"part": "choices", "set": "marketing:*=off"},
        {"part": "quiet", "quiet": "1", "quiet_start": "22:00", "quiet_end": "07:00", "quiet_days": ["1", "5"]},
        {"part": "mute", "mute": "hour"},
        {"part": "often", "digest-social": "daily", "digest_at": "09:30"},
    ):
        visitor.post("/preferences", form)
    said = {path: english(visitor.get(path).text, language) for path in PERSONS_PAGES}
    said["refused"] = english(visitor.post("/preferences", {"part": "mute", "mute": "date"}).text, language)
    said["not an address"] = english(
        visitor.post("/preferences/addresses", {"channel": "email", "value": "no address"}).text, language
    )
    assert {path: words for path, words in said.items() if words} == {}


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_wrong_with_a_code_is_said_in_the_persons_language(
    reader: Callable[..., Visitor], language: str
) -> None:
    visitor = reader(language)
    visitor.post("/preferences/addresses", {"channel": "email", "value": "new@home.test"})
    [path] = re.findall(r'action="([^"]+/confirm)"', visitor.get("/preferences/addresses").text)
    pages = [visitor.post(path, {"code": "no code"}).text for _ in range(address_codes.MOST_TRIES + 1)]
    said = {re.findall(r'class="field-fault"[^>]*>([^<]+)', page)[0] for page in pages}
    assert len(said) == len(pages)  # so many tries are left, one, none, and the code is void
    assert [english(page, language) for page in pages] == [[]] * len(pages)


PERSONS_PAGES = (
    "/inbox",
    "/preferences",
    "/preferences?history=all",
    "/preferences/addresses",
    "/account",
    "/why",
    "/nowhere",
)


@pytest.mark.parametrize("language", OTHERS)
def test_the_pages_behind_links_are_in_the_language_of_the_person_they_name(
    visitor: Visitor, reader: Callable[..., Visitor], language: str
) -> None:
    reader(language)
    subject = valid_tokens.subject_of("person")
    assert subject
    for path in (
        f"/u/{tokens.sign_unsubscribe(subject, 'marketing', 'email')}",
        f"/p/{tokens.sign_preferences(PreferenceLink(subject, None))}",
    ):
        assert english(visitor.get(path, headers={"Accept-Language": "en"}).text, language) == []


def test_a_link_that_has_ended_tells_nobody_the_persons_language(
    visitor: Visitor, reader: Callable[..., Visitor]
) -> None:
    reader("de", "Europe/Berlin")
    subject = valid_tokens.subject_of("person")
    assert subject
    ended = tokens.sign_preferences(PreferenceLink(subject._replace(version=subject.version + 1), None))
    assert root_of(visitor, f"/p/{ended}", "es") == ("es", "ltr", None)


@on_sqlite
def test_the_component_gets_its_texts_from_the_same_catalogue(visitor: Visitor) -> None:
    answer = visitor.get("/labels/de.json")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.json["Mark as read"] == language_for("de").gettext("Mark as read")
    assert answer.json["{n} new notification"]["other"] == "{n} neue Benachrichtigungen"
    assert [visitor.get(f"/labels/{name}.json").status_code for name in ("en", "xx", "..")] == [404, 404, 404]
