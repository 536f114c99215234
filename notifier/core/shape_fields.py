"""The fields that a channel's shape declares beside those that all channels share: buttons, facts, a footer.

A field is declared once, with its kind, limits and help. The editor's form, the API, the checks before a template is
saved, rendering and the preview follow from the declaration; the adapter reads what is rendered. Pure.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from notifier.core.errors import Fault

# `line`; `text` of several lines; `list`: a value in each line; `pairs`: "label: value" in each line; `links`: pairs
# whose values are http(s) addresses; `switch`: `on`, or nothing.
Kind = Literal["line", "text", "list", "pairs", "links", "switch"]
ON = "on"

_ENDS = {"{{": "}}", "{%": "%}", "{#": "#}"}


@dataclass(frozen=True, slots=True)
class ShapeField:
    """`longest` and `longest_label` are in characters, of each value and each label; `most` in lines.

    `check` takes the number of a line, from 0, and a value in which no data stand, and says what is wrong with it.
    `finish` takes the rendered value and the locale of its words. `in_every_language`: where the words of one language
    have it, those of all must.
    """

    name: str
    label: str
    help: str
    kind: Kind = "line"
    longest: int | None = None
    longest_label: int | None = None
    most: int | None = None
    check: Callable[[int, str], str | None] | None = None
    finish: Callable[[Any, str], Any] | None = None
    in_every_language: bool = False

    @property
    def has_lines(self) -> bool:
        return self.kind in ("list", "pairs", "links")

    @property
    def is_labelled(self) -> bool:
        return self.kind in ("pairs", "links")

    @property
    def nothing(self) -> Any:
        """Its value where nothing is given."""
        return () if self.has_lines else False if self.kind == "switch" else None

    def sources(self, text: str) -> list[tuple[str, ...]]:
        """The Jinja sources in it, line by line, so that no data can add a line, or move the colon behind a label.

        A labelled line has two, and one alone where it has no colon. Empty lines at the end are none: whoever types
        the last one ends it, too.
        """
        if self.kind == "switch" or not text:
            return []
        if not self.has_lines:
            return [(text,)]
        text = text.rstrip()
        if not text:
            return []
        return [_pair(line) if self.is_labelled else (line,) for line in text.split("\n")]

    def faults(self, text: str, pointer: str) -> Iterator[Fault]:
        """What is wrong with it whatever the data are."""
        if self.kind == "switch":
            if text not in ("", ON):
                yield Fault(pointer, "invalid_value", f"it is {ON!r} or empty")
            return
        rows = self.sources(text)
        used = [row for row in rows if any(part.strip() for part in row)]
        if self.most is not None and len(used) > self.most:
            yield Fault(pointer, "too_many", f"there are {len(used)} of them, and at most {self.most} are shown")
        for number, row in enumerate(rows):
            if row in used:
                line = number + 1 if self.has_lines else None
                yield from (Fault(pointer, code, said, line) for code, said in self._faults_of(number, row))

    def _faults_of(self, number: int, row: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        if self.is_labelled and (len(row) < 2 or not all(row)):
            what = "an address (Track it: https://…)" if self.kind == "links" else "a text (Order: 123)"
            yield "invalid_value", f"write it as a label, a colon and {what}"
            return
        limits = {"label": self.longest_label, "text": self.longest} if self.is_labelled else {"text": self.longest}
        for part, (what, longest) in zip(row, limits.items(), strict=True):
            own = len("".join(piece for piece, is_tag in pieces(part) if not is_tag).strip())
            if longest is not None and own > longest:
                yield "too_long", f"the {what} has {own} characters without its data, and at most {longest} are shown"
        value = row[-1].strip()
        if self.check is not None and not any(is_tag for _, is_tag in pieces(value)):
            wrong = self.check(number, value)
            if wrong is not None:
                yield "invalid_value", wrong


def pieces(source: str) -> Iterator[tuple[str, bool]]:
    """A Jinja source cut into text and tags: (piece, is a tag). A tag that never ends goes to the end."""
    begin = 0
    while begin < len(source):
        opening = source.find("{", begin)
        while opening != -1 and source[opening : opening + 2] not in _ENDS:
            opening = source.find("{", opening + 1)
        if opening == -1:
            yield source[begin:], False
            return
        if opening > begin:
            yield source[begin:opening], False
        found = source.find(_ENDS[source[opening : opening + 2]], opening + 2)
        begin = len(source) if found == -1 else found + 2
        yield source[opening:begin], True


def _pair(line: str) -> tuple[str, ...]:
    at = 0
    for piece, is_tag in pieces(line):
        colon = -1 if is_tag else piece.find(":")
        if colon != -1:
            return line[: at + colon].strip(), line[at + colon + 1 :].strip()
        at += len(piece)
    return (line,)
