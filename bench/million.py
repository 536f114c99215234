"""A broadcast to a million people, for once: `python -m bench.million --database sqlite` takes an hour on one core, and
5 GB of disk.

One worker makes the notifications of the whole audience, in the inbox and by e-mail, beside a web process and a
scheduler; then another sends a part of the mails. Every second the API is asked for the counts, which have to add up.
A line of JSON at every mark says what each process has cost for a person since the mark before, and what it holds.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import urllib3

from bench import rows
from bench.broadcast import begin
from bench.installation import DATABASES, Installation, installed
from bench.processes import Program, cpu_s, held_mb, hire_janitor, peak_mb, running, wait_until
from bench.sample import KEY
from bench.stage import micros
from notifier.core.lifecycle import OPEN
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import BroadcastTally, Delivery
from notifier.signals.queueing import EXPAND_QUEUE

_MARKS = (1, 2, 5, 10, 20, 50, 100)  # hundredths of the audience
_LOOK_S = 1.0
_LONGEST_S = 6 * 3600.0


class Looker:
    """Asks the API for a broadcast. `wrong`: the looks at which its counts did not add up."""

    def __init__(self, installation: Installation, broadcast_id: UUID) -> None:
        self._url = f"http://127.0.0.1:{installation.port}/api/v1/broadcasts/{show('brd', broadcast_id)}"
        self._http = urllib3.PoolManager(headers={"Authorization": f"Bearer {KEY}"}, timeout=60)
        self.looks, self.wrong = 0, 0

    def look(self) -> dict[str, Any]:
        answer = self._http.request("GET", self._url)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.data[:300]!r}")
        shown: dict[str, Any] = answer.json()
        made = {sum(by_status.values()) for by_status in shown["counts"]["channels"].values()}
        self.looks += 1
        self.wrong += not made <= {shown["expanded"]} or shown["counts"]["notifications"] != shown["expanded"]
        return shown

    def cancel(self) -> None:
        assert self._http.request("POST", f"{self._url}/cancel").status == 200


class Costs:
    """What has been spent since the last line, for one of what was done."""

    def __init__(self, installation: Installation, programs: Mapping[str, Program]) -> None:
        self._installation, self._programs = installation, dict(programs)
        self._begun = self._at = time.monotonic()
        self._cpu_s, self._done = self._spent(), 0

    def line(self, phase: str, done: int) -> None:
        now, spent, operations = time.monotonic(), self._spent(), done - self._done
        pids = {name: program.process.pid for name, program in self._programs.items()}
        told = {
            "phase": phase,
            "done": done,
            "seconds": round(now - self._begun, 1),
            "rate": round(operations / (now - self._at), 1),
            "cpu_us": {name: micros(spent[name] - self._cpu_s[name], operations) for name in spent},
            "held_mb": {name: held_mb(pid) for name, pid in pids.items()},
            "peak_mb": {name: peak_mb(pid) for name, pid in pids.items()},
            "redis_mb": round(self._installation.redis.info("memory")["used_memory"] / 2**20, 1),
            "database_mb": round(_bytes(self._installation) / 2**20, 1),
            "load": os.getloadavg()[0],
        }
        print(json.dumps(told), flush=True)
        self._at, self._cpu_s, self._done = now, spent, done

    def _spent(self) -> dict[str, float]:
        ours = {name: cpu_s([program.process.pid]) for name, program in self._programs.items()}
        return {**ours, **self._installation.servers_cpu_s()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.million", description=__doc__)
    parser.add_argument("--database", choices=DATABASES, required=True)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--sent", type=int, default=20_000, help="mails that are sent in the end")
    parser.add_argument("--cancel-s", type=float, default=60.0, help="how long to watch the cancelling of the others")
    given = parser.parse_args()
    hire_janitor()
    with installed(given.database) as installation:
        begun, cpu = time.monotonic(), time.process_time()
        upload_id = rows.add_alike("person", given.people)
        rows.tidy_up()
        took_s, cpu = time.monotonic() - begun, time.process_time() - cpu
        people_mb = round(_bytes(installation) / 2**20, 1)
        print(json.dumps({"phase": "people", "seconds": round(took_s, 1), "cpu_us": micros(cpu, given.people)}))
        print(json.dumps({"phase": "people", "database_mb": people_mb}), flush=True)
        return 0 if _broadcast(installation, upload_id, given) else 1


def _broadcast(installation: Installation, upload_id: UUID, given: argparse.Namespace) -> bool:
    with (
        installation.web() as web,
        running(installation.start("notifier", "scheduler")) as scheduler,
        running(installation.start("bench.worker", "serve", EXPAND_QUEUE)) as expanding,
    ):
        wait_until(lambda: installation.redis.scard("rq:workers"), "the worker is there")
        programs = {"web": web, "scheduler": scheduler, "worker": expanding}
        key = begin(upload_id)
        looker, costs = Looker(installation, key), Costs(installation, programs)
        marks = iter(given.people * mark // 100 for mark in _MARKS)
        for _ in _looks(looker, lambda shown: shown["expanded"] >= given.people, marks_of=(marks, costs)):
            pass
        is_right = _compare(key)
        expanding.stop()
        with running(installation.start("bench.worker", "serve")) as sending:
            programs["worker"] = sending
            for _ in _looks(looker, lambda shown: _ended(shown) > 0):
                pass  # it has started
            costs, before = Costs(installation, programs), _ended(looker.look())
            for shown in _looks(looker, lambda shown: _ended(shown) >= before + given.sent):
                last = shown
            costs.line("sending", _ended(last) - before)
        wait_until(lambda: not looker.look()["counts"]["channels"]["email"]["sending"], "none is under way")
        del programs["worker"]
        costs = Costs(installation, programs)
        before = _ended(looker.look())
        looker.cancel()
        until = time.monotonic() + given.cancel_s
        for shown in _looks(looker, lambda shown: time.monotonic() > until or not _open(shown)):
            last = shown
        costs.line("cancelling", _ended(last) - before)
        is_right = _compare(key) and is_right and not looker.wrong
    print(json.dumps({"phase": "end", "looks": looker.looks, "wrong": looker.wrong, "is_right": is_right}), flush=True)
    return is_right


def _looks(looker: Looker, is_over: Any, marks_of: Any = None) -> Iterator[dict[str, Any]]:
    marks, costs = marks_of or (iter(()), None)
    mark: int | None
    mark, give_up_at = next(marks, None), time.monotonic() + _LONGEST_S
    while time.monotonic() < give_up_at:
        shown = looker.look()
        yield shown
        if costs is not None and mark is not None and shown["expanded"] >= mark:
            costs.line("expanding", shown["expanded"])
            mark = next(marks, None)
        if is_over(shown):
            return
        time.sleep(_LOOK_S)
    raise RuntimeError("it takes too long")


def _ended(shown: dict[str, Any]) -> int:
    """Mails of which nothing is to come."""
    mails: dict[str, int] = shown["counts"]["channels"]["email"]
    return sum(mails.values()) - sum(mails[status] for status in OPEN)


def _open(shown: dict[str, Any]) -> int:
    return sum(counts[status] for counts in shown["counts"]["channels"].values() for status in OPEN)


def _compare(key: UUID) -> bool:
    """The counts with a full count, in one statement and so at one moment, whatever moves meanwhile."""
    told, made = BroadcastTally.__table__.c, Delivery.__table__.c
    counted = sa.select(told.channel, told.status, told["count"].label("number")).where(told.broadcast_id == key)
    full = sa.select(made.channel, made.status, -sa.func.count()).where(made.broadcast_id == key)
    both = sa.union_all(counted, full.group_by(made.channel, made.status)).subquery()
    total = sa.func.sum(both.c.number)
    differences = sa.select(both.c.channel, both.c.status, total).group_by(both.c.channel, both.c.status)
    found = db.session.execute(differences.having(total != 0)).all()
    db.session.rollback()
    print(json.dumps({"phase": "count", "same": not found, "differences": [list(map(str, row)) for row in found]}))
    return not found


def _bytes(installation: Installation) -> int:
    if installation.database == "postgresql":
        size = db.session.scalar(sa.text("SELECT pg_database_size(current_database())"))
        db.session.rollback()
        return int(size or 0)
    return sum(path.stat().st_size for path in installation.place.glob("notifier.db*"))


if __name__ == "__main__":
    sys.exit(main())
