"""An item that is shown at once and one that had to wait are shown in one way."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.catalogue import templates
from notifier.catalogue.templates import Words
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.models import ChannelScore, Delivery, InboxItem, InboxState, Tally
from notifier.pipeline.upkeep import due
from tests.stored import deliveries, rows

Submit = Callable[..., Any]


def at_once(submit: Submit, **fields: Any) -> None:
    submit("alice", channels=("inapp",), **fields)


def when_due(submit: Submit, **fields: Any) -> None:
    submit("alice", channels=("inapp",), send_at=now() + timedelta(hours=1), **fields)
    with transaction() as session:
        session.execute(sa.update(Delivery).where(Delivery.status == "waiting").values(wake_at=now()))
    assert due.ring_due() == 1


@pytest.fixture(params=[at_once, when_due])
def show(request: pytest.FixtureRequest, submit: Submit) -> Callable[..., None]:
    return lambda **fields: request.param(submit, **fields)


def test_the_delivery_says_that_it_has_arrived(cast: dict[str, str], show: Callable[..., None]) -> None:
    show()
    [row] = deliveries()
    assert (row.status, row.reason, row.provider, row.wake_at) == ("delivered", None, "inapp", None)
    assert row.sent_at is not None
    assert row.sent_at == row.delivered_at
    [item] = rows(InboxItem)
    assert (item.id, item.notification_id, item.user_id) == (row.id, row.notification_id, "alice")
    assert item.data == {"order_id": "A1"}


def test_it_is_counted_as_delivered_and_as_fast(cast: dict[str, str], show: Callable[..., None]) -> None:
    show()
    counted = {row.event: row.count for row in rows(Tally)}
    promises = [counted.pop(event, 0) for event in ("kept:high", "missed:high")]
    assert counted == {"accepted": 1, "delivered": 1, "latency:0": 1}
    assert sum(promises) == 1


def test_it_takes_the_place_of_the_older_one_of_its_key(cast: dict[str, str], show: Callable[..., None]) -> None:
    for order_id in ("A1", "A2"):
        show(collapse_key="order", data={"order_id": order_id})
    old, new = rows(InboxItem)
    assert (old.replaced_by, new.replaced_by) == (new.id, None)
    [state] = rows(InboxState)
    assert (state.unread, state.unseen) == (1, 1)


def test_it_counts_for_the_best_channel(cast: dict[str, str], show: Callable[..., None]) -> None:
    show(routing="best")
    assert [(row.user_id, row.channel, row.sent) for row in rows(ChannelScore)] == [("alice", "inapp", 1)]


@pytest.fixture
def broken(app: APIFlask) -> str:
    """The key of a template that costs more than it may."""
    key = "broken_words"
    templates.publish(key, templates.create(key, {("*", "en"): Words("{{ 'x' * 100000000 }}")}))
    return key


def test_words_that_fail_are_told(cast: dict[str, str], broken: str, show: Callable[..., None]) -> None:
    show(template=broken)
    [row] = deliveries()
    assert (row.status, row.reason, row.provider, row.sent_at) == ("skipped", "template_error", None, None)
    assert row.detail["message"]
    assert rows(InboxItem) == []
