"""Providers: which accounts send on each channel, in which order, and for how many people. Viewers look; admins change.

An adapter's declared settings make its form. A secret is never shown again; an empty field leaves it unchanged.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import redis
from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from wtforms import BooleanField, IntegerField, PasswordField, SelectField, StringField
from wtforms.fields import SelectChoice
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, Optional

from notifier.channels import CHANNELS
from notifier.channels.contract import Adapter
from notifier.core.errors import Rejected
from notifier.ground.config import current_settings
from notifier.models import Address, Provider
from notifier.operations import provider_trial
from notifier.providers import accounts as providers
from notifier.providers import flags, health
from notifier.queries import hooks
from notifier.queries import providers as queries
from notifier.web.access import allow, page_blueprint
from notifier.web.forms import ConsoleForm, stripped

pages = page_blueprint("providers", url_prefix="/admin/providers")

_LONGEST = 4_000


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
    """The form of one adapter: a field for each of its settings, `setting_NAME`."""
    fields: dict[str, Any] = {}
    for setting in adapter.settings:
        needs = is_new and setting.must_be_given
        validators = [DataRequired(f"{setting.name} is required.") if needs else Optional(), Length(max=_LONGEST)]
        kind = PasswordField if setting.is_secret else StringField
        fields[f"setting_{setting.name}"] = kind(setting.name, validators, filters=[stripped])
    return type("SettingsForm", (base,), fields)


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
@allow("admin")
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
    shown = {
        f"setting_{setting.name}": (row.settings or {}).get(setting.name, "")
        for setting in model.settings
        if not setting.is_secret
    }
    form = _form_of(model, AccountForm, is_new=False)(
        formdata=None, data={"position": row.position, "weight": row.weight, "is_on": row.is_on, **shown}
    )
    return _page(form, model, name, row=row, held=set(row.settings or {}), test_form=test_form)


@pages.post("/<name>")
@allow("admin")
def change(name: str) -> ResponseReturnValue:
    row, model = queries.one(name)
    form = _form_of(model, AccountForm, is_new=False)()
    held = set(row.settings or {})
    try:
        form.check()
        secrets = {setting.name for setting in model.settings if setting.is_secret}
        providers.change(
            name,
            _given(form, model),
            keeping=secrets,
            position=form.position.data,
            weight=form.weight.data,
            is_on=form.is_on.data,
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


@pages.post("/<name>/remove")
@allow("admin")
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


def _given(form: AccountForm, model: type[Adapter]) -> dict[str, str]:
    return {
        setting.name: form[f"setting_{setting.name}"].data
        for setting in model.settings
        if form[f"setting_{setting.name}"].data
    }


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
            "why_no_test": provider_trial.why_not(name, current_user.user_id),
            "hook": hooks.of(name, model, row),
            "is_in_use": row is None or row.is_on,
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
