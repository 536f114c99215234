"""The HTML document around the text of a mail: one layout for all mails, in `templates/email/`.

The layout is rendered and its CSS inlined once per variant and process, then cut at its slots; a mail fills the slots
by joining strings. Called by `words.render` only; knows no template and no delivery.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from css_inline import CSSInliner
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape

from notifier.ground.config import ROOT
from notifier.ground.languages import is_rtl, locale_for
from notifier.words.clean import cut, harmless_html, without_comments
from notifier.words.filters import Budget

FOLDER = ROOT / "templates" / "email"

# Dark enough for white text on the button (WCAG AA), told apart by the kind of news they bring.
ACCENTS = {"transactional": "#2456d6", "marketing": "#b0369b", "social": "#0b7a6f", "system": "#b42318"}
_PLAIN_ACCENT = "#2456d6"

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "why": "Why did I get this?",
        "unsubscribe": "Unsubscribe",
        "open": "Open",
        "hello": "Hello,",
        "hello_you": "Hello {name},",
    },
    "de": {
        "why": "Warum erhalte ich diese Nachricht?",
        "unsubscribe": "Abbestellen",
        "open": "Öffnen",
        "hello": "Guten Tag,",
        "hello_you": "Guten Tag {name},",
    },
    "fr": {
        "why": "Pourquoi ai-je reçu ce message ?",
        "unsubscribe": "Se désabonner",
        "open": "Ouvrir",
        "hello": "Bonjour,",
        "hello_you": "Bonjour {name},",
    },
    "es": {
        "why": "¿Por qué he recibido este mensaje?",
        "unsubscribe": "Darse de baja",
        "open": "Abrir",
        "hello": "Hola:",
        "hello_you": "Hola, {name}:",
    },
}

_LAST_RESORT = "en"
MOST_TAGS = 5_000
DEEPEST = 100  # the parser takes time with the square of it, and ends the whole process at some ten thousand
MOST_ATTRIBUTES = 50  # of one tag: the parser compares each with all before it
_LONGEST_PREHEADER = 140
_PADDING = Markup("&#847;&zwnj;&nbsp;" * 60)  # keeps clients from showing the text after the preheader
_INLINER = CSSInliner(load_remote_stylesheets=False)
_INLINER_HINT = re.compile(r"data-css-inline\s*=", re.IGNORECASE)
# A tag as it should be written; `<` alone where there is none.
_LESS_THAN = re.compile(
    r"""<(?:(?P<closes>/?)(?P<name>[a-zA-Z][a-zA-Z0-9:-]*+)(?P<attributes>(?:\s++(?:[^\s<>"'/=]++(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s<>"'`]++))?+)?+)*+)\s*+/?+>)?+"""
)
_ATTRIBUTE = re.compile(r"""\s([^\s<>"'/=]++)(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s<>"'`]++))?+""")
_VOID = frozenset({"area", "br", "col", "hr", "img", "wbr"})
_FORMATTING = frozenset(
    {"a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"}
)
_CLOSED_BY_ITSELF = frozenset({"p", "li", "dd", "dt", "tr", "td", "th", "option"})  # one ends where the next begins
# Taken from measurements of the dearest fragments, as all charges are: see Budget.
_FIXED, _UNITS_A_TAG, _CHARACTERS_PARSED = 60, 2, 10
_FOUR = " ".join([r"([^\s;]+)"] * 4)  # values of a property, one for each side
_UNPARSED = re.compile(
    r"<(?=/?(?:script|xmp|iframe|noembed|noframes|noscript|plaintext|textarea|title|template|svg|math)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Mail:
    """The parts of one mail, as plain text but for `content`, which is inlined HTML (`inlined`). `language`: of all
    its words, as a BCP 47 tag.
    """

    language: str
    category: str
    kicker: str | None
    title: str
    preheader: str
    content: str
    action_label: str | None = None
    action_url: str | None = None
    image: str | None = None
    why_url: str | None = None
    unsubscribe_url: str | None = None


def words_in(locale: str) -> Mapping[str, str] | None:
    """The fixed words around a mail in that language; None where they are not translated."""
    return WORDS.get(locale_for(locale).language)


def words_of(locale: str) -> Mapping[str, str]:
    """In that language, or in English, which the HTML then says of them (`lang`)."""
    return words_in(locale) or WORDS[_LAST_RESORT]


def open_word(locale: str, url: str | None) -> str:
    """The label of a button that has none: in a language without fixed words the host that it leads to."""
    words = words_in(locale)
    return words["open"] if words else urlsplit(url or "").hostname or WORDS[_LAST_RESORT]["open"]


def mirrored(css: str) -> str:
    """The style sheet for text from right to left: left and right change places. Mail programs know no logical
    properties.
    """
    css = re.sub(r"\b(?:left|right)\b", lambda found: "right" if found[0] == "left" else "left", css)
    css = re.sub(rf"(\b(?:padding|margin): ){_FOUR}", r"\1\2 \5 \4 \3", css)
    return re.sub(rf"(\bborder-radius: ){_FOUR}", r"\1\3 \2 \5 \4", css)


def inlined(fragment: str, budget: Budget, *, is_rtl: bool = False) -> str:
    """A template's HTML made well-formed, harmless and styled: the inner part of a mail. Raises ValueError and
    TooMuchWork.
    """
    if fragment.count("<") > MOST_TAGS:
        raise ValueError(f"a mail can have at most {MOST_TAGS} tags")
    budget.spend(len(fragment) // _CHARACTERS_PARSED)
    # Elements whose text is not parsed as HTML never reach the parser as such: what comes out of it is
    # well-formed throughout.
    fragment = _INLINER_HINT.sub("data-ignored=", _UNPARSED.sub("&lt;", without_comments(fragment)))
    fragment = _sane_tags(fragment)
    budget.spend(_FIXED + _UNITS_A_TAG * _made_of(fragment))
    made = _INLINER.inline_fragment(fragment, _content_css(is_rtl))
    budget.spend(len(made) // _CHARACTERS_PARSED)
    return harmless_html(made)


def _sane_tags(fragment: str) -> str:
    """Each `<` that begins no tag as it should be written becomes text, so that we and the parser see the same tags."""
    return _LESS_THAN.sub(lambda found: found[0] if len(found[0]) > 1 else "&lt;", fragment)


def _made_of(fragment: str) -> int:
    """The most elements that the parser can make of it. Raises ValueError for nesting that is too deep, or too many
    attributes.

    A formatting tag that is not closed (`<b>`) is opened again in every element that follows.
    """
    is_open: Counter[str] = Counter()
    deep = formatting = made = 0
    for found in _LESS_THAN.finditer(fragment):
        closes, name = found["closes"], (found["name"] or "").lower()
        if not name or name in _VOID:
            made += bool(name)
            continue
        if closes:
            change = -1 if is_open[name] else 0
        else:
            change = 0 if name in _CLOSED_BY_ITSELF and is_open[name] else 1
            if (
                found[0].count("=") + len(found[0].split()) > MOST_ATTRIBUTES
                and len(_ATTRIBUTE.findall(found["attributes"])) > MOST_ATTRIBUTES
            ):
                raise ValueError(f"a tag can have at most {MOST_ATTRIBUTES} attributes")
        is_open[name] += change
        deep += change
        formatting += change if name in _FORMATTING else 0
        made += 1 + formatting
        if deep > DEEPEST:
            raise ValueError(f"tags may stand {DEEPEST} deep, and this many are open at once")
    return made


def lay_out(mail: Mail) -> str:
    """The whole document."""
    variant = _variant(
        mail.language,
        ACCENTS.get(mail.category, _PLAIN_ACCENT),
        mail.action_url is not None,
        mail.image is not None,
        mail.why_url is not None,
        mail.unsubscribe_url is not None,
        mail.kicker is not None,
    )
    filling = {
        "title": escape(mail.title),
        "kicker": escape(mail.kicker or ""),
        "preheader": escape(cut(mail.preheader, _LONGEST_PREHEADER)),
        "content": mail.content,
        "action_label": escape(mail.action_label or ""),
        "action_url": escape(mail.action_url or ""),
        "image": escape(mail.image or ""),
        "why_url": escape(mail.why_url or ""),
        "unsubscribe_url": escape(mail.unsubscribe_url or ""),
    }
    return "".join([filling[part] if is_slot else part for is_slot, part in variant])


@lru_cache(maxsize=256)
def _variant(
    language: str,
    accent: str,
    has_action: bool,
    has_image: bool,
    has_why: bool,
    has_unsubscribe: bool,
    has_kicker: bool,
) -> tuple[tuple[bool, str], ...]:
    """The layout as literal parts and the names of slots between them: (is_slot, text)."""
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, keep_trailing_newline=True)
    direct = mirrored if is_rtl(language) else str
    document = environment.get_template("layout.html").render(
        slot=lambda name: f"\ue000{name}\ue000",
        language=language,
        direction="rtl" if is_rtl(language) else "ltr",
        words=words_of(language),
        words_language=None if words_in(language) else _LAST_RESORT,
        accent=accent,
        has_action=has_action,
        has_image=has_image,
        has_why=has_why,
        has_unsubscribe=has_unsubscribe,
        has_kicker=has_kicker,
        css=Markup(direct((FOLDER / "layout.css").read_text())),
        responsive_css=Markup(direct((FOLDER / "responsive.css").read_text().strip())),
        padding=_PADDING,
    )
    parts = _INLINER.inline(document).replace(' data-css-inline="keep"', "").split("\ue000")
    return tuple((index % 2 == 1, part) for index, part in enumerate(parts))


@lru_cache(maxsize=2)
def _content_css(is_rtl: bool) -> str:
    css = (FOLDER / "content.css").read_text()
    return mirrored(css) if is_rtl else css
