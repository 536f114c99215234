"""Templates and their versions: begun as a draft, published, rolled back. Viewers read; admins write.

The texts of a draft are changed in `template_editor`.
"""

import difflib
from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import StringField
from wtforms.validators import DataRequired, Length

from notifier.catalogue import samples, templates
from notifier.channels import CHANNELS
from notifier.core.errors import Rejected
from notifier.core.languages import coverage, lacking
from notifier.core.wording import ANY_CHANNEL, PUBLISHED, TemplateSource, Words
from notifier.operations import template_trial
from notifier.queries import about
from notifier.queries import templates as queries
from notifier.web.access import allow, page_blueprint
from notifier.web.console.experiments import template_page
from notifier.web.console.template_editor import any_shape, place_name
from notifier.web.forms import ConsoleForm, said, stripped
from notifier.words.render import RenderFault

pages = page_blueprint("templates", url_prefix="/admin/templates")

_MOST_LINES = 5_000  # of a version are compared with another: that takes time with their square
_SORTS = {"key": lambda line: line.key, "changed": lambda line: line.changed_at}


class NewTemplate(ConsoleForm):
    key = StringField("Name", [DataRequired("Give it a name."), Length(max=64)], filters=[stripped])


@pages.get("")
@allow("viewer")
def listing() -> ResponseReturnValue:
    return _listing(NewTemplate(formdata=None))


def _listing(form: NewTemplate) -> str:
    text, status, sort = (
        request.args.get("q", "").strip().replace("\0", ""),
        request.args.get("status"),
        request.args.get("sort", ""),
    )
    sort = sort if sort.removeprefix("-") in _SORTS else "key"
    lines = sorted(queries.lines(text, status), key=_SORTS[sort.removeprefix("-")], reverse=sort.startswith("-"))
    languages = queries.languages()
    lacks = lacking(languages)
    return render_template(
        "admin/templates.html",
        lines=lines,
        abouts=about.load([line.key for line in lines]),
        q=text,
        status=status,
        sort=sort,
        form=form,
        lacking=[(locale, len(languages) - len(keys), keys) for locale, keys in lacks.items()],
        published=len(languages),
    )


@pages.post("")
@allow("admin")
def create() -> ResponseReturnValue:
    form = NewTemplate()
    try:
        form.check()
        version = templates.create(form.key.data)
    except Rejected as error:
        return _listing(form.refuse(error)), 422
    return redirect(url_for("template_editor.edit", key=form.key.data, version=version), 303)


@pages.get("/<key>")
@allow("viewer")
def one(key: str) -> ResponseReturnValue:
    return template_page(key)


@pages.post("/<key>/draft")
@allow("admin")
def draft(key: str) -> ResponseReturnValue:
    try:
        version = templates.create(key, base=request.form.get("base", type=int))
    except Rejected as error:
        return _back_to(key, error)
    return redirect(url_for("template_editor.edit", key=key, version=version), 303)


@pages.get("/<key>/<int:version>/publish")
@allow("viewer")
def ask_to_publish(key: str, version: int) -> ResponseReturnValue:
    source = queries.source(key, version)
    versions = {row.version: row for row in queries.versions(key)}
    published = next((row for row in versions.values() if row.status == PUBLISHED), None)
    contents = dict(sorted(source.contents.items()))
    warnings = templates.warnings(key, contents)
    return render_template(
        "admin/template_publish.html",
        key=key,
        version=versions[version],
        published=published,
        trouble=_trouble(source),
        contents=contents,
        warnings=warnings,
        places=[place_name(list(contents)[int(warning.pointer.split("/")[2])]) for warning in warnings],
        languages=coverage(contents),
        seen=templates.revision_beside(contents, published.version if published else None),
        changes=_changes(queries.source(key, published.version).contents if published else {}, source.contents),
    )


def _changes(before: Mapping[tuple[str, str], Words], after: Mapping[tuple[str, str], Words]) -> list[dict[str, Any]]:
    """The differences by channel and language: `lines` of (new, gone or same, text)."""
    kinds = {"+": "new", "-": "gone", " ": "same"}
    found, left = [], _MOST_LINES
    for place in sorted(before.keys() | after.keys()):
        if before.get(place) != after.get(place):
            old, new = _lines(before.get(place)), _lines(after.get(place))
            diff = list(difflib.unified_diff(old[:left], new[:left], lineterm=""))[2:]
            lines = [(kinds[line[0]], line) for line in diff if line[0] in kinds]
            is_cut = max(len(old), len(new)) > left
            found.append(
                {
                    "place": place_name(place),
                    "lines": [*lines, ("same", " … the rest is too long to compare here")] if is_cut else lines,
                }
            )
            left = max(left - max(len(old), len(new)), 0)
    return found


def _lines(words: Words | None) -> list[str]:
    return (
        [f"{name}: {line}" for name, text in words.texts().items() if text for line in text.split("\n")]
        if words
        else []
    )


def _trouble(source: TemplateSource) -> list[tuple[str, str, str]]:
    """(channel, locale, sentence) for each of its words that cannot be rendered with the sample data."""
    type_ = queries.type_of(source.key)
    data = samples.sample_of(source.key, type_.schema if type_ else None)
    places = sorted(place for place in source.contents if place[0] in (ANY_CHANNEL, *CHANNELS))
    results = template_trial.preview_each(
        source, [(any_shape(channel), locale) for channel, locale in places], data, type_
    )
    return [
        (*place, str(result)) for place, result in zip(places, results, strict=True) if isinstance(result, RenderFault)
    ]


@pages.post("/<key>/<int:version>/publish")
@allow("admin")
def publish(key: str, version: int) -> ResponseReturnValue:
    try:
        before = templates.publish(key, version, seen=request.form.get("seen"))
    except Rejected as error:
        return _back_to(key, error)
    words = f"Version {version} is published" + (f" in place of {before}" if before else "")
    flash(f"{words}. Every process uses it within seconds.")
    return redirect(url_for("templates.one", key=key), 303)


def _back_to(key: str, error: Rejected) -> ResponseReturnValue:
    if error.code == "not_found":
        raise error
    flash(said(error.detail), "error")
    return redirect(url_for("templates.one", key=key), 303)
