"""Producers and their keys.

Viewers look; admins create, rotate and revoke. A key is shown once, on the page that made it. That page is the answer
to the POST and is never stored, so a key is in no URL and no cookie.
"""

from datetime import datetime, timedelta
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import BooleanField, HiddenField, SelectField, StringField, TextAreaField, ValidationError
from wtforms.fields import SelectChoice
from wtforms.validators import DataRequired, Length

from notifier.access import origins
from notifier.access.keys import CACHED_S, create_producer, disable_producer, revoke_key, rotate_key
from notifier.access.keys import create_key as make_key
from notifier.core.errors import Rejected
from notifier.core.networks import Network
from notifier.core.networks import parse as parse_networks
from notifier.ground.clock import now
from notifier.ground.ids import parse, show
from notifier.models.producer import SCOPES, ApiKey
from notifier.queries import producers as queries
from notifier.queries.types import names as type_names
from notifier.web.access import allow, page_blueprint
from notifier.web.forms import CheckboxesField, ConsoleForm, is_storable, said, stripped

pages = page_blueprint("producers", url_prefix="/admin/producers")

MAY = {
    "notify": "send and schedule",
    "read": "see what it has sent, event types and templates",
    "users": "manage users, their addresses and preferences, and create tokens for their inboxes",
    "templates": "change event types and templates",
    "urgent": "mark a notification as urgent",
    "broadcast": "send to whole audiences, and upload lists of people",
    "alerts": "tell every admin of alerts, as Alertmanager does",
    "admin": "see what every producer has sent, see the sandbox, and change its producer's limits",
}
OVERLAPS = {
    "24": ("In 24 hours", timedelta(days=1)),
    "1": ("In an hour", timedelta(hours=1)),
    "168": ("In 7 days", timedelta(days=7)),
    "0": ("Now", timedelta(0)),
}
LIVES = {
    "": ("Never", None),
    "30": ("After 30 days", timedelta(days=30)),
    "90": ("After 90 days", timedelta(days=90)),
    "365": ("After a year", timedelta(days=365)),
}


class ProducerForm(ConsoleForm):
    name = StringField("Name", [DataRequired("Give it a name."), Length(max=200)], filters=[stripped])

    def validate_name(self, field: StringField) -> None:
        if field.data.splitlines() != [field.data]:
            raise ValidationError("A name stands in one line.")
        if is_storable(field.data) and queries.is_taken(field.data):
            raise ValidationError("There is already a producer with this name. Create another key for it instead.")


class OriginsForm(ConsoleForm):
    is_limited = BooleanField("Only pages of these sites may show the inbox")
    origins = TextAreaField("Sites, one a line", [Length(max=10_000)])
    seen = HiddenField()


class NetworksField(TextAreaField):
    """Networks, one a line. `networks` are those that were given, None for none: anywhere."""

    networks: tuple[Network, ...] | None = None

    def pre_validate(self, form: Any) -> None:
        try:
            self.networks = parse_networks((self.data or "").replace(",", " ").split()) or None
        except ValueError as error:
            raise ValidationError(said(str(error))) from None


class KeyForm(ConsoleForm):
    kind = SelectField(
        "Kind",
        choices=[SelectChoice("live", "Live: sends for real"), SelectChoice("test", "Test: does everything but send")],
        default="live",
    )
    scopes = CheckboxesField(
        "It may",
        choices=[SelectChoice(scope, f"{scope}: {MAY[scope]}") for scope in SCOPES],
        default=["notify", "read", "users"],
    )
    types = CheckboxesField("Only these event types")
    networks = NetworksField("Only from these networks", [Length(max=10_000)])
    life = SelectField(
        "It expires", choices=[SelectChoice(days, words) for days, (words, _) in LIVES.items()], default=""
    )

    def validate_scopes(self, field: CheckboxesField) -> None:
        if not field.data:
            raise ValidationError("Choose at least one thing it may do.")


class RotationForm(ConsoleForm):
    overlap = SelectField(
        "The old key expires",
        choices=[SelectChoice(hours, words) for hours, (words, _) in OVERLAPS.items()],
        default="24",
    )
    networks = NetworksField("The new key works only from these networks", [Length(max=10_000)])
    life = SelectField(
        "The new key expires", choices=[SelectChoice(days, words) for days, (words, _) in LIVES.items()], default=""
    )


@pages.get("")
@allow("viewer")
def listing() -> ResponseReturnValue:
    return _listing(ProducerForm(formdata=None))


def _listing(form: ProducerForm) -> str:
    text = request.args.get("q", "").strip()[:200].replace("\0", "")
    return render_template("admin/producers.html", lines=queries.lines(text), q=text, form=form)


@pages.post("")
@allow("admin")
def create() -> ResponseReturnValue:
    form = ProducerForm()
    if not form.validate():
        return _listing(form), 422
    producer = create_producer(form.name.data)
    return redirect(url_for("producers.one", producer_id=show("prd", producer.id)), 303)


@pages.get("/<producer_id>")
@allow("viewer")
def one(producer_id: str) -> ResponseReturnValue:
    return _page(producer_id)


def _page(
    producer_id: str,
    key_form: KeyForm | None = None,
    origins_form: OriginsForm | None = None,
    plain: str | None = None,
) -> str:
    producer, keys = queries.one(producer_id)
    key_form = key_form or _key_form(is_empty=True)
    listed = producer.allowed_origins
    origins_form = origins_form or OriginsForm(
        formdata=None,
        data={
            "is_limited": listed is not None,
            "origins": "\n".join(listed or []),
            "seen": origins.revision_of(listed),
        },
    )
    return render_template(
        "admin/producer.html",
        producer=producer,
        id=producer_id,
        keys=keys,
        key_form=key_form,
        origins_form=origins_form,
        plain=plain,
    )


def _key_form(*, is_empty: bool) -> KeyForm:
    form = KeyForm(formdata=None) if is_empty else KeyForm()
    form.types.choices = [*type_names().items()]
    return form


@pages.post("/<producer_id>/keys")
@allow("admin", recent=True)
def create_key(producer_id: str) -> ResponseReturnValue:
    queries.one(producer_id)
    form = _key_form(is_empty=False)
    if not form.validate():
        return _page(producer_id, form), 422
    _, plain = make_key(
        parse("prd", producer_id),
        scopes=form.scopes.data,
        is_test=form.kind.data == "test",
        types=form.types.data or None,
        networks=form.networks.networks,
        expires_at=_end_of(form.life.data),
    )
    return _page(producer_id, plain=plain)


def _end_of(life: str) -> datetime | None:
    _, lasting = LIVES[life]
    return None if lasting is None else now() + lasting


@pages.post("/<producer_id>/keys/<key_id>/rotate")
@allow("admin", recent=True)
def rotate(producer_id: str, key_id: str) -> ResponseReturnValue:
    form = RotationForm()
    found = _check_key(producer_id, key_id)
    if not form.validate():
        return _key_page(producer_id, found, form), 422
    _, plain = rotate_key(
        parse("key", key_id),
        OVERLAPS[form.overlap.data][1],
        networks=form.networks.networks,
        expires_at=_end_of(form.life.data),
    )
    return _page(producer_id, plain=plain)


@pages.get("/<producer_id>/keys/<key_id>")
@allow("admin")
def key(producer_id: str, key_id: str) -> ResponseReturnValue:
    """The page of one key, to rotate or revoke it."""
    found = _check_key(producer_id, key_id)
    as_it_is = {"networks": "\n".join(found.row.networks or []), "life": _life_of(found.row)}
    return _key_page(producer_id, found, RotationForm(formdata=None, data=as_it_is))


def _life_of(key: ApiKey) -> str:
    """The shortest of LIVES for which it can have been made; for a key that is being replaced, too."""
    if key.expires_at is None:
        return ""
    lasting = key.expires_at - key.created_at
    return next((days for days, (_, life) in LIVES.items() if life is not None and lasting <= life), "365")


def _key_page(producer_id: str, found: queries.Key, form: RotationForm) -> str:
    return render_template("admin/producer_key.html", producer=found.row.producer, id=producer_id, key=found, form=form)


@pages.post("/<producer_id>/keys/<key_id>/revoke")
@allow("admin", recent=True)
def revoke(producer_id: str, key_id: str) -> ResponseReturnValue:
    prefix = _check_key(producer_id, key_id).row.prefix
    is_revoked = revoke_key(parse("key", key_id))
    flash(
        f"The key {prefix}… has been revoked. It stops working everywhere within {CACHED_S:g} seconds."
        if is_revoked
        else "It had already been revoked."
    )
    return redirect(url_for("producers.one", producer_id=producer_id), 303)


@pages.post("/<producer_id>/origins")
@allow("admin")
def set_origins(producer_id: str) -> ResponseReturnValue:
    queries.one(producer_id)
    form = OriginsForm()
    if form.validate():
        try:
            origins.limit(
                parse("prd", producer_id),
                (form.origins.data or "").split() if form.is_limited.data else None,
                seen=form.seen.data or None,
            )
        except ValueError as error:
            form.origins.errors = [f"{error}."]
        except Rejected as error:
            form.refuse(error)
        else:
            flash("The sites have been saved.")
            return redirect(url_for("producers.one", producer_id=producer_id), 303)
    return _page(producer_id, origins_form=form), 422


@pages.post("/<producer_id>/state")
@allow("admin", recent=True)
def set_state(producer_id: str) -> ResponseReturnValue:
    producer, _ = queries.one(producer_id)
    disabled = request.form.get("state") == "off"
    disable_producer(producer.id, disabled=disabled)
    flash("None of its keys works any more." if disabled else "Its keys work again.")
    return redirect(url_for("producers.one", producer_id=producer_id), 303)


def _check_key(producer_id: str, key_id: str) -> queries.Key:
    """The key, if it is this producer's and still of use. Raises Rejected('not_found')."""
    _, keys = queries.one(producer_id)
    found = next((one for one in keys if one.id == key_id), None)
    if found is None:
        raise Rejected("not_found", f"there is no key {key_id[:80]}")
    return found
