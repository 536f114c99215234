"""The worker process: what it takes, in which order, and how it ends."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from apiflask import APIFlask
from rq.job import Job

from notifier import channels
from notifier.core.submission import PRIORITIES
from notifier.ground.ids import new_id, show
from notifier.programs import worker
from notifier.signals import queueing
from tests.commands import Program


def test_every_queue_has_a_consumer() -> None:
    of_deliveries = {queueing.queue_name(channel, priority) for channel in channels.CHANNELS for priority in PRIORITIES}
    assert set(worker.chosen_queues("*")) == of_deliveries | set(queueing.OTHER_QUEUES)


def test_urgent_queues_come_first_and_expansion_before_the_low_ones() -> None:
    priorities = [name.partition(".")[2] for name in worker.chosen_queues("*") if name != queueing.EXPAND_QUEUE]
    names = worker.chosen_queues("*")
    assert priorities == sorted(priorities, key=PRIORITIES.index)
    assert names[names.index(queueing.EXPAND_QUEUE) - 1].endswith(".medium")
    assert names[names.index(queueing.EXPAND_QUEUE) + 1].endswith(".low")


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ("sms.*", ["sms.urgent", "sms.high", "sms.medium", "sms.low"]),
        ("sms.urgent,email.urgent", ["email.urgent", "sms.urgent"]),
        ("*.urgent", [f"{channel}.urgent" for channel in channels.CHANNELS]),
        ("pigeon.*", []),
    ],
)
def test_patterns_choose_queues_and_keep_their_order(patterns: str, names: list[str]) -> None:
    assert worker.chosen_queues(patterns) == names


def processes(test: Callable[..., None]) -> Callable[..., None]:
    """Starts real processes, which takes a while: on one database."""
    return pytest.mark.slow(pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")(test))


@pytest.fixture
def run_worker(app: APIFlask, environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts `python -m notifier worker` on the app's database and Redis."""
    started: list[Program] = []

    def start(*options: str) -> Program:
        environ = {"PATH": os.environ["PATH"], **environment}
        started.append(Program(["worker", *options], environ, tmp_path / "log"))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def ring_for_nobody(client: redis.Redis) -> str:
    """A job whose delivery does not exist: the worker takes it, finds nothing to claim, and is done."""
    key = new_id()
    queueing.ring([queueing.Doorbell(key, "email", "high")])
    name = show("dlv", key)
    assert client.exists(Job.key_for(name))
    return name


@processes
def test_a_burst_ends_when_the_queues_are_empty(app: APIFlask, run_worker: Callable[..., Program]) -> None:
    client = app.extensions["redis"]
    job = ring_for_nobody(client)
    assert run_worker("--burst").wait(60) == 0
    assert not client.exists(Job.key_for(job))


@processes
def test_a_worker_for_some_queues_leaves_the_others_alone(app: APIFlask, run_worker: Callable[..., Program]) -> None:
    client = app.extensions["redis"]
    job = ring_for_nobody(client)
    assert run_worker("--burst", "--queues", "sms.*").wait(60) == 0
    assert client.exists(Job.key_for(job))


@processes
def test_a_pattern_that_matches_nothing_is_an_error(run_worker: Callable[..., Program], tmp_path: Path) -> None:
    assert run_worker("--queues", "pigeon.*").wait(60) == 2
    assert "No queue matches 'pigeon.*'" in (tmp_path / "log").read_text()


@processes
def test_sigterm_ends_an_idle_worker_with_0(app: APIFlask, run_worker: Callable[..., Program]) -> None:
    process = run_worker()
    wait_until(lambda: app.extensions["redis"].scard("rq:workers") == 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert app.extensions["redis"].scard("rq:workers") == 0


def wait_until(question: Callable[[], bool]) -> None:
    """A machine that is busy may let Redis take longer than the app waits for it: then it is asked again."""
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        with contextlib.suppress(redis.TimeoutError):
            if question():
                return
        time.sleep(0.02)
    pytest.fail("it never came true")
