"""Everything by PgBouncer, which is killed and started again, and so is a worker."""

from collections.abc import Iterator

import pytest

from tests.conftest import new_postgres_database
from tests.faults.conftest import Postgres, Trial
from tests.faults.installation import Installation
from tests.faults.sink import Sink
from tests.pgbouncer import PgBouncer
from tests.running import Redis, eventually

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def bouncer(own_postgres: Postgres) -> Iterator[PgBouncer]:
    bouncer = PgBouncer(new_postgres_database(own_postgres.uri, "notifier_pooled"))
    yield bouncer
    bouncer.stop()


@pytest.fixture(scope="module")
def running(bouncer: PgBouncer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    place = tmp_path_factory.mktemp("faults-pooled")
    own_redis, sink = Redis(place), Sink()
    installation = Installation(place / "home", bouncer.direct, own_redis, sink, DATABASE_POOLER=bouncer.url)
    yield installation
    installation.stop()
    own_redis.stop()
    sink.stop()


def test_neither_a_dead_worker_nor_a_dead_pooler_loses_anything(
    running: Installation, bouncer: PgBouncer, trial: Trial
) -> None:
    running.sink.answers_after_s = 0.5
    doomed = trial.start_worker()
    load = trial.submit()
    eventually(lambda: len(running.jobs_held_by(doomed)) >= 50)
    eventually(running.has_settled_lifelines)
    doomed.kill()
    in_flight = running.unrecorded(load.accepted)
    trial.start_worker()
    trial.until_delivered(300)
    bouncer.stop()
    bouncer.start()
    trial.until_delivered(300)
    trial.settle(may_repeat=in_flight)
    assert set(load.not_accepted) <= {"503"}
