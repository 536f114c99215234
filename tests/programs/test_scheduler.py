"""The scheduler's loop: each task at its own pace, a failing one alone, and an end that finishes what was begun."""

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest
from apiflask import APIFlask
from flask import current_app
from sqlalchemy.exc import OperationalError

from notifier.ground.extensions import db
from notifier.pipeline.upkeep import due
from notifier.programs import scheduler
from notifier.signals import liveness
from tests.commands import Program


class Work:
    """Stands for periodic work: counts its calls, fails or answers as told."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        answer = self.answers.pop(0) if self.answers else 0
        if isinstance(answer, Exception):
            raise answer
        return answer


def until(work: Work, calls: int) -> Callable[[], bool]:
    return lambda: work.calls >= calls


def test_a_task_that_fails_does_not_hold_up_the_others(app: APIFlask) -> None:
    broken, sound = Work(*[RuntimeError("away")] * 100), Work()
    scheduler.work(app, [scheduler.Task("broken", broken, 0.0), scheduler.Task("sound", sound, 0.0)], until(sound, 3))
    assert broken.calls >= 1


def test_a_task_that_waits_for_other_installations_keeps_nobody_waiting(app: APIFlask) -> None:
    """And is not begun again before it has ended."""
    begun, answers = [], threading.Event()

    def ask() -> int:
        begun.append(current_app.name)
        answers.wait(30)
        return 0

    slow, sound = scheduler.Task("slow", ask, 0.0, is_apart=True), Work()

    def is_stopping() -> bool:
        if sound.calls >= 3:
            answers.set()
        return sound.calls >= 3

    scheduler.work(app, [slow, scheduler.Task("sound", sound, 0.0)], is_stopping)
    assert (len(begun), sound.calls) == (1, 3)
    assert slow.due_at < float("inf")


def test_where_no_thread_can_be_had_it_is_tried_again(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    task, other = Work(), Work()

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    apart = scheduler.Task("apart", task, 0.0, is_apart=True)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        scheduler.work(app, [apart, scheduler.Task("else", other, 0.0)], until(other, 1))
    assert (apart.failures, task.calls) == (1, 0)
    assert apart.due_at < float("inf")


def test_what_asks_other_cells_is_apart_where_there_are_any() -> None:
    apart = {task.name for task in scheduler.tasks("test", has_cells=True) if task.is_apart}
    assert apart == {"say_held", "check_homes", "submit_scheduled"}
    assert not any(task.is_apart for task in scheduler.tasks("test"))


def test_a_task_that_fails_waits_longer_each_time_and_recovers() -> None:
    task = scheduler.Task("task", Work(*[RuntimeError("away")] * 6, 0), 0.25)
    for pause_s in (0.5, 1.0, 2.0, 4.0, 5.0, 5.0):
        before = time.monotonic()
        task.run()
        assert before + pause_s <= task.due_at <= time.monotonic() + pause_s
    task.run()
    assert task.due_at <= time.monotonic() + 0.25
    assert task.failures == 0


def test_tasks_have_their_turns_together() -> None:
    """And none later than its own pace, by less than the shortest of them too early."""
    for every_s in (0.25, 0.5, 2.0):
        task = scheduler.Task("task", Work(), every_s)
        before = time.monotonic()
        task.run()
        assert task.due_at % 0.25 == 0.0
        assert before + every_s - 0.25 < task.due_at <= time.monotonic() + every_s


def test_a_task_for_which_nothing_waits_is_passed_over(app: APIFlask) -> None:
    idle, unknown = Work(), Work()
    scheduler.work(
        app, [scheduler.Task("bulk_actions", idle, 0.0), scheduler.Task("else", unknown, 0.0)], until(unknown, 3)
    )
    assert not idle.calls


def test_nothing_is_passed_over_while_nobody_can_say(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Work()
    with monkeypatch.context() as away:
        away.setattr(db.engine.pool, "connect", _refused)
        scheduler.work(app, [scheduler.Task("bulk_actions", task, 0.0)], until(task, 1))
    assert task.calls == 1


def _refused() -> None:
    raise OperationalError("SELECT 1", None, Exception("the database is away"))


@pytest.mark.parametrize(("done", "is_due_at_once"), [(due.BATCH, True), (due.BATCH - 1, False)])
def test_a_full_batch_is_followed_by_the_next_at_once(done: int, is_due_at_once: bool) -> None:
    task = scheduler.Task("task", Work(done), 60.0, full=due.BATCH)
    task.run()
    assert (task.due_at <= time.monotonic()) == is_due_at_once


def test_every_periodic_work_has_its_task() -> None:
    names = {task.name for task in scheduler.tasks("test")}
    assert names == {
        "alive",
        "check_homes",
        "say_held",
        "prune_cells",
        "keep_partitions",
        "prune_calls",
        "ring_due",
        "expire_gone",
        "let_out",
        "close_digests",
        "submit_scheduled",
        "prune_collapse_keys",
        "count_opens",
        "ring_lost",
        "free_lapsed",
        "free_abandoned",
        "ring_expansions",
        "ring_uploads",
        "prune_uploads",
        "ring_subscriptions",
        "advance_subscriptions",
        "tell_of_disabled_subscriptions",
        "prune_passkey_challenges",
        "tell_of_limits",
        "prune_spend",
        "prune_limit_stops",
        "prune_subscription_attempts",
        "add_up_broadcasts",
        "count_broadcast_hours",
        "count_experiments",
        "count_trends",
        "prune_trends",
        "forget_experiments",
        "add_up_tallies",
        "prune_tallies",
        "bulk_actions",
        "encrypt_anew",
        "retry_broadcasts",
        "watch_broadcasts",
        "cancel_broadcasts",
        "lay_ghosts",
        "wake_snoozed",
        "apply_receipts",
        "prune_events",
        "prune_receipts",
        "prune",
        "prune_captures",
        "prune_notifications",
        "synthetic",
        "prune_sign_in_links",
        "prune_invitations",
        "prune_sessions",
        "prune_access_tokens",
        "rotate_signing_keys",
        "prune_marks",
    }


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")
def test_it_shows_life_and_ends_with_0_on_sigterm(app: APIFlask, environment: dict[str, str]) -> None:
    client = app.extensions["redis"]
    process = Program(["scheduler"], {"PATH": os.environ["PATH"], **environment})
    give_up_at = time.monotonic() + 60
    while liveness.count_schedulers(client) == 0:
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert liveness.count_schedulers(client) == 0


@pytest.mark.parametrize(("beat", "count"), [("2099-01-01T00:00:00.000000Z", 1), ("2001-01-01T00:00:00.000000Z", 0)])
def test_workers_count_while_they_show_life(app: APIFlask, beat: str, count: int) -> None:
    client = app.extensions["redis"]
    client.sadd("rq:workers", "rq:worker:one", "rq:worker:gone")
    client.hset("rq:worker:one", "last_heartbeat", beat)
    assert liveness.count_workers(client) == count
