"""Notifier as separate processes that can be killed, stopped and started one by one, and what can be asked of its
stores.
"""

import multiprocessing
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import redis
import sqlalchemy as sa
import time_machine
import urllib3

from notifier.__main__ import main
from notifier.core.lifecycle import OPEN
from notifier.ground.ids import parse
from notifier.ground.lifeline import YOUNG_S
from notifier.ground.redis_clients import connected
from tests.faults import networks
from tests.faults.networks import Network
from tests.faults.sink import Sink
from tests.running import KEY, ROOT, Redis, eventually, free_port
from tests.watched_redis import WatchedRedis

USERS = [f"u{n}" for n in range(40)]
# The short form, as CI has it. The long one: FAULT_KILLS=20 FAULT_PEOPLE=100000 FAULT_ROWS=200000 make faults
KILLS = int(os.environ.get("FAULT_KILLS", "4"))  # of each test that kills its processes again and again
PEOPLE = int(os.environ.get("FAULT_PEOPLE", "600"))  # whom a broadcast is for
ROWS = int(os.environ.get("FAULT_ROWS", "20000"))  # deliveries of a long backlog
QUEUE = "webhook.high"
_OF_EACH = (" submission.accepted", " delivery.sent")


class Installation:
    """Web and scheduler run from the beginning; workers are started by the tests. `environment`: further settings.
    `network`: that its processes are in, and the test too while it calls them.
    """

    def __init__(
        self,
        home: Path,
        database_url: str,
        own_redis: Redis | WatchedRedis,
        sink: Sink,
        *,
        port: int | None = None,
        users: Sequence[str] = USERS,
        network: Network | None = None,
        **environment: str,
    ) -> None:
        self.home, self.redis, self.sink, self.network = home, own_redis, sink, network
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.engine = sa.create_engine(database_url, poolclass=sa.NullPool)
        self.client: redis.Redis = connected(own_redis.url)
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONUNBUFFERED": "1",
            "NOTIFIER_HOME": str(home),
            "DATABASE_URL": database_url,
            "REDIS_URL": own_redis.url,
            "PORT": str(self.port),
            "OUTBOUND_ALLOW": "127.0.0.0/8",
            "NOTIFIER_DEMO": "0",
            "NOTIFIER_PRODUCER_KEY": KEY,
            **environment,
        }
        self._started: list[Program] = []
        assert self.start("migrate").wait(120) == 0, self.log_text()
        self.web = self.start("web")
        self.scheduler = self.start("scheduler")
        self._http = urllib3.PoolManager(headers={"Authorization": f"Bearer {KEY}"}, retries=False)
        eventually(self.is_serving)
        for user in users:
            self.call("PUT", f"/api/v1/users/{user}", {"name": user})
            self.call(
                "POST",
                f"/api/v1/users/{user}/addresses",
                {"channel": "webhook", "value": f"http://127.0.0.1:{sink.port}/{user}"},
            )

    # ---- processes

    def start(
        self, *command: str, clock_off_s: float = 0.0, listener: socket.socket | None = None, **environment: str
    ) -> "Program":
        log = self.home.parent / f"{command[0]}.log"
        network = self.network.path if self.network else None
        program = Program(command, {**self.environment, **environment}, log, clock_off_s, listener, network)
        self._started.append(program)
        return program

    def start_worker(self, *, lanes: int = 300, clock_off_s: float = 0.0) -> "Program":
        """For the webhook queues only: half of the lanes would be another channel's otherwise."""
        return self.start("worker", "--queues", "webhook.*", "--lanes", str(lanes), clock_off_s=clock_off_s)

    def restart_web(self) -> None:
        self.web = self.start("web")

    def stop(self) -> None:
        for program in self._started:
            program.kill()
        self.engine.dispose()

    def count_in_log(self, event: str) -> int:
        return sum(path.read_text().count(event) for path in self.home.parent.glob("*.log"))

    def log_text(self) -> str:
        """What they said last, but for what they say of each request and delivery."""
        told = []
        for path in sorted(self.home.parent.glob("*.log")):
            lines = [line for line in path.read_text().splitlines() if not line.partition("]")[2].startswith(_OF_EACH)]
            told += [f"--- {path.name}", *lines[-20:]]
        return "\n".join(told)

    def restore(self) -> None:
        """Starts what a test that failed has left dead."""
        if not self.web.is_running:
            self.restart_web()
        if not self.scheduler.is_running:
            self.scheduler = self.start("scheduler")

    # ---- the API

    def is_serving(self) -> bool:
        try:
            return self._http.request("GET", f"{self.url}/healthz").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def readiness(self) -> tuple[int, str]:
        """What /readyz answers, and says of the database."""
        answer = self._http.request("GET", f"{self.url}/readyz")
        return answer.status, str(answer.json()["database"])

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        give_up_at = time.monotonic() + 60
        while True:
            answer = self._http.request(method, f"{self.url}{path}", json=body)
            if answer.status != 503 or time.monotonic() > give_up_at:  # a busy machine is no fault
                break
            time.sleep(0.5)
        assert answer.status in (200, 201, 202), answer.data
        return answer.json()

    # ---- the database

    def count_deliveries(self) -> int:
        with self.engine.connect() as connection:
            return connection.scalar(sa.text("SELECT count(*) FROM delivery")) or 0

    def count_open(self) -> int:
        """Deliveries that still wait for something."""
        statement = sa.text("SELECT count(*) FROM delivery WHERE status IN :open").bindparams(
            sa.bindparam("open", sorted(OPEN), expanding=True)
        )
        with self.engine.connect() as connection:
            return connection.scalar(statement) or 0

    def statuses_of(self, shown_ids: Sequence[str]) -> Counter[str]:
        found = self._statuses()
        return Counter(found.get(parse("dlv", shown), "missing") for shown in shown_ids)

    def _statuses(self) -> dict[UUID, str]:
        table = sa.table("delivery", sa.column("id", sa.Uuid), sa.column("status"))
        with self.engine.connect() as connection:
            return {row.id: row.status for row in connection.execute(sa.select(table.c.id, table.c.status))}

    def unrecorded(self, shown_ids: Collection[str]) -> set[str]:
        """Those of them that are being sent, for all that the database knows."""
        found = self._statuses()
        return {shown for shown in shown_ids if found.get(parse("dlv", shown)) == "sending"}

    def has_settled_lifelines(self) -> bool:
        """While the server is young, nobody is believed dead."""
        if self.engine.dialect.name == "sqlite":
            return True
        with self.engine.connect() as connection:
            age_s = connection.scalar(sa.text("SELECT extract(epoch FROM now() - pg_postmaster_start_time())"))
        return float(age_s or 0) > YOUNG_S + 1

    # ---- Redis, read without RQ: its registries change by being looked at

    def waiting_jobs(self) -> int:
        return int(self.client.llen(f"rq:queue:{QUEUE}"))

    def jobs_held_by(self, worker: "Program") -> set[str]:
        """Ids of the jobs that this worker has taken and not settled."""
        names = {
            key.decode().removeprefix("rq:worker:")
            for key in self.client.smembers("rq:workers")
            if int(self.client.hget(key, "pid") or 0) == worker.pid
        }
        ids = [entry.decode().partition(":")[0] for entry in self.client.zrange(f"rq:wip:{QUEUE}", 0, -1)]
        with self.client.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hget(f"rq:job:{job_id}", "worker_name")
            owners = pipe.execute()
        return {job_id for job_id, owner in zip(ids, owners, strict=True) if owner and owner.decode() in names}

    def left_in_redis(self) -> dict[str, Any]:
        """Whatever RQ still shows of jobs; nothing, once all is done."""
        left: dict[str, Any] = {}
        for pattern in ("rq:wip:*", "rq:failed:*", "rq:finished:*", "rq:queue:*"):
            for key in self.client.scan_iter(pattern, count=1000):
                is_list = self.client.type(key) == b"list"
                left[key.decode()] = self.client.llen(key) if is_list else self.client.zrange(key, 0, -1)
        jobs = list(self.client.scan_iter("rq:job:*", count=1000))
        return {**left, **({"jobs": jobs} if jobs else {})}


class Program:
    """`python -m notifier COMMAND` in a process of its own, forked from one that has imported everything: twenty
    workers start in seconds.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        log: Path,
        clock_off_s: float,
        listener: socket.socket | None = None,
        network: str | None = None,
    ) -> None:
        args = (list(command), environment, str(log), clock_off_s, listener, network)
        self._process = _context.Process(target=_run, args=args, daemon=True)
        self._process.start()
        self.pid = self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.is_alive()

    def tell_to_stop(self) -> None:
        """SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """SIGKILL, and waits until it is gone."""
        self._process.kill()
        self._process.join()

    def wait(self, within_s: float) -> int | None:
        """→ its exit code; None if it has not ended by then."""
        self._process.join(within_s)
        return self._process.exitcode


_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "notifier.programs.worker",
        "notifier.programs.scheduler",
        "notifier.programs.sink",
        "notifier.programs.cli",
        __name__,
    ]
)


def _run(
    command: list[str],
    environment: dict[str, str],
    log: str,
    clock_off_s: float,
    listener: socket.socket | None,
    network: str | None,
) -> None:
    if network:
        networks.enter(network)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    if listener:
        listener.set_inheritable(True)
        command += ["--fd", str(listener.fileno())]
    sys.argv[1:] = command
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    if clock_off_s:
        time_machine.travel(datetime.now(UTC) + timedelta(seconds=clock_off_s), tick=True).start()
    sys.exit(main(command))
