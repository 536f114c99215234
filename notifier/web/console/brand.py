"""The brand of mails: the installation's, and on a page of its own what a producer has instead. Viewers look; admins
save.

The preview follows what is typed, in a sandboxed frame, at the widths of a phone and a desktop.
"""

from functools import partial
from typing import Any
from urllib.parse import urlsplit

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import HiddenField, StringField, TextAreaField
from wtforms.validators import Length

from notifier.cells import brands
from notifier.core.brand import LONGEST_ADDRESS, LONGEST_LOGO, LONGEST_NAME, NO_BRAND, Brand
from notifier.core.errors import Rejected
from notifier.ground.config import current_settings
from notifier.ground.ids import parse
from notifier.operations.brand_trial import sample_mail
from notifier.queries import producers
from notifier.web.access import allow, page_blueprint
from notifier.web.console.template_previews import keep
from notifier.web.forms import ConsoleForm
from notifier.words.brands import INSTALLATION_NAME, brands_of, cleaned, own_brand, revision_of, set_brand

pages = page_blueprint("brand", url_prefix="/admin/brand")

_FIELDS = ("name", "logo", "accent", "address")


class BrandForm(ConsoleForm):
    name = StringField("Name", [Length(max=LONGEST_NAME)])
    logo = StringField("Logo", [Length(max=LONGEST_LOGO)])
    accent = StringField("Colour", [Length(max=20)])
    address = TextAreaField("Postal address", [Length(max=LONGEST_ADDRESS + 20)])
    seen = HiddenField()

    def brand(self) -> Brand:
        """Raises Rejected."""
        self.check()
        return cleaned({name: self[name].data for name in _FIELDS}, site_url=current_settings().public_url)


@pages.get("", defaults={"producer_id": None})
@pages.get("/<producer_id>")
@allow("viewer")
def show(producer_id: str | None) -> ResponseReturnValue:
    stored = own_brand(parse("prd", producer_id) if producer_id else None)
    shown = {name: getattr(stored, name) for name in _FIELDS}
    form = BrandForm(formdata=None, data={**shown, "seen": revision_of(stored)})
    return _page(producer_id, form, stored)


@pages.post("", defaults={"producer_id": None})
@pages.post("/<producer_id>")
@allow("admin")
def save(producer_id: str | None) -> ResponseReturnValue:
    producer = producers.one(producer_id)[0] if producer_id else None
    form = BrandForm()
    key, name = (producer.id, producer.name) if producer else (None, None)
    try:
        brand = form.brand()
        tell_others = partial(brands.tell_others, brand, name)
        set_brand(key, brand, subject=name or INSTALLATION_NAME, beside=tell_others, seen=form.seen.data or None)
    except Rejected as error:
        return _page(producer_id, form.refuse(error), None), 422
    flash("The brand has been saved. Mails that are sent from now on show it.")
    return redirect(url_for("brand.show", producer_id=producer_id), 303)


@pages.post("/-/preview", defaults={"producer_id": None})
@pages.post("/<producer_id>/preview")
@allow("admin")
def preview(producer_id: str | None) -> ResponseReturnValue:
    """Stores nothing. The page's script gets the preview only; without JavaScript the whole page is shown."""
    form = BrandForm()
    try:
        brand = form.brand()
    except Rejected as error:
        form.refuse(error)
        brand = None
    if request.headers.get("X-Partial"):
        return render_template("admin/brand_preview.html", **_preview(producer_id, form, brand))
    return _page(producer_id, form, brand)


def _page(producer_id: str | None, form: BrandForm, brand: Brand | None) -> str:
    producer = producers.one(producer_id)[0] if producer_id else None
    return render_template(
        "admin/brand.html",
        producer=producer,
        id=producer_id,
        form=form,
        base=brands_of([None])[None] if producer else NO_BRAND,
        **_preview(producer_id, form, brand),
    )


def _preview(producer_id: str | None, form: BrandForm, brand: Brand | None) -> dict[str, Any]:
    """The data for `brand_preview.html`. `brand` None: the form's faults are shown instead."""
    if brand is None:
        return {"faults": [fault for name in _FIELDS for fault in form[name].errors], "mail": None, "host": None}
    shown = brand.over(brands_of([None])[None]) if producer_id else brand
    return {"faults": [], "mail": keep(sample_mail(shown)), "host": _foreign_host(shown.logo)}


def _foreign_host(logo: str | None) -> str | None:
    host = urlsplit(logo or "").hostname
    return None if host == urlsplit(current_settings().public_url).hostname else host
