"""Templates and event types as files of a folder, so that they live in a repository: written, compared, taken over.

Called by the command `templates`. A file is one template and the type of its name, taken over as a whole or not at all;
each passes the checks that the API makes. Nothing is ever deleted here: neither rows nor files.
"""

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session

from notifier.catalogue import about, samples, templates, toml_files
from notifier.catalogue import types as event_types
from notifier.catalogue.template_check import About as TypeAbout
from notifier.catalogue.toml_files import BadFile, FileFault, TemplateFile
from notifier.core.errors import Fault, Rejected
from notifier.core.json_values import is_same
from notifier.core.wording import FIELDS, PUBLISHED, About, Words
from notifier.ground import kept
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import EventType, Template, TemplateAbout, TemplateContent
from notifier.queries import about as queries

SUFFIX = ".toml"
# What a file calls otherwise than the table.
_COLUMNS = {
    "mandatory": "is_mandatory",
    "internal": "is_internal",
    "escalate_after": "escalate_after_s",
    "dedupe_window": "dedupe_window_s",
}
_CHANGED = FileFault("", "somebody else has just changed it; compare again")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one file. `state`: new, changed, same or bad; `lines`: its difference, or what is wrong with it."""

    path: Path
    state: str
    lines: tuple[str, ...] = ()


def pull(folder: Path) -> list[Outcome]:
    """Writes what is published into the folder. A file that says the same already stays as it is, comments and all."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for key, stored in sorted(_stored().items()):
        path = folder / f"{key}{SUFFIX}"
        state = "changed" if path.exists() else "new"
        try:
            if state == "changed" and _says_same(toml_files.read(_text_of(path)), stored):
                state = "same"
        except BadFile:
            pass  # it is written anew
        if state != "same":
            unfinished = path.with_name(f".{path.name}.new")
            unfinished.write_text(toml_files.write(stored), encoding="utf-8", newline="\n")
            os.replace(unfinished, path)
        found.append(Outcome(path, state))
    return found


def diff(folder: Path) -> list[Outcome]:
    """What `push` would change, line by line."""
    return [_compared(path, stored) for path, stored in _pairs(folder)]


def push(folder: Path, *, publish: bool) -> list[Outcome]:
    """Checks all files, and takes over what differs, each file in one transaction. Without `publish` it only checks."""
    found = []
    for path, stored in _pairs(folder):
        outcome = _compared(path, stored)
        if outcome.state in ("new", "changed"):
            try:
                _take_over(path, stored, publish=publish)
            except BadFile as bad:
                outcome = Outcome(path, "bad", tuple(map(str, bad.faults)))
        found.append(outcome)
    return found


def _pairs(folder: Path) -> Iterator[tuple[Path, TemplateFile | None]]:
    stored = _stored()
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        yield path, stored.get(path.stem)


def _text_of(path: Path) -> str:
    """Raises BadFile."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BadFile(FileFault("", f"it cannot be read: {error}")) from error


def _compared(path: Path, stored: TemplateFile | None) -> Outcome:
    try:
        file = _completed(toml_files.read(_text_of(path)), stored)
    except BadFile as bad:
        return Outcome(path, "bad", tuple(map(str, bad.faults)))
    if stored is not None and _says_same(file, stored):
        return Outcome(path, "same")
    before = toml_files.write(stored).splitlines() if stored else []
    lines = difflib.unified_diff(before, toml_files.write(file).splitlines(), "published", str(path), lineterm="")
    return Outcome(path, "changed" if stored else "new", tuple(lines))


def _says_same(file: TemplateFile, stored: TemplateFile) -> bool:
    """A schema with true in the place of 1 says something else, to which Python is blind."""
    return file == stored and is_same(file.type, stored.type)


def _completed(file: TemplateFile, stored: TemplateFile | None) -> TemplateFile:
    """What a file does not speak of stays as it is: its type, the descriptions of its type, its words, or what is kept
    about it, each as a whole.
    """
    if stored is None:
        return file
    about_it = stored.about if file.about == About() else file.about
    type_ = file.type or stored.type
    if type_ is not None:
        kept_of = stored.type or {"descriptions": None}
        said = kept_of["descriptions"] if type_["descriptions"] is None else type_["descriptions"]
        type_ = {**type_, "descriptions": said or None}
    return TemplateFile(type_, about_it, file.contents or stored.contents)


def _stored(key: str | None = None) -> dict[str, TemplateFile]:
    """By key, in three queries: the types, what is published, and what is kept about it. `key`: this one alone."""
    of_one = sa.true() if key is None else EventType.key == key
    types = {row.key: _type(row) for row in db.session.scalars(sa.select(EventType).where(of_one))}
    contents: dict[str, dict[tuple[str, str], Words]] = {}
    rows = db.session.execute(
        sa.select(Template.key, TemplateContent)
        .join(TemplateContent, TemplateContent.template_id == Template.id)
        .where(Template.status == PUBLISHED, sa.true() if key is None else Template.key == key)
    )
    for of, row in rows:
        words = Words(**{name: getattr(row, name) for name in FIELDS})
        contents.setdefault(of, {})[row.channel, row.locale] = toml_files.normal(words)
    kept_about = queries.load(None if key is None else [key])
    return {
        of: TemplateFile(types.get(of), kept_about.get(of, About()), contents.get(of, {}))
        for of in types.keys() | contents.keys()
    }


def _held(session: scoped_session[Session], key: str) -> TemplateFile | None:
    """As it is stored now, locked until the end of the transaction. Whoever changes any of it locks it, too."""
    session.get(EventType, key, with_for_update=True)
    templates.versions_of(session, key)
    session.get(TemplateAbout, key, with_for_update=True)
    return _stored(key).get(key)


def _type(row: EventType) -> dict[str, Any]:
    fields = {name: getattr(row, _COLUMNS.get(name, name)) for name in toml_files.TYPE if name != "tracking"}
    tracking = {"opens": row.tracks_opens, "clicks": row.tracks_clicks}
    return {**fields, "descriptions": row.descriptions or None, "tracking": tracking}


def _take_over(path: Path, stored: TemplateFile | None, *, publish: bool) -> None:
    """Raises BadFile, and then nothing of the file is stored: also where what it was compared with has changed."""
    text, key = _text_of(path), path.stem
    file = _completed(toml_files.read(text), stored)
    changes_type = file.type is not None and (stored is None or not is_same(file.type, stored.type))
    changes_words = bool(file.contents) and (stored is None or file.contents != stored.contents)
    places = list(file.contents)
    try:
        if changes_type:
            _check_type(key, file, stored)
        if not templates.KEY.match(key):
            raise BadFile(FileFault("", "the name of a template is 1 to 64 of A-Z a-z 0-9 _ . -"))
        if changes_words:
            templates.check(key, file.contents, is_whole=True, about=_about(key, file, stored))
        if wrong := about.faults(file.about):
            raise BadFile(*(_in_about(text, fault) for fault in wrong))
        if not publish:
            return
        with transaction() as session:
            if _held(session, key) != stored:
                raise BadFile(_CHANGED)
            if changes_type and file.type is not None:
                event_types.store(session, key, _fields(file.type))
            if changes_words:
                templates.store_published(session, key, file.contents)
            about.store(session, key, file.about)
        kept.forget()
    except IntegrityError:
        raise BadFile(_CHANGED) from None
    except Rejected as refused:
        found = [_in_file(text, places, fault) for fault in refused.faults]
        raise BadFile(*(found or [FileFault("", refused.detail)])) from None


def _check_type(key: str, file: TemplateFile, stored: TemplateFile | None) -> None:
    if not event_types.KEY.match(key):
        raise BadFile(FileFault("", "the name of an event type is 1 to 64 of a-z 0-9 _ and begins with a letter"))
    if file.type is None:
        return
    if file.type["internal"] or (stored and stored.type and stored.type["internal"]):
        raise BadFile(FileFault("internal", f"{key} belongs to Notifier itself; only its words can be changed"))
    event_types.check(_fields(file.type))


def _fields(type_: dict[str, Any] | Any) -> dict[str, Any]:
    """As `catalogue.types` takes them."""
    named = {_COLUMNS.get(name, name): value for name, value in type_.items() if name not in ("tracking", "internal")}
    named["descriptions"] = type_["descriptions"] or {}
    return {**named, "tracks_opens": type_["tracking"]["opens"], "tracks_clicks": type_["tracking"]["clicks"]}


def _about(key: str, file: TemplateFile, stored: TemplateFile | None) -> TypeAbout:
    type_ = file.type or (stored.type if stored else None)
    sample = samples.sample_of(key, type_["schema"] if type_ else None)
    return TypeAbout(key, sample, type_["category"], type_["mandatory"]) if type_ else TypeAbout(key, sample)


def _in_about(text: str, fault: Fault) -> FileFault:
    name = fault.pointer.split("/")[1]
    return FileFault(f"about.{name}", fault.message, toml_files.line_of(text, "about", name))


def _in_file(text: str, places: list[tuple[str, str]], fault: Fault) -> FileFault:
    """A fault of the API's body, by its place in the file."""
    _, name, *path = fault.pointer.split("/")
    if name == "contents" and path:
        channel, locale = places[int(path[0])]
        at = ("words", locale, channel, *(part for part in path[1:] if part not in ("channel", "locale")))
        return FileFault(".".join(at), fault.message, toml_files.line_of(text, *at, within=fault.line or 1))
    return FileFault(name, fault.message, toml_files.line_of(text, name))
