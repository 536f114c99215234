"""Providers: which accounts send on each channel, in which order, and for how many people. Viewers look; admins change.

An adapter's declared settings make its form; the URL of a server becomes its parts. A secret is never shown again; an
empty field leaves it unchanged.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import redis
from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from wtforms import BooleanField, HiddenField, IntegerField, PasswordField, SelectField, StringField
from wtforms.fields import SelectChoice
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, Optional

from notifier.channels import CHANNELS
from notifier.channels.contract import Adapter, Setting
from notifier.channels.wire.server_url import ServerParts
from notifier.core.errors import Fault, Rejected
from notifier.ground.config import current_settings
from notifier.models import Address, Provider
from notifier.operations import connection_trial, provider_trial
from notifier.providers import accounts as providers
from notifier.providers import flags, health
from notifier.queries import hooks
from notifier.queries import providers as queries
from notifier.web.access import allow, page_blueprint
from notifier.web.forms import ConsoleForm, said, stripped

pages = page_blueprint("providers", url_prefix="/admin/providers")

_LONGEST = 4_000
_SPELLED = {"API": "API", "ID": "ID", "SID": "SID", "URL": "URL"}  # of the words of settings, those that stay large


class AccountForm(ConsoleForm):
    position = IntegerField(
        "Position", [InputRequired("A number: lower is tried first."), NumberRange(-1000, 1000)], default=0
    )
    weight = IntegerField(
        "Share among those at the same position",
        [InputRequired("A number, 1 or more."), NumberRange(1, 1000)],
        default=1,
    )
    is_on = BooleanField("In use", default=True)
    seen = HiddenField()


class DestinationForm(ConsoleForm):
    """The destination of a test: an address of the admin's own, or one that is typed in."""

    own = SelectField("To", validate_choice=False)
    to = StringField("Destination", [Length(max=_LONGEST)], filters=[stripped])

    def destination(self) -> UUID | str:
        if self.to.data:
            return str(self.to.data)
        try:
            return UUID(self.own.data or "")
        except ValueError:
            return ""


class NewAccountForm(AccountForm):
    name = StringField("Name", [DataRequired("Give it a name."), Length(max=64)], filters=[stripped])


def _form_of(adapter: type[Adapter], base: type[AccountForm], *, is_new: bool) -> type[AccountForm]:
    """The form of one adapter: a field for each of its settings, `setting_NAME`; for the URL of a server, one for each
    of its parts, `setting_NAME_host` and so on.
    """
    fields: dict[str, Any] = {}
    for setting in adapter.settings:
        needs = is_new and setting.must_be_given
        if setting.server is not None:
            fields |= {_part(setting, name): field for name, field in _parts_of(setting, needs=needs).items()}
            continue
        validators = [DataRequired(f"{setting.name} is required.") if needs else Optional(), Length(max=_LONGEST)]
        kind = PasswordField if setting.is_secret else StringField
        fields[f"setting_{setting.name}"] = kind(_label(setting.name), validators, filters=[stripped])
    return type("SettingsForm", (base,), fields)


def _label(name: str) -> str:
    """`ACME_API_KEY` → API key (ACME_API_KEY): in words, and as the documentation calls it."""
    words = [_SPELLED.get(word, word.lower()) for word in name.split("_")[1:]]
    said = " ".join(words)
    return f"{said[:1].upper()}{said[1:]} ({name})" if said else name


def _part(setting: Setting, name: str) -> str:
    return f"setting_{setting.name}_{name}"


def _parts_of(setting: Setting, *, needs: bool) -> dict[str, Any]:
    assert setting.server is not None
    host, short = DataRequired("The host is required.") if needs else Optional(), Length(max=255)
    schemes = [SelectChoice(scheme, words) for scheme, words in setting.server.schemes.items()]
    return {
        "host": StringField("Host", [host, short], filters=[stripped]),
        "port": StringField("Port", [short], filters=[stripped], render_kw={"inputmode": "numeric"}),
        "scheme": SelectField("TLS", choices=schemes),
        "user": StringField("User", [short], filters=[stripped], render_kw={"autocomplete": "off"}),
        "password": PasswordField("Password", [Length(max=_LONGEST)], render_kw={"autocomplete": "new-password"}),
    }


@pages.get("")
@allow("viewer")
def listing() -> ResponseReturnValue:
    providers.refresh()
    try:
        states: dict[str, str] | None = health.states()
    except redis.RedisError:
        states = None
    channels = queries.by_channel()
    telling = [line.name for channel in channels for line in channel.accounts if line.adapter.tells]
    return render_template(
        "admin/providers.html",
        channels=channels,
        states=states,
        hook_health=hooks.health_of(telling),
        has_sandbox=not current_settings().is_production,
    )


@pages.get("/new/<adapter>")
@allow("admin")
def new(adapter: str) -> ResponseReturnValue:
    model = queries.adapter_of(adapter)
    return _page(_form_of(model, NewAccountForm, is_new=True)(formdata=None), model)


@pages.post("/new/<adapter>")
@allow("admin", recent=True)
def create(adapter: str) -> ResponseReturnValue:
    model = queries.adapter_of(adapter)
    form = _form_of(model, NewAccountForm, is_new=True)()
    try:
        form.check()
        providers.add(
            form["name"].data,
            adapter,
            _given(form, model),
            position=form.position.data,
            weight=form.weight.data,
            is_on=form.is_on.data,
        )
    except Rejected as error:
        return _page(form.refuse(error), model), 422
    flash(f"{form['name'].data} has been added. All processes will use it within {providers.REFRESH_S:g} seconds.")
    return redirect(url_for("providers.listing"), 303)


@pages.get("/<name>")
@allow("viewer")
def one(name: str) -> ResponseReturnValue:
    providers.refresh()
    row, model = queries.find(name)
    return _account_page(name, row, model)


def _account_page(
    name: str, row: Provider | None, model: type[Adapter], test_form: DestinationForm | None = None
) -> str:
    if row is None:
        return _page(None, model, name, row=row, test_form=test_form)
    stored = row.settings or {}
    shown = {
        f"setting_{setting.name}": stored.get(setting.name, "") for setting in model.settings if not setting.is_secret
    }
    if current_user.has_role("admin"):
        shown |= {name: value for setting in model.settings for name, value in _shown_parts(setting, stored).items()}
    form = _form_of(model, AccountForm, is_new=False)(
        formdata=None,
        data={
            "position": row.position,
            "weight": row.weight,
            "is_on": row.is_on,
            "seen": providers.revision_of(row),
            **shown,
        },
    )
    return _page(form, model, name, row=row, held=set(row.settings or {}), test_form=test_form)


def _shown_parts(setting: Setting, stored: Mapping[str, str]) -> dict[str, str]:
    """Of the URL of a server: all but its password."""
    parts = setting.server.split(stored.get(setting.name, "")) if setting.server else None
    if parts is None:
        return {}
    return {_part(setting, name): getattr(parts, name) for name in ("host", "port", "scheme", "user")}


@pages.post("/<name>")
@allow("admin", recent=True)
def change(name: str) -> ResponseReturnValue:
    row, model = queries.one(name)
    form = _form_of(model, AccountForm, is_new=False)()
    held = set(row.settings or {})
    try:
        form.check()
        secrets = {setting.name for setting in model.settings if setting.is_secret}
        providers.change(
            name,
            _given(form, model, row.settings or {}),
            keeping=secrets,
            position=form.position.data,
            weight=form.weight.data,
            is_on=form.is_on.data,
            seen=form.seen.data or None,
        )
    except Rejected as error:
        return _page(form.refuse(error), model, name, row=row, held=held), 422
    flash(f"{name} has been saved. All processes will use the new settings within {providers.REFRESH_S:g} seconds.")
    return redirect(url_for("providers.listing"), 303)


@pages.post("/<name>/test")
@allow("admin")
def test(name: str) -> ResponseReturnValue:
    """Only stores the message: a worker sends it, and its history shows the result."""
    row, model = queries.find(name)
    form = _destination_form(name, DestinationForm())
    try:
        form.check()
        key = provider_trial.send(name, current_user.user_id, form.destination())
    except Rejected as error:
        return _account_page(name, row, model, form.refuse(error, {"/value": "to"})), 422
    flash(f"A test message through {name} is on its way. Reload this page to see how it went.")
    return redirect(url_for("notifications.one", notification_id=key), 303)


@pages.post("/<name>/try")
@allow("admin")
def try_out(name: str) -> ResponseReturnValue:
    """The settings that are saved: connects and signs in, and sends nothing."""
    queries.find(name)
    try:
        reached = connection_trial.try_out(name, current_user.user_id)
        flash(f"The connection works: {reached} lets us in.")
    except Rejected as error:
        if error.code == "not_found":
            raise
        said_so = error.code != "conflict"  # else it is what became of the trial
        flash(said(error.detail) if said_so else f"The connection does not work: {error.detail.rstrip('.')}.", "error")
    return redirect(url_for("providers.one", name=name), 303)


@pages.post("/<name>/remove")
@allow("admin", recent=True)
def remove(name: str) -> ResponseReturnValue:
    queries.one(name)
    if request.form.get("confirm") != name:
        flash("Nothing was removed: type its name to confirm.", "error")
        return redirect(url_for("providers.one", name=name), 303)
    providers.remove(name)
    flash(f"{name} has been removed.")
    return redirect(url_for("providers.listing"), 303)


@pages.post("/flags")
@allow("admin")
def set_flag() -> ResponseReturnValue:
    """Switches it on for a share of the people, always the same ones."""
    name, text = request.form.get("flag", ""), request.form.get("percentage", "")
    try:
        if not (text.isdecimal() and len(text) < 4):
            raise Rejected("validation_failed", "the percentage must be a whole number from 0 (off) to 100 (on)")
        flags.put(name, int(text))
        flash(f"{name} is on for {text} % of people. All processes will follow within {providers.REFRESH_S:g} seconds.")
    except Rejected as error:
        flash(f"Nothing was changed: {error.detail}.", "error")
    return redirect(url_for("providers.listing"), 303)


def _given(form: AccountForm, model: type[Adapter], stored: Mapping[str, str] | None = None) -> dict[str, str]:
    """Raises Rejected for a server that cannot be one. `stored`: the settings up to now."""
    given: dict[str, str] = {}
    for setting in model.settings:
        value = (
            _given_server(form, setting, (stored or {}).get(setting.name, ""))
            if setting.server is not None
            else form[f"setting_{setting.name}"].data
        )
        if value:
            given[setting.name] = value
    return given


def _given_server(form: AccountForm, setting: Setting, stored: str) -> str:
    """A password that is not given stays, but for its own server and user alone: nobody sends it elsewhere who does not
    know it.
    """
    assert setting.server is not None
    typed = {name: form[_part(setting, name)].data or "" for name in ("scheme", "host", "port", "user", "password")}
    if not typed["host"]:
        return ""
    parts, before = ServerParts(**typed), setting.server.split(stored)
    if before is not None and before.password and parts.user and not parts.password:
        parts = replace(parts, password=before.password)
        if parts != before:
            raise _at(_part(setting, "password"), "Enter the password again: it was given for the server as it was.")
    try:
        return setting.server.join(parts)
    except ValueError as error:
        raise _at(_part(setting, "port" if "port" in str(error) else "host"), str(error)) from None


def _at(field: str, sentence: str) -> Rejected:
    return Rejected("validation_failed", sentence, (Fault(f"/{field}", "invalid", sentence),))


def _page(
    form: AccountForm | None,
    model: type[Adapter],
    name: str | None = None,
    *,
    row: Provider | None = None,
    held: Collection[str] = (),
    test_form: DestinationForm | None = None,
) -> str:
    """`form` None: the environment sets it. `name` None: it is about to be added, and there is nothing to tell yet."""
    of_account: dict[str, Any] = {}
    if name is not None:
        of_account = {
            "test_form": test_form or _destination_form(name, DestinationForm(formdata=None)),
            "can_be_tried": connection_trial.can_be_tried(model),
            "why_no_test": provider_trial.why_not(name, current_user.user_id),
            "hook": hooks.of(name, model, row),
            "is_in_use": row is None or row.is_on,
            "is_of_environment": row is None and model.is_begun(current_settings()),
            "codes": hooks.codes(name),
        }
    return render_template("admin/provider.html", form=form, adapter=model, name=name, held=held, **of_account)


def _destination_form(name: str, form: DestinationForm) -> DestinationForm:
    """With the addresses of the admin's own to choose from; those that are secret are not shown in full."""
    mine = provider_trial.destinations(name, current_user.user_id)
    form.to.label.text = "Another destination" if mine else "Destination"
    form.own.choices = [
        SelectChoice(str(address.id), f"{address.masked if _is_secret(address) else address.value} (yours)")
        for address in mine
    ]
    return form


def _is_secret(address: Address) -> bool:
    kind = CHANNELS[address.channel].address
    return kind is None or kind.url is not None or not kind.is_typed
