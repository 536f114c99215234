"""What a message template may contain: Jinja2 cut down, so that no template can hang or leak.

Allowed are printing, `if`, `for`, `set`, `with` and the filters of `words.filters`. There are no attributes except the
keys of mappings, and no macros, includes or raw HTML; numbers and texts have limits, and every operation is charged to
the message's budget. Used by `words.language`, which compiles and runs templates.
"""

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.lexer import Token, TokenStream
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from notifier.words.filters import FILTERS, LARGEST_NUMBER, Run, TemplateFault, bounded_range, finalize, refuse_length

# Of a source, as Jinja sees them: compiling takes 50 to 100 µs for each, and more the deeper it stands
# in an expression.
MOST_PARTS = 500
MOST_TOKENS = 10 * MOST_PARTS
DEEPEST = 20  # brackets, operators and filters within one another
OPENINGS = ("{{", "{%", "{#")
CHARACTERS_A_PART = 250  # of texts printed unchanged
_DEPTH_A_PART = 10

_ALLOWED_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Tuple, nodes.List, nodes.Dict,
    nodes.Pair, nodes.Keyword,
    nodes.If, nodes.For, nodes.Assign, nodes.With, nodes.Scope, nodes.CondExpr, nodes.Filter, nodes.Test, nodes.Call,
    nodes.Getattr, nodes.Getitem,
    nodes.Slice, nodes.Concat, nodes.Compare, nodes.Operand, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv,
    nodes.Mod, nodes.Neg,
    nodes.Pos, nodes.Not, nodes.And, nodes.Or,
)  # fmt: skip
_SAID_AS = {
    "Pow": "**", "Macro": "macro", "CallBlock": "call", "FilterBlock": "filter", "AssignBlock": "set as a block",
    "Include": "include", "Import": "import",
    "FromImport": "import", "Extends": "extends", "Block": "block", "ScopedEvalContextModifier": "autoescape",
    "NSRef": "namespace",
}  # fmt: skip
_ARITHMETIC = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}
_COMPARING_TESTS = frozenset({"divisibleby", "in", "eq", "ne", "lt", "le", "gt", "ge"})


class _Missing(StrictUndefined):
    """Data that was not given: may be asked for (`if eta`, `eta or ""`), even two levels down, but never printed."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override]
        return False


class Environment(ImmutableSandboxedEnvironment):
    context_class = Run
    intercepted_binops = frozenset(_ARITHMETIC)

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        if sum(map(source.count, OPENINGS)) > MOST_PARTS:
            raise _too_many_parts(1)
        return TokenStream(_not_too_many(super()._tokenize(source, name, filename, state)), name, filename)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, LoopContext) and not attribute.startswith("_"):
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            return obj
        if isinstance(obj, (Mapping, str, list, tuple)) and isinstance(argument, (str, int, slice)):
            try:
                return obj[cast("Any", argument)]
            except (TypeError, LookupError):
                pass
        return self.undefined(obj=obj, name=argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            cast("Run", context).budget.spend((len(left) + len(right)) // 100)
            refuse_length(len(left) + len(right))
            return left + right
        for side in (left, right):
            if isinstance(side, Undefined):
                side._fail_with_undefined_error()
            if not isinstance(side, (int, float)) or abs(side) > LARGEST_NUMBER:
                raise TemplateFault(f"{operator} is for numbers of reasonable size")
        return _ARITHMETIC[operator](left, right)


def _too_many_parts(line: int) -> TemplateSyntaxError:
    return TemplateSyntaxError(f"a text can have at most {MOST_PARTS} parts: split it, or leave something out", line)


def _not_too_many(tokens: Iterable[Token]) -> Iterator[Token]:
    for number, token in enumerate(tokens):
        if number > MOST_TOKENS:
            raise _too_many_parts(token.lineno)
        yield token


def count_parts(source: str, tree: nodes.Template) -> int:
    """The number of a source's parts, weighted by the work of compiling them. Refuses unavailable constructs, too many
    parts, and too deep nesting.
    """
    number = len(source) // CHARACTERS_A_PART
    waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        _vet(node)
        number += 1 + depth // _DEPTH_A_PART
        if number > MOST_PARTS:
            raise _too_many_parts(node.lineno)
        if depth > DEEPEST:
            raise TemplateSyntaxError(f"brackets, operators and filters nest at most {DEEPEST} deep", node.lineno)
        waiting += [(child, depth + 1) for child in node.iter_child_nodes()]
    return number


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
    if isinstance(node, nodes.Filter) and node.name.startswith("_"):
        refuse(f"the filter {node.name!r}")


def _is_callable(node: nodes.Expr) -> bool:
    """`range(…)` and `loop.cycle(…)`; there is nothing else worth calling."""
    if isinstance(node, nodes.Getattr):
        return isinstance(node.node, nodes.Name) and (node.node.name, node.attr) == ("loop", "cycle")
    return isinstance(node, nodes.Name) and node.name == "range"


class Limits(NodeTransformer):
    """Adds a charge to every operation whose values may be of any size: loops, `~`, comparisons, slices, the keys of
    mappings.
    """

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja's visitor names them so
        self.generic_visit(node)
        repeated = [*node.body, *([node.test] if node.test else [])]
        cost = sum(1 + sum(1 for _ in part.find_all(nodes.Node)) for part in repeated)
        node.iter = _filter(cast("nodes.Expr", node.iter), "_counted", nodes.Const(cost))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filter(nodes.List(node.nodes, lineno=node.lineno), "_concat")

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.expr = _weighed(node.expr)
        for operand in node.ops:
            operand.expr = _weighed(operand.expr)
        return node

    def visit_Test(self, node: nodes.Test) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if node.name in _COMPARING_TESTS:
            node.node = _weighed(node.node)
            node.args = [_weighed(arg) for arg in node.args]
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _weighed(node.node)
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if not isinstance(node.key, nodes.Const):
            node.key = _filter(node.key, "_key")
        return node


def _weighed(node: nodes.Expr) -> nodes.Expr:
    return node if isinstance(node, nodes.Const) else _filter(node, "_weighed")


def _filter(node: nodes.Expr, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def environment_for(*, is_html: bool) -> Environment:
    environment = Environment(
        autoescape=is_html,
        undefined=_Missing,
        finalize=finalize,
        keep_trailing_newline=False,
        trim_blocks=True,
        lstrip_blocks=True,
        cache_size=0,
    )
    environment.filters = dict(FILTERS)
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
    environment.globals = {"range": bounded_range}
    return environment
