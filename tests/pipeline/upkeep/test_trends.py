"""What arrives and fails is counted by type, account and error, and compared with the window before."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.core.submission import InlineRecipient
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Delivery, Trend
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.upkeep import trends
from notifier.queries import trends as queries
from notifier.queries.tallies import WINDOWS

NINE = datetime(2026, 12, 1, 9, 5, tzinfo=UTC)


def count_all() -> None:
    db.session.close()
    trends.count()
    while trends.count():
        pass


def changes(window: str) -> set[tuple[str, str, str, int, int]]:
    db.session.close()
    return {(one.kind, one.name, one.event, one.now, one.before) for one in queries.changes(WINDOWS[window])}


@pytest.fixture
def says(submit: Callable[..., Any]) -> Callable[..., None]:
    def _say(number: int, email: str) -> None:
        people = [InlineRecipient(f"u{index}", {"email": email}) for index in range(number)]
        submit(*people, channels=("email",))
        db.session.close()
        deliver(db.session.scalars(sa.select(Delivery.id).where(Delivery.status == "queued")).all())

    return _say


def test_each_event_counts_once_in_its_window(app: APIFlask, says: Callable[..., None]) -> None:
    count_all()
    with time_machine.travel(NINE, tick=False):
        says(2, "late@sandbox.test")
        says(1, "rejected@sandbox.test")
        count_all()
    with time_machine.travel(NINE + timedelta(hours=1), tick=False):
        says(3, "delivered@sandbox.test")
        with transaction() as session:  # told later of the first ones: that is no second arrival
            session.execute(sa.update(Delivery).where(Delivery.status == "sent").values(status="delivered"))
        for _ in range(2):
            count_all()
        assert changes("hour") == {
            ("type", "order_shipped", "arrived", 3, 2),
            ("type", "order_shipped", "failed", 0, 1),
            ("provider", "sandbox", "arrived", 3, 2),
            ("provider", "sandbox", "failed", 0, 1),
            ("error", "sandbox: rejected", "failed", 0, 1),
        }
        assert ("type", "order_shipped", "arrived", 5, 0) in changes("day")
    with time_machine.travel(NINE + timedelta(days=32), tick=False):
        assert changes("hour") == set()
        assert ("type", "order_shipped", "arrived", 0, 5) in changes("month")


def test_what_no_window_looks_at_is_deleted(app: APIFlask) -> None:
    with transaction() as session:
        for grain, age in ((600, 1), (600, 3), (3600, 30), (3600, 60), (86_400, 24 * 40), (86_400, 24 * 70)):
            row = {"kind": "type", "name": "like", "event": "arrived", "count": 1}
            session.add(Trend(grain=grain, at=NINE - timedelta(hours=age), **row))
    with time_machine.travel(NINE, tick=False):
        assert trends.prune() == 3
        assert {one.now + one.before for name in WINDOWS for one in queries.changes(WINDOWS[name])} == {1}
