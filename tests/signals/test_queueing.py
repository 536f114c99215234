"""Doorbells as they stand in Redis: while an installation is upgraded, workers of the last release read them.

The values are literal, so that a change of the form is seen here. A new one needs a release that reads both before it.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import time_machine
from apiflask import APIFlask
from rq.job import Job
from rq.serializers import JSONSerializer

from notifier.ground.extensions import redis_store
from notifier.signals.queueing import Doorbell, depths, ring, ring_expand

KEY = UUID("01a226aa-7392-7388-a45c-80555c80aa19")
DELIVERY, SUBMISSION = "dlv_01a226aa73927388a45c80555c80aa19", "sub_01a226aa73927388a45c80555c80aa19"
AT = datetime(2026, 11, 29, 9, 37, 14, 690679, tzinfo=UTC)

RUNG: list[tuple[Callable[[], object], str, str, str]] = [  # how, queue, job id, function
    (lambda: ring([Doorbell(KEY, "webhook", "high")]), "webhook.high", DELIVERY, "notifier.jobs.deliver"),
    (lambda: ring_expand([KEY]), "expand.low", SUBMISSION, "notifier.jobs.expand"),
]


@pytest.mark.parametrize(("rung", "queue", "job_id", "function"), RUNG)
def test_a_job_stands_in_redis_as_the_last_release_wrote_it(
    app: APIFlask, rung: Callable[[], object], queue: str, job_id: str, function: str
) -> None:
    with time_machine.travel(AT, tick=False):
        rung()
    client = redis_store.client
    job = {name.decode(): value for name, value in client.hgetall(f"rq:job:{job_id}").items()}
    assert job.pop("data").decode() == f'["{function}",null,["{job_id}"],{{}}]'  # compressed or not, all read it
    assert {name: value.decode() for name, value in job.items()} == {
        "created_at": "2026-11-29T09:37:14.690679Z",
        "enqueued_at": "2026-11-29T09:37:14.690679Z",
        "origin": queue,
        "description": job_id,
        "status": "queued",
        "timeout": "180",
        "result_ttl": "0",
        "failure_ttl": "31536000",
        **dict.fromkeys(("started_at", "ended_at", "last_heartbeat", "worker_name", "group_id"), ""),
        **dict.fromkeys((f"{when}_callback_name" for when in ("success", "failure", "stopped")), ""),
    }
    assert client.lrange(f"rq:queue:{queue}", 0, -1) == [job_id.encode()]
    assert client.smembers("rq:queues") == {f"rq:queue:{queue}".encode()}
    assert client.lrange(f"rq:wake:{queue}", 0, -1) == [b"1"]


@pytest.mark.parametrize(("rung", "queue", "job_id", "function"), RUNG)
def test_rq_alone_reads_a_job(
    app: APIFlask, rung: Callable[[], object], queue: str, job_id: str, function: str
) -> None:
    rung()
    job: Any = Job.fetch(job_id, connection=redis_store.client, serializer=JSONSerializer)
    assert (job.func_name, list(job.args), job.kwargs) == (function, [job_id], {})
    assert (job.id, job.origin, job.timeout, job.get_status()) == (job_id, queue, 180, "queued")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (["webhook.high", "sms.low", "email.urgent"], [1, 0, 2]),
        (["email.urgent", "webhook.high"], [2, 1]),
        ([], []),
    ],
)
def test_the_depths_of_queues_come_in_the_order_of_their_names(
    app: APIFlask, asked: list[str], found: list[int]
) -> None:
    other = UUID(int=KEY.int + 1)
    ring([Doorbell(KEY, "webhook", "high"), Doorbell(KEY, "email", "urgent"), Doorbell(other, "email", "urgent")])
    assert depths(asked) == found
