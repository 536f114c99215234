"""What a template may say: Jinja2 cut down to what a message needs, so that no template can hang or leak.

Allowed are printing, `if`, `for`, `set`, `with` and the filters below. There are no attributes but the
keys of mappings, no macros, includes or raw HTML; loops, numbers and texts have limits. Used by `render`
to run templates and by the editor (`check_source`) to show a fault at its line.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast
from urllib.parse import quote

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes, pass_context
from jinja2 import filters as stock
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from markupsafe import Markup, escape

from notifier.pipeline import formats

LONGEST_SOURCE = 100_000
LONGEST_TEXT = 200_000  # of one field, in characters; also of any value made on the way there
MOST_STEPS = 5_000  # loop rounds in one field, those of inner loops counted
LONGEST_RANGE = 1_000

_ALLOWED_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair, nodes.Keyword,
    nodes.If, nodes.For, nodes.Assign, nodes.With, nodes.Scope, nodes.CondExpr, nodes.Filter, nodes.Test, nodes.Call, nodes.Getattr, nodes.Getitem,
    nodes.Slice, nodes.Concat, nodes.Compare, nodes.Operand, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Neg,
    nodes.Pos, nodes.Not, nodes.And, nodes.Or,
)  # fmt: skip
_SAID_AS = {
    "Pow": "**", "Macro": "macro", "CallBlock": "call", "FilterBlock": "filter", "AssignBlock": "set as a block", "Include": "include", "Import": "import",
    "FromImport": "import", "Extends": "extends", "Block": "block", "ScopedEvalContextModifier": "autoescape", "NSRef": "namespace",
}  # fmt: skip
_ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv, "%": operator.mod}
_LARGEST_NUMBER = 10**30
_EMPTY_LINE = re.compile(r"\n[ \t]*\n")


class TemplateFault(Exception):
    """A source that cannot be used, or a run of it that failed. `line` counts from 1; None when unknown."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class _Missing(StrictUndefined):
    """Data that was not given: may be asked for (`if eta`, `eta or ""`), even two levels down, but never printed."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override]
        return False


class Run(Context):
    """One field of one message being rendered: Jinja's context, with the reader and what is left of the limits."""

    reader: formats.Reader
    steps_left: int

    def spend_step(self) -> None:
        self.steps_left -= 1
        if self.steps_left < 0:
            raise TemplateFault(f"the loops of a field may go {MOST_STEPS} rounds in all")


class _Environment(ImmutableSandboxedEnvironment):
    context_class = Run
    intercepted_binops = frozenset(_ARITHMETIC)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for node in tree.find_all(nodes.Node):
            _vet(node)
        return cast("nodes.Template", _Limits().visit(tree))

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, LoopContext) and not attribute.startswith("_"):
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            return obj
        if isinstance(obj, (Mapping, str, list, tuple)):
            try:
                return obj[argument]
            except (TypeError, LookupError):
                pass
        return self.undefined(obj=obj, name=argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            return _limited(left + right)
        for side in (left, right):
            if isinstance(side, Undefined):
                side._fail_with_undefined_error()
            if not isinstance(side, (int, float)) or abs(side) > _LARGEST_NUMBER:
                raise TemplateFault(f"{operator} is for numbers of reasonable size")
        return _ARITHMETIC[operator](left, right)


def _vet(node: nodes.Node) -> None:
    def refuse(what: str) -> None:
        raise TemplateSyntaxError(f"{what} is not available in message templates", node.lineno)

    if not isinstance(node, _ALLOWED_NODES):
        refuse(_SAID_AS.get(type(node).__name__, type(node).__name__.lower()))
    if isinstance(node, nodes.For) and node.recursive:
        refuse("a recursive loop")
    if isinstance(node, nodes.Call) and not _is_callable(node.node):
        refuse("calling anything but range()")
    if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
        refuse(f"the attribute {node.attr!r}")
    if isinstance(node, nodes.Name) and node.name == "self":
        refuse("self")


def _is_callable(node: nodes.Expr) -> bool:
    """`range(…)` and `loop.cycle(…)`; there is nothing else worth calling."""
    if isinstance(node, nodes.Getattr):
        return isinstance(node.node, nodes.Name) and (node.node.name, node.attr) == ("loop", "cycle")
    return isinstance(node, nodes.Name) and node.name == "range"


class _Limits(NodeTransformer):
    """Puts a counter around what every loop goes over, and a limit around what `~` makes."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja's visitor names them so
        self.generic_visit(node)
        node.iter = _filter(node.iter, "_counted")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filter(cast("nodes.Expr", node), "_limited")


def _filter(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


@pass_context
def _counted(run: Run, values: Any) -> Iterator[Any]:
    for value in _listed(values):
        run.spend_step()
        yield value


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > LONGEST_RANGE:
        raise TemplateFault(f"a range may have {LONGEST_RANGE} numbers")
    return numbers


def _limited(text: str) -> str:
    _refuse_length(len(text))
    return text


def _join(values: Any, separator: str = "", attribute: str | None = None) -> str:
    """Joins what is there and can be shown; mappings in a list count as their `attribute`."""
    picked = [value.get(attribute) if attribute is not None and isinstance(value, Mapping) else value for value in _listed(values)]
    texts = [text for value in picked if not isinstance(value, Undefined) and (text := finalize(value)) != ""]
    _refuse_length(sum(len(str(text)) for text in texts) + len(separator) * len(texts))
    if any(isinstance(text, Markup) for text in texts):
        return escape(separator).join(texts)
    return str(separator).join(str(text) for text in texts)


def _refuse_length(length: int) -> None:
    if length > LONGEST_TEXT:
        raise TemplateFault(f"the text is longer than {LONGEST_TEXT} characters")


def _replace(text: Any, old: str, new: str) -> str:
    plain = str(text)
    _refuse_length(len(plain) + plain.count(old) * len(new))
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


def _paragraphs(text: Any) -> Markup:
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


_FILTERS: dict[str, Callable[..., Any]] = {
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
    "paragraphs": _paragraphs,
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
    "_limited": _limited,
}


def _environment(*, is_html: bool) -> _Environment:
    environment = _Environment(
        autoescape=is_html, undefined=_Missing, finalize=finalize, keep_trailing_newline=False, trim_blocks=True, lstrip_blocks=True, cache_size=0
    )
    environment.filters = dict(_FILTERS)
    kept_tests = (
        "defined",
        "undefined",
        "none",
        "number",
        "string",
        "mapping",
        "sequence",
        "boolean",
        "odd",
        "even",
        "divisibleby",
        "in",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
    )
    environment.tests = {name: environment.tests[name] for name in kept_tests}
    environment.globals = {"range": _range}
    return environment


_TEXT, _HTML = _environment(is_html=False), _environment(is_html=True)


class Compiled:
    """A source ready to run, any number of times, from any thread."""

    __slots__ = ("_constant", "_template")

    def __init__(self, source: str, *, is_html: bool) -> None:
        """Raises TemplateFault."""
        self._constant: str | None = None
        self._template: Template | None = None
        if len(source) > LONGEST_SOURCE:
            raise TemplateFault(f"a template may have {LONGEST_SOURCE} characters")
        if "{" not in source:
            self._constant = source.removesuffix("\n")
            return
        try:
            self._template = (_HTML if is_html else _TEXT).from_string(source)
        except TemplateSyntaxError as error:
            raise TemplateFault(error.message or "the template cannot be read", error.lineno) from error
        except (RecursionError, SyntaxError, MemoryError, ValueError, OverflowError) as error:
            raise TemplateFault("the template cannot be compiled: too deeply nested, or a number too long") from error

    def run(self, variables: dict[str, Any], reader: formats.Reader) -> str:
        """The text for these variables. Raises TemplateFault, whatever went wrong."""
        template = self._template
        if template is None:
            return self._constant or ""
        run = Run(template.environment, variables, template.name, template.blocks)
        run.reader, run.steps_left = reader, MOST_STEPS
        pieces, length = [], 0
        try:
            # Not Template.render(): that merges the globals anew for every field and rewrites tracebacks.
            for piece in template.root_render_func(run):
                length += len(piece)
                _refuse_length(length)
                pieces.append(piece)
        except Exception as error:  # a template is the writer's program: whatever it raises is their fault to see
            message = error.message if isinstance(error, TemplateFault) else str(error)
            raise TemplateFault(message[:300] or type(error).__name__, _line_of(template, error)) from error
        return "".join(pieces)


GLOBALS: Mapping[str, Any] = _TEXT.globals


@lru_cache(maxsize=8192)
def compiled(source: str, *, is_html: bool = False) -> Compiled:
    """Raises TemplateFault. Kept per source text, so a version is compiled once in a process."""
    return Compiled(source, is_html=is_html)


def check_source(text: str, *, is_html: bool = False) -> TemplateFault | None:
    """What is wrong with a source, before anything is rendered with it."""
    try:
        Compiled(text, is_html=is_html)
    except TemplateFault as fault:
        return fault
    return None


def _line_of(template: Template, error: Exception) -> int | None:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals is template.root_render_func.__globals__:
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line
