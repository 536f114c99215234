"""Workers that are killed or told to stop in the middle of their sends."""

import time
from collections import deque

import pytest

from notifier.pipeline.delivery.lease import LEASE
from tests.faults.conftest import Trial
from tests.faults.installation import KILLS, Installation
from tests.running import eventually

pytestmark = [
    pytest.mark.faults,
    pytest.mark.parametrize("running", ["sqlite", "postgresql"], indirect=True, scope="session"),
]

FEW = 20
IN_FLIGHT = 200  # at least so many are on their way when a worker is killed


def test_workers_killed_again_and_again_lose_nothing(running: Installation, trial: Trial) -> None:
    running.sink.answers_after_s = 0.6  # so that most lanes are busy all the time
    workers = deque(trial.start_worker() for _ in range(3))
    trial.submit()
    held: set[str] = set()
    counts = []
    for _ in range(2 * KILLS):  # the first few die before anything of theirs has arrived
        victim = workers.popleft()
        eventually(lambda victim=victim: len(running.jobs_held_by(victim)) >= IN_FLIGHT)
        victim.kill()
        mine = running.jobs_held_by(victim)
        held |= mine
        counts.append(len(mine))
        workers.append(trial.start_worker())
    trial.settle(may_repeat=held, told=f"in flight at each kill: {min(counts)}–{max(counts)}")


def test_what_a_killed_worker_held_is_taken_up_at_once(running: Installation, trial: Trial) -> None:
    """Within two seconds, on a machine that does nothing else; its leases would last for twenty."""
    running.sink.answers_after_s = 1.5
    eventually(running.has_settled_lifelines)
    workers = deque([trial.start_worker(), trial.start_worker()])
    trial.submit(backlog=150)
    held: set[str] = set()
    took_s = []
    for _ in range(3):
        victim = workers.popleft()
        eventually(lambda victim=victim: len(running.sink.received.keys() & running.jobs_held_by(victim)) >= FEW)
        victim.kill()
        killed_at = time.monotonic()
        mine = running.sink.received.keys() & running.unrecorded(running.jobs_held_by(victim))
        eventually(lambda mine=mine: all(running.sink.received[job] > 1 for job in mine))
        took_s.append(time.monotonic() - killed_at)
        held |= mine
        workers.append(trial.start_worker())
    trial.settle(may_repeat=held, told=f"in other hands after {', '.join(f'{seconds:.1f}' for seconds in took_s)} s")
    assert min(took_s) < LEASE.total_seconds() / 2


def test_a_worker_that_is_told_to_stop_finishes_what_it_has_begun(running: Installation, trial: Trial) -> None:
    stopped = [trial.start_worker(), trial.start_worker()]
    trial.submit()
    for worker in stopped:
        eventually(lambda worker=worker: len(running.jobs_held_by(worker)) >= IN_FLIGHT)
        worker.tell_to_stop()
        assert worker.wait(30) == 0
        assert running.jobs_held_by(worker) == set()
    trial.start_worker()
    trial.settle()
