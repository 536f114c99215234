"""The counters agree with the deliveries, whatever happens, and adding them up changes no sum."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.core import lifecycle
from notifier.core.latency import KEPT, MISSED
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import tallies
from notifier.models import Delivery, Tally
from notifier.pipeline.delivery.claim import claim
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.upkeep.lapsed import free_lapsed
from notifier.queries import tallies as queries


def sums() -> Counter[tuple[str, str]]:
    db.session.rollback()
    rows = db.session.execute(
        sa.select(Tally.channel, Tally.event, sa.func.sum(Tally.count)).group_by(Tally.channel, Tally.event)
    )
    return Counter(
        {
            (channel, event): int(number)
            for channel, event, number in rows
            if not event.startswith((tallies.LATENCY, KEPT, MISSED))
        }
    )


def promised(*prefixes: str) -> int:
    """How many promises were kept, or missed."""
    wanted = sa.or_(*(Tally.event.startswith(prefix) for prefix in prefixes))
    return int(db.session.scalar(sa.select(sa.func.sum(Tally.count)).where(wanted)) or 0)


def arrived() -> int:
    statement = sa.select(sa.func.sum(Tally.count)).where(Tally.event.startswith(tallies.LATENCY))
    return int(db.session.scalar(statement) or 0)


def submit(api: Any, *words: str, test: bool = False) -> None:
    people = [{"id": f"{word}-{number}", "email": f"{word}@sandbox.test"} for number, word in enumerate(words)]
    body = {
        "type": "order_shipped",
        "recipients": people,
        "data": {"order_id": "A1"},
        "channels": ["email", "sms", "inapp"],
    }
    assert api.post("/api/v1/notifications", body).status_code == 202


def test_they_say_what_the_deliveries_say(api: Any) -> None:
    submit(api, "delivered", "rejected", "dead", "delivered", "soft-fail")
    deliver(list(db.session.scalars(sa.select(Delivery.id).where(Delivery.status == "queued"))))
    found = sums()
    rows = db.session.execute(sa.select(Delivery.channel, Delivery.status)).all()
    expected: Counter[tuple[str, str]] = Counter()
    for channel, status in rows:
        expected[channel, tallies.SKIPPED if status == lifecycle.SKIPPED else tallies.ACCEPTED] += 1
        expected[channel, tallies.DELIVERED] += status == lifecycle.DELIVERED
        expected[channel, tallies.SENT] += status == lifecycle.DELIVERED and channel == "email"
        expected[channel, tallies.FAILED] += status in lifecycle.DEAD
    assert found == +expected
    assert arrived() == 2 + 5  # two mails, and what is in the inboxes
    assert promised(KEPT, MISSED) == arrived() + found["email", tallies.FAILED]
    assert promised(MISSED) >= found["email", tallies.FAILED] > 0


def test_what_a_dead_worker_may_have_sent_counts_as_failed(api: Any) -> None:
    body = {
        "type": "newsletter",
        "data": {"title": "t", "body": "b"},
        "channels": ["email"],
        "recipients": [{"id": "ann", "email": "ann@example.test"}],
    }
    assert api.post("/api/v1/notifications", body).status_code == 202
    claim(list(db.session.scalars(sa.select(Delivery.id))))
    with transaction() as session:
        session.execute(sa.update(Delivery).values(wake_at=now() - timedelta(seconds=1)))
    free_lapsed()
    assert db.session.scalars(sa.select(Delivery.status)).all() == ["unknown"]
    assert sums()["email", "failed"] == 1


def test_a_read_counts_as_opened_once(api: Any, client: Any, arrive: Any) -> None:
    arrive("ann", "ann")
    token = api.post("/api/v1/users/ann/token").json["token"]
    for _ in range(2):
        client.post("/api/v1/inbox/read", json={"all": True}, headers={"Authorization": f"Bearer {token}"})
    assert sums()["inapp", "opened"] == 2


def test_what_is_rolled_back_was_never_counted(app: APIFlask) -> None:
    def work() -> None:
        with transaction():
            tallies.count([("sms", tallies.SENT)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert sums() == Counter()


def test_adding_up_changes_no_sum_and_leaves_one_row_a_place(app: APIFlask) -> None:
    at = now().replace(second=0, microsecond=0) - timedelta(minutes=10)
    day_old = now().replace(minute=7, second=0, microsecond=0) - tallies.MINUTES_KEPT - timedelta(hours=1)
    rows = [{"at": at, "channel": "sms", "event": "sent", "count": number} for number in (1, 2, 3)]
    rows += [
        {"at": day_old + timedelta(minutes=number), "channel": "sms", "event": "sent", "count": 10}
        for number in range(4)
    ]
    with transaction() as session:
        session.execute(sa.insert(Tally.__table__), rows)
    before = sums()
    assert tallies.add_up() == 7
    assert sums() == before == Counter({("sms", "sent"): 46})
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Tally)) == 2
    db.session.rollback()
    assert tallies.add_up() == 0


def test_hours_that_are_added_up_leave_room_for_those_that_are_not(app: APIFlask) -> None:
    day_old = now().replace(minute=0, second=0, microsecond=0) - tallies.MINUTES_KEPT
    rows = [
        {"at": day_old - timedelta(hours=3), "channel": "sms", "event": f"event{number}", "count": 1}
        for number in range(600)
    ]
    rows.append({"at": day_old - timedelta(minutes=53), "channel": "sms", "event": "sent", "count": 1})
    with transaction() as session:
        session.execute(sa.insert(Tally.__table__), rows)
    assert tallies.add_up() == 1
    assert db.session.scalar(sa.select(Tally.at).where(Tally.event == "sent")) == day_old - timedelta(hours=1)


def test_the_present_minutes_are_left_to_those_who_write_them(app: APIFlask) -> None:
    for _ in range(2):
        with transaction():
            tallies.count([("sms", tallies.SENT)])
    assert tallies.add_up() == 0


@pytest.mark.parametrize(("window", "accepted", "steps"), [("hour", 12, 30), ("day", 112, 24), ("month", 112, 30)])
def test_the_series_and_lines_of_a_window_add_up(app: APIFlask, window: str, accepted: int, steps: int) -> None:
    at = now()
    rows = [
        {"at": at - timedelta(minutes=1), "channel": "sms", "event": "accepted", "count": 5},
        {"at": at - timedelta(minutes=30), "channel": "sms", "event": "accepted", "count": 7},
        {"at": at - timedelta(minutes=30), "channel": "sms", "event": "latency:0", "count": 7},
        {"at": at - timedelta(hours=5), "channel": "sms", "event": "accepted", "count": 100},
        {"at": at, "channel": "email", "event": "sent", "count": 3},
        # Of what was sent before
        {"at": at - timedelta(minutes=10), "channel": "email", "event": "delivered", "count": 2},
    ]
    with transaction() as session:
        session.execute(sa.insert(Tally.__table__), rows)
    whole, email = (queries.counted(queries.WINDOWS[window], channel) for channel in (None, "email"))
    lines = {line.channel: (line.counts, line.p50) for line in whole.lines}
    assert lines == {"email": ({"sent": 3, "delivered": 2}, None), "sms": ({"accepted": accepted}, 10)}
    assert whole.lines == email.lines
    assert [len(whole.series["at"]), sum(whole.series["accepted"]), sum(whole.series["arrived"])] == [
        steps,
        accepted,
        3,
    ]
    assert [sum(email.series["accepted"]), sum(email.series["arrived"])] == [0, 3]


def test_what_is_older_than_a_year_and_a_bit_goes(app: APIFlask) -> None:
    with transaction() as session:
        session.execute(
            sa.insert(Tally.__table__),
            [{"at": now() - timedelta(days=days), "channel": "sms", "event": "sent", "count": 1} for days in (1, 500)],
        )
    assert tallies.prune() == 1
