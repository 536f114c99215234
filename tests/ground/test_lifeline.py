"""A worker's lifeline: held while it lives, gone with it, and with nothing else."""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from flask import Config

from notifier.app import create_app
from notifier.ground import lifeline
from notifier.ground.config import Settings
from notifier.ground.engines import sqlite_file
from notifier.ground.extensions import db, redis_store
from notifier.ground.ids import show
from notifier.ground.lifeline import Lifeline
from notifier.models import Delivery
from notifier.pipeline.delivery import claim
from notifier.pipeline.upkeep.abandoned import Abandoned
from tests.running import eventually
from tests.stored import deliveries

Submit = Callable[..., Any]


def living() -> frozenset[int]:
    return lifeline.look().living


@pytest.fixture
def line(app: APIFlask) -> Iterator[Lifeline]:
    """This process's."""
    held = lifeline.hold(app)
    yield held
    held.let_go()
    app.extensions.pop("lifeline")
    eventually(lambda: held.number not in living())
    lifeline.clear([held.number])


@pytest.fixture
def claimed(submit: Submit, cast: dict[str, str], line: Lifeline) -> Delivery:
    """In the hands of this process, with a lease."""
    submit("alice", channels=["email"])
    [row] = deliveries()
    claim.claim([row.id])
    return row


def status_of(row: Delivery) -> str:
    [found] = deliveries(id=row.id)
    return found.status


def let_go(line: Lifeline) -> None:
    """Until the server has noticed, too, which a busy machine may take its time for."""
    line.let_go()
    eventually(lambda: line.number not in living())


def until_sure(abandoned: Abandoned) -> int:
    """What a scheduler does again and again. → how much was freed."""
    freed = abandoned.free()
    sure_at = time.monotonic() + lifeline.look().sure_after_s
    is_sure = False
    while not is_sure:
        time.sleep(0.05)
        is_sure = time.monotonic() > sure_at
        freed += abandoned.free()
    return freed


@pytest.fixture
def old_server(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' PostgreSQL has been running for as long as an installation's has."""
    monkeypatch.setattr(lifeline, "YOUNG_S", 0.0)


def test_it_is_seen_while_it_is_held(line: Lifeline) -> None:
    assert line.number in living()
    assert lifeline.number() == line.number


def test_what_is_claimed_bears_its_number(claimed: Delivery, line: Lifeline) -> None:
    assert [row.holder for row in deliveries()] == [line.number]


def test_without_one_there_are_leases_alone(app: APIFlask, submit: Submit, cast: dict[str, str]) -> None:
    submit("alice", channels=["email"])
    [row] = deliveries()
    claim.claim([row.id])
    assert [row.holder for row in deliveries()] == [None]
    assert until_sure(Abandoned()) == 0
    assert status_of(row) == "sending"


@pytest.mark.usefixtures("old_server")
def test_what_a_living_worker_holds_is_left_to_it_however_slow_it_is(claimed: Delivery) -> None:
    assert until_sure(Abandoned()) == 0
    assert status_of(claimed) == "sending"


@pytest.mark.usefixtures("old_server")
def test_what_a_dead_one_held_is_rung_long_before_its_lease_lapses(claimed: Delivery, line: Lifeline) -> None:
    abandoned = Abandoned()
    assert abandoned.free() == 0
    let_go(line)
    redis_store.client.flushall()
    assert until_sure(abandoned) == 1
    assert status_of(claimed) == "queued"
    assert redis_store.client.lrange("rq:queue:email.high", 0, -1) == [show("dlv", claimed.id).encode()]


@pytest.mark.usefixtures("old_server")
def test_a_scheduler_that_starts_later_finds_it_too(claimed: Delivery, line: Lifeline) -> None:
    let_go(line)
    assert until_sure(Abandoned()) == 1
    assert status_of(claimed) == "queued"


@pytest.mark.usefixtures("old_server")
def test_what_it_had_only_just_taken_is_rung_again(submit: Submit, cast: dict[str, str], line: Lifeline) -> None:
    submit("alice", channels=["email"])
    [row] = deliveries()
    job_id, client = show("dlv", row.id), redis_store.client
    client.lrem("rq:queue:email.high", 1, job_id)
    client.zadd("rq:wip:email.high", {f"{job_id}:execution": time.time() + 120})
    client.hset(f"rq:job:{job_id}", "worker_name", f"{lifeline.name_begins(line.number)}rest")
    abandoned = Abandoned()
    abandoned.free()
    let_go(line)
    assert until_sure(abandoned) == 1
    assert client.lrange("rq:queue:email.high", 0, -1) == [job_id.encode()]


def _hold_until_killed(settings: Settings, told: Any) -> None:
    app = create_app(settings, socketio_queue=False)
    told.put(lifeline.hold(app).number)
    time.sleep(600)


@pytest.mark.slow
def test_a_process_that_is_killed_loses_it_and_one_that_is_stopped_does_not(app: APIFlask, settings: Settings) -> None:
    context = multiprocessing.get_context("forkserver")
    told = context.Queue()
    process = context.Process(target=_hold_until_killed, args=(settings, told), daemon=True)
    process.start()
    number = told.get(timeout=60)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(0.5)
    assert number in living()
    os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: number not in living())
    lifeline.clear([number])
    assert number not in lifeline.left_behind()


on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")


@pytest.mark.slow
@on_postgresql
@pytest.mark.usefixtures("old_server")
def test_a_session_that_is_lost_is_taken_again_and_nobody_died(claimed: Delivery, line: Lifeline) -> None:
    abandoned = Abandoned()
    abandoned.free()
    with db.engine.connect() as connection:
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = :number"),
            {"number": line.number},
        )
    eventually(lambda: line.number in living())
    assert until_sure(abandoned) == 0
    assert status_of(claimed) == "sending"


@on_postgresql
def test_after_the_server_was_started_nobody_is_believed_dead_for_a_while(
    claimed: Delivery, line: Lifeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifeline, "YOUNG_S", 1e8)
    abandoned = Abandoned()
    abandoned.free()
    let_go(line)
    assert until_sure(abandoned) == 0
    assert status_of(claimed) == "sending"


@on_sqlite
def test_no_file_is_left_of_a_worker_that_ended_well(app: APIFlask, config: Config) -> None:
    database = sqlite_file(config["SQLALCHEMY_DATABASE_URI"])
    assert database is not None
    held = lifeline.hold(app)
    held.let_go()
    app.extensions.pop("lifeline")
    with contextlib.closing(os.scandir(database.parent)) as found:
        assert [entry.name for entry in found if entry.name.startswith(f"{database.name}-worker-")] == []
