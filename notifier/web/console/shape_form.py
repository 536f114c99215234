"""The part of the template editor that follows from what a channel's shape declares: a form field for each, with its
help and limits, and what it came out as.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from wtforms import BooleanField, Field, StringField, TextAreaField
from wtforms.validators import Length

from notifier.channels import CHANNELS, fields_of
from notifier.channels.contract import Shape
from notifier.core.message import Content
from notifier.core.shape_fields import ON, ShapeField
from notifier.core.wording import ANY_CHANNEL
from notifier.web.forms import ConsoleForm

_LONGEST = 100_000
Form = TypeVar("Form", bound=ConsoleForm)


def with_fields_of(form: type[Form], channel: str) -> type[Form]:
    """The form with an entry for each field that words for the channel may have."""
    return type(form.__name__, (form,), {name: _entry(field) for name, field in fields_of(channel).items()})


def _entry(field: ShapeField) -> Any:
    if field.kind == "switch":
        return BooleanField(field.label)
    kind = StringField if field.kind == "line" else TextAreaField
    return kind(field.label, [Length(max=_LONGEST)], filters=[_text])


def _text(text: str | None) -> str:
    """Browsers send CRLF."""
    return (text or "").replace("\r\n", "\n")


def given(form: ConsoleForm, channel: str) -> dict[str, str]:
    """What was typed, as `Words.of` takes it."""
    typed = {name: form[name].data for name in fields_of(channel)}
    return {name: ON if value is True else value or "" for name, value in typed.items()}


def typed_before(extra: Mapping[str, str], channel: str) -> dict[str, Any]:
    """The opposite of `given`."""
    fields = fields_of(channel)
    return {name: field.kind == "switch" or extra[name] for name, field in fields.items() if extra.get(name)}


def entries(form: ConsoleForm, channel: str) -> list[tuple[Field, str]]:
    """Each entry with its hint; of words for any channel, it begins with the channels that show it."""
    return [
        (form[name], " ".join(_hints(field, names_channels=channel == ANY_CHANNEL)))
        for name, field in fields_of(channel).items()
    ]


def _hints(field: ShapeField, *, names_channels: bool) -> Iterator[str]:
    if names_channels:
        having = [channel.label for channel in CHANNELS.values() if field in channel.shape.fields]
        yield f"For {', '.join(having)}."
    yield field.help
    if field.most is not None:
        yield f"At most {field.most} lines."
    if field.longest_label is not None:
        yield f"Labels are cut after {field.longest_label} characters."
    if field.longest is not None and field.kind != "links":
        yield (
            f"Longer ones than {field.longest:,} characters are cut."
            if field.has_lines
            else (f"At most {field.longest:,} characters.")
        )


def came_out(content: Content, shape: Shape) -> list[tuple[str, list[tuple[str, ...]]]]:
    """(label, its lines) of each that the rendered message has."""
    shown = ((field, content.extra.get(field.name)) for field in shape.fields)
    return [(field.label, _lines(value)) for field, value in shown if value]


def _lines(value: Any) -> list[tuple[str, ...]]:
    if isinstance(value, str):
        return [(value,)]
    if value is True:
        return [(ON,)]
    return [(one,) if isinstance(one, str) else tuple(one) for one in value]
