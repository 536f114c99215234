"""Held means held: what waits for a mute or quiet hours goes out after them, unless its producer said until when it is
worth sending.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from notifier.core.submission import DEFAULT_EXPIRES_IN_S
from notifier.ground.clock import now
from notifier.models import Notification
from notifier.people import preferences
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.upkeep import due
from tests.stored import deliveries, rows

Submit = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("cast")
DAY = timedelta(days=1)
OFFER: dict[str, Any] = {"type": "promotional_offer", "channels": ("email",), "data": {"title": "Half price"}}
OWN = {"expires_in": DEFAULT_EXPIRES_IN_S, "is_perishable": True}  # the producer has said the very same


def mute(days: float = 3) -> None:
    preferences.change("alice", {"mute_until": (now() + days * DAY).isoformat()}, replace=False, source="test")


def go_on() -> None:
    """Scheduler and worker, once."""
    due.ring_due()
    deliver([row.id for row in deliveries(status="queued")])


def fate() -> tuple[str, str | None]:
    [row] = deliveries()
    return row.status, row.reason


def test_under_a_mute_of_three_days_it_goes_out_after_them(submit: Submit) -> None:
    mute()
    submit("alice", **OFFER)
    [held] = deliveries()
    with time_machine.travel(now() + 2 * DAY):
        go_on()
        assert fate() == ("waiting", "muted")
    with time_machine.travel(now() + 3 * DAY + timedelta(minutes=1)):
        go_on()
        assert fate() == ("delivered", None)
    assert held.expires_at == held.due_at + DAY


def test_what_its_producer_gave_a_day_ends_with_the_day(submit: Submit) -> None:
    mute()
    submit("alice", **OFFER, **OWN)
    assert fate() == ("skipped", "expired")


@pytest.mark.parametrize(
    ("own", "end"), [({}, ("delivered", None)), (OWN, ("expired", "expired"))], ids=["by default", "its own"]
)
def test_a_mute_that_is_set_after_it_was_accepted_counts_the_same(
    submit: Submit, own: dict[str, Any], end: tuple[str, Any]
) -> None:
    submit("alice", **OFFER, **own)
    mute()
    deliver([row.id for row in deliveries()])
    assert fate() == ("waiting", "muted")
    with time_machine.travel(now() + 3 * DAY + timedelta(minutes=1)):
        go_on()
        assert fate() == end


@pytest.mark.parametrize(("own", "step"), [({}, "waiting"), (OWN, "skipped")], ids=["by default", "its own"])
def test_the_next_channel_of_a_routing_outlives_the_mute_too(submit: Submit, own: dict[str, Any], step: str) -> None:
    mute()
    submit("alice", **{**OFFER, "channels": ("email", "sms"), "routing": "first"}, **own)
    with time_machine.travel(now() + 2 * DAY):
        go_on()
    assert [row.status for row in deliveries()] == [step, step if own else "waiting"]


@pytest.mark.parametrize("routing", ["first", "escalate"])
def test_the_next_channel_outlives_a_mute_that_is_set_later_too(submit: Submit, routing: str) -> None:
    submit("alice", **{**OFFER, "channels": ("email", "sms"), "routing": routing})
    mute()
    deliver([row.id for row in deliveries(status="queued")])
    mail, sms = deliveries()
    assert (mail.reason, mail.expires_at) == ("muted", sms.expires_at)
    with time_machine.travel(now() + 2 * DAY):
        go_on()
    assert [row.status for row in deliveries()] == ["waiting", "waiting"]


def test_it_is_kept_with_the_notification_whose_word_the_expiry_is(submit: Submit) -> None:
    submit("alice", **OFFER)
    submit("alice", **OFFER, **OWN)
    assert [row.is_perishable for row in rows(Notification)] == [False, True]
