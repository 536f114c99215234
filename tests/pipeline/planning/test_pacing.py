"""What comes due all at once is let out by turns: nothing urgent waits for it, and no queue grows without end."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from structlog.testing import capture_logs

from notifier.batchworker.take import PRESSING
from notifier.core.lifecycle import WAITING
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.ground.ids import new_id
from notifier.models import Delivery, InboxItem
from notifier.pipeline.planning import pacing
from notifier.pipeline.upkeep import due, lapsed, lost
from notifier.queries import due_work
from notifier.queries.overview import held_back
from notifier.signals.queueing import queue
from tests.stored import rows, store_newsletter
from tests.stored import sent_statements as statements

HELD_BACK = 3_000
LEAST_STEPS_A_ROW = 3  # of SQLite's virtual machine


@pytest.fixture
def notification(app: APIFlask) -> UUID:
    return store_newsletter()


def fall_due(notification: UUID, count: int, channel: str, priority: str, at: datetime | None = None) -> list[UUID]:
    at = at or now() - timedelta(minutes=1)
    common = {
        "notification_id": notification,
        "channel": channel,
        "priority": priority,
        "created_at": at,
        "status": WAITING,
        "reason": "scheduled",
    }
    made = [
        {"id": new_id(), "due_at": at + timedelta(microseconds=n), "wake_at": at + timedelta(microseconds=n), **common}
        for n in range(count)
    ]
    with transaction() as session:
        session.execute(sa.insert(Delivery.__table__), made)
    return [row["id"] for row in made]


def in_line(name: str) -> int:
    return queue(name).count


def release() -> int:
    """As the scheduler does it: on and on while batches are full."""
    batches = 1
    while due.ring_due() == pacing.BATCH:
        batches += 1
    return batches


def stand_in_line(name: str, count: int) -> None:
    """Jobs that workers have not come to yet."""
    redis_store.client.rpush(queue(name).key, *(f"dlv_{n}" for n in range(count)))


def test_a_large_release_fills_its_queue_up_to_the_limit_and_follows_as_workers_take(
    app: APIFlask, notification: UUID
) -> None:
    stand_in_line("email.low", pacing.MOST_IN_LINE - 500)
    fall_due(notification, 2_000, "email", "low")
    release()
    assert (in_line("email.low"), held_back()) == (pacing.MOST_IN_LINE, {"email.low": 1_500})
    release()
    assert in_line("email.low") == pacing.MOST_IN_LINE
    redis_store.client.ltrim(queue("email.low").key, 1_200, -1)  # workers have taken some
    release()
    assert (in_line("email.low"), held_back()) == (pacing.MOST_IN_LINE, {"email.low": 300})
    redis_store.client.delete(queue("email.low").key)
    release()
    assert (in_line("email.low"), held_back()) == (300, {})


@pytest.mark.parametrize(
    ("waiting", "beside", "room"), [(1, 0, 1_000), (3_999, 1, 1), (4_100, 0, 900), (4_100, 1, 0), (6_000, 0, 0)]
)
def test_what_others_may_be_about_to_queue_leaves_less_room(
    app: APIFlask, waiting: int, beside: int, room: int
) -> None:
    stand_in_line("email.low", waiting)
    assert pacing.room(beside=beside)["email", "low"] == room


def test_what_is_urgent_and_what_goes_elsewhere_passes_a_large_release(app: APIFlask, notification: UUID) -> None:
    """They fell due after thousands that still wait; the next batch has them, in the order of priority."""
    stand_in_line("email.low", pacing.MOST_IN_LINE - 1_500)
    fall_due(notification, 3_000, "email", "low")
    later = now() - timedelta(seconds=1)
    ours = [
        fall_due(notification, 1, *lane, later)[0] for lane in (("email", "urgent"), ("push", "high"), ("sms", "low"))
    ]
    assert due.ring_due() == pacing.BATCH
    assert [in_line(name) for name in ("email.urgent", "push.high", "sms.low")] == [1, 1, 0]
    release()
    assert in_line("sms.low") == 1
    ours += fall_due(notification, 1, "email", "urgent", later)  # the queue of low mail is full by now
    due.ring_due()
    assert [row.status for row in rows(Delivery) if row.id in ours] == ["queued"] * 4


def test_while_urgent_work_is_done_a_release_is_of_few_at_a_time(app: APIFlask, notification: UUID) -> None:
    redis_store.client.set(PRESSING, 1)
    count = due.BESIDE_PRESSING + 50
    fall_due(notification, count, "email", "low")
    with capture_logs() as logs:
        while due.ring_due():
            pass
    assert [entry["queued"] for entry in logs if entry["event"] == "due.released"] == [due.BESIDE_PRESSING, 50]
    assert in_line("email.low") == count


def test_who_has_nothing_to_release_asks_nobody_for_urgent_work(app: APIFlask) -> None:
    """The scheduler looks four times a second, and mostly in vain."""
    redis_store.client.config_resetstat()
    assert due.ring_due() == 0
    assert "cmdstat_exists" not in redis_store.client.info("commandstats")


def test_the_oldest_of_a_kind_goes_first(app: APIFlask, notification: UUID) -> None:
    young = fall_due(notification, 3, "email", "low", now() - timedelta(minutes=1))
    old = fall_due(notification, 3, "email", "low", now() - timedelta(minutes=2))
    due.ring_due()
    assert queue("email.low").job_ids == [f"dlv_{key.hex}" for key in (*old, *young)]


LOOKS: dict[str, Callable[[], Any]] = {
    "what is due": lambda: pacing.due(now(), {lane: 0 if lane == ("email", "low") else 9 for lane in pacing.room()}),
    "what is released": due.ring_due,
    "what has lapsed": lapsed.free_lapsed,
    "whose bell is lost": lost.ring_lost,
    "whether there is anything": lambda: db.session.execute(sa.select(*due_work.CONDITIONS.values()), {"now": now()}),
}


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
def test_no_look_of_the_scheduler_reads_all_that_is_held_back(app: APIFlask, notification: UUID, look: str) -> None:
    """A broadcast to a million leaves a million mails that have come due, before all that is due later."""
    fall_due(notification, HELD_BACK, "email", "low")
    stand_in_line("email.low", pacing.MOST_IN_LINE)
    fall_due(notification, 3, "sms", "high")
    with transaction() as session:  # as many items of the inbox beside them, which PostgreSQL reckons with
        shown = [row | {"id": new_id(), "channel": "inapp"} for row in _stored()]
        session.execute(sa.insert(Delivery.__table__), shown)
        is_item = Delivery.channel == "inapp"
        session.execute(sa.update(Delivery).where(is_item).values(status="delivered", wake_at=None))
    _analyse()
    assert read_by(LOOKS[look]) <= HELD_BACK / 3


def test_counting_what_is_held_back_reads_nothing_that_waits_for_days_to_come(
    app: APIFlask, notification: UUID
) -> None:
    fall_due(notification, HELD_BACK, "email", "low", now() + timedelta(days=2))
    _analyse()
    assert read_by(held_back) <= HELD_BACK / 3


def _analyse() -> None:
    if db.engine.dialect.name == "postgresql":
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("ANALYZE delivery"))


def _stored() -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in db.session.execute(sa.select(Delivery.__table__))]


def read_by(work: Callable[[], Any]) -> int:
    """How many deliveries PostgreSQL reads for it, or SQLite's virtual machine could have read at most."""
    if db.engine.dialect.name == "sqlite":
        return _steps_of(work) // LEAST_STEPS_A_ROW
    asked: list[tuple[str, Any]] = []
    note = lambda _c, _cursor, statement, values, *_: asked.append((statement, values))  # noqa: E731
    sa.event.listen(db.engine, "before_cursor_execute", note)
    work()
    sa.event.remove(db.engine, "before_cursor_execute", note)
    about = [
        (sql, values) for sql, values in asked if sql.lstrip().startswith(("SELECT", "WITH")) and "delivery" in sql
    ]
    assert about
    connection = db.session.connection()
    explain = "EXPLAIN (ANALYZE, FORMAT JSON) "
    plans = [connection.exec_driver_sql(explain + sql, values).scalar_one()[0]["Plan"] for sql, values in about]
    return sum(map(_read, plans))


def _steps_of(work: Callable[[], Any]) -> int:
    steps: list[int] = []
    asked: list[Any] = []

    def listen(connection: Any, *_: Any) -> None:
        connection.set_progress_handler(lambda: steps.append(1), 1)
        asked.append(connection)

    db.session.close()
    sa.event.listen(db.engine, "checkout", listen)
    work()
    sa.event.remove(db.engine, "checkout", listen)
    for connection in asked:
        connection.set_progress_handler(None, 0)
    assert steps
    return len(steps)


def _read(node: dict[str, Any]) -> int:
    rows_read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    mine = node["Actual Loops"] * rows_read if node.get("Relation Name") == "delivery" else 0
    return round(mine) + sum(map(_read, node.get("Plans", ())))


def test_a_release_of_urgent_ones_fills_their_queue_no_further_than_any_other(
    app: APIFlask, notification: UUID
) -> None:
    """One that is submitted meanwhile has no more than that before it."""
    stand_in_line("sms.urgent", pacing.MOST_IN_LINE - 1)
    fall_due(notification, 3, "sms", "urgent")
    release()
    assert (in_line("sms.urgent"), held_back()) == (pacing.MOST_IN_LINE, {"sms.urgent": 2})


def test_in_app_items_are_shown_while_redis_is_away_and_the_rest_waits(
    app: APIFlask, notification: UUID, redis_away: None
) -> None:
    shown = fall_due(notification, 2, "inapp", "low")
    fall_due(notification, 2, "email", "urgent")
    due.ring_due()
    assert [item.id for item in rows(InboxItem)] == shown
    assert held_back() == {"email.urgent": 2}


def test_as_long_as_nothing_is_due_a_look_is_one_statement(app: APIFlask, notification: UUID) -> None:
    fall_due(notification, 3, "email", "low", now() + timedelta(days=1))
    with statements() as sent:
        assert due.ring_due() == 0
    assert len([statement for statement in sent if statement != "BEGIN"]) == 1


def test_a_release_costs_the_same_statements_however_much_is_held_back(app: APIFlask, notification: UUID) -> None:
    def cost() -> int:
        with statements() as sent:
            due.ring_due()
        return len(sent)

    fall_due(notification, 1, "email", "low")
    one = cost()
    fall_due(notification, 2_000, "email", "low")
    assert cost() == one
