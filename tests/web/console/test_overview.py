"""The admin's first page: what is waiting, and what is held back so that a large release floods nothing."""

import re
from collections.abc import Callable
from datetime import timedelta

from apiflask import APIFlask

from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.models import Delivery
from notifier.providers import health, pausing
from tests.stored import store_newsletter
from tests.web.conftest import Visitor


def hold_back(count: int) -> None:
    notification = store_newsletter()
    with transaction() as session:
        common = {"notification_id": notification, "channel": "email", "priority": "low", "status": "waiting"}
        session.add_all(Delivery(**common, wake_at=now() - timedelta(minutes=1)) for _ in range(count))
        session.add(Delivery(**common, wake_at=now() + timedelta(minutes=1)))
    db.session.close()


def test_what_is_due_and_waits_for_its_turn_is_counted(app: APIFlask, signed_in: Callable[..., Visitor]) -> None:
    admin = signed_in("viewer")
    assert "held back" not in admin.get("/admin/").text
    hold_back(3)
    assert "held back: 3 waiting for their turn" in admin.get("/admin/").text


def test_workers_that_died_without_a_word_are_not_counted_as_running(
    app: APIFlask, signed_in: Callable[..., Visitor]
) -> None:
    client = redis_store.client
    client.sadd("rq:workers", "rq:worker:dead", "rq:worker:gone")
    client.hset("rq:worker:dead", mapping={"last_heartbeat": "2020-01-01T00:00:00.000000Z"})
    assert "Nothing is being sent. Start one" in signed_in("viewer").get("/admin/").text


def test_what_stands_still_is_said_at_the_top(app: APIFlask, signed_in: Callable[..., Visitor]) -> None:
    viewer = signed_in("viewer")
    assert "is paused</strong>" not in viewer.get("/admin/").text
    pausing.pause("sms")
    health.force("spare", "open")
    health.force("other", "closed")
    page = viewer.get("/admin/").text
    assert (
        "SMS has been paused</strong>" in page,
        "The breaker of spare is forced open" in page,
        "The breaker of other" in page,
    ) == (True, True, False)


def test_a_priority_whose_oldest_has_waited_too_long_is_late(app: APIFlask, signed_in: Callable[..., Visitor]) -> None:
    client, viewer = redis_store.client, signed_in("viewer")
    for queue, at in (("sms.urgent", "2020-01-01T00:00:00.000000Z"), ("sms.low", f"{now():%Y-%m-%dT%H:%M:%S.%f}Z")):
        client.rpush(f"rq:queue:{queue}", f"job-{queue}")
        client.hset(f"rq:job:job-{queue}", "enqueued_at", at)
    rows = re.findall(r"<td>(Urgent|High|Medium|Low)</td>(.*?)</tr>", viewer.get("/admin/").text)
    assert {name: ">late<" in rest for name, rest in rows} == {
        "Urgent": True,
        "High": False,
        "Medium": False,
        "Low": False,
    }
