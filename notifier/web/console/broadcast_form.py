"""The form of a broadcast: what is said, to whom, when and how fast; read into the draft that the API's body is, too.

The fields for the data are made of the JSON Schema of the chosen event type.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any

from werkzeug.datastructures import MultiDict
from wtforms import (
    DateTimeLocalField,
    Field,
    FieldList,
    Form,
    FormField,
    IntegerField,
    RadioField,
    SelectField,
    StringField,
    TextAreaField,
    ValidationError,
)
from wtforms.fields import SelectChoice
from wtforms.form import BaseForm
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, Optional

from notifier.channels import CHANNELS
from notifier.core import conditions
from notifier.core.broadcasts import MOST_PER_SECOND
from notifier.core.errors import Fault, Rejected
from notifier.core.submission import MAX_AHEAD, PRIORITIES, Submission
from notifier.ground.clock import now
from notifier.ground.zones import is_zone, zone_of
from notifier.people.upload_rows import attribute
from notifier.pipeline.intake.broadcasts import Draft
from notifier.web.forms import CheckboxesField, ConsoleForm, is_storable, read_object, said
from notifier.web.person.preference_form import zones

ALL, WHERE, UPLOAD, USERS = "all", "where", "upload", "users"
NOW, AT, LOCAL = "now", "at", "local"
_TO = {
    ALL: "Everybody",
    WHERE: "People of whom something is true",
    UPLOAD: "An uploaded list",
    USERS: "People by their ids",
}
_WHEN = {NOW: "Now", AT: "At a time", LOCAL: "At that time in each person’s own time zone"}
MISSING = "missing"
_OPERATORS = {
    conditions.EQ: "is",
    conditions.NE: "is not",
    conditions.IN: "is one of (commas between)",
    conditions.CONTAINS: "contains",
    conditions.GT: "is greater than",
    conditions.GTE: "is at least",
    conditions.LT: "is less than",
    conditions.LTE: "is at most",
    conditions.EXISTS: "is known",
    MISSING: "is not known",
}
ROWS = 4
_MOST_ROWS = 20
_LONG = 500  # characters, from which on a text gets several lines
_PLAIN = re.compile(r"[\w.-]{1,64}", re.ASCII)
_HOURS_AHEAD = int(MAX_AHEAD.total_seconds() // 3600)


def _stripped(text: str | None) -> str:
    return (text or "").strip()


class ConditionRow(Form):
    field = StringField("Field", [Length(max=1_100)], filters=[_stripped])
    operator = SelectField(
        "How", choices=[SelectChoice(key, words) for key, words in _OPERATORS.items()], default=conditions.EQ
    )
    value = StringField("Value", [Length(max=10_000)], filters=[_stripped])

    def document(self) -> dict[str, Any]:
        operator = self.operator.data
        if operator in (conditions.EXISTS, MISSING):
            return {self.field.data: {conditions.EXISTS: operator == conditions.EXISTS}}
        if operator == conditions.IN:
            return {self.field.data: {operator: [self._read(part.strip()) for part in self.value.data.split(",")]}}
        return {self.field.data: {operator: self._read(self.value.data)}}

    def _read(self, text: str) -> Any:
        """As in a list of people: of attributes, numbers and truths are such. A day begins at midnight, UTC."""
        if conditions.FIELDS.get(self.field.data) == "time":
            try:
                return datetime.combine(datetime.strptime(text, "%Y-%m-%d").date(), time(), UTC).isoformat()  # noqa: DTZ007
            except ValueError:
                return text
        return attribute(text) if self.field.data.startswith(conditions.OF_ATTRIBUTES) else text


class BroadcastForm(ConsoleForm):
    """`values`: the fields for the type's data; set once the type is known. `is_start`: its time was right at the last
    look; `create` refuses it if that has passed, unless it was started before.
    """

    is_start = False

    name = StringField("Name", [DataRequired("Give it a name."), Length(max=200)], filters=[_stripped])
    producer = SelectField("Producer", [InputRequired("Choose a producer.")])
    type = SelectField("Event type", [InputRequired("Choose an event type.")])
    to = RadioField("Audience", choices=[SelectChoice(key, words) for key, words in _TO.items()], default=ALL)
    match = SelectField(
        "Of the conditions",
        choices=[SelectChoice(conditions.ALL, "all are true"), SelectChoice(conditions.ANY, "any is true")],
        default=conditions.ALL,
    )
    rows = FieldList(FormField(ConditionRow), min_entries=ROWS, max_entries=_MOST_ROWS)
    condition = TextAreaField("Or the condition as JSON", [Length(max=100_000)], filters=[_stripped])
    upload = SelectField("List", validate_choice=False)
    users = TextAreaField("Ids", [Length(max=900_000)])
    when = RadioField("It goes out", choices=[SelectChoice(key, words) for key, words in _WHEN.items()], default=NOW)
    at = DateTimeLocalField("Date and time", [Optional()], format=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])
    zone = SelectField("Time zone", validate_choice=False)
    per_second = IntegerField("People a second, at most", [Optional(), NumberRange(1, MOST_PER_SECOND)])
    stop_at_failures = IntegerField("Pause it at this share of failures", [Optional(), NumberRange(1, 100)])
    channels = CheckboxesField(
        "Channels, instead of the type’s own",
        choices=[SelectChoice(name, channel.label) for name, channel in CHANNELS.items()],
    )
    template = StringField("Another template", [Length(max=80)], filters=[_stripped])
    priority = SelectField(
        "Priority",
        choices=[
            SelectChoice("", "As usual for the type"),
            *(SelectChoice(one, one.capitalize()) for one in PRIORITIES),
        ],
        default="",
    )
    expires_in = IntegerField("Hours until it is no longer sent", [Optional(), NumberRange(1, _HOURS_AHEAD)])

    values: "DataFields"

    def offer(
        self,
        *,
        producers: Sequence[tuple[str, str]],
        types: Sequence[tuple[str, str]],
        uploads: Sequence[tuple[str, str]],
        zone: str,
    ) -> None:
        """What may be chosen."""
        self.producer.choices = [SelectChoice(key, name) for key, name in producers]
        self.type.choices = [SelectChoice(key, name) for key, name in types]
        self.upload.choices = [SelectChoice(key, words) for key, words in uploads]
        self.zone.choices = [SelectChoice(name, name.replace("_", " ")) for name in sorted({zone, *zones()})]
        if self.upload.data and self.upload.data not in dict(uploads):
            self.upload.choices.append(SelectChoice(self.upload.data, self.upload.data))
        if not self.zone.data or self.zone.data == "None":
            self.zone.data = zone

    def validate_zone(self, field: SelectField) -> None:
        if not is_zone(field.data or ""):
            raise ValidationError("This is no time zone.")

    def validate(self, extra_validators: Any = None) -> bool:
        is_valid = super().validate(extra_validators)
        if fault := self._wrong_time():
            self.at.errors = [*self.at.errors, fault]
        return self.values.validate() and is_valid and not fault

    def _wrong_time(self) -> str | None:
        if self.when.data == NOW or self.at.errors or self.zone.errors:
            return None
        if self.at.data is None:
            return "Say when."
        return "This has passed." if self.when.data == AT and not self.is_start and self._send_at() < now() else None

    def _send_at(self) -> datetime:
        at: datetime = self.at.data
        return at.replace(tzinfo=zone_of(self.zone.data)).astimezone(UTC)

    @property
    def errors(self) -> dict[str, Any]:
        """Those of the data, too: the head of the page says that there are some."""
        return {**super().errors, **self.values.errors}

    def words_of(self, name: str) -> str:
        """What stands in the list for the choice that was made."""
        return next((str(one.label) for one in self[name].choices if one.value == self[name].data), "")

    def audience(self) -> dict[str, Any]:
        """As `core.audience` reads it, which finds what is wrong with it. Raises Rejected."""
        match self.to.data:
            case "where":
                return {WHERE: self._where()}
            case "upload":
                return {UPLOAD: self.upload.data or ""}
            case "users":
                return {USERS: (self.users.data or "").replace(",", " ").replace(";", " ").split()}
        return {ALL: True}

    def _where(self) -> dict[str, Any]:
        if self.condition.data:
            try:
                return read_object(self.condition.data)
            except ValueError as error:
                raise _wrong("condition", str(error)) from None
        asked = [row.form.document() for row in self.rows if row.form.field.data]
        if not asked:
            raise _wrong("to", "Say at least one thing that is true of these people.")
        return asked[0] if len(asked) == 1 else {self.match.data: asked}

    def draft(self, *, most: int | None = None) -> Draft:
        """Raises Rejected."""
        return Draft(
            self.name.data or "",
            self.said(self._send_at() if self.when.data == AT else None),
            self.audience(),
            self.at.data if self.when.data == LOCAL else None,
            self.per_second.data,
            self.stop_at_failures.data / 100 if self.stop_at_failures.data else None,
            most=most,
        )

    def said(self, send_at: datetime | None = None) -> Submission:
        """To nobody yet."""
        expires = {"expires_in": self.expires_in.data * 3600, "is_perishable": True} if self.expires_in.data else {}
        return Submission(
            type=self.type.data or "",
            recipients=(),
            data=self.values.document(),
            channels=tuple(self.channels.data) if self.channels.data else None,
            priority=self.priority.data or None,
            send_at=send_at,
            template=self.template.data or None,
            **expires,
        )

    def refuse(self, error: Rejected, places: Mapping[str, str] | None = None) -> "BroadcastForm":
        """Also beside the fields of the data."""
        mine = [fault for fault in error.faults if not self.values.refuse(fault)]
        if len(mine) == len(error.faults):
            super().refuse(error, {**_PLACES, **(places or {})})
        elif mine:
            super().refuse(Rejected(error.code, error.detail, tuple(mine)), {**_PLACES, **(places or {})})
        return self


_PLACES = {"/audience": "to", "/send_at": "at", "/local_time": "at"}


def _wrong(field: str, message: str) -> Rejected:
    return Rejected("validation_failed", message, (Fault(f"/{field}", "invalid", message),))


# ---- the data -------------------------------------------------------------------------------------------------------


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
            return json.loads(text)
        except (ValueError, RecursionError):
            if "string" in kinds:
                return text
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


def _field(name: str, rule: Mapping[str, Any]) -> Field:
    label = name.replace("_", " ").capitalize()
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
