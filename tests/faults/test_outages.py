"""Redis and the database go away, or forget, while everything is running."""

import resource
import time
from collections.abc import Callable

import pytest

from tests.faults.conftest import Postgres, Trial
from tests.faults.installation import Installation
from tests.running import eventually

pytestmark = pytest.mark.faults
both = pytest.mark.parametrize("running", ["sqlite", "postgresql"], indirect=True, scope="session")
on_sqlite = pytest.mark.parametrize("running", ["sqlite"], indirect=True, scope="session")
on_postgresql = pytest.mark.parametrize("running", ["postgresql"], indirect=True, scope="session")

REDIS_AWAY_S = 10
REDIS_HANGS_S = 8
POSTGRES_AWAY_S = 3
MORE = 2_000  # deliveries that producers have to tell while nothing is delivered, however many wait already


@both
def test_a_redis_that_forgets_everything_loses_nothing(running: Installation, trial: Trial) -> None:
    running.sink.answers_after_s = 0.5
    worker = trial.start_worker(lanes=150)
    trial.submit()
    forgotten = 0
    for _ in range(3):
        eventually(lambda: len(running.jobs_held_by(worker)) >= 50 and running.waiting_jobs() >= 500)
        forgotten += running.waiting_jobs()
        running.client.flushall()
        trial.until_delivered(500)
    trial.settle(told=f"{forgotten} waiting jobs forgotten")


@both
def test_an_old_backlog_that_redis_forgets_is_rung_again_at_once(
    running: Installation, trial: Trial, pushed_far_away: Callable[[], int]
) -> None:
    load = trial.submit(backlog=1_000)
    eventually(lambda: len(load.accepted) >= 1_000)
    load.stop()
    rows = pushed_far_away()
    running.client.flushall()
    eventually(lambda: running.waiting_jobs() >= 1_000)
    trial.start_worker()
    trial.settle(told=f"{rows} of them were not to be looked at for long")


@both
def test_redis_away_for_ten_seconds_stops_no_producer(running: Installation, trial: Trial) -> None:
    trial.start_worker()
    load = trial.submit()
    trial.until_delivered(200)
    trial.backlog += MORE
    running.redis.stop()
    accepted_before = len(load.accepted)
    try:
        time.sleep(REDIS_AWAY_S)
    finally:
        accepted_meanwhile = len(load.accepted) - accepted_before
        trial.backlog -= MORE
        running.redis.start()
    trial.until_delivered(200)
    trial.settle(told=f"{accepted_meanwhile} accepted meanwhile")
    assert load.not_accepted == {}
    assert accepted_meanwhile > 0


@both
def test_redis_hanging_stops_no_producer_and_no_worker(running: Installation, trial: Trial) -> None:
    """It takes connections and answers nothing."""
    trial.start_worker()
    load = trial.submit()
    trial.until_delivered(200)
    trial.backlog += MORE
    accepted_before = len(load.accepted)
    running.redis.hang()
    try:
        time.sleep(REDIS_HANGS_S)
    finally:
        accepted_meanwhile = len(load.accepted) - accepted_before
        trial.backlog -= MORE
        running.redis.wake()
    trial.until_delivered(200)
    trial.settle(told=f"{accepted_meanwhile} accepted meanwhile")
    assert load.not_accepted == {}
    assert accepted_meanwhile > 0


@on_sqlite
def test_connections_that_redis_has_closed_are_no_outage(running: Installation, trial: Trial) -> None:
    """As it does with idle ones (`timeout`), and proxies do. The web process has several, on green threads."""
    log = running.home.parent / "web.log"
    load = trial.submit(backlog=500)
    eventually(lambda: running.waiting_jobs() == len(load.accepted) >= 500)
    outages_before = log.read_text().count("redis.is_away")
    assert running.client.client_kill_filter(_type="normal", skipme=True) > 2
    trial.backlog += 500
    eventually(lambda: running.waiting_jobs() == len(load.accepted) >= 1_000)
    assert log.read_text().count("redis.is_away") == outages_before
    trial.start_worker()
    trial.settle()


@on_postgresql
def test_a_database_that_dies_and_comes_back_loses_nothing(
    running: Installation, trial: Trial, own_postgres: Postgres
) -> None:
    worker = trial.start_worker()
    load = trial.submit()
    for _ in range(2):
        eventually(lambda: len(running.jobs_held_by(worker)) >= 100)
        own_postgres.stop()
        try:
            time.sleep(POSTGRES_AWAY_S)
        finally:
            own_postgres.start()
        trial.until_delivered(500)
    assert worker.is_running
    assert running.scheduler.is_running
    trial.settle()
    assert set(load.not_accepted) <= {"503"}


@on_sqlite
def test_whichever_kind_of_process_is_missing_the_others_do_their_part(running: Installation, trial: Trial) -> None:
    load = trial.submit()
    eventually(lambda: running.waiting_jobs() >= 500)  # without workers
    trial.start_worker()
    running.scheduler.kill()
    trial.until_delivered(500)  # without schedulers
    accepted = len(load.accepted)
    eventually(lambda: len(load.accepted) > accepted)
    running.scheduler = running.start("scheduler")
    running.web.kill()
    trial.until_delivered(200)  # without web
    running.restart_web()
    trial.settle()


@both
def test_a_web_process_killed_in_the_middle_of_requests_accepts_each_once(running: Installation, trial: Trial) -> None:
    trial.start_worker()
    load = trial.submit()
    for _ in range(5):
        goal = len(load.accepted) + 300
        eventually(lambda goal=goal: len(load.accepted) >= goal)
        running.web.kill()
        running.restart_web()
    trial.settle(told=f"{load.replayed} answers replayed")
    assert set(load.not_accepted) <= {"NewConnectionError", "ProtocolError", "ReadTimeoutError"}


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of other processes are set on Linux only")
@on_sqlite
def test_a_full_disk_refuses_and_loses_nothing_that_was_accepted(running: Installation, trial: Trial) -> None:
    """No file may be written beyond its first page, which is how a disk without room looks to the processes."""
    worker = trial.start_worker()
    load = trial.submit()
    trial.until_delivered(200)
    pids = [program.pid for program in (running.web, running.scheduler, worker)]
    before = [resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids]
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, before[0][1]))
    try:
        eventually(lambda: running.readiness() == (503, "not_writable"))
    finally:
        for pid, limits in zip(pids, before, strict=True):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    eventually(lambda: running.readiness() == (200, "ok"))
    trial.until_delivered(200)
    trial.settle()
    assert set(load.not_accepted) <= {"503"}
