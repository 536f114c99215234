"""Cleans texts for messages: no control characters, one-line titles, links that are links.

Called by `words.render` for everything that a template made from a producer's data. Knows no channel and no template.
"""

import html
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urljoin, urlsplit

LONGEST_URL = 2_048

# Control characters but tab and newline, overrides that write text backwards, surrogates, what is no character.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
# Either of the two
_UNCLEAN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_LINE_END = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_NO_BREAK = re.compile("[\u00a0\u2007\u202f]")
# Each run is tried once: otherwise it takes time with the square of its length
_SPACE_BEFORE_END = re.compile(r"(?<![ \t])[ \t]++(?=\n|\Z)")
_MANY_EMPTY_LINES = re.compile(r"\n{3,}")

# For well-formed HTML only: with tags that never end, matching would take time with the square of the length.
TAG = re.compile(r"""<(/?)([a-zA-Z][a-zA-Z0-9]*+)((?:[^>"']++|"[^"]*+"|'[^']*+')*+)>""")
_ANY_TAG = re.compile(r"(<[^<>]*>)")
ATTRIBUTE = re.compile(r"""\s+([^\s=>"'/]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>"']+))?""")
ADDRESS_ATTRIBUTES = frozenset({"href", "src", "background", "action", "formaction", "poster", "srcset", "xlink:href"})
_ACTIVE_TAGS = frozenset({
    "script", "style", "link", "meta", "base", "iframe", "frame", "frameset", "object", "embed", "applet", "form",
    "input", "button", "select",
    "textarea", "svg", "math", "title", "html", "head", "body", "template", "noscript",
})  # fmt: skip
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*:", re.IGNORECASE)
_LINK_SCHEMES = ("http:", "https:", "mailto:", "tel:", "cid:")


def many_lines(text: str) -> str:
    """Text of several lines: line ends are \\n, no control characters, never two empty lines together."""
    if _UNCLEAN.search(text):
        text = _UNSHOWABLE.sub("", _LINE_END.sub("\n", text))
    # Looking whether there is any is much quicker than a pattern that finds none
    if " \n" in text or "\t\n" in text:
        text = _SPACE_BEFORE_END.sub("", text)
    if "\n\n\n" in text:
        text = _MANY_EMPTY_LINES.sub("\n\n", text)
    return text.strip()


def one_line(text: str) -> str:
    """A title or subject: whatever breaks a line or a header becomes one space."""
    if _UNCLEAN.search(text):
        text = _UNSHOWABLE.sub("", _LINE_END.sub(" ", text))
    return " ".join(text.split())


def plain_spaces(text: str) -> str:
    """Without the no-break spaces that formats put into money and times: one of them makes an SMS twice as long."""
    return _NO_BREAK.sub(" ", text)


def web_address(text: str) -> str | None:
    """The text if it is an http(s) address, else None."""
    text = text.strip()
    if not text or len(text) > LONGEST_URL or _has_space(text) or _UNSHOWABLE.search(text):
        return None
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and "\\" not in parts.netloc
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError:
        return None
    return text if parts.scheme in ("http", "https") and has_host else None


def action_address(text: str, base: str | None = None) -> str | None:
    """A web address, or a path on our own site (`/inbox`, never `//host`); with `base` a path is made absolute."""
    text = text.strip()
    if (
        text.startswith("/")
        and not text.startswith(("//", "/\\"))
        and len(text) <= LONGEST_URL
        and not _has_space(text)
        and not _UNSHOWABLE.search(text)
    ):
        return urljoin(base, text) if base else text
    return web_address(text)


def _has_space(stripped: str) -> bool:
    return len(stripped.split(maxsplit=1)) > 1


def harmless_html(fragment: str) -> str:
    """A well-formed HTML fragment without what no mail may hold: scripts, handlers, forms, `javascript:` links.

    The data in it is escaped already; this guards against what a template's writer puts around it.
    """
    return TAG.sub(lambda match: _harmless_tag(match[0]), without_comments(fragment))


def without_comments(fragment: str) -> str:
    """A comment that is never closed hides everything after it, as in a browser."""
    kept, end = [], 0
    while (start := fragment.find("<!--", end)) != -1:
        kept.append(fragment[end:start])
        end = fragment.find("-->", start + 4) + 3
        if end < 3:
            return "".join(kept)
    return "".join([*kept, fragment[end:]]) if kept else fragment


@lru_cache(maxsize=4096)  # the tags of a mail are much the same from mail to mail
def _harmless_tag(tag: str) -> str:
    match = TAG.fullmatch(tag)
    # The latter: a name that no plain tag has
    if match is None or match[2].lower() in _ACTIVE_TAGS or match[3][:1] not in ("", " ", "/"):
        return ""
    return f"<{match[1]}{match[2]}{ATTRIBUTE.sub(_harmless_attribute, match[3])}>" if match[3] else tag


def _harmless_attribute(match: re.Match[str]) -> str:
    name, value = match[1].lower(), match[2] or ""
    if name.startswith("on"):
        return ""
    if name in ADDRESS_ATTRIBUTES and not is_harmless_address(html.unescape(value.strip("\"'"))):
        return ""
    # A parser writes these unescaped into attributes; escaped, no reader takes them for a tag.
    return match[0].replace("<", "&lt;").replace(">", "&gt;")


def is_harmless_address(text: str) -> bool:
    """Whether a link, or the address of an image, may stand in a mail: no `javascript:`, `data:` or `file:`, also once
    browsers, or `many_lines`, have taken out what they pass over.
    """
    scheme = _SCHEME.match(_UNSHOWABLE.sub("", "".join(text.split())))
    return scheme is None or scheme[0].lower() in _LINK_SCHEMES


def text_of_html(fragment: str) -> str:
    """The plain-text twin of a mail's HTML, as `harmless_html` leaves it: `<` and `>` stand for tags only.

    Paragraphs, list items, table rows as `label: value`, links behind their text, images by their `alt`.
    """
    links: list[str] = []
    for space in "\t\n\r\f":  # as in HTML
        fragment = fragment.replace(space, " ")
    while "  " in fragment:
        fragment = fragment.replace("  ", " ")
    parts = _ANY_TAG.split(fragment)
    for index in range(1, len(parts), 2):
        said = _said_by(parts[index])
        if isinstance(said, str):
            parts[index] = said
        elif said.target is not None:
            links.append(said.target)
            parts[index] = ""
        else:
            target = links.pop() if links else ""
            parts[index] = f" ({html.escape(target)})" if target and target != "#" else ""
    return many_lines("\n".join([line.strip(" ") for line in html.unescape("".join(parts)).split("\n")]))


@dataclass(frozen=True, slots=True)
class _Link:
    """Where a link leads; None at its end."""

    target: str | None


@lru_cache(maxsize=4096)  # as above
def _said_by(tag: str) -> "str | _Link":
    """What a tag is in plain text."""
    match = TAG.fullmatch(tag)
    if match is None:
        return ""
    closes, name, attributes = match[1], match[2].lower(), match[3]
    if name == "a":
        return _Link(None if closes else html.unescape(_attribute(attributes, "href")))
    if name == "img":
        return _attribute(attributes, "alt")
    return _CLOSED_BY.get(name, "") if closes else _OPENED_BY.get(name, "")


def _attribute(attributes: str, name: str) -> str:
    """Its value as it is written, escaped; empty without one."""
    value = next((match[2] for match in ATTRIBUTE.finditer(attributes) if match[1].lower() == name and match[2]), "")
    return value[1:-1] if value[:1] in ("'", '"') else value


_OPENED_BY = {
    "br": "\n",
    "li": "\n- ",
    "tr": "\n",
    "hr": "\n\n",
    "h1": "\n\n",
    "h2": "\n\n",
    "h3": "\n\n",
    "p": "\n\n",
    "div": "\n",
    "table": "\n\n",
    "ul": "\n",
    "ol": "\n",
    "blockquote": "\n\n",
}
_CLOSED_BY = {
    "p": "\n\n",
    "h1": "\n\n",
    "h2": "\n\n",
    "h3": "\n\n",
    "table": "\n\n",
    "ul": "\n\n",
    "ol": "\n\n",
    "blockquote": "\n\n",
    "div": "\n",
    "th": ": ",
    "td": " ",
}
