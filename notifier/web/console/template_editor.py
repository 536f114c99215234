"""The editor of a template: the texts of one channel and language of a draft. Viewers read; admins write.

`template_previews` shows them as they would arrive.
"""

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from markupsafe import Markup
from werkzeug.datastructures import MultiDict
from wtforms import HiddenField, SelectField, StringField, TextAreaField
from wtforms.fields import SelectChoice
from wtforms.validators import Length

from notifier.catalogue import samples, templates
from notifier.channels import CHANNELS, fields_of
from notifier.core.errors import Rejected
from notifier.core.wording import ANY_CHANNEL, DRAFT, TEXTS, TemplateSource, Words
from notifier.operations import template_trial
from notifier.queries import templates as queries
from notifier.web.access import allow, page_blueprint
from notifier.web.console import shape_form
from notifier.web.console.template_previews import keep_sample, kept_sample, shown
from notifier.web.forms import ConsoleForm, JsonField, said
from notifier.web.presentation import capital
from notifier.words.fallback import DEFAULT_LOCALE, fall_backs, find_words

pages = page_blueprint("template_editor", url_prefix="/admin/templates")

_LONGEST = 100_000


def _text(text: str | None) -> str:
    """Browsers send CRLF."""
    return (text or "").replace("\r\n", "\n")


class WordsForm(ConsoleForm):
    """The texts of one channel and language, the data to preview them with, and the channel of the preview."""

    title = StringField("Title", [Length(max=_LONGEST)], filters=[_text])
    subject = StringField("Subject", [Length(max=_LONGEST)], filters=[_text])
    body = TextAreaField("Text", [Length(max=_LONGEST)], filters=[_text])
    html = TextAreaField("HTML", [Length(max=_LONGEST)], filters=[_text])
    action_label = StringField("Button", [Length(max=_LONGEST)], filters=[_text])
    action_url = StringField("Link of the button", [Length(max=_LONGEST)], filters=[_text])
    secondary_label = StringField("Second button", [Length(max=_LONGEST)], filters=[_text])
    secondary_url = StringField("Link of the second button", [Length(max=_LONGEST)], filters=[_text])
    image = StringField("Picture", [Length(max=_LONGEST)], filters=[_text])
    sample = JsonField("Sample data")
    seen = HiddenField()
    shown_as = SelectField("Show as", validate_choice=False)
    type = SelectField("As event type", validate_choice=False)

    def words(self, channel: str) -> Words:
        texts = {name: self[name].data or None for name in TEXTS}
        common = {**texts, "title": self.title.data or "", "body": self.body.data or ""}
        return Words.of({**common, **shape_form.given(self, channel)})


def _form(place: tuple[str, str], **options: Any) -> WordsForm:
    return shape_form.with_fields_of(WordsForm, place[0])(**options)


@pages.get("/<key>/<int:version>")
@allow("viewer")
def edit(key: str, version: int) -> ResponseReturnValue:
    source = queries.source(key, version)
    place = _place(source)
    words = source.contents.get(place)
    start = words or _to_begin_with(source, place)
    data = {name: getattr(start, name) or "" for name in TEXTS} | shape_form.typed_before(start.extra, place[0])
    form = _form(place, formdata=None, data={**data, "seen": templates.revision_of(words), "sample": _sample(key)})
    return _editor(source, place, form)


@pages.post("/<key>/<int:version>")
@allow("admin")
def save(key: str, version: int) -> ResponseReturnValue:
    source = queries.source(key, version)
    place = _place(source)
    form = _form(place)
    if not _save(source, place, form):
        return _editor(source, place, form), 422
    _keep_sample(key, form)
    flash(f"{place_name(place)} is saved in draft {version}.")
    return redirect(url_for("template_editor.edit", key=key, version=version, channel=place[0], locale=place[1]), 303)


def _save(source: TemplateSource, place: tuple[str, str], form: WordsForm) -> bool:
    is_valid = form.validate()
    if form.sample.errors:  # only looked at, not stored
        is_valid = all(not field.errors for field in form if field is not form.sample)
    if is_valid:
        try:
            templates.save(
                source.key,
                source.version,
                {place: form.words(place[0])},
                seen={place: form.seen.data} if form.seen.data else None,
            )
        except Rejected as error:
            if error.code == "not_found":
                raise
            form.refuse(error, {f"/contents/0/{name}": name for name in (*TEXTS, *fields_of(place[0]))})
            return False
    return bool(is_valid)


@pages.post("/<key>/<int:version>/remove")
@allow("admin")
def remove(key: str, version: int) -> ResponseReturnValue:
    source = queries.source(key, version)
    place = _place(source)
    try:
        templates.save(key, version, {place: None}, seen={place: request.form.get("seen", "")})
        flash(f"{place_name(place)} has been removed from draft {version}.")
    except Rejected as error:
        flash(said(error.detail), "error")
    return redirect(url_for("template_editor.edit", key=key, version=version), 303)


@pages.post("/<key>/<int:version>/language")
@allow("admin")
def add_language(key: str, version: int) -> ResponseReturnValue:
    """Begins a language with a copy of another one's words, for each channel that it has none for."""
    source = queries.source(key, version)
    locale = fall_backs(request.form.get("locale", "").strip())[0]
    base = request.form.get("base", "")
    begun = {
        (channel, locale): words
        for (channel, of), words in source.contents.items()
        if of == base and (channel, locale) not in source.contents
    }
    try:
        if begun:
            templates.save(key, version, begun)
            flash(f"{locale} begins with the words in {base}: {len(begun)} to translate.")
        else:
            flash(f"There is nothing in {base[:35]} that {locale} lacks.", "error")
    except Rejected as error:
        flash(said(error.detail), "error")
        return redirect(url_for("template_editor.edit", key=key, version=version), 303)
    channel = min((channel for channel, _ in begun), default=ANY_CHANNEL)
    address = url_for("template_editor.edit", key=key, version=version, channel=channel, locale=locale, beside=base)
    return redirect(address, 303)


@pages.post("/<key>/<int:version>/preview")
@allow("viewer")
def preview(key: str, version: int) -> ResponseReturnValue:
    """Stores nothing. The editor's script gets the preview only; without JavaScript the whole editor is shown. People
    who may not write templates see the stored text.
    """
    source = queries.source(key, version)
    place = _place(source)
    form = _form(place)
    form.validate()
    if request.headers.get("X-Partial"):
        return render_template("admin/template_preview.html", view=_view(source, place, form))
    return _editor(source, place, form)


@pages.post("/<key>/<int:version>/test")
@allow("admin")
def test(key: str, version: int) -> ResponseReturnValue:
    """Saves the texts, then sends them: the message that arrives is the draft."""
    source = queries.source(key, version)
    place = _place(source)
    form = _form(place)
    is_draft = _status(key, version) == DRAFT
    if not (_save(source, place, form) if is_draft else form.validate()) or form.sample.errors:
        return _editor(source, place, form), 422
    to_sandbox = request.form.get("to") == "sandbox"
    try:
        answer = template_trial.send_to_author(
            key,
            version,
            _type_key(key, form),
            _shown_as(place, form),
            current_user.user_id,
            form.sample.data or {},
            to_sandbox=to_sandbox,
        ).answer
    except Rejected as error:
        form.refuse(error, {"/type": "type", "/data": "sample"})
        return _editor(queries.source(key, version), place, form), 422
    _keep_sample(key, form)
    flash(*_outcome(answer, to_sandbox=to_sandbox))
    return redirect(url_for("template_editor.edit", key=key, version=version, channel=place[0], locale=place[1]), 303)


def _keep_sample(key: str, form: WordsForm) -> None:
    if form.sample.data is not None and not form.sample.errors:
        keep_sample(current_user.id, key, form.sample.data)


def _outcome(answer: dict[str, Any], *, to_sandbox: bool) -> tuple[str, str]:
    """The notice after a test send: where it goes, or why not."""
    [notification] = answer["notifications"]
    deliveries = notification["deliveries"]
    story = Markup(' <a href="{}">See how it went</a>').format(f"/admin/notifications/{notification['id']}")
    going = [delivery for delivery in deliveries if delivery["status"] != "skipped"]
    if not going:
        reasons = (
            ", ".join(sorted({(delivery["reason"] or "").replace("_", " ") for delivery in deliveries})) or "no channel"
        )
        return Markup("It was not sent to you: {}.").format(reasons) + story, "warning"
    where = ", ".join(delivery["address"] or "your inbox" for delivery in going)
    words = "The sandbox keeps what would have gone to {}." if to_sandbox else "It is on its way to {}."
    return Markup(words).format(where) + story, "message"


def _editor(source: TemplateSource, place: tuple[str, str], form: WordsForm) -> str:
    type_ = queries.type_of(source.key)
    if place[0] == ANY_CHANNEL:
        form.shown_as.choices = [SelectChoice(name, channel.label) for name, channel in CHANNELS.items()]
        form.shown_as.data = _shown_as(place, form)
    if type_ is None:
        form.type.choices = queries.type_names()
    status = _status(source.key, source.version)
    return render_template(
        "admin/template_edit.html",
        source=source,
        place=place,
        with_words={channel for channel, _ in (*source.contents, place)},
        locales=sorted({locale for _, locale in (*source.contents, place)}),
        written_in=sorted({locale for _, locale in source.contents}),
        form=form,
        status=status,
        may_write=status == DRAFT and current_user.has_role("admin"),
        type=type_,
        shape=CHANNELS[_shown_as(place, form)].shape,
        declared=shape_form.entries(form, place[0]),
        channels=CHANNELS,
        view=_view(source, place, form),
        others=sorted({locale for channel, locale in source.contents if channel == place[0]} - {place[1]}),
        **_beside(source, place, form),
    )


def _beside(source: TemplateSource, place: tuple[str, str], form: WordsForm) -> dict[str, Any]:
    """The texts of the same channel in the language that the address names, to compare with; None without one."""
    beside = place[0], request.args.get("beside", "")
    words = source.contents.get(beside)
    texts = words.texts() if words else {}
    named = [(form[name].label.text if name in form else name, text) for name, text in texts.items() if text]
    return {"beside": beside if words else None, "beside_texts": named}


def _view(source: TemplateSource, place: tuple[str, str], form: WordsForm) -> dict[str, Any]:
    # Of words for any channel these themselves are shown, although the channel they are shown as may have words
    # of its own.
    others = {} if place[0] == ANY_CHANNEL else source.contents
    words = (
        form.words(place[0])
        if current_user.has_role("admin")
        else source.contents.get(place) or _to_begin_with(source, place)
    )
    written = TemplateSource(source.id, source.key, source.version, {**others, place: words})
    data_errors = form.sample.errors
    if data_errors:
        return {"fault": {"field": "sample", "sentence": data_errors[0], "line": None, "excerpt": []}, "warnings": []}
    view = shown(written, _shown_as(place, form), place[1], form.sample.data or {}, queries.type_of(source.key))
    return view | {"warnings": [] if view["fault"] else templates.warnings(source.key, {place: words})}


def _status(key: str, version: int) -> str:
    return next(row.status for row in queries.versions(key) if row.version == version)


def _place(source: TemplateSource) -> tuple[str, str]:
    """Which words are meant: those the address names, or the first there are."""
    values: MultiDict[str, str] = request.values
    channel, locale = values.get("channel", ""), values.get("locale", "").strip()
    if channel == ANY_CHANNEL or channel in CHANNELS:
        return channel, fall_backs(locale)[0][:35]
    if channel and request.method == "POST":  # who means these changes no others
        raise Rejected("not_found", f"there is no channel {channel[:40]!r}")
    known = [place for place in source.contents if place[0] in (ANY_CHANNEL, *CHANNELS)]
    ordered = sorted(known, key=lambda place: (place[1] != DEFAULT_LOCALE, place[1], place[0]))
    return ordered[0] if ordered else (ANY_CHANNEL, DEFAULT_LOCALE)


def _to_begin_with(source: TemplateSource, place: tuple[str, str]) -> Words:
    """A new place begins with the words its readers would get without it."""
    found = find_words(source, *place)
    return found[0] if found else Words("")


def any_shape(channel: str) -> str:
    """Words for any channel are looked at as a card of the inbox, unless somebody chooses another."""
    return next(iter(CHANNELS)) if channel == ANY_CHANNEL else channel


def _shown_as(place: tuple[str, str], form: WordsForm) -> str:
    chosen = form.shown_as.data
    return chosen if place[0] == ANY_CHANNEL and chosen in CHANNELS else any_shape(place[0])


def _type_key(key: str, form: WordsForm) -> str:
    return key if queries.type_of(key) else form.type.data or ""


def _sample(key: str) -> dict[str, Any]:
    kept = kept_sample(current_user.id, key)
    if kept is not None:
        return kept
    type_ = queries.type_of(key)
    return samples.sample_of(key, type_.schema if type_ else None)


def place_name(place: tuple[str, str]) -> str:
    return capital(templates.place_name(place))


@pages.app_template_filter("place_label")
def _channel_name(channel: str) -> str:
    if channel == ANY_CHANNEL:
        return "Any channel"
    return CHANNELS[channel].label if channel in CHANNELS else channel
