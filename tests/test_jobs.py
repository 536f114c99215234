"""The job functions, run by RQ's own worker as a stock `rq worker` would."""

import os
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask
from rq import SimpleWorker
from rq.job import Job
from sqlalchemy import update

from notifier import jobs
from notifier.core.submission import InlineRecipient
from notifier.ground.database import transaction
from notifier.ground.extensions import redis_store
from notifier.ground.ids import show
from notifier.models import Delivery, Submission
from notifier.signals.queueing import SERIALIZER, Doorbell, failed_registry, queue, ring
from tests.commands import run_command
from tests.stored import deliveries, rows

Submit = Callable[..., Any]


@pytest.fixture
def work(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Runs what is queued, as a worker process would whose app is the one under test."""
    monkeypatch.setattr(jobs, "app", lambda: app)

    def _work() -> None:
        names = ["email.urgent", "email.high", "expand.low"]
        SimpleWorker(names, connection=redis_store.client, serializer=SERIALIZER).work(
            burst=True, logging_level="ERROR"
        )

    return _work


def to(word: str) -> InlineRecipient:
    return InlineRecipient(f"user-{word}", {"email": f"{word}@sandbox.test"})


@pytest.mark.slow
def test_a_job_that_worked_leaves_nothing_behind(submit: Submit, work: Callable[[], None]) -> None:
    submit(to("delivered"), channels=("email",))
    work()
    assert [row.status for row in deliveries()] == ["delivered"]
    assert queue("email.high").job_ids == []
    assert redis_store.client.keys("rq:job:*") == []


@pytest.mark.slow
def test_a_dead_one_stands_in_the_failed_jobs_with_its_reason_and_comes_back_when_requeued(
    submit: Submit,
    work: Callable[[], None],
) -> None:
    submit(to("rejected"), channels=("email",))
    work()
    [row] = deliveries()
    job_id = show("dlv", row.id)
    registry = failed_registry("email.high")
    assert registry.get_job_ids() == [job_id]
    latest = Job.fetch(job_id, connection=redis_store.client, serializer=SERIALIZER).latest_result()
    assert latest is not None
    assert "Permanent: the sandbox plays rejected" in (latest.exc_string or "")
    registry.requeue(job_id)
    work()
    [row] = deliveries()
    assert (row.status, row.tries, row.failures) == ("failed", 2, 1)
    assert registry.get_job_ids() == [job_id]


@pytest.mark.slow
def test_a_doorbell_from_before_the_failure_does_not_try_again(submit: Submit, work: Callable[[], None]) -> None:
    submit(to("rejected"), channels=("email",))
    [row] = deliveries()
    redis_store.client.rpush(queue("email.high").key, show("dlv", row.id))  # rung twice
    work()
    assert [row.tries for row in deliveries()] == [1]


def test_a_job_that_waits_for_its_retry_is_done_for_rq(submit: Submit, work: Callable[[], None]) -> None:
    submit(to("soft-fail"), channels=("email",))
    work()
    assert [row.status for row in deliveries()] == ["waiting"]
    assert failed_registry("email.high").get_job_ids() == []


@pytest.mark.slow
def test_ringing_a_retried_one_clears_what_it_failed_of(submit: Submit, work: Callable[[], None]) -> None:
    submit(to("rejected"), channels=("email",))
    work()
    [row] = deliveries()
    with transaction() as session:
        session.execute(update(Delivery).values(status="queued"))
    ring([Doorbell(row.id, "email", "high")])
    work()
    assert [row.tries for row in deliveries()] == [2]


@pytest.mark.slow
def test_expansion_is_a_job_too(submit: Submit, work: Callable[[], None]) -> None:
    submit(*[InlineRecipient(f"u{i}", {"name": "x"}) for i in range(101)], channels=("inapp",))
    work()
    assert [row.status for row in deliveries()] == ["delivered"] * 101


# ---- jobs that the last release's web process has rung, before it was replaced by this one's


def rung_by_the_last_release(queue_name: str, function: str, job_id: str) -> None:
    """Literally the keys that it wrote: those of tests/signals/test_queueing.py."""
    client = redis_store.client
    at = "2026-11-29T09:37:14.690679Z"
    unset = ("started_at", "ended_at", "last_heartbeat", "worker_name", "group_id")
    fields: dict[str, Any] = {
        "created_at": at,
        "enqueued_at": at,
        "data": zlib.compress(f'["{function}", null, ["{job_id}"], {{}}]'.encode()),
        "origin": queue_name,
        "description": job_id,
        "status": "queued",
        "timeout": "180",
        "result_ttl": "0",
        "failure_ttl": "31536000",
        **dict.fromkeys(unset, ""),
        **dict.fromkeys(("success_callback_name", "failure_callback_name", "stopped_callback_name"), ""),
    }
    client.flushall()
    client.hset(f"rq:job:{job_id}", mapping=fields)
    client.sadd("rq:queues", f"rq:queue:{queue_name}")
    client.rpush(f"rq:queue:{queue_name}", job_id)
    client.lpush(f"rq:wake:{queue_name}", 1)


@pytest.fixture(params=["rq's own worker", "our worker"])
def work_somehow(request: pytest.FixtureRequest, environment: dict[str, str]) -> Callable[[], None]:
    if request.param == "rq's own worker":
        stock: Callable[[], None] = request.getfixturevalue("work")
        return stock

    def _work() -> None:
        ended = run_command(["worker", "--burst"], {"PATH": os.environ["PATH"], **environment})
        assert ended.returncode == 0, ended.stdout + ended.stderr

    return _work


@pytest.mark.slow
def test_a_delivery_that_the_last_release_rang_is_sent(submit: Submit, work_somehow: Callable[[], None]) -> None:
    submit(to("delivered"), channels=("email",))
    [row] = deliveries()
    rung_by_the_last_release("email.high", "notifier.jobs.deliver", show("dlv", row.id))
    work_somehow()
    assert [row.status for row in deliveries()] == ["delivered"]
    assert redis_store.client.keys("rq:job:*") == []


def test_a_submission_that_the_last_release_rang_is_expanded(submit: Submit, work_somehow: Callable[[], None]) -> None:
    submit(*[InlineRecipient(f"u{i}", {"name": "x"}) for i in range(101)], channels=("inapp",))
    [submission] = rows(Submission)
    rung_by_the_last_release("expand.low", "notifier.jobs.expand", show("sub", submission.id))
    work_somehow()
    assert [row.status for row in deliveries()] == ["delivered"] * 101
    assert redis_store.client.keys("rq:job:*") == []
