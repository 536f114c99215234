"""The fields for the data of a notification, made of the JSON Schema of its event type. Part of a broadcast's form."""

import json
import re
from collections.abc import Mapping
from typing import Any

from werkzeug.datastructures import MultiDict
from wtforms import Field, SelectField, StringField, TextAreaField
from wtforms.form import BaseForm
from wtforms.validators import Length

from notifier.core.errors import Fault
from notifier.queries.titles import spelled
from notifier.web.forms import is_storable, read_json, read_object, said

_LONG = 500  # characters, from which on a text gets several lines
_PLAIN = re.compile(r"[\w.-]{1,64}", re.ASCII)


class _Value(StringField):
    """What is typed for one property. Empty: it is left out. `rule`: its part of the JSON Schema."""

    def __init__(self, label: str, *, rule: Mapping[str, Any], **options: Any) -> None:
        super().__init__(label, [Length(max=200_000)], **options)
        self.rule = rule

    def value(self) -> Any:
        """Raises ValueError."""
        text = (self.data or "").replace("\r\n", "\n")
        kinds = self.rule.get("type", "string")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if "string" in kinds and len(kinds) == 1:
            return text
        try:
            return read_json(text)
        except ValueError as error:
            if "string" in kinds:
                return text
            if not isinstance(error, json.JSONDecodeError):
                raise
            needed = {"integer": "a whole number", "number": "a number"}
            raise ValueError(f"This must be {needed.get(str(kinds[0]), 'written as JSON')}.") from None


class _Text(_Value, TextAreaField):
    def __init__(self, label: str, **options: Any) -> None:
        super().__init__(label, render_kw={"rows": 5}, **options)


class DataFields(BaseForm):
    """A field for each property of a JSON Schema, and one for whatever else the data may hold."""

    def __init__(self, schema: Mapping[str, Any], formdata: "MultiDict[str, str] | None" = None) -> None:
        properties = schema.get("properties")
        rules = {
            name: rule if isinstance(rule, Mapping) else {}
            for name, rule in (properties.items() if isinstance(properties, Mapping) else ())
        }
        needed = [name for name in schema.get("required", ()) if name in rules]
        self.required = frozenset(needed)
        # PostgreSQL keeps the order of lists, and not that of properties
        self.names = (*needed, *sorted(rules.keys() - self.required))
        self._hints = {name: _said_of(rule, "description") for name, rule in rules.items()}
        fields = {self._key(number, name): _field(name, rules[name]) for number, name in enumerate(self.names)}
        super().__init__({**fields, "more": _MORE}, "data-")
        self.process(formdata)

    @staticmethod
    def _key(number: int, name: str) -> str:
        """By its name, so that another type with such a property keeps what was typed; names may be anything."""
        return f"v-{name}" if _PLAIN.fullmatch(name) else f"v{number}"

    def named(self) -> dict[str, Field]:
        """The fields of the properties, the required ones first."""
        return {name: self[self._key(number, name)] for number, name in enumerate(self.names)}

    def hint(self, name: str) -> str:
        return " ".join(filter(None, ("Needed." if name in self.required else "", self._hints[name])))

    def validate(self, extra_validators: Any = None) -> bool:
        is_valid = super().validate(extra_validators)
        for name, field in self.named().items():
            if not is_storable(field.data or ""):
                field.errors = [*field.errors, "This text contains a character that cannot be stored."]
            elif not field.data and name in self.required:
                field.errors = [*field.errors, "This is needed."]
            elif field.data:
                try:
                    field.value()
                except ValueError as error:
                    field.errors = [*field.errors, str(error)]
        try:
            self._more()
        except ValueError as error:
            self["more"].errors = [str(error)]
        return is_valid and not any(field.errors for field in self)

    def document(self) -> dict[str, Any]:
        return {**self._more(), **{name: field.value() for name, field in self.named().items() if field.data}}

    def refuse(self, fault: Fault) -> bool:
        """Puts the fault beside its field. → False: it is about none of these."""
        if not fault.pointer.startswith("/data"):
            return False
        name = fault.pointer.removeprefix("/data").strip("/").split("/")[0].replace("~1", "/").replace("~0", "~")
        field = self.named().get(name, self["more"])
        field.errors = [*field.errors, said(fault.message)]
        return True

    def _more(self) -> dict[str, Any]:
        text = (self["more"].data or "").strip()
        return read_object(text) if text else {}


_MORE = TextAreaField("Further data, as a JSON object", [Length(max=200_000)])


def _said_of(rule: Mapping[str, Any], annotation: str) -> str:
    """What the schema's author wrote for people: `title` or `description`."""
    words = rule.get(annotation)
    return words.strip() if isinstance(words, str) else ""


def _field(name: str, rule: Mapping[str, Any]) -> Field:
    label = _said_of(rule, "title") or spelled(name)
    choices = rule.get("enum")
    if isinstance(choices, list) and all(isinstance(one, str) for one in choices):
        return _Choice(label, rule=rule, choices=["", *choices])
    longest = rule.get("maxLength", 0)
    is_long = rule.get("type") in ("array", "object") or (
        isinstance(longest, int) and longest > _LONG and "pattern" not in rule
    )
    return (_Text if is_long else _Value)(label, rule=rule)


class _Choice(SelectField):
    def __init__(self, label: str, *, rule: Mapping[str, Any], **options: Any) -> None:
        super().__init__(label, validate_choice=False, **options)
        self.rule = rule

    def value(self) -> Any:
        return self.data
