"""Event types: category, priority, channels and data. Viewers read; admins change.

The data's schema is a table of fields, with the JSON behind it. What is changed in the table is put into the JSON as it
was posted, so both may be changed at once, and nothing is lost that the table cannot show.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import (
    BooleanField,
    FieldList,
    Form,
    FormField,
    HiddenField,
    IntegerField,
    SelectField,
    StringField,
    ValidationError,
)
from wtforms.fields import SelectChoice
from wtforms.validators import Length, NumberRange, Optional, Regexp

from notifier.catalogue import schema_table
from notifier.catalogue import types as event_types
from notifier.catalogue.schema_table import Row
from notifier.channels import CHANNELS
from notifier.core.errors import Rejected
from notifier.core.preferences import CATEGORIES
from notifier.core.routing import MODES
from notifier.core.submission import PRIORITIES
from notifier.queries import types as queries
from notifier.web.access import allow, page_blueprint
from notifier.web.forms import CheckboxesField, ConsoleForm, JsonField, read_object, stripped

pages = page_blueprint("types", url_prefix="/admin/types")

_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_LONGEST_TITLE, _LONGEST_DESCRIPTION = 200, 300
_LONGEST_TAG = 35
_SPARE_TITLES, _SPARE_FIELDS = 2, 3  # empty rows to fill in
_MOST_ROWS = 200
_KINDS = {
    "string": "Text",
    "integer": "Whole number",
    "number": "Number",
    "boolean": "Yes or no",
    "array": "List",
    "object": "Object",
    schema_table.OTHER: "As in JSON",
}
_SORTS = ("key", "category", "priority")


class TitleForm(Form):
    locale = StringField("Language", [Length(max=_LONGEST_TAG)], filters=[stripped])
    title = StringField("Title", [Length(max=_LONGEST_TITLE)], filters=[stripped])
    description = StringField("Description", [Length(max=_LONGEST_DESCRIPTION)], filters=[stripped])


class FieldForm(Form):
    """A row of the schema's table; an empty name takes the field out."""

    name = StringField("Name", [Length(max=200)], filters=[stripped])
    kind = SelectField("Type", choices=[SelectChoice(*kind) for kind in _KINDS.items()], default="string")
    is_required = BooleanField("Required")
    description = StringField("Description", filters=[stripped])
    example = StringField("Example", filters=[stripped])
    was = HiddenField()

    @property
    def row(self) -> Row:
        return Row(**{name: field.data or type(field.data)() for name, field in self._fields.items()})


class TypeForm(ConsoleForm):
    """API.md, PUT /api/v1/types: the same fields with the same limits."""

    titles = FieldList(FormField(TitleForm), max_entries=_MOST_ROWS)
    category = SelectField("Category", choices=[SelectChoice(name, name.capitalize()) for name in CATEGORIES])
    priority = SelectField("Priority", choices=[SelectChoice(name, name.capitalize()) for name in PRIORITIES])
    channels = CheckboxesField(
        "Channels, unless a submission names its own",
        choices=[SelectChoice(name, channel.label) for name, channel in CHANNELS.items()],
    )
    fields_ = FieldList(FormField(FieldForm), max_entries=_MOST_ROWS)
    schema = JsonField("JSON Schema of the data")
    shown_schema = HiddenField()  # the table's rows belong to this one
    is_mandatory = BooleanField("Mandatory: nobody can switch it off")
    to_admins = BooleanField("Also send it to the admins")
    resend_unknown = SelectField(
        "When a send may have gone out",
        choices=[
            SelectChoice("", "Sent again where that is safe"),
            SelectChoice("yes", "Sent again"),
            SelectChoice("no", "Not sent again"),
        ],
    )
    routing = SelectField(
        "Routing, unless a submission names its own", choices=[SelectChoice("", "As usual: all channels"), *MODES]
    )
    escalate_after_s = IntegerField(
        "Seconds until the next step of an escalation", [Optional(), NumberRange(10, 86_400)]
    )
    dedupe_window_s = IntegerField(
        "Seconds within which repeated content is left out", [Optional(), NumberRange(0, 30 * 86_400)]
    )
    seen = HiddenField()
    dedupe_near = BooleanField("Also leave out what differs only in case, spaces or punctuation")
    tracks_opens = BooleanField("Track whether its mails are opened")
    tracks_clicks = BooleanField("Track whether links in its mails are clicked")

    def validate_titles(self, field: FieldList) -> None:
        tags = [line["locale"] for line in field.data if line["locale"]]
        if any(bool(line["locale"]) != bool(line["title"] or line["description"]) for line in field.data):
            raise ValidationError("Each title needs its language, and each language its title.")
        if not any(line["title"] for line in field.data):
            raise ValidationError('Give it a title in one language at least, such as "en".')
        if len(set(tags)) < len(tags):
            raise ValidationError("There are two titles in one language.")

    def validate_fields_(self, field: FieldList) -> None:
        if self.schema.data is None:
            return  # which is told beside the JSON
        try:
            before = schema_table.rows_of(read_object(self.shown_schema.data)) if self.shown_schema.data else []
            made = schema_table.changed(self.schema.data, before, [entry.form.row for entry in field])
            self.schema.data = read_object(json.dumps(made))  # examples are JSON, too, and not all of it can be stored
        except ValueError as error:
            raise ValidationError(str(error)) from None

    def validate_channels(self, field: CheckboxesField) -> None:
        if not field.data:
            raise ValidationError("Choose at least one channel.")

    def fields(self) -> dict[str, Any]:
        found = {name: self[name].data for name in event_types.FIELDS if name in self}
        return found | {
            **{
                f"{name}s": {line["locale"]: line[name] for line in self.titles.data if line[name]}
                for name in ("title", "description")
            },
            "routing": found["routing"] or None,
            "resend_unknown": {"yes": True, "no": False}.get(found["resend_unknown"]),
        }


class NewTypeForm(TypeForm):
    key = StringField(
        "Name", [Regexp(_KEY, message="Use 1 to 64 characters from a-z, 0-9 and _, beginning with a letter.")]
    )


@pages.get("")
@allow("viewer")
def listing() -> ResponseReturnValue:
    text, sort = request.args.get("q", "").strip().lower(), request.args.get("sort", "")
    name = sort.removeprefix("-") if sort.removeprefix("-") in _SORTS else "key"
    order = PRIORITIES.index if name == "priority" else str
    found = [
        line
        for line in queries.all_types()
        if text in line["key"] or any(text in title.lower() for title in line["titles"].values())
    ]
    found.sort(key=lambda line: (order(line[name]), line["key"]), reverse=sort.startswith("-"))
    return render_template("admin/types.html", types=found, q=text, sort=sort or "key")


@pages.get("/new")
@allow("admin")
def new() -> ResponseReturnValue:
    return _page(
        NewTypeForm(
            formdata=None,
            data={
                **_rows({"en": ""}, {}, {"type": "object"}),
                "schema": {"type": "object"},
                "priority": "medium",
                "channels": ["inapp"],
            },
        )
    )


@pages.post("/new")
@allow("admin")
def create() -> ResponseReturnValue:
    form = NewTypeForm()
    if form.key.data and _KEY.match(form.key.data) and form.key.data in queries.known_keys():
        form.faults.append("There is already a type with this name.")
        return _page(form), 422
    return _save(form, form.key.data or "")


@pages.get("/<key>")
@allow("viewer")
def one(key: str) -> ResponseReturnValue:
    shown = _one(key)
    given = {
        **shown,
        "is_mandatory": shown["mandatory"],
        "escalate_after_s": shown["escalate_after"],
        "dedupe_window_s": shown["dedupe_window"],
        "tracks_opens": shown["tracking"]["opens"],
        "tracks_clicks": shown["tracking"]["clicks"],
    }
    given |= {
        **_rows(shown["titles"], shown["descriptions"], shown["schema"]),
        "seen": event_types.revision_of(queries.row_of(key)),
        "routing": shown["routing"] or "",
        "resend_unknown": {True: "yes", False: "no", None: ""}[shown["resend_unknown"]],
    }
    return _page(TypeForm(formdata=None, data=given), key)


@pages.post("/<key>")
@allow("admin")
def change(key: str) -> ResponseReturnValue:
    _one(key)
    return _save(TypeForm(), key)


def _rows(titles: Mapping[str, str], descriptions: Mapping[str, str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Of the form's two tables, with some to fill in."""
    named = [
        {"locale": locale, "title": titles.get(locale, ""), "description": descriptions.get(locale, "")}
        for locale in {**titles, **descriptions}
    ]
    fields: list[dict[str, Any]] = [asdict(row) for row in schema_table.rows_of(schema)]
    return {
        "titles": named + [{}] * min(_SPARE_TITLES, max(0, _MOST_ROWS - len(named))),
        "fields_": (fields + [{}] * _SPARE_FIELDS)[:_MOST_ROWS],
        "shown_schema": json.dumps(schema),
    }


def _one(key: str) -> dict[str, Any]:
    """Raises Rejected('not_found') for those of the product itself, too."""
    if not _KEY.match(key) or key not in queries.known_keys():
        raise Rejected("not_found", f"there is no event type {key[:80]!r}")
    return queries.one_type(key)


def _save(form: TypeForm, key: str) -> ResponseReturnValue:
    shown = key if not isinstance(form, NewTypeForm) else None
    try:
        form.check()
        is_new = event_types.put(key, form.fields(), seen=form.seen.data or None)
    except Rejected as error:
        places = {
            "/escalate_after": "escalate_after_s",
            "/tracking/opens": "tracks_opens",
            "/tracking/clicks": "tracks_clicks",
        }
        return _page(form.refuse(error, places), shown), 422
    flash(
        f"{key} has been created. Write its texts under Templates."
        if is_new
        else f"{key} has been saved. The change applies to new submissions."
    )
    return redirect(url_for("types.one", key=key), 303)


def _page(form: TypeForm, key: str | None = None) -> str:
    return render_template("admin/type.html", form=form, key=key)
