"""What a producer may do beyond what its keys say. Viewers look; admins change it."""

from typing import Any

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from wtforms import BooleanField, TextAreaField
from wtforms.validators import Length

from notifier.access import producer_limits
from notifier.core.errors import Rejected
from notifier.ground.config import current_settings
from notifier.models import Producer
from notifier.queries import producers as queries
from notifier.queries.webhook_targets import CACHED_S
from notifier.web.access import allow, page_blueprint
from notifier.web.forms import ConsoleForm

pages = page_blueprint("producer_limits", url_prefix="/admin/producers/<producer_id>/limits")


class LimitsForm(ConsoleForm):
    has_targets = BooleanField("Webhooks may lead only to these networks and hosts")
    webhook_targets = TextAreaField("Networks and hosts, one a line", [Length(max=20_000)])

    def given(self) -> dict[str, Any]:
        """As `producer_limits.change` takes it."""
        targets = (self.webhook_targets.data or "").replace(",", " ").split()
        return {"webhook_targets": targets if self.has_targets.data else None}


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
        producer_limits.change(producer.id, form.given())
    except Rejected as error:
        return _page(producer_id, producer, form.refuse(error)), 422
    flash(f"The limits have been saved. They hold everywhere within {CACHED_S} seconds.")
    return redirect(url_for("producer_limits.show", producer_id=producer_id), 303)


def _filled(producer: Producer) -> LimitsForm:
    targets = producer.webhook_targets
    return LimitsForm(
        formdata=None, data={"has_targets": targets is not None, "webhook_targets": "\n".join(targets or [])}
    )


def _page(producer_id: str, producer: Producer, form: ConsoleForm) -> str:
    of_all = current_settings().webhook_targets
    return render_template(
        "admin/producer_limits.html",
        producer=producer,
        id=producer_id,
        form=form,
        targets_of_all=None if of_all is None else of_all.entries(),
    )
