"""The scheduler's part: whoever has something to be told is rung, once, and a dead worker's at once."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier import jobs
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import redis_store
from notifier.ground.ids import new_id, show
from notifier.models import Subscription, SubscriptionAttempt
from notifier.pipeline.upkeep import ghosts
from notifier.signals import queueing
from notifier.signals.queueing import EVENTS_QUEUE, queue
from notifier.subscriptions import due, lease, registered
from tests.stored import rows
from tests.subscriptions.conftest import Subscriber, happened, stored

Subscribe = Callable[..., UUID]


def waiting() -> list[str]:
    return list(queue(EVENTS_QUEUE).job_ids)


def test_who_has_something_to_be_told_is_rung(subscribe: Subscribe, still_clock: None) -> None:
    behind, pinged, replayed, _idle = (subscribe(events=["delivery.*"]) for _ in range(4))
    assert due.ring_due(now()) == 0
    registered.ask_for_ping(pinged)
    registered.replay(replayed, now() - timedelta(hours=1), now())
    assert due.ring_due(now()) == 2
    assert set(waiting()) == {show("sbn", pinged), show("sbn", replayed)}
    happened("a")
    assert due.ring_due(now()) == 2  # the idle one is behind now, too
    assert show("sbn", behind) in waiting()
    assert due.ring_due(now()) == 0  # for a while


def test_while_no_worker_runs_the_queue_does_not_grow(subscribe: Subscribe) -> None:
    key = subscribe()
    happened("a")
    at = now()
    for seconds in range(0, 60, 6):
        with time_machine.travel(at + timedelta(seconds=seconds), tick=False):
            assert due.ring_due(now()) == 1
    assert waiting() == [show("sbn", key)]
    redis_store.client.flushall()
    with time_machine.travel(at + timedelta(seconds=66), tick=False):
        due.ring_due(now())
    assert waiting() == [show("sbn", key)]


def test_those_that_fail_hold_up_nobody_however_many_they_are(
    subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "BATCH", 3)
    monkeypatch.setattr(due, "SLOW_AT_ONCE", 1)
    failing = [subscribe() for _ in range(5)]
    well = subscribe()
    happened("a")
    with transaction() as session:
        long_due = {"failing_since": now(), "wake_at": now() - timedelta(hours=1)}
        session.execute(sa.update(Subscription).where(Subscription.id.in_(failing)).values(**long_due))
    due.ring_due(now())
    assert waiting()[0] == show("sbn", well)
    assert len(waiting()) == 2  # behind it one of those that fail


def test_a_disabled_or_taken_one_is_not_rung(subscribe: Subscribe) -> None:
    disabled, taken = subscribe(), subscribe()
    happened("a")
    with transaction() as session:
        session.execute(sa.update(Subscription).where(Subscription.id == disabled).values(disabled_at=now()))
    lease.claim(taken)
    assert due.ring_due(now()) == 0


def test_with_redis_away_nothing_breaks_and_it_is_rung_later(
    subscribe: Subscribe, request: pytest.FixtureRequest
) -> None:
    subscribe()
    happened("a")
    request.getfixturevalue("redis_away")
    assert due.Ringing().ring_due() == 1


def test_an_idle_installation_is_looked_at_every_two_seconds(subscribe: Subscribe) -> None:
    subscribe()
    ringing = due.Ringing()
    at = now()
    with time_machine.travel(at, tick=False):
        assert ringing.ring_due() == 0
        happened("a")  # nobody gives a hint
        assert ringing.ring_due() == 0
    with time_machine.travel(at + due.LOOK_EVERY, tick=False):
        assert ringing.ring_due() == 1


def test_what_a_dead_worker_had_is_free_at_once(
    app: APIFlask, subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = subscribe()
    happened("a")
    monkeypatch.setattr("notifier.ground.lifeline.number", lambda: 4711)
    assert lease.claim(key) is not None
    assert lease.holders() == {4711}
    assert lease.free_held_by({4711}) == 1
    assert stored(key).leased_until is None
    assert due.ring_due(now()) == 1


def test_the_job_of_a_subscription_tells_it(
    app: APIFlask, subscriber: Subscriber, subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "app", lambda: app)
    assert f"{jobs.tell.__module__}.{jobs.tell.__name__}" == queueing.TELL
    key = subscribe()
    happened("a")
    jobs.tell(show("sbn", key))
    assert subscriber.reasons() == ["a"]


def test_a_job_that_its_worker_died_with_is_no_ghost_for_long(app: APIFlask, subscribe: Subscribe) -> None:
    key = subscribe()
    job_id = show("sbn", key)
    entry = f"{job_id}:execution"
    redis_store.client.zadd(f"rq:wip:{EVENTS_QUEUE}", {entry: now().timestamp()})
    redis_store.client.hset(f"rq:job:{job_id}", "status", "started")
    lease.claim(key)
    assert ghosts.lay_started() == 0
    with transaction() as session:
        session.execute(sa.update(Subscription).values(leased_until=None))
    assert ghosts.lay_started() == 1
    assert redis_store.client.exists(f"rq:job:{job_id}", f"rq:wip:{EVENTS_QUEUE}") == 0


def test_old_attempts_are_forgotten(app: APIFlask) -> None:
    with transaction() as session:
        for days in (31, 29):
            milliseconds = int((now() - timedelta(days=days)).timestamp() * 1000)
            session.add(SubscriptionAttempt(id=UUID(int=milliseconds << 80), subscription_id=new_id(), outcome="sent"))
    assert due.prune_attempts() == 1
    assert len(rows(SubscriptionAttempt)) == 1
