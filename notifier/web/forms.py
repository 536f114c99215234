"""Shared by all forms: texts that can be stored, JSON in a text field, and errors shown beside their fields.

A form is checked twice: here for its syntax, and by the module it calls for its meaning.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Self

from flask import request
from flask_wtf import FlaskForm
from flask_wtf.csrf import CSRFError, validate_csrf
from wtforms import (
    Field,
    FieldList,
    Form,
    FormField,
    SelectMultipleField,
    TextAreaField,
    ValidationError,
    i18n,
    widgets,
)

from notifier.core.errors import Rejected
from notifier.web.language import language

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_DEEPEST = 32


def said(message: str, line: int | None = None) -> str:
    """A refusal as a sentence."""
    words = message if message.endswith((".", "!", "?")) else f"{message}."
    return f"Line {line}: {words}" if line else words[0].upper() + words[1:]


def stripped(text: str | None) -> str:
    """A filter for fields of text: without the spaces around it, and "" for none at all."""
    return (text or "").strip()


def is_storable(text: str) -> bool:
    return not _UNSTORABLE.search(text)


def check_token() -> None:
    """Checks the CSRF token of a page whose address is a secret (`csrf.exempt`): with https, the general check wants a
    Referer, which such a page never sends.
    """
    try:
        validate_csrf(request.form.get("csrf_token"))
    except ValidationError as error:
        raise CSRFError(str(error)) from None


class PersonForm(FlaskForm):
    """A form of people's pages: what the library says is in their language, as their labels are in the template."""

    class Meta:
        def get_translations(self, _form: Form) -> Any:
            return i18n.get_translations([language().name])


class _Invalid(Rejected):
    """What `ConsoleForm.check` has found wrong."""


class ConsoleForm(FlaskForm):
    """`faults` are about the form as a whole; those of a field stand beside it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.faults: list[str] = []

    def validate(self, extra_validators: Any = None) -> bool:
        is_valid = bool(super().validate(extra_validators))
        bad = [
            field
            for field in _leaves(self)
            if any(isinstance(text, str) and not is_storable(text) for text in _texts(field.data))
        ]
        for field in bad:
            field.errors = [*field.errors, "This text contains a character that cannot be stored."]
        for field in self:
            if isinstance(field, FieldList) and any(line.errors for line in field) and not field.errors:
                field.errors = [line.errors for line in field]  # by which a page knows that there are some
        return is_valid and not bad

    def check(self) -> None:
        """Raises Rejected when what was typed is not in order, so that a view has one way out for both refusals: its
        own and that of the module it calls (`refuse`).
        """
        if not self.validate():
            raise _Invalid("validation_failed", "the form is not in order")

    def refuse(self, error: Rejected, places: Mapping[str, str] | None = None) -> Self:
        """Puts each fault beside the field its pointer names (`/channels/0` → channels); `places`: pointer → field,
        where the names differ. → the form, to be shown again.
        """
        if isinstance(error, _Invalid):
            return self  # its faults stand there already
        for fault in error.faults:
            first = fault.pointer.strip("/").split("/")[0]
            name = (places or {}).get(fault.pointer) or (places or {}).get(f"/{first}") or first
            rest = fault.pointer.removeprefix(f"/{first}")
            sentence = said(f"At {rest}: {fault.message}" if rest and name == "schema" else fault.message, fault.line)
            if name in self._fields:
                self._fields[name].errors = [*self._fields[name].errors, sentence]
            else:
                self.faults.append(sentence)
        if not error.faults:
            self.faults.append(said(error.detail))
        return self


def _leaves(form: Form | FieldList | FormField) -> list[Field]:
    found: list[Field] = []
    for field in form:
        found += _leaves(field) if isinstance(field, FieldList | FormField) else [field]
    return found


def _texts(data: Any) -> list[Any]:
    if isinstance(data, Mapping):
        return list(data.values())
    return data if isinstance(data, list) else [data]


class CheckboxesField(SelectMultipleField):
    """Several of a list, each with a box."""

    widget = widgets.ListWidget(prefix_label=False)
    option_widget = widgets.CheckboxInput()


class JsonField(TextAreaField):
    """A JSON object in a text field. `data` is the object, or None if the text is no JSON object; the field keeps the
    text as it was typed.
    """

    def process_formdata(self, valuelist: list[str]) -> None:
        self.data = None
        if valuelist:
            try:
                self.data = read_object(valuelist[0])
            except ValueError as error:
                raise ValidationError(str(error)) from None

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return json.dumps(self.data, indent=2, ensure_ascii=False) if self.data is not None else ""


def read_object(text: str) -> dict[str, Any]:
    """Raises ValueError with a sentence that says in which line the text is no JSON object."""
    try:
        value = read_json(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"Line {error.lineno}, column {error.colno}: this is not valid JSON ({error.msg.lower()})."
        ) from None
    if not isinstance(value, dict):
        raise ValueError("This must be an object: { … }.")
    return value


def read_json(text: str) -> Any:
    """Raises JSONDecodeError for what is none, and else ValueError with a sentence."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("This is nested too deeply.") from None
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > _DEEPEST:
            raise ValueError("This is nested too deeply.")
        if isinstance(node, dict):
            waiting += [(item, depth + 1) for pair in node.items() for item in pair]
        elif isinstance(node, list):
            waiting += [(item, depth + 1) for item in node]
        elif isinstance(node, str) and not is_storable(node):
            raise ValueError("It contains a character that cannot be stored.")
        elif isinstance(node, float) and node in (float("inf"), float("-inf")):
            raise ValueError("It contains a number that is too large.")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not valid JSON.")
