"""The filters of the template language; each is charged for its input and its output. Used by `words.grammar`.

Also the parts that filters share with the language: the budget, the state of a run, and the faults.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from jinja2 import filters as stock
from jinja2 import pass_context
from jinja2.runtime import Context, Undefined
from markupsafe import Markup, escape

from notifier.words import formats
from notifier.words.clean import is_harmless_address

LONGEST_TEXT = 400_000  # of one field, in characters; also of any value made on the way there
LONGEST_RANGE = 1_000
LARGEST_NUMBER = 10**30

_EMPTY_LINE = re.compile(r"\n[ \t]*\n")


class TemplateFault(Exception):
    """A source that cannot be used, or a run of it that failed. `line` counts from 1; None when unknown."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class TooMuchWork(TemplateFault):
    """The message as a whole takes too long to put into words."""


class Budget:
    """The work that one message may take, all its fields together.

    A unit is a microsecond of CPU, rounded up: charges are a table, taken once from measurements of the dearest input
    of each kind, so that the same message with the same data always costs the same, on any machine.
    """

    __slots__ = ("left", "most")

    def __init__(self, most: int) -> None:
        self.left = self.most = most

    @property
    def spent(self) -> int:
        return self.most - self.left

    def spend(self, work: int) -> None:
        """Called before the work is done. Raises TooMuchWork."""
        self.left -= work
        if self.left < 0:
            raise TooMuchWork("the message takes too much work: it goes through too much text, or too many values")


class Run(Context):
    """One field of one message being rendered: Jinja's context, with the reader and the message's budget."""

    reader: formats.Reader
    budget: Budget


@pass_context
def _counted(run: Run, values: Any, cost: int) -> Iterator[Any]:
    """Charges the items of a loop. `cost`: the part of the source that a round repeats."""
    listed = _listed(values)
    run.budget.spend(1 + len(listed) // _ITEMS_COPIED)
    for value in listed:
        run.budget.spend(cost)
        yield value


@pass_context
def _weighed(run: Run, value: Any) -> Any:
    """Values that are compared or cut are measured to their full depth; lists of lists can be far larger than they
    look.
    """
    waiting = [value]
    while waiting:
        node = waiting.pop()
        run.budget.spend(2 + len(node) // _CHARACTERS_COMPARED if isinstance(node, str) else 2)
        if isinstance(node, (list, tuple, Mapping)):
            waiting += node.values() if isinstance(node, Mapping) else node
    return value


@dataclass(frozen=True, slots=True)
class Cost:
    """The units that a call of a filter takes: `fixed`, and one for so many characters, or items, of its input. Its
    output is charged as text.
    """

    fixed: int = 4
    characters: int = 100
    items: int = 1

    def of(self, value: Any) -> int:
        if isinstance(value, str):
            return len(value) // self.characters
        return len(value) // self.items if isinstance(value, (list, tuple, range, Mapping)) else 0


_ITEMS_COPIED = 10  # a unit
_CHARACTERS_COMPARED = 200
_CHARACTERS_MADE = 100


@pass_context
def _concat(run: Run, parts: Sequence[Any]) -> str:
    """The result of `~`."""
    texts = [text if isinstance(text, Markup) else str(text) for text in map(finalize, parts)]
    length = sum(map(len, texts))
    run.budget.spend(len(texts) + length // _CHARACTERS_MADE)
    refuse_length(length)
    return Markup("").join(texts) if any(isinstance(text, Markup) for text in texts) else "".join(texts)


def _key(value: Any) -> Any:
    """A key of a mapping: the hash of a tuple of tuples can take for ever."""
    if isinstance(value, (str, int, float)):
        return value
    raise TemplateFault("a key is a text or a number")


def bounded_range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > LONGEST_RANGE:
        raise TemplateFault(f"a range can have at most {LONGEST_RANGE} numbers")
    return numbers


@pass_context
def _join(run: Run, values: Any, separator: str = "", attribute: str | None = None) -> str:
    """Joins the values that exist and can be shown; mappings in a list count as their `attribute`."""
    picked = [
        value.get(attribute) if attribute is not None and isinstance(value, Mapping) else value
        for value in _listed(values)
    ]
    texts = [text for value in picked if not isinstance(value, Undefined) and (text := finalize(value)) != ""]
    length = sum(len(str(text)) for text in texts) + len(separator) * len(texts)
    refuse_length(length)
    run.budget.spend(length // _CHARACTERS_MADE)
    if any(isinstance(text, Markup) for text in texts):
        return escape(separator).join(texts)
    return str(separator).join(str(text) for text in texts)


def refuse_length(length: int) -> None:
    if length > LONGEST_TEXT:
        raise TemplateFault(f"the text is longer than {LONGEST_TEXT} characters")


def _replace(text: Any, old: str, new: str) -> str:
    plain = _text(text)
    refuse_length(len(plain) + plain.count(old) * max(len(new) - len(old), 0))
    return plain.replace(old, new)


def _truncate(text: Any, length: int = 80) -> str:
    plain = _text(text)
    return plain if len(plain) <= length else plain[: max(length - 1, 0)].rstrip() + "…"


def _text(value: Any) -> str:
    """As it would be printed."""
    return str(finalize(value))


def _listed(values: Any) -> Sequence[Any]:
    if isinstance(values, Undefined):
        values._fail_with_undefined_error()
    if not isinstance(values, (list, tuple, range, Mapping)):
        raise TemplateFault("this must be a list")
    return list(values)


def _items(mapping: Any) -> list[tuple[Any, Any]]:
    if not isinstance(mapping, Mapping):
        raise TemplateFault("this must be a mapping")
    return list(mapping.items())


def _round(value: float, digits: int = 0) -> float:
    return round(value, min(max(digits, 0), 10))


def paragraphs(text: Any, begins: str = "<p>") -> Markup:
    """Plain text as HTML: an empty line ends a paragraph, a single one breaks the line. `begins`: the start tag, which
    may be styled already.
    """
    blocks = [block.strip() for block in _EMPTY_LINE.split(str(escape(_text(text))))]
    return Markup("".join(f"{begins}{block.replace(chr(10), '<br>')}</p>" for block in blocks if block))


@pass_context
def _attribute(run: Run, parts: Sequence[Any], is_address: bool) -> str:
    """The value of an HTML attribute, joined from what the template says and its data. Not escaped yet."""
    text = "".join(part.unescape() if isinstance(part, Markup) else str(part) for part in map(finalize, parts))
    run.budget.spend(4 + len(text) // _CHARACTERS_MADE)
    refuse_length(len(text))
    return "" if is_address and not is_harmless_address(text) else text


def finalize(value: Any) -> Any:
    """The printed form of a value: null, lists and mappings leave no Python behind."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, (str, int, float, Undefined)) else ""


def _by_reader(function: Callable[..., str]) -> Callable[..., str]:
    def run_filter(run: Run, value: Any, *args: Any) -> str:
        if isinstance(value, Undefined):
            value._fail_with_undefined_error()
        return function(run.reader, value, *(None if isinstance(arg, Undefined) else arg for arg in args))

    return pass_context(run_filter)


@pass_context
def _plural(run: Run, count: Any, **forms: str) -> str:
    return formats.plural(run.reader, count, forms)


def _whole(value: Any, default: int = 0, base: int = 10) -> int:
    """A text of digits can be a number that takes a second to print."""
    found = stock.do_int(value, default, base)
    if abs(found) > LARGEST_NUMBER:
        raise TemplateFault("int is for numbers of reasonable size")
    return found


def _first(values: Any) -> Any:
    return next(iter(_indexed(values)), "")


def _last(values: Any) -> Any:
    return next(reversed(_indexed(values)), "")


def _indexed(values: Any) -> Any:
    """As it is, where `_listed` copies it."""
    return values if isinstance(values, (list, tuple, range, Mapping)) else _listed(values)


def _charged(function: Callable[..., Any], cost: Cost) -> Callable[..., Any]:
    """A filter that is charged for its input before it reads it, and returns printable text."""
    takes_run = getattr(function, "jinja_pass_arg", None) is not None

    def run_filter(run: Run, value: Any, *args: Any, **options: Any) -> Any:
        run.budget.spend(cost.fixed + cost.of(value) + sum(map(cost.of, args)) + sum(map(cost.of, options.values())))
        made = function(run, value, *args, **options) if takes_run else function(value, *args, **options)
        if isinstance(made, str):
            run.budget.spend(len(made) // _CHARACTERS_MADE)
            refuse_length(len(made))
        return made

    return pass_context(run_filter)


_BY_LOCALE = Cost(fixed=35)  # the dearest of them, a full date, takes 29
_AT_A_GLANCE = Cost(characters=LONGEST_TEXT, items=LONGEST_TEXT)  # the size of the value does not matter

_PARAGRAPHS = Cost(fixed=15, characters=6)

_OFFERED: dict[str, tuple[Callable[..., Any], Cost]] = {
    "money": (_by_reader(formats.money), _BY_LOCALE),
    "number": (_by_reader(formats.number), _BY_LOCALE),
    "date": (_by_reader(formats.show_date), _BY_LOCALE),
    "datetime": (_by_reader(formats.show_datetime), _BY_LOCALE),
    "time": (_by_reader(formats.show_time), _BY_LOCALE),
    "phrase": (_by_reader(formats.phrase), Cost()),
    "plural": (_plural, _BY_LOCALE),
    "join": (_join, Cost(fixed=8)),
    "replace": (_replace, Cost()),
    "truncate": (_truncate, Cost()),
    "urlencode": (lambda text: quote(_text(text), safe=""), Cost(characters=20)),
    "items": (_items, Cost(items=5)),
    "paragraphs": (lambda text: paragraphs(text), _PARAGRAPHS),
    "list": (lambda values: list(_listed(values)), Cost(items=_ITEMS_COPIED)),
    "default": (stock.do_default, _AT_A_GLANCE),
    "d": (stock.do_default, _AT_A_GLANCE),
    "escape": (lambda text: escape(finalize(text)), Cost()),
    "e": (lambda text: escape(finalize(text)), Cost()),
    "string": (_text, Cost()),
    "upper": (lambda text: _text(text).upper(), Cost(characters=50)),
    "lower": (lambda text: _text(text).lower(), Cost(characters=50)),
    "capitalize": (lambda text: _text(text).capitalize(), Cost(characters=50)),
    "title": (lambda text: stock.do_title(_text(text)), Cost(characters=3)),
    "trim": (lambda text: _text(text).strip(), Cost()),
    "length": (len, _AT_A_GLANCE),
    "count": (len, _AT_A_GLANCE),
    "first": (_first, _AT_A_GLANCE),
    "last": (_last, _AT_A_GLANCE),
    "abs": (abs, _AT_A_GLANCE),
    "int": (_whole, Cost()),
    "float": (stock.do_float, Cost()),
    "round": (_round, _AT_A_GLANCE),
}
# The latter are put in by the compiler, and no source can name them.
FILTERS = {name: _charged(*offered) for name, offered in _OFFERED.items()} | {
    "_attribute": _attribute,
    "_concat": _concat,
    "_counted": _counted,
    "_key": _key,
    "_paragraphs": _charged(paragraphs, _PARAGRAPHS),
    "_weighed": _weighed,
}
