"""Settling loses no trace of a job, wherever a kill falls among its commands."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from notifier.batchworker import Ended, Job, Source
from notifier.batchworker.settle import settle
from notifier.batchworker.take import Taker

NAME, LEASE = "mail.low", 4_102_444_800.0


class _Cut(redis.Redis):
    """Sends the first commands of a pipeline, and breaks."""

    most = 0

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        pipe = super().pipeline(transaction, shard_hint)
        sends = pipe.execute

        def execute(raise_on_error: bool = True) -> Any:
            is_whole = all(command[0][0] == "HGETALL" for command in pipe.command_stack)  # it only reads
            if not is_whole:
                del pipe.command_stack[self.most :]
            answers = sends(raise_on_error)
            if not is_whole:
                raise redis.ConnectionError
            return answers

        pipe.execute = execute
        return pipe


@pytest.fixture
def cut(redis_url: str) -> Iterator[_Cut]:
    client = _Cut.from_url(redis_url, db=1)
    client.flushdb()
    yield client
    client.flushdb()
    client.close()


@pytest.mark.parametrize("failure", [None, "it was told to"])
@pytest.mark.parametrize("most", range(9))
def test_a_job_that_is_left_is_one_that_is_still_listed(
    cut: _Cut, redis_url: str, most: int, failure: str | None
) -> None:
    whole = redis.Redis.from_url(redis_url, db=1)
    for word in "ab":
        Queue(NAME, connection=whole, serializer=JSONSerializer).enqueue("tests.batchworker.jobs.echo", word)
    taker = Taker(whole, [Source(NAME, 0, "mail")], "w", [1.0])
    taken = taker.take(free=2, others=2, room={"mail": 2}, lease=LEASE)
    ended = [Ended(Job(raw.id, NAME, raw.execution, []), failure=failure) for raw in taken]
    cut.most = most

    with pytest.raises(redis.ConnectionError):
        settle(cut, ended, worker_name="w")

    listed = {entry.decode().partition(":")[0] for entry in whole.zrange(f"rq:wip:{NAME}", 0, -1)}
    failed = {entry.decode() for entry in whole.zrange(f"rq:failed:{NAME}", 0, -1)}
    left = {key.decode().removeprefix("rq:job:") for key in whole.keys("rq:job:*")}
    assert left <= listed | failed

    settle(whole, ended, worker_name="w")
    assert whole.keys("rq:wip:*") == []
    assert len(whole.keys("rq:job:*")) == (0 if failure is None else 2)
    whole.close()
