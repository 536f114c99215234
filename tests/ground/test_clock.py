"""The time of a long-running process is the database's, whatever its host believes."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from apiflask import APIFlask

from notifier.core import lifecycle
from notifier.ground import clock
from notifier.ground.database import follow_clock, transaction
from notifier.models import Delivery
from notifier.pipeline.delivery import claim
from notifier.pipeline.upkeep import due
from tests.stored import deliveries

WRONG = pytest.mark.parametrize("off", [timedelta(hours=30), timedelta(hours=-30)], ids=["fast", "slow"])


@pytest.fixture(autouse=True)
def host_clock_again() -> Iterator[None]:
    yield
    clock.follow_nobody()


@WRONG
def test_what_is_told_replaces_what_the_host_believes(off: timedelta) -> None:
    told = datetime.now(UTC) + off
    clock.follow(told, asked_s_ago=0.0)
    assert told <= clock.now() < told + timedelta(minutes=1)


def test_a_host_that_is_set_anew_while_we_run_changes_nothing() -> None:
    clock.follow(datetime.now(UTC), asked_s_ago=0.0)
    before = clock.now()
    with time_machine.travel(before + timedelta(hours=5), tick=True):
        assert before <= clock.now() < before + timedelta(minutes=1)
        assert clock.of_this_host() > before + timedelta(hours=4)


def test_an_answer_that_differs_by_how_long_it_took_does_not_make_time_jump() -> None:
    clock.follow(datetime.now(UTC), asked_s_ago=0.0)
    before = clock.now()
    clock.follow(before - timedelta(seconds=0.1), asked_s_ago=0.0)
    assert clock.now() >= before


# SQLite lives on one host, which has one clock.
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")


@pytest.fixture
def follower(app: APIFlask, off: timedelta) -> Iterator[APIFlask]:
    """This process, on a host whose clock is wrong."""
    with time_machine.travel(datetime.now(UTC) + off, tick=True):
        follow_clock(app)
        yield app
    app.extensions.pop("clock_due")


@on_postgresql
@WRONG
def test_a_host_whose_clock_is_wrong_tells_the_databases_time(follower: APIFlask, off: timedelta) -> None:
    assert abs(clock.of_this_host() - clock.now() - off) < timedelta(minutes=1)


@on_postgresql
@pytest.mark.usefixtures("cast")
@WRONG
def test_it_expires_nothing_and_sends_nothing_that_has_expired(
    app: APIFlask,
    submit: Callable[..., Any],
    off: timedelta,
) -> None:
    submit("alice", channels=["email"], expires_in=3600)
    submit("alice", channels=["email"], expires_in=3600)
    fresh, stale = deliveries()
    with transaction() as session:
        session.get_one(Delivery, stale.id).expires_at = clock.now() - timedelta(hours=1)
    with time_machine.travel(datetime.now(UTC) + off, tick=True):
        follow_clock(app)
        tasks, outcomes = claim.claim([fresh.id, stale.id])
    app.extensions.pop("clock_due")
    assert [task.delivery.id for task in tasks] == [fresh.id]
    assert [(outcome.delivery_id, outcome.status) for outcome in outcomes] == [(stale.id, lifecycle.EXPIRED)]


@on_postgresql
@pytest.mark.usefixtures("cast")
@WRONG
def test_its_scheduler_releases_what_is_due_and_nothing_else(
    app: APIFlask,
    submit: Callable[..., Any],
    off: timedelta,
) -> None:
    for hours in (-1, 1):
        submit("alice", channels=["email"], send_at=clock.now() + timedelta(hours=1))
        with transaction() as session:
            [latest] = [row for row in deliveries() if row.due_at and row.due_at > clock.now()][-1:]
            session.get_one(Delivery, latest.id).wake_at = clock.now() + timedelta(hours=hours)
    with time_machine.travel(datetime.now(UTC) + off, tick=True):
        follow_clock(app)
        due.ring_due()
    app.extensions.pop("clock_due")
    assert sorted(row.status for row in deliveries()) == [lifecycle.QUEUED, lifecycle.WAITING]
