"""What a producer may do beyond what its keys say. Viewers look; admins change it."""

from typing import Any

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from wtforms import BooleanField, HiddenField, StringField, TextAreaField
from wtforms.validators import DataRequired, Length

from notifier.access import producer_limits
from notifier.core.errors import Rejected
from notifier.core.spend import shown
from notifier.ground.config import UNITS, current_settings
from notifier.models import Producer
from notifier.queries import producers as queries
from notifier.queries.producer_limits import CACHED_S
from notifier.web.access import allow, page_blueprint
from notifier.web.forms import ConsoleForm, stripped

pages = page_blueprint("producer_limits", url_prefix="/admin/producers/<producer_id>/limits")


class LimitsForm(ConsoleForm):
    has_targets = BooleanField("Webhooks may lead only to these networks and hosts")
    webhook_targets = TextAreaField("Networks and hosts, one a line", [Length(max=20_000)])
    has_countries = BooleanField("SMS and calls go only to these countries")
    phone_countries = StringField("Their codes", [Length(max=2_000)])
    daily_spend = StringField("Money for SMS, calls and WhatsApp in a day", [Length(max=24)], filters=[stripped])
    seen = HiddenField()

    def given(self) -> dict[str, Any]:
        """As `producer_limits.change` takes it."""
        targets = (self.webhook_targets.data or "").replace(",", " ").split()
        countries = (self.phone_countries.data or "").replace(",", " ").split()
        return {
            "webhook_targets": targets if self.has_targets.data else None,
            "phone_countries": countries if self.has_countries.data else None,
            "daily_spend": self.daily_spend.data or None,
        }


class RaiseForm(ConsoleForm):
    amount = StringField("Add for today", [DataRequired("Say how much."), Length(max=24)], filters=[stripped])


@pages.get("")
@allow("viewer")
def show(producer_id: str) -> ResponseReturnValue:
    producer, _ = queries.one(producer_id)
    return _page(producer_id, producer, _filled(producer))


@pages.post("")
@allow("admin", recent=True)
def save(producer_id: str) -> ResponseReturnValue:
    producer, _ = queries.one(producer_id)
    form = LimitsForm()
    try:
        form.check()
        producer_limits.change(producer.id, form.given(), seen=form.seen.data or None)
    except Rejected as error:
        return _page(producer_id, producer, form.refuse(error)), 422
    flash(f"The limits have been saved. They hold everywhere within {CACHED_S} seconds.")
    return redirect(url_for("producer_limits.show", producer_id=producer_id), 303)


@pages.post("/raise")
@allow("admin", recent=True)
def raise_today(producer_id: str) -> ResponseReturnValue:
    producer, _ = queries.one(producer_id)
    form = RaiseForm()
    try:
        form.check()
        producer_limits.raise_for_today(producer.id, form.amount.data)
    except Rejected as error:
        return _page(producer_id, producer, _filled(producer), form.refuse(error)), 422
    flash("It may spend that much more until midnight (UTC). What has been skipped is not sent any more.")
    return redirect(url_for("producer_limits.show", producer_id=producer_id), 303)


def _filled(producer: Producer) -> LimitsForm:
    targets, countries = producer.webhook_targets, producer.phone_countries
    return LimitsForm(
        formdata=None,
        data={
            "seen": producer_limits.revision_of(producer),
            "has_targets": targets is not None,
            "webhook_targets": "\n".join(targets or []),
            "has_countries": countries is not None,
            "phone_countries": ", ".join(countries or []),
            "daily_spend": "" if producer.daily_spend is None else shown(producer.daily_spend),
        },
    )


def _page(producer_id: str, producer: Producer, form: ConsoleForm, raising: ConsoleForm | None = None) -> str:
    settings = current_settings()
    of_all = settings.spend_limit
    return render_template(
        "admin/producer_limits.html",
        producer=producer,
        id=producer_id,
        form=form,
        raising=raising or RaiseForm(formdata=None),
        limits=queries.limits(producer.id),
        stops=queries.stops(producer.id),
        of_all=f"{shown(of_all.micros)} {of_all.currency}" if of_all else None,
        has_prices=len(settings.prices) == len(UNITS),
    )
