"""What `doctor` says of status webhooks."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.models import Producer, Subscription
from tests.conftest import Api
from tests.programs.doctor.conftest import Doctor

TAKEN = "every status webhook that is switched on takes its events"
FAILING = "1 status webhook has had no success for more than ten minutes; the first: "
DISABLED = "1 status webhook is disabled after a 410 or five days of failing; the first: "
LONG_AGO = timedelta(minutes=11)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({}, ("ok", TAKEN)),
        ({"failing_since": timedelta(minutes=2)}, ("ok", TAKEN)),
        ({"failing_since": LONG_AGO}, ("warning", FAILING)),
        ({"disabled_at": LONG_AGO, "disabled_reason": "gone"}, ("warning", DISABLED)),
        ({"disabled_at": LONG_AGO, "disabled_reason": "failing", "failing_since": LONG_AGO}, ("warning", DISABLED)),
        ({"disabled_at": LONG_AGO, "disabled_reason": "asked", "failing_since": LONG_AGO}, ("ok", TAKEN)),
        ({"failing_since": LONG_AGO, "is_test": True}, ("ok", TAKEN)),
    ],
)
def test_status_webhooks_that_take_no_events_are_told(
    app: APIFlask, api: Api, doctor: Doctor, columns: dict[str, Any], told: tuple[str, str]
) -> None:
    body = {"url": "https://shop.example.com/hook", "events": ["delivery.*"]}
    shown = api.post("/api/v1/subscriptions", body).json["id"]
    if columns:
        values = {name: now() - value if isinstance(value, timedelta) else value for name, value in columns.items()}
        with transaction() as session:
            session.execute(sa.update(Subscription).values(values))
    level, words = told
    found = doctor("status-webhooks")
    [(_, *said, remedy)] = [finding for finding in found.findings if finding[0] == "status-webhooks"]
    assert said == [level, words if level == "ok" else words + shown]
    assert level == "ok" or str(remedy).endswith(f"/admin/subscriptions/{shown}")
    assert "shop.example.com" not in found.text
    with transaction() as session:
        session.execute(sa.update(Producer).values(disabled_at=now()))
    assert f"status-webhooks: {TAKEN}" in doctor("status-webhooks").of("ok")
