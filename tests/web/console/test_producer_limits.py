"""A producer's limits in the console, and the addresses that they leave out."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access.keys import create_producer
from notifier.core.segments import Price
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ledgers import limit_stops
from notifier.ledgers.limit_stops import Stop
from notifier.models import AuditEntry, Producer
from notifier.people import addresses
from tests.web.conftest import Visitor, seen_in


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


@pytest.fixture
def page(app: APIFlask) -> str:
    return f"/admin/producers/{show('prd', create_producer('Shop').id)}/limits"


@pytest.fixture
def prices(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    price = Price(Decimal("0.10"), "EUR")
    settings = replace(app.extensions["settings"], sms_segment_price=price, voice_call_price=price)
    monkeypatch.setitem(app.extensions, "settings", settings)


def targets() -> list[str] | None:
    db.session.rollback()
    return db.session.scalar(sa.select(Producer.webhook_targets))


def test_an_admin_limits_where_webhooks_may_lead(admin: Visitor, page: str, cast: dict[str, str]) -> None:
    addresses.add_given("alice", "webhook", "https://old.test/hook", label=None)
    assert page in admin.get(page.removesuffix("/limits")).text
    form = {"has_targets": "y", "webhook_targets": "*.Example.com\r\nhooks.test"}
    assert admin.post(page, form).location == page
    assert targets() == ["hooks.test", "*.example.com"]
    shown = admin.get(page).text
    assert "hooks.test\n*.example.com</textarea>" in shown
    assert "not on the list of webhook targets: nothing of Shop is sent here" in " ".join(
        admin.get("/admin/users/alice").text.split()
    )
    refused = admin.post(page, {"has_targets": "y", "webhook_targets": "https://hooks.test"})
    assert (refused.status_code, "This is no target: https://hooks.test" in refused.text) == (422, True)
    assert admin.post(page, {"has_targets": "y", "webhook_targets": "a\0b"}).status_code == 422
    assert targets() == ["hooks.test", "*.example.com"]
    assert admin.post(page, {"has_targets": "y", "webhook_targets": ""}).status_code == 303
    assert targets() == []
    assert admin.post(page, {"webhook_targets": "hooks.test"}).status_code == 303
    assert targets() is None


def test_what_somebody_else_has_changed_meanwhile_is_not_undone(admin: Visitor, page: str) -> None:
    opened = {"has_countries": "y", "phone_countries": "DE", "seen": seen_in(admin.get(page).text)}
    assert admin.post(page, {"has_targets": "y", "webhook_targets": "hooks.test"}).status_code == 303
    answer = admin.post(page, opened)
    assert (answer.status_code, "Somebody else has changed the limits of Shop" in answer.text) == (422, True)
    assert targets() == ["hooks.test"]


@pytest.mark.usefixtures("prices")
def test_an_admin_limits_what_is_spent_and_where_phones_are_reached(admin: Visitor, page: str) -> None:
    form = {"daily_spend": "12.5", "has_countries": "y", "phone_countries": "de, at CH"}
    assert admin.post(page, form).status_code == 303
    row = db.session.scalars(sa.select(Producer)).one()
    assert (row.daily_spend, row.phone_countries) == (12_500_000, ["AT", "CH", "DE"])
    shown = admin.get(page).text
    assert all(text in " ".join(shown.split()) for text in ("0.00 EUR of 12.50 EUR", 'value="12.50"', "AT, CH, DE"))
    assert admin.post(f"{page}/raise", {"amount": "7.50"}).status_code == 303
    with transaction():
        limit_stops.note([Stop("spend", row.id), Stop("new_phones", row.id, "+491511234")], now())
    shown = " ".join(admin.get(page).text.split())
    assert "0.00 EUR of 20.00 EUR" in shown
    assert "too many new phone numbers that begin with +491511234" in shown
    for path, wrong, said in [
        (page, {"daily_spend": "much"}, "This must be an amount"),
        (page, {"has_countries": "y", "phone_countries": "Germany"}, "is no country with phones"),
        (f"{page}/raise", {"amount": "-1"}, "This must be an amount"),
        (f"{page}/raise", {"amount": ""}, "Say how much."),
    ]:
        refused = admin.post(path, wrong)
        assert (refused.status_code, said in refused.text) == (422, True)
    assert "0.00 EUR of 20.00 EUR" in " ".join(admin.get(page).text.split())
    told = [row.action for row in db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id))]
    assert told[-2:] == ["producer.limits_set", "producer.spend_raised"]


def test_without_prices_no_ceiling_is_taken(admin: Visitor, page: str) -> None:
    refused = admin.post(page, {"daily_spend": "12.5"})
    assert (refused.status_code, "A ceiling needs SMS_SEGMENT_PRICE" in refused.text) == (422, True)
    assert admin.post(f"{page}/raise", {"amount": "1"}).status_code == 422
