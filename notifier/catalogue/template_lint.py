"""Warnings about the mails of a template version: what mail programs drop, and what looks like spam.

None of them stops anybody from publishing. Shown by the editor and in the API's answer to publishing. Pure: it takes
words and sample data, and is run in the process pool, since the mails are filled to be measured.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from notifier.catalogue.template_check import About, Place
from notifier.channels import CHANNELS
from notifier.core.errors import Fault
from notifier.core.message import Content
from notifier.core.shape_fields import pieces
from notifier.core.wording import ANY_CHANNEL, TemplateSource, Words
from notifier.ground.zones import UTC
from notifier.words.language import Budget, Trial
from notifier.words.render import RenderRequest, try_with

LONGEST_SUBJECT = 70  # characters; phones show some 40, programs on a desk some 70
CLIPPED_AT = 102 * 1024  # bytes of HTML, from which on Gmail shows no more
_MOST = 30  # warnings of one version
_MOST_WORK = 300_000  # units, for all its mails
_HOST = re.compile(r"(?:https?://)?((?:[a-z0-9-]+\.)+[a-z]{2,})(?:[/:?#].*)?", re.IGNORECASE)
_DECLARED = re.compile(r"(?<![\w-])([a-z-]+)\s*:\s*([^;{}\"']*)", re.IGNORECASE)
_AT_RULE = re.compile(r"@[a-z-]+", re.IGNORECASE)


def warnings(contents: Mapping[Place, Words], about: About) -> list[Fault]:
    """Pointers are into `/contents`, in the order given."""
    found: list[Fault] = []
    for index, ((channel, _), words) in enumerate(contents.items()):
        if words.html and (channel == ANY_CHANNEL or _has_html(channel)):
            found += _of_html(words.html, f"/contents/{index}/html")
    found += _of_mails(contents, about)
    return found[:_MOST]


def _has_html(channel: str) -> bool:
    """False of one that is no longer there, too: its words stay in versions from before."""
    return channel in CHANNELS and CHANNELS[channel].shape.has_html


def _of_html(source: str, pointer: str) -> Iterator[Fault]:
    # Of what data fills in only the line ends are left
    html = "".join("\ue000" + "\n" * piece.count("\n") if is_tag else piece for piece, is_tag in pieces(source))
    reader = _Reader()
    reader.feed(html)
    reader.close()
    seen: set[str] = set()
    for code, message, line in reader.found:
        if message not in seen:
            seen.add(message)
            yield Fault(pointer, code, message, line)


class _Reader(HTMLParser):
    """Collects (code, message, line)."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, int]] = []
        self._link: str | None = None
        self._said = ""
        self._is_css = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._is_css = tag == "style"
        self._dropped("elements", tag, f"<{tag}>")
        self._css(given.get("style") or "")
        if tag == "img" and "alt" not in given:
            self._add("image_without_alt", "an image has no alt text: who sees no images sees nothing there")
        if tag == "a":
            self._link, self._said = given.get("href"), ""

    def handle_endtag(self, tag: str) -> None:
        self._is_css = False
        if tag != "a" or not self._link:
            return
        said, leads = _HOST.fullmatch(self._said.strip()), _HOST.fullmatch(self._link.strip())
        if said and leads and _bare(said[1]) != _bare(leads[1]):
            self._add(
                "link_to_another_host",
                f"a link says {said[1][:80]} and leads to {leads[1][:80]}: it looks like a fraud",
            )
        self._link = None

    def handle_data(self, data: str) -> None:
        self._said += data
        if self._is_css:
            self._css(data)

    def _css(self, css: str) -> None:
        for name in _AT_RULE.findall(css):
            self._dropped("at_rules", name.lower(), name)
        for name, value in _DECLARED.findall(css):
            name = name.lower()
            self._dropped("properties", name, name)
            self._dropped("declarations", f"{name}:{value.strip().lower()}", f"{name}: {value.strip()[:40]}")

    def _dropped(self, kind: str, name: str, shown: str) -> None:
        programs = support()[kind].get(name)
        if programs:
            self._add("dropped_by_mail_programs", f"{shown} does nothing in {' and '.join(programs)}")

    def _add(self, code: str, message: str) -> None:
        self.found.append((code, message, self.getpos()[0]))


def _bare(host: str) -> str:
    return host.lower().removeprefix("www.")


def _of_mails(contents: Mapping[Place, Words], about: About) -> Iterator[Fault]:
    """What only a mail that is filled with the sample data shows."""
    source = TemplateSource(None, about.key, 0, contents)
    places = [
        (index, channel, locale)
        for index, (owner, locale) in enumerate(contents)
        for channel in ([owner] if owner != ANY_CHANNEL else CHANNELS)
        if _has_html(channel) and (owner == channel or (channel, locale) not in contents)
    ]
    requests = [
        RenderRequest(channel, locale, about.key, source, {}, about.sample, "Alice", UTC, about.category, None, None)
        for _, channel, locale in places
    ]
    words = list(contents.values())
    for (index, _, _), mail in zip(places, try_with(Trial(Budget(_MOST_WORK)), requests), strict=True):
        if not isinstance(mail, Content):
            continue
        if len(mail.subject or "") > LONGEST_SUBJECT:
            field = "subject" if words[index].subject else "title"
            said = f"the subject has {len(mail.subject or '')} characters; most programs show {LONGEST_SUBJECT} at most"
            yield Fault(f"/contents/{index}/{field}", "long_subject", said)
        if len((mail.html or "").encode()) > CLIPPED_AT:
            said = "the mail has more than 102 KB of HTML: Gmail cuts it off there, with its foot"
            yield Fault(f"/contents/{index}/html", "clipped_by_gmail", said)
        if words[index].html and mail.body.strip() == mail.title:
            said = "the mail has no text beside its images: write a text part, or alt texts"
            yield Fault(f"/contents/{index}/body", "no_text", said)


@lru_cache(maxsize=1)
def support() -> dict[str, Any]:
    """What mail programs drop: `properties`, `declarations`, `at_rules` and `elements`, each with the names of the
    programs; with `source` and `date`. Made by `make client-support`.
    """
    made: dict[str, Any] = json.loads((Path(__file__).parent / "client_support.json").read_text())
    return made
