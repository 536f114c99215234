"""The HTML document around the text of a mail: one layout for all mails, in `templates/email/`.

The layout is rendered and its CSS inlined once per variant and process, then cut at its slots; a mail fills the slots
by joining strings. Called by `words.render` only; knows no template and no delivery.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from css_inline import CSSInliner
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape

from notifier.ground.config import ROOT
from notifier.words.clean import cut, harmless_html, without_comments
from notifier.words.filters import Budget

FOLDER = ROOT / "templates" / "email"

# Dark enough for white text on the button (WCAG AA), told apart by the kind of news they bring.
ACCENTS = {"transactional": "#2456d6", "marketing": "#b0369b", "social": "#0b7a6f", "system": "#b42318"}
_PLAIN_ACCENT = "#2456d6"

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {"why": "Why did I get this?", "unsubscribe": "Unsubscribe", "open": "Open", "hello": "Hello"},
    "de": {
        "why": "Warum erhalte ich diese Nachricht?",
        "unsubscribe": "Abbestellen",
        "open": "Öffnen",
        "hello": "Guten Tag",
    },
}

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
_UNPARSED = re.compile(
    r"<(?=/?(?:script|xmp|iframe|noembed|noframes|noscript|plaintext|textarea|title|template|svg|math)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Mail:
    """The parts of one mail, as plain text but for `content`, which is inlined HTML (`inlined`)."""

    language: str
    category: str
    kicker: str
    title: str
    preheader: str
    content: str
    action_label: str | None = None
    action_url: str | None = None
    image: str | None = None
    why_url: str | None = None
    unsubscribe_url: str | None = None


def words_of(language: str) -> Mapping[str, str]:
    return WORDS.get(language, WORDS["en"])


def inlined(fragment: str, budget: Budget) -> str:
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
    made = _INLINER.inline_fragment(fragment, _content_css())
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
    )
    filling = {
        "title": escape(mail.title),
        "kicker": escape(mail.kicker),
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
    language: str, accent: str, has_action: bool, has_image: bool, has_why: bool, has_unsubscribe: bool
) -> tuple[tuple[bool, str], ...]:
    """The layout as literal parts and the names of slots between them: (is_slot, text)."""
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, keep_trailing_newline=True)
    document = environment.get_template("layout.html").render(
        slot=lambda name: f"\ue000{name}\ue000",
        language=language,
        words=words_of(language),
        accent=accent,
        has_action=has_action,
        has_image=has_image,
        has_why=has_why,
        has_unsubscribe=has_unsubscribe,
        css=Markup((FOLDER / "layout.css").read_text()),
        responsive_css=Markup((FOLDER / "responsive.css").read_text().strip()),
        padding=_PADDING,
    )
    parts = _INLINER.inline(document).replace(' data-css-inline="keep"', "").split("\ue000")
    return tuple((index % 2 == 1, part) for index, part in enumerate(parts))


@lru_cache(maxsize=1)
def _content_css() -> str:
    return (FOLDER / "content.css").read_text()
