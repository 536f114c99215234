"""A paused channel sends nothing, loses nothing, and goes on where it stood."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.ground.ids import show
from notifier.ledgers import audit
from notifier.models import AuditEntry, Capture, Delivery, PausedChannel
from notifier.pipeline.delivery import outages
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.upkeep import due, lost
from notifier.providers import pausing
from notifier.queries.overview import held_back
from notifier.signals.queueing import queue
from tests.pipeline.upkeep.test_due import wake

Send = Callable[..., Any]


def states() -> dict[str, tuple[str, str | None]]:
    db.session.rollback()
    rows = db.session.execute(
        sa.select(Delivery.channel, Delivery.status, Delivery.reason).where(Delivery.channel != "inapp")
    )
    return {row.channel: (row.status, row.reason) for row in rows}


def captured() -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(Capture)) or 0


def ids() -> list[Any]:
    return list(db.session.scalars(sa.select(Delivery.id).where(Delivery.channel == "email")))


def submit(api: Any, *channels: str, **more: Any) -> None:
    body = {
        "type": "order_shipped",
        "recipients": ["alice"],
        "data": {"order_id": "A1"},
        "channels": list(channels),
        **more,
    }
    assert api.post("/api/v1/notifications", body).status_code == 202


def test_what_was_queued_waits_and_goes_out_once_when_resumed(api: Any, cast: Any) -> None:
    submit(api, "email", "sms")
    pausing.pause("email")
    deliver(list(db.session.scalars(sa.select(Delivery.id))))
    assert states() == {"email": ("waiting", "paused"), "sms": ("delivered", None)}
    for _ in range(3):
        due.ring_due()
        lost.ring_lost()
    assert states()["email"] == ("waiting", "paused")
    pausing.resume("email")
    outages.Outages().let_out()
    due.ring_due()
    assert show("dlv", ids()[0]) in queue("email.high").job_ids
    deliver(ids())
    deliver(ids())
    assert (states()["email"], captured()) == (("delivered", None), 2)


def test_it_uses_up_no_attempt(api: Any, cast: Any) -> None:
    submit(api, "email")
    pausing.pause("email")
    deliver(ids())
    [row] = db.session.execute(sa.select(Delivery.tries, Delivery.failures)).all()
    assert tuple(row) == (0, 0)


def test_urgent_messages_wait_too(api: Any, cast: Any) -> None:
    pausing.pause("email")
    submit(api, "email", priority="urgent")
    deliver(ids())
    assert states() == {"email": ("waiting", "paused")}


def test_what_expires_meanwhile_is_not_sent(api: Any, cast: Any) -> None:
    pausing.pause("email")
    submit(api, "email")
    deliver(ids())
    with transaction() as session:
        session.execute(sa.update(Delivery).values(expires_at=now() - timedelta(seconds=1)))
    pausing.resume("email")
    outages.Outages().let_out()
    due.ring_due()
    assert (states(), captured()) == ({"email": ("expired", "expired")}, 0)


def test_a_redis_that_forgot_everything_changes_nothing(api: Any, cast: Any) -> None:
    submit(api, "email")
    pausing.pause("email")
    redis_store.client.flushall()
    lost.ring_lost()
    deliver(ids())
    assert states() == {"email": ("waiting", "paused")}


def test_what_comes_due_meanwhile_is_not_even_rung(api: Any, cast: Any) -> None:
    submit(api, "email", "sms", send_at=(now() + timedelta(hours=1)).isoformat())
    pausing.pause("email")
    wake()
    due.ring_due()
    assert states() == {"email": ("waiting", "paused"), "sms": ("queued", None)}
    assert [len(queue(f"{channel}.high").job_ids) for channel in ("email", "sms")] == [0, 1]
    pausing.resume("email")
    outages.Outages().let_out()
    due.ring_due()
    assert len(queue("email.high").job_ids) == 1


def test_what_waits_for_a_paused_channel_is_shown_as_held_back(api: Any, cast: Any) -> None:
    submit(api, "email")
    pausing.pause("email")
    deliver(ids())
    assert held_back() == {"email.high": 1}


def test_pausing_twice_is_once_and_both_are_audited_once(app: APIFlask) -> None:
    with audit.acting_as("ada@example.test"):
        assert [pausing.pause("sms"), pausing.pause("sms"), pausing.resume("sms"), pausing.resume("sms")] == [
            True,
            False,
            True,
            False,
        ]
        pausing.pause("sms")
    [row] = db.session.scalars(sa.select(PausedChannel))
    assert row.paused_by == "ada@example.test"
    told = db.session.execute(sa.select(AuditEntry.action, AuditEntry.subject).order_by(AuditEntry.id)).all()
    assert [tuple(entry) for entry in told] == [
        ("channel.paused", "sms"),
        ("channel.resumed", "sms"),
        ("channel.paused", "sms"),
    ]


@pytest.mark.parametrize("channel", ["inapp", "pigeon", "", "a\0b"], ids=["inapp", "unknown", "empty", "nul"])
def test_what_cannot_be_paused_is_refused(app: APIFlask, channel: str) -> None:
    with pytest.raises(Rejected):
        pausing.pause(channel)
    assert db.session.scalar(sa.select(sa.func.count()).select_from(PausedChannel)) == 0
