"""The batch worker on a real Redis, beside RQ's own tools. Its handlers here are of no product."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

import pytest
import redis
from rq import Queue, SimpleWorker
from rq import Worker as StockWorker
from rq.job import Job as RqJob
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.suspension import resume, suspend
from structlog.testing import capture_logs

from notifier.batchworker import BatchWorker, Ended, Job, Source, bell
from notifier.batchworker import worker as module
from notifier.batchworker.bell import Bell
from notifier.batchworker.lanes import Lanes

SOURCES = [
    Source(f"{channel}.{priority}", rank, channel)
    for rank, priority in enumerate(("urgent", "high", "medium", "low"))
    for channel in ("mail", "text")
]
ECHO = "tests.batchworker.jobs.echo"


class Echo:
    """Remembers what it was given. `job.args[0]` says what is to come of the job."""

    outages = (ConnectionError,)

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.ran: list[str] = []
        self.most_at_once = self.now_running = 0
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.gate.set()
        self.finish_gate = threading.Event()
        self.finish_gate.set()
        self.failing_begins = self.failing_finishes = 0
        self.renewed: list[str] = []

    def begin(self, jobs: Sequence[Job]) -> list[Job]:
        if self.failing_begins:
            self.failing_begins -= 1
            raise ConnectionError("no database")
        if any(job.args[0] == "breaks begin" for job in jobs):
            raise ValueError("a bug")
        self.batches.append(len(jobs))
        return [job for job in jobs if job.args[0] != "unwanted"]

    def run(self, job: Job) -> None:
        with self.lock:
            self.now_running += 1
            self.most_at_once = max(self.most_at_once, self.now_running)
        if job.args[0] == "hang":
            self.gate.wait(30)
        with self.lock:
            self.now_running -= 1
            self.ran.append(job.id)

    def finish(self, jobs: Sequence[Job]) -> list[Ended]:
        self.finish_gate.wait(30)
        if self.failing_finishes:
            self.failing_finishes -= 1
            raise ConnectionError("no database")
        if any(job.args[0] == "breaks finish" for job in jobs):
            raise ValueError("a bug")
        return [Ended(job, failure="it was told to" if job.args[0] == "fail" else None) for job in jobs]

    def renew(self, jobs: Sequence[Job]) -> None:
        self.renewed += [job.id for job in jobs]


@pytest.fixture
def connection(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url, db=1)
    client.flushdb()
    yield client
    client.flushdb()
    client.close()


@pytest.fixture
def echo() -> Echo:
    return Echo()


def queue(connection: redis.Redis, name: str) -> Queue:
    return Queue(name, connection=connection, serializer=JSONSerializer)


def enqueue(connection: redis.Redis, name: str, *words: str, function: str = ECHO, **options: Any) -> list[str]:
    target = queue(connection, name)
    options = {"result_ttl": 0, **options}
    return [target.enqueue(function, word, **options).id for word in words]


def worker(connection: redis.Redis, echo: Echo, lanes: int = 16, sources: Sequence[Source] = SOURCES) -> BatchWorker:
    return BatchWorker(sources, connection=connection, handlers={ECHO: echo}, lanes=lanes)


def burst(connection: redis.Redis, echo: Echo, **options: Any) -> None:
    worker(connection, echo, **options).work(burst=True, has_signals=False)


def eventually(question: Callable[[], Any]) -> None:
    give_up_at = time.monotonic() + 30
    while not question():
        assert time.monotonic() < give_up_at
        time.sleep(0.005)


@pytest.fixture
def running(connection: redis.Redis, echo: Echo) -> Iterator[BatchWorker]:
    """A worker at work in a thread."""
    started = worker(connection, echo)
    thread = threading.Thread(target=lambda: started.work(has_signals=False))
    thread.start()
    eventually(lambda: connection.exists(started.key))
    yield started
    echo.gate.set()
    echo.finish_gate.set()
    started.stop()
    thread.join(30)
    assert not thread.is_alive()


# ---- taking


def test_many_jobs_are_begun_together_and_leave_nothing_behind(connection: redis.Redis, echo: Echo) -> None:
    ids = enqueue(connection, "mail.low", *["fine"] * 40)
    burst(connection, echo, lanes=64, sources=SOURCES[-2:-1])
    assert sorted(echo.ran) == sorted(ids)
    assert echo.batches == [40]
    assert connection.keys("rq:job:*") + connection.keys("rq:wip:*") + connection.keys("rq:queue:*") == []


@pytest.mark.slow
def test_taken_and_registered_is_one_step(connection: redis.Redis, echo: Echo, running: BatchWorker) -> None:
    echo.gate.clear()
    [job_id] = enqueue(connection, "mail.high", "hang")
    eventually(lambda: echo.now_running == 1)
    assert queue(connection, "mail.high").job_ids == []
    assert StartedJobRegistry("mail.high", connection=connection, serializer=JSONSerializer).get_job_ids() == [job_id]
    job = RqJob.fetch(job_id, connection=connection, serializer=JSONSerializer)
    assert (job.get_status(), job.worker_name) == ("started", running.name)


def test_a_job_whose_hash_has_gone_is_dropped(connection: redis.Redis, echo: Echo) -> None:
    connection.rpush("rq:queue:mail.low", "ghost")
    [job_id] = enqueue(connection, "mail.low", "fine")
    burst(connection, echo)
    assert echo.ran == [job_id]
    assert connection.keys("rq:wip:*") == []


def test_a_ring_from_before_a_failure_is_dropped_and_the_failed_job_stays(connection: redis.Redis, echo: Echo) -> None:
    [job_id] = enqueue(connection, "mail.low", "fail")
    burst(connection, echo)
    connection.rpush("rq:queue:mail.low", job_id)
    burst(connection, echo)
    assert echo.ran == [job_id]
    assert FailedJobRegistry("mail.low", connection=connection, serializer=JSONSerializer).get_job_ids() == [job_id]


def test_a_redis_that_goes_away_before_it_is_dropped_ends_no_worker(
    connection: redis.Redis, echo: Echo, redis_url: str
) -> None:
    [job_id] = enqueue(connection, "mail.low", "fail")
    burst(connection, echo)
    connection.rpush("rq:queue:mail.low", job_id)

    class Blinking(redis.Redis):
        sent = 0

        def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
            self.sent += not transaction
            if self.sent == 2:  # the first is the heartbeat
                self.sent += 1
                enqueue(connection, "mail.low", "fine")
                raise redis.ConnectionError
            return super().pipeline(transaction, shard_hint)

    with Blinking.from_url(redis_url, db=1) as blinking:
        worker(blinking, echo).work(burst=True, has_signals=False)
        assert blinking.sent > 2
    assert len(echo.ran) == 2


def test_what_begin_leaves_out_is_done(connection: redis.Redis, echo: Echo) -> None:
    enqueue(connection, "mail.low", "unwanted")
    burst(connection, echo)
    assert (echo.ran, connection.keys("rq:job:*"), connection.keys("rq:wip:*")) == ([], [], [])


# ---- fairness


def test_urgent_jobs_pass_a_backlog(connection: redis.Redis, echo: Echo) -> None:
    low = enqueue(connection, "mail.low", *["fine"] * 200)
    urgent = enqueue(connection, "text.urgent", *["fine"] * 3)
    burst(connection, echo)
    assert set(urgent) <= set(echo.ran[:40])
    assert set(echo.ran) == {*low, *urgent}


def test_beside_a_little_urgent_work_the_rest_is_begun_a_few_at_a_time(connection: redis.Redis, echo: Echo) -> None:
    low = enqueue(connection, "mail.low", *["fine"] * 100)
    urgent = enqueue(connection, "text.urgent", "fine")
    burst(connection, echo, lanes=64)
    assert (echo.batches[0], max(echo.batches[1:])) == (1 + 32, module.MOST_BESIDE_PRESSING)
    assert sorted(echo.ran) == sorted([*low, *urgent])


class Visited(Echo):
    """While it begins jobs that are not urgent, which takes a moment, an urgent one comes."""

    def __init__(self, connection: redis.Redis) -> None:
        super().__init__()
        self.connection = connection
        self.begun: list[list[str]] = []

    def begin(self, jobs: Sequence[Job]) -> list[Job]:
        self.begun.append([job.queue for job in jobs])
        if "mail.low" in self.begun[-1]:
            enqueue(self.connection, "text.urgent", "fine")
            time.sleep(0.1)
        return super().begin(jobs)


def test_an_urgent_job_that_comes_while_others_begin_is_begun_before_more_of_them(connection: redis.Redis) -> None:
    echo = Visited(connection)
    enqueue(connection, "text.urgent", "fine")
    enqueue(connection, "mail.low", *["unwanted"] * 160)  # they hold no lanes, so more of them could begin at any time
    burst(connection, echo, lanes=128)
    assert ["text.urgent"] in echo.begun[:-1]
    assert sum(names.count("mail.low") for names in echo.begun) == 160


def test_low_moves_under_a_flood_of_urgent_jobs(connection: redis.Redis, echo: Echo) -> None:
    enqueue(connection, "mail.urgent", *["fine"] * 300)
    low = set(enqueue(connection, "text.low", *["fine"] * 10))
    burst(connection, echo)
    assert low & set(echo.ran[:150])


@pytest.mark.slow
def test_a_hanging_group_leaves_lanes_to_the_others(connection: redis.Redis, echo: Echo, running: BatchWorker) -> None:
    echo.gate.clear()
    enqueue(connection, "text.high", *["hang"] * 50)
    eventually(lambda: echo.now_running == 8)  # half of 16
    fine = enqueue(connection, "mail.high", *["fine"] * 30)
    eventually(lambda: set(fine) <= set(echo.ran))
    assert echo.now_running == 8


@pytest.mark.slow
def test_with_all_other_lanes_full_an_urgent_job_still_finds_one(
    connection: redis.Redis, echo: Echo, running: BatchWorker
) -> None:
    echo.gate.clear()
    enqueue(connection, "text.low", *["hang"] * 50)
    enqueue(connection, "mail.low", *["hang"] * 50)
    eventually(lambda: echo.now_running == 14)  # two of 16 are kept
    [urgent] = enqueue(connection, "mail.urgent", "hang")
    eventually(lambda: echo.now_running == 15 or urgent in echo.ran)


# ---- ending


@pytest.mark.slow
def test_a_failed_job_is_readable_and_comes_back_by_rqs_own_command(
    connection: redis.Redis, echo: Echo, redis_url: str
) -> None:
    [job_id] = enqueue(connection, "mail.high", "fail")
    burst(connection, echo)
    job = RqJob.fetch(job_id, connection=connection, serializer=JSONSerializer)
    latest = job.latest_result()
    assert job.get_status() == "failed"
    assert latest is not None
    assert latest.exc_string == "it was told to"
    FailedJobRegistry("mail.high", connection=connection, serializer=JSONSerializer).requeue(job_id)
    burst(connection, echo)
    assert echo.ran == [job_id, job_id]


def test_jobs_go_back_to_the_front_when_begin_fails(
    connection: redis.Redis, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.05)
    ids = enqueue(connection, "mail.low", *["fine"] * 5)
    echo.failing_begins = 2
    burst(connection, echo)
    assert sorted(echo.ran) == sorted(ids)
    assert connection.keys("rq:wip:*") == []


def test_what_has_run_is_recorded_however_often_that_fails(
    connection: redis.Redis, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.05)
    ids = enqueue(connection, "mail.low", *["fine"] * 5)
    echo.failing_finishes = 3
    burst(connection, echo)
    assert sorted(echo.ran) == sorted(ids)  # each once
    assert connection.keys("rq:job:*") == []


def test_a_worker_sleeps_through_a_pause_though_something_is_to_be_recorded(
    connection: redis.Redis, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.5)
    enqueue(connection, "mail.low", "fine")
    echo.failing_finishes = 1
    looping = worker(connection, echo)
    turns: list[None] = []
    collect = looping._collect
    monkeypatch.setattr(looping, "_collect", lambda: (turns.append(None), collect()))
    looping.work(burst=True, has_signals=False)
    assert echo.failing_finishes == 0
    assert len(turns) < 100


@pytest.mark.slow
def test_the_next_ones_run_while_the_last_are_recorded(
    connection: redis.Redis, echo: Echo, running: BatchWorker
) -> None:
    echo.finish_gate.clear()
    first = enqueue(connection, "mail.low", "fine")
    eventually(lambda: echo.ran == first)
    later = enqueue(connection, "mail.low", *["fine"] * 20)
    eventually(lambda: set(later) & set(echo.ran))
    assert len(echo.ran) <= 1 + 16  # as many wait to be recorded as there are lanes
    registry = StartedJobRegistry("mail.low", connection=connection, serializer=JSONSerializer)
    assert first[0] in registry.get_job_ids()
    echo.finish_gate.set()
    eventually(lambda: connection.keys("rq:job:*") == [])
    assert sorted(echo.ran) == sorted(first + later)  # each once


@pytest.mark.parametrize("word", ["breaks begin", "breaks finish"])
def test_one_job_that_breaks_the_handler_fails_alone(connection: redis.Redis, echo: Echo, word: str) -> None:
    fine = enqueue(connection, "mail.low", *["fine"] * 5)
    [broken] = enqueue(connection, "mail.low", word)
    burst(connection, echo)
    assert set(fine) <= set(echo.ran)
    assert FailedJobRegistry("mail.low", connection=connection, serializer=JSONSerializer).get_job_ids() == [broken]
    latest = RqJob.fetch(broken, connection=connection, serializer=JSONSerializer).latest_result()
    assert latest is not None
    assert "ValueError: a bug" in (latest.exc_string or "")


@pytest.mark.parametrize(
    "data",
    [b"\x80\x05", b"{}", b'["f", null, 1, {}]', b'["f", null, ["a"]]'],
    ids=["pickle", "object", "args", "short"],
)
def test_a_job_that_nobody_can_read_fails_alone(connection: redis.Redis, echo: Echo, data: bytes) -> None:
    """As `rq enqueue` makes them without `--serializer`."""
    [strange, fine] = enqueue(connection, "mail.low", "fine", "fine")
    connection.hset(f"rq:job:{strange}", "data", data)
    burst(connection, echo)
    assert echo.ran == [fine]
    assert FailedJobRegistry("mail.low", connection=connection, serializer=JSONSerializer).get_job_ids() == [strange]
    assert connection.keys("rq:wip:*") == []


@pytest.mark.parametrize("where", ["run", "finish"])
def test_stop_finishes_what_is_in_flight(connection: redis.Redis, echo: Echo, where: str) -> None:
    started = worker(connection, echo)
    thread = threading.Thread(target=lambda: started.work(has_signals=False))
    gate = echo.gate if where == "run" else echo.finish_gate
    gate.clear()
    [job_id] = enqueue(connection, "mail.high", "hang")
    thread.start()
    eventually(lambda: echo.now_running == 1 if where == "run" else echo.ran == [job_id])
    started.stop()
    eventually(lambda: connection.hexists(started.key, "shutdown_requested_date"))  # RQ's tools see it, too
    later = enqueue(connection, "mail.high", "fine")
    gate.set()
    thread.join(30)
    assert echo.ran == [job_id]
    assert connection.keys("rq:wip:*") == []
    assert queue(connection, "mail.high").job_ids == later
    assert connection.scard("rq:workers") == 0


# ---- beside RQ


@pytest.mark.slow
def test_a_ring_wakes_an_idle_worker(connection: redis.Redis, echo: Echo, running: BatchWorker) -> None:
    time.sleep(0.1)  # idle
    with connection.pipeline() as pipe:
        target = queue(connection, "mail.high")
        target.enqueue_many([Queue.prepare_data(ECHO, ["fine"], job_id="rung", result_ttl=0)], pipeline=pipe)
        bell.ring(pipe, ["mail.high"])
        pipe.execute()
    eventually(lambda: echo.ran == ["rung"])


@pytest.mark.slow
def test_a_job_that_was_enqueued_without_a_ring_is_found_too(
    connection: redis.Redis, echo: Echo, running: BatchWorker
) -> None:
    time.sleep(0.1)
    ids = enqueue(connection, "mail.high", "fine")
    eventually(lambda: echo.ran == ids)


def test_it_and_a_stock_worker_share_a_queue(connection: redis.Redis, echo: Echo, running: BatchWorker) -> None:
    ids = enqueue(connection, "mail.low", *["fine"] * 300)
    stock = SimpleWorker(["mail.low"], connection=connection, serializer=JSONSerializer)
    stock.work(burst=True, logging_level="ERROR")
    eventually(lambda: connection.keys("rq:job:*") == [])
    done_by_stock = int(connection.llen("echoed"))
    assert len(echo.ran) + done_by_stock == len(ids)
    assert len(set(echo.ran)) == len(echo.ran)


@pytest.mark.slow
def test_rq_sees_the_worker_and_can_suspend_it(
    connection: redis.Redis, echo: Echo, running: BatchWorker, redis_url: str
) -> None:
    found = StockWorker.all(connection=connection)
    assert [w.name for w in found] == [running.name]
    assert sorted(found[0].queue_names()) == sorted(source.name for source in SOURCES)
    info = subprocess.run(
        [sys.executable, "-m", "rq.cli", "info", "--url", redis_url + "?db=1", "--raw"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert running.name in info.stdout
    suspend(connection)
    ids = enqueue(connection, "mail.high", "fine")
    time.sleep(0.2)
    assert echo.ran == []
    resume(connection)
    eventually(lambda: echo.ran == ids)


def test_rq_sees_how_many_jobs_it_has_done(
    connection: redis.Redis, echo: Echo, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.05)
    request.getfixturevalue("running")
    enqueue(connection, "mail.low", "fine", "fine", "fail")
    eventually(
        lambda: (
            [(w.successful_job_count, w.failed_job_count) for w in StockWorker.all(connection=connection)] == [(2, 1)]
        )
    )


@pytest.mark.slow
def test_functions_without_a_handler_run_as_rq_would_run_them(connection: redis.Redis, echo: Echo) -> None:
    [fine] = enqueue(connection, "mail.low", "fine", function="tests.batchworker.jobs.double", result_ttl=60)
    [broken] = enqueue(connection, "mail.low", "fine", function="tests.batchworker.jobs.broken")
    burst(connection, echo)
    result = RqJob.fetch(fine, connection=connection, serializer=JSONSerializer)
    assert (result.get_status(), result.return_value()) == ("finished", "finefine")
    failed = RqJob.fetch(broken, connection=connection, serializer=JSONSerializer).latest_result()
    assert failed is not None
    assert "RuntimeError: broken" in (failed.exc_string or "")


@pytest.mark.slow
def test_running_jobs_are_renewed(
    connection: redis.Redis, echo: Echo, running: BatchWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.05)
    echo.gate.clear()
    [job_id] = enqueue(connection, "mail.high", "hang")
    eventually(lambda: echo.now_running == 1)
    running._beat_at = 0.0
    eventually(lambda: job_id in echo.renewed)


def test_a_worker_that_redis_forgot_registers_again(
    connection: redis.Redis, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.05)
    target = worker(connection, echo)
    thread = threading.Thread(target=target.work, kwargs={"has_signals": False})
    thread.start()
    eventually(lambda: connection.sismember("rq:workers", target.key))
    connection.flushdb()
    eventually(lambda: [found.name for found in StockWorker.all(connection=connection)] == [target.name])
    assert connection.hget(target.key, "queues") == ",".join(source.name for source in SOURCES).encode()
    target.stop()
    thread.join(30)
    assert not connection.sismember("rq:workers", target.key)


@pytest.mark.slow
def test_an_order_that_is_none_leaves_the_worker_listening_for_others(
    connection: redis.Redis, running: BatchWorker
) -> None:
    eventually(lambda: running.pubsub_thread)
    with capture_logs() as lines:
        eventually(lambda: connection.publish(running.pubsub_channel_name, b"no JSON"))
        eventually(lambda: "worker.commands_not_heard" in [line["event"] for line in lines])
        eventually(lambda: connection.publish(running.pubsub_channel_name, b"none either"))
        eventually(lambda: [line["event"] for line in lines].count("worker.commands_not_heard") == 2)


@pytest.mark.slow
def test_a_bell_or_a_lane_that_ends_is_noticed(connection: redis.Redis) -> None:
    def broken(*_: object) -> None:
        raise SystemExit

    with capture_logs() as lines:
        bell = Bell(connection, ["email.high"], broken)
        bell.arm()
        done: SimpleQueue[str] = SimpleQueue()
        Lanes("lane", 1, broken, done.put).submit(["a job"])
        eventually(lambda: len(lines) == 2)
    assert {(line["event"], line["thread"]) for line in lines} == {
        ("process.thread_lost", "bell"),
        ("process.thread_lost", "lane-0"),
    }
    assert done.get() == "a job"
