"""The pooler, the replica and the partitions of a PostgreSQL: the sentence, the remedy, and the exit code."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from apiflask import APIFlask
from sqlalchemy import make_url

from notifier.ground.clock import now
from notifier.programs.doctor.databases import partitions_ahead
from tests.pgbouncer import PgBouncer
from tests.programs.doctor.conftest import PASSWORD, Doctor
from tests.standby import Standby

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")

AWAY = f"postgresql://me:{PASSWORD}@127.0.0.1:1/none"
SHOWN = "postgresql://me:***@127.0.0.1:1/none"


@pytest.fixture(scope="module")
def bouncer(database_url: str) -> Iterator[PgBouncer]:
    bouncer = PgBouncer(database_url)
    yield bouncer
    bouncer.stop()


@pytest.fixture(scope="module")
def standby(database_url: str) -> Iterator[Standby]:
    standby = Standby(database_url)
    yield standby
    standby.end()


def of(doctor: Doctor, **changes: str) -> tuple[int, str, str, str | None]:
    """The exit code, and what it says at last."""
    told = doctor("database", **changes)
    _, level, what, remedy = told.findings[-1]
    assert PASSWORD not in told.text
    return told.code, level, what, remedy


def test_a_pooler_that_does_not_lead_there_is_a_fault(app: APIFlask, doctor: Doctor, bouncer: PgBouncer) -> None:
    code, level, what, _ = of(doctor, DATABASE_POOLER=bouncer.url)
    assert (code, level, what) == (0, "ok", f"the pooler {bouncer.url} leads to it")
    code, level, what, remedy = of(doctor, DATABASE_POOLER=AWAY)
    assert (code, level, remedy) == (1, "fault", "Start it, or correct DATABASE_POOLER: all processes go by it.")
    assert what.startswith(f"the database cannot be reached by the pooler {SHOWN}: ")
    elsewhere = make_url(bouncer.url).set(database="postgres").render_as_string(hide_password=False)
    code, level, what, _ = of(doctor, DATABASE_POOLER=elsewhere)
    assert (code, level, what) == (1, "fault", f"the pooler {elsewhere} leads to another database")


@pytest.mark.slow
def test_a_replica_that_is_none_is_a_warning(
    app: APIFlask, doctor: Doctor, standby: Standby, database_url: str
) -> None:
    code, level, what, _ = of(doctor, DATABASE_REPLICA_URL=standby.url)
    assert (code, level, what.endswith(" MiB behind")) == (0, "ok", True)
    code, level, what, _ = of(doctor, DATABASE_REPLICA_URL=AWAY)
    assert (code, level, what.startswith(f"the replica {SHOWN} cannot be reached: ")) == (0, "warning", True)
    code, level, what, remedy = of(doctor, DATABASE_REPLICA_URL=database_url)
    assert (code, level, remedy) == (0, "warning", "Correct DATABASE_REPLICA_URL.")
    assert what.endswith(" is no replica of the database")


def test_tables_without_partitions_for_the_coming_days_are_named(app: APIFlask) -> None:
    assert list(partitions_ahead()) == []
    with time_machine.travel(now() + timedelta(days=30)):
        [found] = partitions_ahead()
    assert found.level == "warning"
    assert found.what.endswith(": capture, subscription_attempt, attempt")
