"""Which hosts the links of a mandatory message may lead to: hosts written in the template or contained in the data as a
link, but none assembled from data.

Nobody can opt out of such messages, and they carry codes and sign-in links: `https://{{ code }}.example` would send
each code to a stranger's name server. `made_of_data` finds such a link in a template before it is published;
`strange_link` in a message about to be sent. Pure.
"""

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_DATA = "\ue000"  # stands for any value that a template prints
_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_CONSTANT = re.compile(r"\{\{-?\s*(\d+|'[^'\\{}]*'|\"[^\"\\{}]*\")\s*-?\}\}")
_OTHERWISE = re.compile(r"\{%[-+]?\s*(?:else|elif)\b")  # the branch after it is printed instead
_HOST = r"[^\s/?#\\<>\"'()]*"
_SUSPECTS = (
    # As in https://{{ x }}, https://a.{{ x }} and //{{ x }}
    re.compile(rf"(?:https?:[/\\]*|[/\\]{{2,}}){_HOST}{_DATA}", re.IGNORECASE),
    re.compile(rf"(?:[a-z][a-z0-9+.\-]*)?{_DATA}[a-z0-9+.\-{_DATA}]*:?//", re.IGNORECASE),  # {{ x }}://a
    # A value with more of a host behind it: {{ x }}.a.example and {{ url }}@a.example
    re.compile(rf"{_DATA}[\w\-{_DATA}]*(?:[.@:][\w\-{_DATA}]+)+", re.IGNORECASE),
    re.compile(rf"[a-z][\w\-]*\.{_DATA}", re.IGNORECASE),  # www.{{ x }}
)
# As browsers read it: `https:/a.example` and `/\\a.example` lead away too.
_LINK = re.compile(r"(?:https?:[/\\]*|(?:[a-z][a-z0-9+.\-]*:)?[/\\]{2,})[^\s<>\"'/\\][^\s<>\"']*", re.IGNORECASE)
_ORIGIN = re.compile(r"(?:([a-z][a-z0-9+.\-]*):)?[/\\]*([^/\\?#]*)", re.IGNORECASE)
_MOST_VALUES = 10_000

MESSAGE = (
    "in a message that nobody can opt out of, data may not be part of the host of a link: write it "
    "out, or print a whole link"
)


def made_of_data(source: str) -> int | None:
    """The line of a source where a printed value may become part of a link's scheme, sign-in, host or port. None:
    nowhere.

    Read from top to bottom, whatever the conditions and loops (but one branch does not follow the other). Links that
    are put together inside an expression are found by `strange_link`.
    """
    text: list[str] = []
    lines: list[int] = []
    end = 0
    for found in _TAG.finditer(source):
        _add(text, lines, source[end : found.start()], source.count("\n", 0, end) + 1)
        constant = _CONSTANT.fullmatch(found[0])
        if found[0].startswith("{{"):
            _add(text, lines, constant[1].strip("'\"") if constant else _DATA, source.count("\n", 0, found.start()) + 1)
        elif _OTHERWISE.match(found[0]):
            _add(text, lines, " ", source.count("\n", 0, found.start()) + 1)
        end = found.end()
    _add(text, lines, source[end:], source.count("\n", 0, end) + 1)
    whole = "".join(text)
    starts = [found.end() for suspect in _SUSPECTS for found in suspect.finditer(whole)]
    return lines[min(starts) - 1] if starts else None


def _add(text: list[str], lines: list[int], piece: str, line: int) -> None:
    for character in piece:
        text.append(character)
        lines.append(line)
        line += character == "\n"


def strange_link(text: str, sources: Iterable[str | None], data: Any, ours: Iterable[str | None]) -> str | None:
    """The first link in the text whose host is in none of the sources, in no link of the data, and is not ours."""
    links = list(_links(text))
    if not links:
        return None
    known = {_origin(link) for known in (*sources, *ours, *_texts_in(data)) if known for link in _links(known)}
    return next((link for link in links if _origin(link) not in known), None)


def _links(text: str) -> Iterator[str]:
    return (found[0].rstrip(".,;:!?)") for found in _LINK.finditer(html.unescape(text)))


def _origin(link: str) -> tuple[str, str]:
    """Scheme, and sign-in, host and port."""
    found = _ORIGIN.match(link)
    return ((found[1] or "").lower(), found[2].lower()) if found else ("", link)


def _texts_in(data: Any) -> Iterator[str]:
    waiting, left = [data], _MOST_VALUES
    while waiting and left:
        value, left = waiting.pop(), left - 1
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
