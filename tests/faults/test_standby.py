"""The database's primary dies while everything is running, and its standby is promoted."""

import tempfile
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import make_url

from tests.conftest import new_postgres_database
from tests.faults.conftest import Postgres, Trial
from tests.faults.installation import Installation
from tests.faults.sink import Sink
from tests.running import Redis, eventually
from tests.standby import Standby

pytestmark = pytest.mark.faults


@pytest.fixture
def primary() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="notifier-primary-", ignore_cleanup_errors=True) as place:
        server = Postgres(place)
        yield server
        server.end()


@pytest.fixture
def standby(primary: Postgres) -> Iterator[Standby]:
    """Synchronous: what is committed stands on both."""
    standby = Standby(new_postgres_database(primary.uri, "notifier_faults"))
    primary.psql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    primary.psql("SELECT pg_reload_conf()")
    yield standby
    standby.end()


@pytest.fixture
def running(standby: Standby, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Knows both, and works with the one that takes writes."""
    place = tmp_path_factory.mktemp("faults-standby")
    hosts = f"host={standby.primary.query['host']}&host=127.0.0.1:{standby.port}"
    url = f"postgresql+psycopg2://postgres@/{standby.primary.database}?{hosts}&target_session_attrs=read-write"
    assert make_url(url).database == "notifier_faults"
    own_redis, sink = Redis(place), Sink()
    installation = Installation(place / "home", url, own_redis, sink)
    yield installation
    installation.stop()
    own_redis.stop()
    sink.stop()


def test_a_standby_that_takes_over_has_all_that_was_accepted(
    running: Installation, primary: Postgres, standby: Standby, trial: Trial
) -> None:
    worker = trial.start_worker()
    load = trial.submit()
    trial.until_delivered(300)
    primary.stop()
    gone_at = time.monotonic()
    accepted_before = len(load.accepted)
    standby.promote()
    promoted_after_s = time.monotonic() - gone_at
    eventually(lambda: len(load.accepted) > accepted_before)
    accepting_after_s = time.monotonic() - gone_at
    trial.until_delivered(300)
    assert worker.is_running
    assert running.scheduler.is_running
    trial.settle(told=f"promoted {promoted_after_s:.1f} s and accepting {accepting_after_s:.1f} s after it")
    assert set(load.not_accepted) <= {"503"}
