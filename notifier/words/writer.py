"""Runs the sources of one message, field by field: the same variables and one budget for all of them.

Called by `words.render` alone, which says what becomes of the texts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from notifier.core.shape_fields import ON, ShapeField
from notifier.core.shortening import cut
from notifier.words.clean import many_lines, one_line, text_of_html, web_address
from notifier.words.formats import Reader
from notifier.words.language import Budget, Compile, Compiled, TemplateFault, TooMuchWork
from notifier.words.mail_html import Inner, inlined

_CHARACTERS_CLEANED = 10
_WORK_OF_A_TAG = 2


class FieldFault(Exception):
    """Why a field cannot be written. `line`: of the field. `is_too_much`: it took too much work."""

    def __init__(self, message: str, field: str, line: int | None = None, *, is_too_much: bool = False) -> None:
        self.message = message
        self.field = field
        self.line = line
        self.is_too_much = is_too_much


def in_field(field: str, fault: TemplateFault | ValueError, lines_before: int = 0) -> FieldFault:
    """Says in which field a fault is, and in which of its lines. ValueError: of a mail's HTML."""
    if not isinstance(fault, TemplateFault):
        return FieldFault(str(fault)[:300], field)
    line = None if fault.line is None else fault.line + lines_before
    return FieldFault(fault.message, field, line, is_too_much=isinstance(fault, TooMuchWork))


@dataclass(slots=True)
class Writer:
    """All of it raises FieldFault."""

    variables: dict[str, Any]
    reader: Reader
    compile: Compile
    budget: Budget

    def write(self, field: str, source: str | None, *, lines_before: int = 0) -> str:
        if not source:
            return ""
        try:
            return self._run(self.compile(source))
        except TemplateFault as fault:
            raise in_field(field, fault, lines_before) from fault

    def write_html(self, source: str | None, *, is_rtl: bool) -> Inner | None:
        """The inner part of a mail. What is not inlined with its template is inlined here."""
        if not source:
            return None
        try:
            compiled = self.compile(source, is_html=True, is_rtl=is_rtl)
            written = many_lines(self._run(compiled))
            if not written:
                return None
            if compiled.css is not None:
                return Inner(written, compiled.css)
            return inlined(written, self.budget, is_rtl=is_rtl)
        except (TemplateFault, ValueError) as fault:
            raise in_field("html", fault) from fault

    def write_declared(self, fields: Iterable[ShapeField], given: Mapping[str, str], locale: str) -> dict[str, Any]:
        """What a shape declares and the words give, as `Content.extra` has it."""
        found = {field.name: self._value(field, given[field.name], locale) for field in fields if field.name in given}
        return {name: value for name, value in found.items() if value}

    def _value(self, field: ShapeField, text: str, locale: str) -> Any:
        """Of pairs, those of which a half comes out empty are left out; the lines of a list stay where they are."""
        if field.kind == "switch":
            return text == ON
        rows = [
            tuple(self.write(field.name, source, lines_before=before) for source in row)
            for before, row in enumerate(field.sources(text))
        ]
        value: Any
        if field.kind == "text":
            value = cut(many_lines(rows[0][0]), field.longest) if rows else ""
        elif field.kind == "line":
            value = cut(one_line(rows[0][0]), field.longest) if rows else ""
        elif field.kind == "list":
            value = tuple(cut(one_line(row[0]), field.longest) for row in rows)
        else:
            pairs = (_pair(field, *row) for row in rows if len(row) == 2)
            value = tuple(pair for pair in pairs if all(pair))[: field.most]
        return field.finish(value, locale) if field.finish else value

    def _run(self, compiled: Compiled) -> str:
        written = compiled.run(self.variables, self.reader, self.budget)
        self.budget.spend(len(written) // _CHARACTERS_CLEANED)
        return written


def _pair(field: ShapeField, label: str, value: str) -> tuple[str, str]:
    text = web_address(value) or "" if field.kind == "links" else cut(one_line(value), field.longest)
    return cut(one_line(label), field.longest_label), text


def text_of(html: str, budget: Budget) -> str:
    """The text part that a mail's HTML makes. Raises TooMuchWork."""
    budget.spend(len(html) // _CHARACTERS_CLEANED + _WORK_OF_A_TAG * html.count("<"))
    return text_of_html(html)
