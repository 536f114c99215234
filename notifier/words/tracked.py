"""Puts tracked links and a pixel into the HTML of a finished mail, and takes the pixel out again for those who only
look at a mail of somebody else's.

Called by `delivery.tracking` just before a mail goes out, and by the console. The text part keeps its links: there, a
link that leads elsewhere than it says looks like a fraud.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit
from uuid import UUID

from markupsafe import escape
from werkzeug.urls import iri_to_uri

from notifier.core.tracking import DECOY
from notifier.ground import tokens
from notifier.ground.config import current_settings
from notifier.ground.tokens import TrackedLink
from notifier.words.clean import web_address

MOST_LINKS = 200  # of one mail; what comes after leads straight to its target
_USUAL_PORTS = (None, 80, 443)
_LINK = "<a "
_DECOY = '<a href="{}" style="display:none" aria-hidden="true" tabindex="-1"></a>'
_PIXEL_BEGINS = '<img id="notifier-pixel" '
_PIXEL = _PIXEL_BEGINS + 'src="{}" width="1" height="1" alt="" style="border:0;width:1px;height:1px">'
_BODY_ENDS = "</body>"


@dataclass(frozen=True, slots=True)
class Tracked:
    """`targets`: where the links lead, by number from 1."""

    html: str
    targets: tuple[str, ...]


def track(html: str, delivery_id: UUID, *, opens: bool, clicks: bool, targets: Sequence[str] = ()) -> Tracked:
    """`html`: a document as `words.render` makes it. `targets`: of the mails that went out for the delivery before,
    whose links keep their numbers.
    """
    made = list(targets)
    if clicks:
        html = _with_links(html, delivery_id, made)
    if opens:
        pixel = _PIXEL.format(escape(current_settings().link("o", f"{tokens.sign_pixel(delivery_id)}.gif")))
        before, _, after = html.rpartition(_BODY_ENDS)
        html = f"{before}{pixel}{_BODY_ENDS}{after}"
    return Tracked(html, tuple(made))


def without_pixel(html: str) -> str:
    """For a look at a mail that is no opening of it."""
    before, begins, rest = html.rpartition(_PIXEL_BEGINS)
    return before + rest.partition(">")[2] if begins else html


def _with_links(html: str, delivery_id: UUID, targets: list[str]) -> str:
    numbers = {target: number for number, target in enumerate(targets, 1)}
    parts, end = [], 0
    for start, after, attributes in _anchors(html):
        target = _target(attributes)
        if target is None:
            continue
        number = numbers.get(target)
        if number is None:
            if len(targets) >= MOST_LINKS:
                continue
            targets.append(target)
            number = numbers[target] = len(targets)
        parts += [html[end:start], _anchor({**attributes, "href": _link(delivery_id, number)})]
        end = after
    if not parts:
        return html
    # First of all, since many scanners follow links in their order
    whole = "".join([*parts, html[end:]])
    place = whole.index(">", whole.index("<body")) + 1
    return whole[:place] + _DECOY.format(escape(_link(delivery_id, DECOY))) + whole[place:]


def _link(delivery_id: UUID, number: int) -> str:
    return current_settings().link("t", tokens.sign_link(TrackedLink(delivery_id, number)))


class _Attributes(HTMLParser):
    """Of a start tag, unescaped."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        self.found: dict[str, str | None] = {}
        self.feed(tag)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found = dict(reversed(attrs))  # of repeated ones, browsers take the first


def _anchors(html: str) -> Iterator[tuple[int, int, dict[str, str | None]]]:
    """Each link's tag: where it starts and ends, and its attributes.

    The document comes from an HTML parser's writer (`mail_layout.inlined`) and from our own layout: `<` and `>` stand
    for tags and nothing else, in comments no link is written, and so no more than the tags of links is parsed again.
    """
    start = html.find(_LINK)
    while start != -1:
        end = html.index(">", start) + 1
        yield start, end, _Attributes(html[start:end]).found
        start = html.find(_LINK, end)


def _anchor(attributes: dict[str, str | None]) -> str:
    written = (name if value is None else f'{name}="{escape(value)}"' for name, value in attributes.items())
    return f"{_LINK}{' '.join(written)}>"


def _target(attributes: dict[str, str | None]) -> str | None:
    """Where a link leads, if it may be tracked: not to a page of ours, since those unsubscribe, sign in or open
    somebody's preferences; nor `mailto:`, `tel:` or `#top`; nor to a host that no `Location` can name.
    """
    target = web_address(attributes.get("href") or "")
    if target is None:
        return None
    try:
        iri_to_uri(target)  # as the redirect writes it
        return None if _is_ours(target) else target
    except UnicodeError:
        return None


def _is_ours(target: str) -> bool:
    """Whichever of http and https it names: a proxy leads from one to the other."""
    return _server(target) == _server(current_settings().public_url)


def _server(url: str) -> tuple[str, int | None]:
    """Host and port, as browsers understand them however they are written. Raises UnicodeError."""
    parts = urlsplit(url)
    host = unquote(parts.hostname or "").encode("idna").decode().lower()
    return host.rstrip("."), None if parts.port in _USUAL_PORTS else parts.port
