"""The form of a broadcast: what is said, to whom, when and how fast; read into the draft that the API's body is, too.

`web.console.data_fields` has the fields for the data of the chosen event type.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any

from wtforms import (
    DateTimeLocalField,
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
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, Optional

from notifier.channels import CHANNELS
from notifier.core import conditions
from notifier.core.broadcasts import MOST_PER_SECOND
from notifier.core.errors import Fault, Rejected
from notifier.core.submission import MAX_AHEAD, PRIORITIES, Submission
from notifier.core.timestamps import reckonable
from notifier.ground.clock import now
from notifier.ground.zones import is_zone, zone_of
from notifier.people.upload_rows import attribute
from notifier.pipeline.intake.broadcasts import Draft
from notifier.web.console.data_fields import DataFields
from notifier.web.forms import CheckboxesField, ConsoleForm, read_object
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
    """`values`: the fields for the type's data, and `takes`: the channels it goes by; set once the type is known.
    `is_start`: its time was right at the last look; `create` refuses it if that has passed, unless it was started
    before.
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

    values: DataFields
    takes: frozenset[str]

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
        return reckonable(at.replace(tzinfo=zone_of(self.zone.data))).astimezone(UTC)

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
