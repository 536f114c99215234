"""A producer's limits in the console, and the addresses that they leave out."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access.keys import create_producer
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Producer
from notifier.people import addresses
from tests.web.conftest import Visitor


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


@pytest.fixture
def page(app: APIFlask) -> str:
    return f"/admin/producers/{show('prd', create_producer('Shop').id)}/limits"


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
