"""Status webhooks in the console: who is told of events, how that fares, and every attempt.

Viewers look; operators test, replay and switch; admins create, change and delete. URLs are masked, since their paths
may hold secrets. A signing secret is shown once, in the answer to the POST that made it.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import HiddenField, SelectField, StringField, ValidationError
from wtforms.fields import SelectChoice
from wtforms.validators import DataRequired, InputRequired, Length

from notifier.core import events, subscriptions
from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.ids import parse, show
from notifier.queries import producers
from notifier.queries import subscriptions as queries
from notifier.queries.notifications import Sight
from notifier.queries.subscriptions import ATTEMPT, SUBSCRIPTION
from notifier.queries.types import names as type_names
from notifier.subscriptions import registered, workbench
from notifier.subscriptions.registered import Rights
from notifier.web.access import allow, page_blueprint
from notifier.web.console.acting import on_behalf_of
from notifier.web.forms import CheckboxesField, ConsoleForm, stripped

pages = page_blueprint("subscriptions", url_prefix="/admin/subscriptions")

ATTEMPTS_SHOWN = 50
EVERYTHING = Sight()
# What needs a key's scopes, and ends with that key, cannot be asked for here
_RIGHTS = Rights(None, sees_people=False, sees_all=False)
_EVENTS = [kind for kind in events.KINDS if not subscriptions.is_of_people(kind)]
_USUAL = [events.OF_STATUS[status] for status in ("sent", "delivered", "failed", "bounced")]
REPLAYS = {
    "1": ("the last hour", timedelta(hours=1)),
    "6": ("the last 6 hours", timedelta(hours=6)),
    "24": ("the last 24 hours", timedelta(days=1)),
    "72": ("the last 3 days", timedelta(days=3)),
    "168": ("the last 7 days", timedelta(days=7)),
}


class _Form(ConsoleForm):
    types = CheckboxesField("Only these event types")
    events = CheckboxesField("Events", choices=[SelectChoice(kind, kind) for kind in _EVENTS])
    description = StringField("Description", [Length(max=200)], filters=[lambda text: stripped(text) or None])

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.types.choices = [*type_names().items()]


class NewForm(_Form):
    producer = SelectField("Producer", [InputRequired("Choose a producer.")])
    url = StringField("URL", [DataRequired("Enter the URL."), Length(max=2_048)], filters=[stripped])

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.producer.choices = [SelectChoice(line.producer.shown_id, line.producer.name) for line in producers.lines()]

    def validate_events(self, field: CheckboxesField) -> None:
        _require_some(field)


class ChangeForm(_Form):
    """`url` may be left empty: the one that is stored is not shown. `events` cannot be changed where a key's scopes
    gave more than the console may. One that is for pings alone has none that could be chosen.
    """

    url = StringField("New URL", [Length(max=2_048)], filters=[stripped])
    seen = HiddenField()
    may_change_events = needs_events = True

    def validate_events(self, field: CheckboxesField) -> None:
        if self.needs_events:
            _require_some(field)


class ReplayForm(ConsoleForm):
    span = SelectField(
        "Events of", choices=[SelectChoice(key, words) for key, (words, _) in REPLAYS.items()], default="1"
    )


def _require_some(field: CheckboxesField) -> None:
    if not field.data:
        raise ValidationError("Choose at least one event.")


@pages.get("")
@allow("viewer")
def listing() -> ResponseReturnValue:
    return _listing(NewForm(formdata=None, data={"events": _USUAL, "producer": request.args.get("producer", "")}))


def _listing(form: NewForm) -> str:
    producer, after = request.args.get("producer"), request.args.get("after")
    chosen = producers.one(producer)[0] if producer else None
    found = queries.lines(Sight(chosen.id if chosen else None), after)
    return render_template("admin/subscriptions.html", found=found, chosen=chosen, form=form)


@pages.post("")
@allow("admin", recent=True)
def create() -> ResponseReturnValue:
    form = NewForm()
    try:
        form.check()
        given = {
            "url": form.url.data,
            "events": form.events.data,
            "types": form.types.data or None,
            "description": form.description.data,
        }
        made = registered.create(on_behalf_of(parse("prd", form.producer.data)), _RIGHTS, given)
    except Rejected as error:
        return _listing(form.refuse(error)), 422
    return _page(show(SUBSCRIPTION, made.subscription_id), secret=made.secret)


@pages.get("/<subscription_id>")
@allow("viewer")
def one(subscription_id: str) -> ResponseReturnValue:
    return _page(subscription_id)


def _page(
    subscription_id: str,
    change: ChangeForm | None = None,
    replay: ReplayForm | None = None,
    secret: str | None = None,
) -> str:
    line = queries.line(parse(SUBSCRIPTION, subscription_id), EVERYTHING)
    after = request.args.get("after")
    if after:
        parse(ATTEMPT, after)
    return render_template(
        "admin/subscription.html",
        line=line,
        attempts=queries.attempts(line.id, after, ATTEMPTS_SHOWN, only_failed=request.args.get("only") == "failed"),
        change=change or _change_form(line, is_empty=True),
        replay=replay or ReplayForm(formdata=None),
        secret=secret,
    )


def _change_form(line: queries.Line, *, is_empty: bool) -> ChangeForm:
    told = [line.shown[name] for name in ("url", "events", "types", "description")]
    data = {"events": line.kinds, "types": line.shown["types"] or [], "description": line.shown["description"]}
    data["seen"] = registered.revision_of(*told)
    form = ChangeForm(formdata=None, data=data) if is_empty else ChangeForm()
    form.may_change_events = not line.has_scopes
    form.needs_events = form.may_change_events and bool(line.kinds)
    return form


@pages.post("/<subscription_id>")
@allow("admin", recent=True)
def change(subscription_id: str) -> ResponseReturnValue:
    line = queries.line(parse(SUBSCRIPTION, subscription_id), EVERYTHING)
    form = _change_form(line, is_empty=False)
    try:
        form.check()
        given: dict[str, Any] = {"types": form.types.data or None, "description": form.description.data}
        if form.url.data:
            given["url"] = form.url.data
        if form.may_change_events and set(form.events.data) != line.kinds:
            given["events"] = form.events.data
        registered.change(line.id, _RIGHTS, given, seen=form.seen.data or None)
    except Rejected as error:
        return _page(subscription_id, form.refuse(error)), 422
    flash("Saved.")
    return _back(subscription_id)


@pages.post("/<subscription_id>/state")
@allow("operator")
def set_state(subscription_id: str) -> ResponseReturnValue:
    is_on = request.form.get("state") == "on"
    registered.change(_known(subscription_id), _RIGHTS, {"disabled": not is_on})
    flash("Events are sent again, from where it stopped." if is_on else "Nothing more is sent to it.")
    return _back(subscription_id)


@pages.post("/<subscription_id>/test")
@allow("operator")
def test(subscription_id: str) -> ResponseReturnValue:
    try:
        registered.ask_for_ping(_known(subscription_id))
    except Rejected as error:
        flash(f"Nothing was sent: {error.detail}.", "error")
    else:
        flash("A ping is on its way. Reload this page to see what came of it.")
    return _back(subscription_id)


@pages.get("/<subscription_id>/attempts/<attempt_id>")
@allow("viewer")
def attempt(subscription_id: str, attempt_id: str) -> ResponseReturnValue:
    line = queries.line(parse(SUBSCRIPTION, subscription_id), EVERYTHING)
    return render_template("admin/subscription_attempt.html", line=line, sent=workbench.sent(line.id, attempt_id))


@pages.post("/<subscription_id>/attempts/<attempt_id>/again")
@allow("operator")
def send_one_again(subscription_id: str, attempt_id: str) -> ResponseReturnValue:
    key = _known(subscription_id)
    try:
        workbench.resend(key, attempt_id)
    except Rejected as error:
        if error.code == "not_found":
            raise
        flash(f"Nothing was sent: {error.detail}.", "error")
    else:
        flash("It is on its way once more. Reload this page to see what came of it.")
    return _back(subscription_id)


@pages.post("/<subscription_id>/replay")
@allow("operator")
def send_again(subscription_id: str) -> ResponseReturnValue:
    key, form = _known(subscription_id), ReplayForm()
    try:
        form.check()
        until = now()
        registered.replay(key, until - REPLAYS[form.span.data][1], until)
    except Rejected as error:
        return _page(subscription_id, replay=form.refuse(error, {"/since": "span", "/until": "span"})), 422
    flash("The events are sent once more, each with the id that it had.")
    return _back(subscription_id)


@pages.post("/<subscription_id>/rotate-secret")
@allow("admin", recent=True)
def rotate(subscription_id: str) -> ResponseReturnValue:
    secret, _ = registered.rotate_secret(_known(subscription_id), _RIGHTS)
    return _page(subscription_id, secret=secret)


@pages.get("/<subscription_id>/delete")
@allow("admin")
def ask(subscription_id: str) -> ResponseReturnValue:
    line = queries.line(parse(SUBSCRIPTION, subscription_id), EVERYTHING)
    return render_template("admin/subscription_delete.html", line=line)


@pages.post("/<subscription_id>/delete")
@allow("admin", recent=True)
def delete(subscription_id: str) -> ResponseReturnValue:
    registered.remove(_known(subscription_id))
    flash("The status webhook has been deleted.")
    return redirect(url_for("subscriptions.listing"), 303)


def _known(subscription_id: str) -> UUID:
    """Raises Rejected('not_found')."""
    return queries.in_sight(subscription_id, EVERYTHING)


def _back(subscription_id: str) -> ResponseReturnValue:
    return redirect(url_for("subscriptions.one", subscription_id=subscription_id), 303)
