"""A template's HTML made into the inner part of a mail: well-formed, harmless, its CSS inlined.

The CSS is that of `templates/email/content.css` and of the `<style>` elements that the template brings. Their media
queries (phones, dark mode) cannot be inlined: they are returned apart and go into the head of the mail. Called by
`words.mail_source` once per template, and by `words.render` for HTML that can only be made when its data is known.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from css_inline import CSSInliner

from notifier.core.record import record
from notifier.ground.config import ROOT
from notifier.words.clean import harmless_html, without_comments
from notifier.words.filters import Budget, paragraphs

FOLDER = ROOT / "templates" / "email"

MOST_TAGS = 5_000
DEEPEST = 100  # the parser takes time with the square of it, and ends the whole process at some ten thousand
LONGEST_CSS = 10_000  # of a template
MOST_ATTRIBUTES = 50  # of one tag: the parser compares each with all before it
_INLINER = CSSInliner(load_remote_stylesheets=False)
_INLINER_HINT = re.compile(r"data-css-inline\s*=", re.IGNORECASE)
# A tag as it should be written; `<` alone where there is none.
_LESS_THAN = re.compile(
    r"""<(?:(?P<closes>/?)(?P<name>[a-zA-Z][a-zA-Z0-9:-]*+)(?P<attributes>(?:\s++(?:[^\s<>"'/=]++(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s<>"'`]++))?+)?+)*+)\s*+/?+>)?+"""
)
_ATTRIBUTE = re.compile(r"""\s([^\s<>"'/=]++)(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s<>"'`]++))?+""")
STYLE_BEGINS = re.compile(r"<style\b[^<>]*>", re.IGNORECASE)
_STYLE_ENDS = re.compile(r"</style\s*>", re.IGNORECASE)
_CSS_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_CSS_BRACE = re.compile(r"[{};]")
_CSS_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_LOADS = re.compile(r"url\(|expression\(|\\", re.IGNORECASE)
_STRUCTURAL = re.compile(r"[:+~\[]")
VOID = frozenset({"area", "br", "col", "hr", "img", "wbr"})
_FORMATTING = frozenset(
    {"a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"}
)
_CLOSED_BY_ITSELF = frozenset({"p", "li", "dd", "dt", "tr", "td", "th", "option"})  # one ends where the next begins
# Taken from measurements of the dearest fragments, as all charges are: see Budget.
_FIXED, _UNITS_A_TAG, _CHARACTERS_PARSED = 60, 2, 10
_UNITS_A_RULE, _ELEMENTS_MATCHED = 4, 10
_FOUR = " ".join([r"([^\s;]+)"] * 4)  # values of a property, one for each side
_UNPARSED = re.compile(
    r"<(?=/?(?:script|style|xmp|iframe|noembed|noframes|noscript|plaintext|textarea|title|template|svg|math)\b)",
    re.IGNORECASE,
)


@record
class Inner:
    """The inner part of a mail. `css`: the media queries of the template's own `<style>` elements."""

    html: str
    css: str = ""


@record
class Cleaned:
    """HTML in which every `<` begins a tag as it should be written, and the CSS that stood in it. `is_as_written`: no
    `<` had to be made text.
    """

    html: str
    rules: list[str]
    queries: list[str]
    is_as_written: bool

    @property
    def depends_on_structure(self) -> bool:
        """Whether a rule asks for an element's place or attributes, which data may change."""
        return any(_STRUCTURAL.search(rule.partition("{")[0]) for rule in self.rules)


def inlined(fragment: str, budget: Budget, *, is_rtl: bool = False) -> Inner:
    """A template's HTML made well-formed, harmless and styled. Raises ValueError and TooMuchWork."""
    cleaned = clean(fragment, budget)
    return Inner(harmless_html(styled(cleaned.html, cleaned.rules, budget, is_rtl=is_rtl)), "\n".join(cleaned.queries))


def clean(fragment: str, budget: Budget) -> Cleaned:
    """Raises ValueError and TooMuchWork."""
    if fragment.count("<") > MOST_TAGS:
        raise ValueError(f"a mail can have at most {MOST_TAGS} tags")
    budget.spend(len(fragment) // _CHARACTERS_PARSED)
    fragment, css = _without_styles(without_comments(fragment))
    # Elements whose text is not parsed as HTML never reach the parser as such: what comes out of it is
    # well-formed throughout.
    fragment = _INLINER_HINT.sub("data-ignored=", _UNPARSED.sub("&lt;", fragment))
    html = _sane_tags(fragment)
    return Cleaned(html, *_rules(css), html == fragment)


def styled(html: str, rules: list[str], budget: Budget, *, is_rtl: bool) -> str:
    """What the parser makes of clean HTML, with the CSS inlined. Raises ValueError and TooMuchWork."""
    elements = _made_of(html)
    budget.spend(_FIXED + _UNITS_A_TAG * elements + len(rules) * (_UNITS_A_RULE + elements // _ELEMENTS_MATCHED))
    made = _INLINER.inline_fragment(html, "\n".join([_content_css(is_rtl), *rules]))
    budget.spend(len(made) // _CHARACTERS_PARSED)
    return made


def work_of(fragment: str) -> int:
    """Units, about, to make a fragment the inner part of a mail."""
    return _FIXED + 2 * len(fragment) // _CHARACTERS_PARSED + _UNITS_A_TAG * fragment.count("<")


def of_text(text: str, budget: Budget, *, is_rtl: bool) -> Inner:
    """The inner part of a mail that has no HTML of its own. Raises TooMuchWork."""
    budget.spend(_FIXED + len(text) // _CHARACTERS_PARSED)
    return Inner(paragraphs(text, _paragraph(is_rtl)))


def tags(html: str) -> Iterator[re.Match[str]]:
    """Of clean HTML, as they are written there."""
    return _LESS_THAN.finditer(html)


@lru_cache(maxsize=2)
def _paragraph(is_rtl: bool) -> str:
    return _INLINER.inline_fragment("<p></p>", _content_css(is_rtl)).removesuffix("</p>")


def _without_styles(fragment: str) -> tuple[str, str]:
    """The fragment without its `<style>` elements, and their text. One that is never closed is left in: text."""
    kept, css, end = [], [], 0
    while (opened := STYLE_BEGINS.search(fragment, end)) and (closed := _STYLE_ENDS.search(fragment, opened.end())):
        kept.append(fragment[end : opened.start()])
        css.append(fragment[opened.end() : closed.start()])
        end = closed.end()
    return ("".join([*kept, fragment[end:]]), "\n".join(css)) if css else (fragment, "")


def _rules(css: str) -> tuple[list[str], list[str]]:
    """The rules to be inlined, and the media queries to be kept. Other at-rules are left out: mail programs drop them,
    or they load something. Raises ValueError.
    """
    if len(css) > LONGEST_CSS:
        raise ValueError(f"the CSS of a mail can have at most {LONGEST_CSS} characters")
    rules: list[str] = []
    queries: list[str] = []
    css = _CSS_COMMENT.sub("", css).replace("<", "")
    depth = begun = body = 0
    for found in _CSS_BRACE.finditer(css):
        if found[0] == "{":
            depth += 1
            body = body if depth > 1 else found.end()
            continue
        depth -= found[0] == "}" and depth > 0
        if depth:
            continue
        head, text = css[begun : max(body - 1, begun)].strip(), css[body : found.start()]
        if body > begun and head.lower().startswith("@media"):
            kept = _within_the_content(text)
            queries += [f"@media{head[6:]}{{{kept}}}"] if kept else []
        elif body > begun and head and not head.startswith("@"):
            rules.append(f"{head}{{{text}}}")
        begun = body = found.end()
    return rules, queries


def _within_the_content(rules: str) -> str:
    """The rules of a media query, for nothing but the inner part, and stronger than what has been inlined."""
    made = []
    for found in _CSS_RULE.finditer(rules):
        selectors = [selector.strip() for selector in found[1].split(",")]
        declared = [one.strip().removesuffix("!important").strip() for one in found[2].split(";")]
        kept = [f"{one} !important" for one in declared if one and not _LOADS.search(one)]
        if kept and all(selectors) and not selectors[0].startswith("@"):
            made.append(f"{', '.join(f'.content {selector}' for selector in selectors)} {{ {'; '.join(kept)} }}")
    return " ".join(made)


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
        if not name or name in VOID:
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


def mirrored(css: str) -> str:
    """The style sheet for text from right to left: left and right change places. Mail programs know no logical
    properties.
    """
    css = re.sub(r"\b(?:left|right)\b", lambda found: "right" if found[0] == "left" else "left", css)
    css = re.sub(rf"(\b(?:padding|margin): ){_FOUR}", r"\1\2 \5 \4 \3", css)
    return re.sub(rf"(\bborder-radius: ){_FOUR}", r"\1\3 \2 \5 \4", css)


@lru_cache(maxsize=2)
def _content_css(is_rtl: bool) -> str:
    css = (FOLDER / "content.css").read_text()
    return mirrored(css) if is_rtl else css
