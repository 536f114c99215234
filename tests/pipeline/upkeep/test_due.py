"""What the scheduler mends: whatever Redis or a worker forgot goes on, each row once."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import structlog
from apiflask import APIFlask

from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import redis_store
from notifier.ground.ids import first_at, show
from notifier.models import Attempt, Capture, Delivery, IdempotencyKey, InboxItem, Notification, Submission
from notifier.people import preferences
from notifier.pipeline.delivery.claim import claim
from notifier.pipeline.upkeep import due, gone, lapsed, lost
from notifier.signals import queueing
from notifier.signals.queueing import queue
from tests.stored import deliveries, rows, sent_statements

Submit = Callable[..., Any]
ERIN = InlineRecipient("erin", {"email": "erin@x.test", "phone": "+4915112345678"})


def wake(at: datetime | None = None) -> None:
    """Lets the time pass at which the scheduler must look."""
    with transaction() as session:
        session.execute(
            sa.update(Delivery).where(Delivery.wake_at.is_not(None)).values(wake_at=at or now() - timedelta(seconds=1))
        )


def test_what_is_due_is_queued_and_rung(app: APIFlask, submit: Submit) -> None:
    submit(ERIN, channels=("email",), send_at=now() + timedelta(hours=1))
    [row] = deliveries()
    assert (row.status, row.reason, queue("email.high").job_ids) == ("waiting", "scheduled", [])
    assert due.ring_due() == 0
    wake()
    assert due.ring_due() == 1
    [row] = deliveries()
    assert (row.status, row.reason) == ("queued", None)
    assert queue("email.high").job_ids == [show("dlv", row.id)]


def of_a_channel_that_is_gone(row: Delivery, **columns: Any) -> None:
    """Its adapter was removed, and the channel with it."""
    with transaction() as session:
        session.execute(sa.update(Delivery).where(Delivery.id == row.id).values(channel="pigeon", **columns))


def test_what_waits_for_a_channel_that_is_gone_expires_too(app: APIFlask, submit: Submit) -> None:
    past = now() - timedelta(minutes=1)
    for order in ("A1", "A2", "A3"):
        submit(ERIN, channels=("email",), send_at=now() + timedelta(hours=1), data={"order_id": order})
    first, second, third = deliveries()
    of_a_channel_that_is_gone(first, expires_at=past)
    of_a_channel_that_is_gone(second)  # another process may know the channel already, or still
    with transaction() as session:
        session.execute(sa.update(Delivery).where(Delivery.id == third.id).values(expires_at=past))
    wake()
    assert gone.expire() == 1
    assert [row.status for row in deliveries()] == ["expired", "waiting", "waiting"]
    assert due.ring_due() == 1
    assert [row.status for row in deliveries()] == ["expired", "waiting", "expired"]


def test_a_lapsed_send_on_a_channel_that_is_gone_holds_up_no_other(app: APIFlask, submit: Submit) -> None:
    for order in ("A1", "A2"):
        submit(ERIN, channels=("email",), data={"order_id": order})
    claim([row.id for row in deliveries()])
    of_a_channel_that_is_gone(deliveries()[0])
    wake()
    assert lapsed.free_lapsed() == 2
    assert "sending" not in {row.status for row in deliveries()}


def test_a_due_in_app_item_is_shown_without_a_worker(app: APIFlask, submit: Submit) -> None:
    submit(ERIN, channels=("inapp",), send_at=now() + timedelta(hours=1))
    assert rows(InboxItem) == []
    wake()
    due.ring_due()
    [row] = deliveries()
    [item] = rows(InboxItem)
    assert (row.status, item.id, item.user_id) == ("delivered", row.id, "erin")


def test_a_due_in_app_item_that_the_person_has_switched_off_since_is_not_shown(app: APIFlask, submit: Submit) -> None:
    submit(ERIN, channels=("inapp",), send_at=now() + timedelta(hours=1))
    preferences.change("erin", {"channels": {"inapp": False}}, replace=False, source="test")
    wake()
    due.ring_due()
    assert [(row.status, row.reason, row.detail["because"]) for row in deliveries()] == [
        ("skipped", "opted_out", "channel")
    ]
    assert rows(InboxItem) == []


def test_a_due_in_app_item_that_cannot_be_put_into_words_says_why(app: APIFlask, submit: Submit) -> None:
    submit(ERIN, channels=("inapp",), send_at=now() + timedelta(hours=1))
    with transaction() as session:
        session.execute(sa.update(Notification).values(data={}))
    wake()
    due.ring_due()
    [row] = deliveries()
    assert (row.status, row.reason) == ("skipped", "template_error")
    assert "order_id" in row.detail["message"]


def test_one_that_cannot_be_released_keeps_no_other_back(app: APIFlask, submit: Submit) -> None:
    """A fault of ours: of a row as no release has written it, say."""
    for user_id in ("alice", "bob", "carol", "dave", "erin"):
        person = InlineRecipient(user_id, {"email": f"{user_id}@x.test"})
        submit(person, channels=("inapp",), send_at=now() + timedelta(hours=1))
    with transaction() as session:
        session.execute(sa.update(Notification).where(Notification.user_id == "carol").values(type="gone"))
    wake()
    with structlog.testing.capture_logs() as logs:
        assert due.ring_due() == 4
    [broken] = [row for row in deliveries() if row.status == "waiting"]
    assert [(one["event"], one["delivery"]) for one in logs if one["log_level"] == "error"] == [
        ("due.not_released", show("dlv", broken.id))
    ]
    assert {item.user_id for item in rows(InboxItem)} == {"alice", "bob", "dave", "erin"}
    assert broken.wake_at > now()
    assert due.ring_due() == 0  # for a while
    with transaction() as session:
        session.execute(sa.update(Notification).values(type="order_shipped"))
    wake()
    assert due.ring_due() == 1


def test_what_expired_while_waiting_says_so(app: APIFlask, submit: Submit) -> None:
    submit(ERIN, channels=("email", "inapp"), send_at=now() + timedelta(hours=1))
    with transaction() as session:
        session.execute(sa.update(Delivery).values(expires_at=now()))
    wake()
    due.ring_due()
    assert [(row.status, row.reason, row.wake_at) for row in deliveries()] == [("expired", "expired", None)] * 2


def events(logs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The scheduler's log lines, without their level."""
    mine = ("due.", "doorbells.", "leases.")
    return [{k: v for k, v in line.items() if k != "log_level"} for line in logs if line["event"].startswith(mine)]


def test_the_log_says_what_became_of_due_deliveries(app: APIFlask, submit: Submit) -> None:
    submit(ERIN, channels=("email", "inapp"), send_at=now() + timedelta(hours=1))
    wake()
    with structlog.testing.capture_logs() as logs:
        due.ring_due()
        due.ring_due()
    assert events(logs) == [{"event": "due.released", "queued": 1, "inapp": 1, "expired": 0, "paused": 0}]


def test_the_log_says_which_doorbells_and_leases_were_lost(app: APIFlask, submit: Submit) -> None:
    submit(ERIN, channels=("email",))
    redis_store.client.flushall()
    wake()
    with structlog.testing.capture_logs() as logs:
        lost.ring_lost()
        claim([row.id for row in deliveries()])
        wake()
        lapsed.free_lapsed()
    assert events(logs) == [
        {"event": "doorbells.lost", "deliveries": 1},
        {"event": "leases.lapsed", "again": 1, "unknown": 0},
    ]


def test_a_lost_doorbell_is_rung_again_and_a_good_one_is_not(app: APIFlask, submit: Submit) -> None:
    submit(ERIN, channels=("email",))
    submit(ERIN, channels=("sms",), type="order_shipped")
    wake()
    assert lost.ring_lost().rung == 0
    redis_store.client.flushall()
    wake()
    assert lost.ring_lost().rung == 1  # sms is skipped by default: nothing was lost there
    [row] = deliveries(status="queued")
    assert queue("email.high").job_ids == [show("dlv", row.id)]
    assert row.wake_at is not None
    assert row.wake_at > now()


def test_a_job_that_was_taken_out_by_a_worker_that_died_is_rung_again(app: APIFlask, submit: Submit) -> None:
    for _ in range(3):
        submit(ERIN, channels=("email",))
    first, *others = deliveries()
    assert redis_store.client.lpop(queue("email.high").key) == show("dlv", first.id).encode()  # its hash stays
    wake()
    assert lost.ring_lost().rung == 1
    assert queue("email.high").job_ids == [show("dlv", row.id) for row in (*others, first)]


def test_the_last_job_of_a_queue_is_missed_too(app: APIFlask, submit: Submit) -> None:
    submit(ERIN, channels=("email",))
    redis_store.client.lpop(queue("email.high").key)
    wake()
    assert lost.ring_lost().rung == 1


def test_a_long_backlog_is_looked_at_less_and_less_often(app: APIFlask, submit: Submit) -> None:
    lost.ring_lost()  # Redis is new, and has been reviewed
    submit(ERIN, channels=("email",))
    with transaction() as session:
        session.execute(sa.update(Delivery).values(created_at=now() - timedelta(seconds=30)))
    wake()
    lost.ring_lost()
    [row] = deliveries()
    assert row.wake_at is not None
    assert timedelta(seconds=15) < row.wake_at - now() <= timedelta(seconds=30)


def looked() -> tuple[int, int]:
    """How many queued deliveries are looked at, and how many of them are rung again."""
    found = lost.ring_lost()
    return found.rows, found.rung


def test_once_redis_has_forgotten_everything_all_are_looked_at_at_once(app: APIFlask, submit: Submit) -> None:
    lost.ring_lost()
    submit(ERIN, channels=("email",))
    wake(now() + timedelta(seconds=100))
    assert looked() == (0, 0)
    for _ in range(3):
        redis_store.client.flushall()
        assert [looked(), looked()] == [(1, 1), (0, 0)]
    [row] = deliveries()
    assert queue("email.high").job_ids == [show("dlv", row.id)]


def test_another_server_may_have_forgotten_something_too(app: APIFlask, submit: Submit) -> None:
    lost.ring_lost()
    submit(ERIN, channels=("email",))
    wake(now() + timedelta(seconds=100))
    redis_store.client.hset("notifier:memory", "server", "the one before it was restarted")
    assert [looked(), looked()] == [(1, 0), (0, 0)]


def test_a_review_goes_on_until_all_have_been_looked_at(
    app: APIFlask, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost, "BATCH", 2)
    for _ in range(3):
        submit(ERIN, channels=("email",))
    wake(now() + timedelta(seconds=100))
    redis_store.client.flushall()
    assert [looked() for _ in range(3)] == [(2, 2), (1, 1), (0, 0)]
    assert queue("email.high").job_ids == [show("dlv", row.id) for row in deliveries()]


def test_a_review_that_ends_late_does_not_end_the_next_one(app: APIFlask, submit: Submit) -> None:
    before = queueing.memory()
    redis_store.client.flushall()
    after = queueing.memory()
    queueing.note_reviewed(before, None)
    assert queueing.memory() == after != before
    queueing.note_reviewed(after, None)
    assert queueing.memory().reviewed_to is None


def test_while_redis_is_away_nothing_is_touched(app: APIFlask, submit: Submit) -> None:
    submit(ERIN, channels=("email",))
    wake()
    before = deliveries()[0].wake_at
    connected = app.extensions["redis"]
    redis_store.init_app(app, "unix:///nonexistent/redis.sock")
    try:
        assert lost.ring_lost().rung == 0
    finally:
        app.extensions["redis"] = connected
    assert deliveries()[0].wake_at == before


@pytest.mark.parametrize(
    ("type_", "data", "status"),
    [("order_shipped", {"order_id": "A1"}, "queued"), ("newsletter", {"title": "t", "body": "b"}, "unknown")],
    ids=["transactional: sent again", "marketing: held for a person"],
)
def test_a_send_whose_worker_died(app: APIFlask, submit: Submit, type_: str, data: dict[str, str], status: str) -> None:
    submit(ERIN, type=type_, data=data, channels=("email",))
    [row] = deliveries()
    claim([row.id])
    assert lapsed.free_lapsed() == 0  # the lease still holds
    wake()
    assert lapsed.free_lapsed() == 1
    [row] = deliveries()
    assert (row.status, row.tries, row.failures) == (status, 1, 0)
    assert row.failed_type == (type_ if status == "unknown" else None)
    [attempt] = rows(Attempt)
    assert (attempt.outcome, attempt.code) == ("unknown", "lease_lapsed")


def test_two_schedulers_move_each_row_once(app: APIFlask, submit: Submit) -> None:
    for index in range(30):
        submit(
            InlineRecipient(f"u{index}", {"email": f"u{index}@x.test"}),
            channels=("email",),
            send_at=now() + timedelta(hours=1),
        )
    wake()
    moved: list[int] = []
    barrier = threading.Barrier(4)

    def run() -> None:
        with app.app_context():
            barrier.wait()
            moved.append(due.ring_due())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(moved) == 30
    assert len(queue("email.high").job_ids) == 30


def test_looking_for_lost_doorbells_blocks_no_worker(app: APIFlask, submit: Submit) -> None:
    """Rows are looked at in another order than they are claimed in: each would wait for what the other holds."""
    submit(*[InlineRecipient(f"u{index}", {"email": f"u{index}@x.test"}) for index in range(30)], channels=("email",))
    redis_store.client.flushall()
    keys = [row.id for row in deliveries()]
    with transaction() as session:
        session.execute(
            sa.update(Delivery),
            [{"id": key, "wake_at": now() - timedelta(seconds=index)} for index, key in enumerate(keys, 1)],
        )
    results: list[Any] = []

    def run(work: Callable[[], Any]) -> None:
        with app.app_context():
            try:
                results.append(work())
            except Exception as error:
                results.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in (lost.ring_lost, lambda: claim(keys))]
    with transaction() as session:  # both must wait for this row, each with half of the others in hand
        session.execute(sa.select(Delivery.id).where(Delivery.id == keys[15]).with_for_update())
        for thread in threads:
            thread.start()
        time.sleep(0.5)
    for thread in threads:
        thread.join()
    assert [result for result in results if isinstance(result, Exception)] == []
    assert {row.status for row in deliveries()} == {"sending"}


def test_a_submission_whose_doorbell_was_lost_is_expanded_all_the_same(app: APIFlask, submit: Submit) -> None:
    submit(*[InlineRecipient(f"u{i}", {"name": "x"}) for i in range(101)])
    redis_store.client.flushall()
    assert lost.ring_expansions() == 0
    for _ in range(2):  # the second time it stands in line already
        with transaction() as session:
            session.execute(sa.update(Submission).values(wake_at=now()))
        with sent_statements() as sent:
            assert lost.ring_expansions() == 1
        assert not [statement for statement in sent if "submission.body" in statement], "it may name 10,000 people"
        assert len(queue("expand.low").job_ids) == 1


def test_captures_are_kept_as_long_as_is_said(app: APIFlask, submit: Submit) -> None:
    at = now()
    submit(ERIN)
    [delivery, *_] = rows(Delivery)
    with transaction() as session:
        for age, channel in ((timedelta(days=31, minutes=1), "old"), (timedelta(days=29), "young")):
            capture = {"delivery_id": delivery.id, "user_id": "erin", "channel": channel, "content": {}}
            values = {"id": UUID(int=first_at(at - age).int + 1), "at": at - age, **capture}
            session.execute(sa.insert(Capture.__table__), values)

    assert due.prune_captures() == 1
    assert [row.channel for row in rows(Capture)] == ["young"]


def test_idempotency_keys_are_kept_for_a_day(app: APIFlask, submit: Submit) -> None:
    submit(ERIN, idempotency=("old", "aa" * 32))
    submit(ERIN, idempotency=("new", "aa" * 32))
    with transaction() as session:
        session.execute(
            sa.update(IdempotencyKey)
            .where(IdempotencyKey.key == "old")
            .values(created_at=now() - timedelta(hours=24, seconds=1))
        )
    assert due.prune() == 1
    assert [row.key for row in rows(IdempotencyKey)] == ["new"]
