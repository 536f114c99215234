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

    def spend_step(self) -> None:
        self.steps_left -= 1
        if self.steps_left < 0:
            raise TemplateFault(f"the loops of a field may go {MOST_STEPS} rounds in all")


@pass_context
def _counted(run: Run, values: Any) -> Iterator[Any]:
    for value in _listed(values):
        run.spend_step()
        yield value


def bounded_range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > LONGEST_RANGE:
        raise TemplateFault(f"a range may have {LONGEST_RANGE} numbers")
    return numbers


def limited(text: str) -> str:
    refuse_length(len(text))
    return text


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
    plain = str(text)
    refuse_length(len(plain) + plain.count(old) * len(new))
    return plain.replace(old, new)


def _truncate(text: Any, length: int = 80) -> str:
    plain = str(text)
    return plain if len(plain) <= length else plain[: max(length - 1, 0)].rstrip() + "…"


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
    blocks = [block.strip() for block in _EMPTY_LINE.split(str(text))]
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


FILTERS: dict[str, Callable[..., Any]] = {
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
    "urlencode": lambda text: quote(str(text), safe=""),
    "items": _items,
    "paragraphs": paragraphs,
    "list": lambda values: list(_listed(values)),
    "default": stock.do_default,
    "d": stock.do_default,
    "escape": escape,
    "e": escape,
    "string": str,
    "upper": lambda text: str(text).upper(),
    "lower": lambda text: str(text).lower(),
    "capitalize": lambda text: str(text).capitalize(),
    "title": lambda text: stock.do_title(str(text)),
    "trim": lambda text: str(text).strip(),
    "length": len,
    "count": len,
    "first": lambda values: next(iter(_listed(values)), ""),
    "last": lambda values: next(reversed(_listed(values)), ""),
    "abs": abs,
    "int": stock.do_int,
    "float": stock.do_float,
    "round": _round,
    "_counted": _counted,
    "_limited": limited,
}
