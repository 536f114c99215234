"""A template and its event type as a TOML file, so that they can live in a repository: as those that are shipped.

`write` and `read` are each other's opposite. Pure: `operations.template_files` knows the database and the folder.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from notifier.catalogue import worded
from notifier.channels import FIELDS as DECLARED
from notifier.core.preferences import CATEGORIES
from notifier.core.routing import MODES
from notifier.core.submission import PRIORITIES
from notifier.core.wording import ANY_CHANNEL, TEXTS, About, Words

Place = tuple[str, str]  # channel or `*`, locale
# As the API calls them, with what they are when a file does not say it; None: they must be there. `schema` is text.
_OPTIONAL: dict[str, Any] = {
    "descriptions": None,
    "mandatory": False,
    "to_admins": False,
    "internal": False,
    "resend_unknown": None,
    "routing": None,
    "escalate_after": None,
    "dedupe_window": None,
    "dedupe_near": False,
    "tracking": {},
}
_REQUIRED = ("titles", "category", "priority", "channels", "schema")
TYPE = (*_REQUIRED, *_OPTIONAL)
_FLAGS = ("mandatory", "to_admins", "internal", "resend_unknown", "dedupe_near")
_CHOICES = {"category": CATEGORIES, "priority": PRIORITIES, "routing": MODES}
_SECONDS = {"escalate_after": (10, 86_400), "dedupe_window": (0, 30 * 86_400)}
_LONGEST_TITLE, _LONGEST_DESCRIPTION, _LONGEST_SOURCE, _MOST_CHANNELS = 200, 300, 100_000, 32
_NAMES = (*TEXTS, *DECLARED)
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # in JSON: behind an even number of backslashes
_AT = re.compile(r"\(at line (\d+), column \d+\)")


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """`type`: the fields of the event type of that name as the API has them, `internal` besides; None without one."""

    type: Mapping[str, Any] | None = None
    about: About = field(default_factory=About)
    contents: Mapping[Place, Words] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileFault:
    """`field`: its path in the file, such as `words.de.email.html`. `line` counts from 1; None: not known."""

    field: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        return ": ".join(filter(None, [f"line {self.line}" if self.line else "", self.field, self.message]))


class BadFile(Exception):
    """A file that cannot be used; `faults` are all that could be found."""

    def __init__(self, *faults: FileFault) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults


def read(text: str) -> TemplateFile:
    """Raises BadFile."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        at = _AT.search(str(error))
        raise BadFile(FileFault("", f"this is no TOML: {str(error)[:200]}", int(at[1]) if at else None)) from error
    faults = [*_faults(document)]
    if faults:
        raise BadFile(*(FileFault(".".join(path), message, line_of(text, *path)) for path, message in faults))
    has_type = any(name in document for name in TYPE)
    type_ = {**_OPTIONAL, **{name: document[name] for name in TYPE if name in document}} if has_type else None
    if type_ is not None:
        tracking = {"opens": False, "clicks": False, **type_["tracking"]}
        type_ |= {"schema": json.loads(type_["schema"]), "tracking": tracking}
    contents = {(one.channel, one.locale): normal(one) for one in worded(document.get("words", {}))}
    return TemplateFile(type_, About(**document.get("about", {})), contents)


def normal(words: Words) -> Words:
    """As a file has them: an empty text is none, as in the console."""
    texts = words.texts()
    needed = {name: texts[name] or "" for name in ("title", "body")}
    return Words.of({**{name: text or None for name, text in texts.items()}, **needed})


def line_of(text: str, *path: str, within: int = 1) -> int | None:
    """Where a field stands in a file, and of a text of several lines the line `within` it; None: it cannot be found."""
    *tables, name = path
    header = None
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("["):
            header = [part.strip('"') for part in re.findall(r'"[^"]*"|[^.\[\]"]+', line.split("]")[0])]
        if (header or []) == tables and re.match(rf'"?{re.escape(name)}"?\s*=', line):
            begins_after = line.rstrip().endswith(("'''", '"""')) and not re.search(r"=\s*('''|\"\"\").+\1", line)
            return number + within - (0 if begins_after else 1)
        if header == [*path] and line.startswith("["):
            return number
    return None


def _faults(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    for name in document.keys() - {*TYPE, "about", "words"}:
        yield (name,), "there is no such field"
    if any(name in document for name in TYPE):
        yield from _type_faults(document)
    yield from _about_faults(document.get("about", {}))
    yield from _words_faults(document.get("words", {}))


def _type_faults(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    for name in _REQUIRED:
        if name not in document:
            yield (name,), "an event type needs it"
    given = {name: document[name] for name in TYPE if name in document}
    for name, choices in _CHOICES.items():
        if name in given and given[name] not in choices:
            yield (name,), f"it is one of {', '.join(choices)}"
    for name in _FLAGS:
        if not isinstance(given.get(name, False), bool):
            yield (name,), "it is true or false"
    for name, (least, most) in _SECONDS.items():
        value = given.get(name, least)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            yield (name,), f"it is a number of seconds from {least} to {most}"
    if not _is_texts(given.get("titles", {"en": "x"}), _LONGEST_TITLE) or given.get("titles") == {}:
        yield (
            ("titles",),
            f'it names the type by language, {{ en = "Order shipped" }}, in 1 to {_LONGEST_TITLE} letters',
        )
    if not _is_texts(given.get("descriptions", {}), _LONGEST_DESCRIPTION):
        yield ("descriptions",), f"it says by language, in 1 to {_LONGEST_DESCRIPTION} letters, when the message comes"
    channels = given.get("channels", ["x"])
    if not isinstance(channels, list) or not 1 <= len(channels) <= _MOST_CHANNELS or not _are_texts(channels):
        yield ("channels",), f"it is a list of 1 to {_MOST_CHANNELS} channels"
    tracking = given.get("tracking", {})
    if not isinstance(tracking, dict) or tracking.keys() - {"opens", "clicks"} or not _are_flags(tracking.values()):
        yield ("tracking",), "it says true or false of opens and of clicks"
    if not _is_storable_object(given.get("schema", "{}")):
        yield ("schema",), "it is the JSON Schema of the data: the text of a JSON object"


def _about_faults(about: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    if not isinstance(about, dict):
        yield ("about",), "it is a table"
        return
    for name in about.keys() - {"name", "description", "metadata"}:
        yield ("about", name), "there is no such field"
    for name in ("name", "description"):
        if not isinstance(about.get(name, ""), str):
            yield ("about", name), "it is a text"
    metadata = about.get("metadata", {})
    if not isinstance(metadata, dict) or not _are_texts(metadata.values()):
        yield ("about", "metadata"), "it is a table of texts"


def _words_faults(words: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    if not isinstance(words, dict):
        yield ("words",), "it is a table by language"
        return
    for locale, by_channel in words.items():
        if not isinstance(by_channel, dict):
            yield ("words", locale), "it is a table by channel"
            continue
        shared = by_channel.get(ANY_CHANNEL, {})
        for channel, texts in by_channel.items():
            place = ("words", locale, channel)
            if not isinstance(texts, dict):
                yield place, "it is a table of texts"
                continue
            for name, text in texts.items():
                if name not in _NAMES:
                    yield (*place, name), "there is no such field"
                elif not isinstance(text, str) or "\0" in text or len(text) > _LONGEST_SOURCE:
                    yield (*place, name), f"it is a text of at most {_LONGEST_SOURCE} characters"
            if "title" not in texts and not (isinstance(shared, dict) and "title" in shared):
                yield place, "it needs a title, or one for any channel"


def _is_texts(value: Any, longest: int) -> bool:
    return isinstance(value, dict) and all(
        isinstance(text, str) and 1 <= len(text) <= longest and "\0" not in name + text for name, text in value.items()
    )


def _is_storable_object(text: Any) -> bool:
    """Whether it is JSON without NUL, half a surrogate pair, or a number that JSON has not."""
    try:
        document = json.loads(text)
        told = json.dumps(document, ensure_ascii=False, allow_nan=False)
        told.encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and not _NUL.search(told)


def _are_texts(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def _are_flags(values: Any) -> bool:
    return all(isinstance(value, bool) for value in values)


def write(file: TemplateFile) -> str:
    """Sorted, so that a change is a small difference. A channel says only what it says differently from any."""
    parts = [
        "".join(f"{name} = {_value(value, is_text=name == 'schema')}\n" for name, value in _type_part(file.type)),
        _table(("descriptions",), dict(file.type["descriptions"] or {}) if file.type else {}),
        _table(("about",), {name: getattr(file.about, name) for name in ("name", "description")}, leave_out=""),
        _table(("about", "metadata"), dict(sorted(file.about.metadata.items()))),
    ]
    for locale in sorted({locale for _, locale in file.contents}, key=lambda tag: (tag != "en", tag)):
        own = {channel: words for (channel, of), words in file.contents.items() if of == locale}
        for channel in sorted(own, key=lambda name: (name != ANY_CHANNEL, name)):
            differing = _differing(own[channel], own.get(ANY_CHANNEL) if channel != ANY_CHANNEL else None)
            parts.append(_table(("words", locale, channel), differing, is_needed=True))
    return "\n".join(filter(None, parts))


def _type_part(type_: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    if type_ is None:
        return
    for name in TYPE:
        value = type_[name]
        if name == "schema":
            yield name, json.dumps(value, indent=2, ensure_ascii=False)
        elif name == "tracking":
            if any(value.values()):
                yield name, value
        elif name == "descriptions":
            continue  # a table of its own
        elif name in _REQUIRED or value != _OPTIONAL[name]:
            yield name, value


def _differing(words: Words, shared: Words | None) -> dict[str, str]:
    """The fields that a channel has not from those for any: the opposite of `catalogue.worded`."""
    texts = _written(words)
    place = {ANY_CHANNEL: _written(shared)} if shared else {}
    own = {"html": texts["html"]} if texts["html"] else {}
    [inherited] = [one for one in worded({"x": {**place, "y": {"title": "", **own}}}) if one.channel == "y"]
    had = _written(inherited)
    if shared is not None:
        had["title"] = shared.title
    return {
        name: text
        for name, text in texts.items()
        if name in own or text != had[name] or (name == "title" and not shared)
    }


def _written(words: Words) -> dict[str, str]:
    return {**dict.fromkeys(_NAMES, ""), **{name: text or "" for name, text in words.texts().items()}}


def _table(
    path: tuple[str, ...], texts: Mapping[str, str], *, leave_out: str | None = None, is_needed: bool = False
) -> str:
    kept = {name: text for name, text in texts.items() if text != leave_out}
    if not kept and not is_needed:
        return ""
    head = ".".join(map(_key, path))
    return f"[{head}]\n" + "".join(f"{_key(name)} = {_value(text, is_text=True)}\n" for name, text in kept.items())


def _key(name: str) -> str:
    return name if _BARE.match(name) else _quoted(name)


def _value(value: Any, *, is_text: bool = False) -> str:
    if isinstance(value, str):
        return _text(value) if is_text else _quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_value(one)}" for name, one in value.items()) + " }"
    return str(value)


def _text(text: str) -> str:
    """As people write it, over several lines and without escapes, where TOML can hold it so."""
    is_plain = "'''" not in text and not text.endswith("'") and "\r" not in text
    is_plain = is_plain and all(character in "\n\t" or (character >= " " and character != "\x7f") for character in text)
    if is_plain and ("\n" in text or '"' in text or "\\" in text):
        return f"'''\n{text}'''" if "\n" in text else f"'''{text}'''"
    return _quoted(text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
