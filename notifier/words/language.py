"""Templates compiled and run: each kept per source text, paid for out of a message's budget.

`words.grammar` says what a template may contain. Used by `words.render` to run templates and by
`catalogue.template_check` to show a fault at its line.
"""

import marshal
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import CodeType
from typing import Any

from jinja2 import Template, TemplateSyntaxError, meta, nodes

from notifier.core.errors import Rejected
from notifier.ground import process_pool
from notifier.words import mail_source
from notifier.words.filters import Budget, Run, TemplateFault, TooMuchWork, refuse_length
from notifier.words.formats import Reader
from notifier.words.grammar import CHARACTERS_A_PART, OPENINGS, Limits, count_parts, environment_for
from notifier.words.mail_html import work_of

__all__ = ["GLOBALS", "Budget", "Compiled", "TemplateFault", "TooMuchWork", "check_source", "compiled"]

LONGEST_SOURCE = 100_000
_WORK_OF_A_PART = 100  # units, to compile it
_SHORT, _FEW = 600, 20  # characters and tags of a source that is compiled where it is needed: a few milliseconds

_TEXT, _HTML = environment_for(is_html=False), environment_for(is_html=True)


class Compiled:
    """A source ready to run, any number of times, from any thread. `parts`: how much of it there is, of which
    MOST_PARTS are allowed. `css`: of HTML that is inlined already, its media queries; None for all else.
    """

    __slots__ = ("_constant", "_template", "css", "parts")

    def __init__(self, source: str, *, is_html: bool = False, is_rtl: bool = False, code: "Code | None" = None) -> None:
        """`code`: as `code_of` made it of the same source. Raises TemplateFault."""
        self._constant: str | None = None
        self._template: Template | None = None
        self.css: str | None = None
        if "{" not in source and not is_html:
            self._constant = source.removesuffix("\n")
        if len(source) > LONGEST_SOURCE:
            raise TemplateFault(f"a template can have at most {LONGEST_SOURCE} characters")
        self.parts = len(source) // CHARACTERS_A_PART
        if self._constant is None:
            made, self.parts, self.css = code or code_of(source, is_html=is_html, is_rtl=is_rtl)
            environment = _HTML if is_html else _TEXT
            self._template = Template.from_code(environment, made, environment.make_globals(None))

    def run(self, variables: dict[str, Any], reader: Reader, budget: Budget) -> str:
        """The text for these variables, paid for out of the budget. Raises TemplateFault, whatever went wrong."""
        template = self._template
        if template is None:
            return self._constant or ""
        run = Run(template.environment, variables, template.name, template.blocks)
        run.reader, run.budget = reader, budget
        pieces, length = [], 0
        try:
            budget.spend(self.parts)
            # Not Template.render(), which merges the globals again for every field and rewrites tracebacks.
            for piece in template.root_render_func(run):
                length += len(piece)
                refuse_length(length)
                pieces.append(piece)
        except Exception as error:  # a template is the writer's program: whatever it raises is their fault to see
            message = error.message if isinstance(error, TemplateFault) else str(error)
            kind = TooMuchWork if isinstance(error, TooMuchWork) else TemplateFault
            raise kind(message[:300] or type(error).__name__, _line_of(template, error)) from error
        return "".join(pieces)


Code = tuple[CodeType, int, str | None]  # what runs, of how many parts it is made, and the CSS of `Compiled`


def code_of(source: str, *, is_html: bool, is_rtl: bool) -> Code:
    """`is_rtl`: the HTML is laid out from right to left. Raises TemplateFault."""
    environment = _HTML if is_html else _TEXT
    try:
        tree = environment.parse(source)
        parts = count_parts(source, tree)
        css = _inline(tree, is_rtl=is_rtl) if is_html else None
        return environment.compile(Limits().visit(tree)), parts, css
    except TemplateSyntaxError as error:
        raise TemplateFault(error.message or "the template cannot be read", error.lineno) from error
    except (RecursionError, SyntaxError, MemoryError, ValueError, OverflowError) as error:
        raise TemplateFault("the template cannot be compiled: too deeply nested, or a number too long") from error


def _inline(tree: nodes.Template, *, is_rtl: bool) -> str | None:
    try:
        return mail_source.inline(tree, is_rtl=is_rtl)
    except ValueError as error:
        raise TemplateFault(str(error)) from error


GLOBALS: Mapping[str, Any] = _TEXT.globals
Compile = Callable[..., Compiled]  # (source, is_html=…, is_rtl=…) → ready to run


@lru_cache(maxsize=8192)
def compiled(source: str, *, is_html: bool = False, is_rtl: bool = False) -> Compiled:
    """Raises TemplateFault. Kept per source text, so a version is compiled once in a process; a long source is compiled
    in another process, away from the hub.
    """
    if len(source) <= _SHORT and sum(map(source.count, OPENINGS)) <= _FEW:
        return Compiled(source, is_html=is_html, is_rtl=is_rtl)
    try:
        code, *about = process_pool.run(process_pool.MESSAGES, _portable, source, is_html, is_rtl)
    except Rejected:  # no child process is free
        return Compiled(source, is_html=is_html, is_rtl=is_rtl)
    return Compiled(source, is_html=is_html, is_rtl=is_rtl, code=(marshal.loads(code), *about))


class Trial:
    """Compiles what is only tried (previewed, or about to be published), each source once and out of one budget for all
    of it. Nothing is kept beyond it.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._made: dict[tuple[str, bool, bool], Compiled] = {}

    def __call__(self, source: str, *, is_html: bool = False, is_rtl: bool = False) -> Compiled:
        """Raises TemplateFault, and TooMuchWork once the budget is spent."""
        key = source, is_html, is_rtl
        if key not in self._made:
            made = self._made[key] = Compiled(source, is_html=is_html, is_rtl=is_rtl)
            self.budget.spend(_WORK_OF_A_PART * made.parts + (work_of(source) if is_html else 0))
        return self._made[key]


def _portable(source: str, is_html: bool, is_rtl: bool) -> tuple[bytes, int, str | None]:
    code, parts, css = code_of(source, is_html=is_html, is_rtl=is_rtl)
    return marshal.dumps(code), parts, css


def undeclared(source: str) -> set[str]:
    """The names that a source takes from the data. Raises what compiling it raises."""
    return (
        meta.find_undeclared_variables(_TEXT.parse(source)) - GLOBALS.keys() - {"data", "user", "greeting"}
        if "{" in source
        else set()
    )


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
