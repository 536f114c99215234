"""The filters of the template language, each with a limit on what it can make. Only `template_language` uses them.

Beside them stands what they share with it: the run they work in, and the fault they raise.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from jinja2 import filters as stock
from jinja2 import pass_context
from jinja2.runtime import Context, Undefined
from markupsafe import Markup, escape

from notifier.pipeline import formats

LONGEST_TEXT = 400_000  # of one field, in characters; also of any value made on the way there
MOST_STEPS = 5_000  # loop rounds in one field, those of inner loops counted
MOST_WORK = 2_000_000  # in one field: a character or an item that is gone through is one, and so is a part of the source that a loop repeats
LONGEST_RANGE = 1_000

_EMPTY_LINE = re.compile(r"\n[ \t]*\n")


class TemplateFault(Exception):
    """A source that cannot be used, or a run of it that failed. `line` counts from 1; None when unknown."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class Run(Context):
    """One field of one message being rendered: Jinja's context, with the reader and what is left of the limits."""

    reader: formats.Reader
    steps_left: int
    work_left: int

    def spend_step(self) -> None:
        self.steps_left -= 1
        if self.steps_left < 0:
            raise TemplateFault(f"the loops of a field may go {MOST_STEPS} rounds in all")

    def spend(self, work: int) -> None:
        self.work_left -= work
        if self.work_left < 0:
            raise TemplateFault("the field goes through too much text, or too many values")


@pass_context
def _counted(run: Run, values: Any, cost: int) -> Iterator[Any]:
    """What a loop goes over. `cost`: how much of the source a round repeats."""
    listed = _listed(values)
    run.spend(len(listed))
    for value in listed:
        run.spend_step()
        run.spend(cost)
        yield value


@pass_context
def _weighed(run: Run, value: Any) -> Any:
    """What is compared or cut is gone through to its depth; lists of lists can be far larger than they look."""
    waiting = [value]
    while waiting:
        node = waiting.pop()
        run.spend(4 + _size(node))
        if isinstance(node, (list, tuple, Mapping)):
            waiting += node.values() if isinstance(node, Mapping) else node
    return value


def _size(value: Any) -> int:
    return len(value) if isinstance(value, (str, list, tuple, Mapping)) else 0


@pass_context
def _concat(run: Run, parts: Sequence[Any]) -> str:
    """What `~` makes."""
    texts = [text if isinstance(text, Markup) else str(text) for text in map(finalize, parts)]
    length = sum(map(len, texts))
    run.spend(length)
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
        raise TemplateFault(f"a range may have {LONGEST_RANGE} numbers")
    return numbers


def _join(values: Any, separator: str = "", attribute: str | None = None) -> str:
    """Joins what is there and can be shown; mappings in a list count as their `attribute`."""
    picked = [value.get(attribute) if attribute is not None and isinstance(value, Mapping) else value for value in _listed(values)]
    texts = [text for value in picked if not isinstance(value, Undefined) and (text := finalize(value)) != ""]
    refuse_length(sum(len(str(text)) for text in texts) + len(separator) * len(texts))
    if any(isinstance(text, Markup) for text in texts):
        return escape(separator).join(texts)
    return str(separator).join(str(text) for text in texts)


def refuse_length(length: int) -> None:
    if length > LONGEST_TEXT:
        raise TemplateFault(f"the text is longer than {LONGEST_TEXT} characters")


def _replace(text: Any, old: str, new: str) -> str:
    plain = _text(text)
    refuse_length(len(plain) + plain.count(old) * len(new))
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
        raise TemplateFault("a list is needed here")
    return list(values)


def _items(mapping: Any) -> list[tuple[Any, Any]]:
    if not isinstance(mapping, Mapping):
        raise TemplateFault("a mapping is needed here")
    return list(mapping.items())


def _round(value: float, digits: int = 0) -> float:
    return round(value, min(max(digits, 0), 10))


def paragraphs(text: Any) -> Markup:
    """Plain text as HTML: an empty line ends a paragraph, a single one breaks the line."""
    blocks = [block.strip() for block in _EMPTY_LINE.split(_text(text))]
    return Markup("").join(Markup("<p>{}</p>").format(Markup("<br>").join(block.split("\n"))) for block in blocks if block)


def finalize(value: Any) -> Any:
    """What a value looks like when it is printed: null, lists and mappings leave no Python behind."""
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


def _charged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter goes through what it is given, and makes what can be printed."""
    takes_run = getattr(function, "jinja_pass_arg", None) is not None

    def run_filter(run: Run, value: Any, *args: Any, **options: Any) -> Any:
        run.spend(1 + _size(value) + sum(map(_size, args)))
        made = function(run, value, *args, **options) if takes_run else function(value, *args, **options)
        if isinstance(made, str):
            run.spend(len(made))
            refuse_length(len(made))
        return made

    return pass_context(run_filter)


_OFFERED: dict[str, Callable[..., Any]] = {
    "money": _by_reader(formats.money),
    "number": _by_reader(formats.number),
    "date": _by_reader(formats.show_date),
    "datetime": _by_reader(formats.show_datetime),
    "time": _by_reader(formats.show_time),
    "phrase": _by_reader(formats.phrase),
    "plural": _plural,
    "join": _join,
    "replace": _replace,
    "truncate": _truncate,
    "urlencode": lambda text: quote(_text(text), safe=""),
    "items": _items,
    "paragraphs": paragraphs,
    "list": lambda values: list(_listed(values)),
    "default": stock.do_default,
    "d": stock.do_default,
    "escape": lambda text: escape(finalize(text)),
    "e": lambda text: escape(finalize(text)),
    "string": _text,
    "upper": lambda text: _text(text).upper(),
    "lower": lambda text: _text(text).lower(),
    "capitalize": lambda text: _text(text).capitalize(),
    "title": lambda text: stock.do_title(_text(text)),
    "trim": lambda text: _text(text).strip(),
    "length": len,
    "count": len,
    "first": lambda values: next(iter(_listed(values)), ""),
    "last": lambda values: next(reversed(_listed(values)), ""),
    "abs": abs,
    "int": stock.do_int,
    "float": stock.do_float,
    "round": _round,
}
# The latter are put in by the compiler, and no source can name them.
FILTERS = {name: _charged(function) for name, function in _OFFERED.items()} | {"_concat": _concat, "_counted": _counted, "_key": _key, "_weighed": _weighed}
