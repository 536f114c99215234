"""Whether more processes cost more CPU: one, two and four workers, one, two and four web processes, on the same work.

Rates say nothing here, where all share the same cores. What an operation costs in CPU does, the servers' included:
locks, waiting and empty looks at queues would show in it. So that a rise can be told from its causes, the same is done
with as much work for each process as one has alone (`…_grown`), and then with a database and a Redis database for each
(`…_apart`); and beside them by what has no database: a loop (`loops`), and a bare web process (`bare_webs`).
"""

import contextlib
import itertools
import re
import shutil
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import redis
import sqlalchemy as sa

from bench import rows
from bench.installation import Installation, answers_at, free_port
from bench.processes import Program, cpu_s, wait_until
from bench.sample import CROWD, PEOPLE
from bench.stage import Found, Stage, all_cpu_us, micros
from notifier.app import create_app
from notifier.ground.config import Settings
from notifier.ground.extensions import db

NUMBERS = (1, 2, 4)
_TURNS = 3
_CLIENTS = 16  # of a web process that is alone; more of them than it answers in time would be refused
_IDLE_S = 0.05
_PARTS = ("cpu_us", "redis_cpu_us", "postgresql_cpu_us", "together")


@dataclass(frozen=True, slots=True)
class _Run:
    """`places`: the installation of each process. `share`: of the work that one process does alone, for each."""

    stage: Stage
    places: Sequence[Installation]
    share: float

    def some(self, count: int) -> int:
        return round(self.stage.some(count) * self.share)


def linear(stage: Stage) -> Found:
    """In turns, so that other work on the machine hits all alike; medians."""
    took: dict[tuple[str, int], list[Found]] = {}
    with _apart(stage.installation, max(NUMBERS) - 1) as others:
        apart = [stage.installation, *others]
        for _ in range(_TURNS):
            for number in NUMBERS:
                same = [stage.installation] * number
                runs = {"": (same, 1 / number), "_grown": (same, 1.0), "_apart": (apart[:number], 1.0)}
                for kind, work in _KINDS.items():
                    for how, (places, share) in runs.items():
                        if not how or (number == max(NUMBERS) and kind in _OF_OURS):
                            found = work(_Run(stage, places, share))
                            took.setdefault((f"{kind}{how}", number), []).append(found)
    shown: Found = {}
    for (kind, number), several in took.items():
        shown[f"{kind}_{number}_us"] = round(statistics.median(map(all_cpu_us, several)), 1)
        for part in _PARTS:
            if part in several[0]:
                shown[f"{kind}_{number}_{part}"] = round(statistics.median(found[part] for found in several), 1)
    ofs = {kind: shown[f"{kind}_4_us"] / shown[f"{_alone(kind)}_1_us"] for kind, number in took if number == 4}
    return {**{f"{kind}_4_of_1": round(times, 2) for kind, times in ofs.items()}, **shown}


def _alone(kind: str) -> str:
    return kind.removesuffix("_grown").removesuffix("_apart")


def _delivered(run: _Run) -> Found:
    """So many workers empty one queue together, or each its own."""
    count = run.some(10_000)
    for place in run.places:
        with _in(place):
            rows.ring(rows.queue_up("sms", "medium", count, prefix=PEOPLE, users=CROWD), "sms", "medium")
    found: Found = {}
    total = count * len(run.places)
    with run.stage.costs(found, lambda: total):
        workers = [place.start("bench.worker", "ours", "sms.medium") for place in run.places]
        told = [worker.answer() for worker in workers]
    spent, batches = (sum(one[name] for one in told) for name in ("cpu_s", "batches"))
    return {"cpu_us": micros(spent, total), "together": total / max(batches, 1), **found}


def _answered(run: _Run) -> Found:
    """So many web processes answer singles."""
    ports = [free_port() for _ in run.places]
    found: Found = {}
    with contextlib.ExitStack() as stack:
        places = zip(ports, run.places, strict=True)
        webs = [place.start("notifier", "web", more={"PORT": str(port)}) for port, place in places]
        for web in webs:
            stack.callback(web.stop)
        for port in ports:
            wait_until(partial(answers_at, port), "the web process answers", within_s=300)
        found = _loaded(run, webs, ports, 5_000)
        batches = [_batches(port) for port in ports]
    for place in run.places:
        place.clear_queues()
    return {**found, "together": sum(items for items, _ in batches) / sum(times for _, times in batches)}


def _answered_barely(run: _Run) -> Found:
    with contextlib.ExitStack() as stack:
        webs = [run.stage.installation.start("bench.bare_web") for _ in run.places]
        for web in webs:
            stack.callback(web.stop)
        return _loaded(run, webs, [web.read_json()["port"] for web in webs], 20_000)


def _loaded(run: _Run, webs: Sequence[Program], ports: Sequence[int], requests: int) -> Found:
    clients = round(_CLIENTS * run.share)
    shared = ("--prefix", PEOPLE, "--users", CROWD, "--channels", "inapp,email", "--clients", clients)

    def load(each: int) -> None:
        # What was said before would be left out, and who is told twice at once waited for
        starts = [next(_STARTS) for _ in ports]
        options = (*shared, "--requests", each)
        here = run.stage.installation
        loads = [
            here.start("bench.load", "singles", "--port", port, "--start", start, *options)
            for port, start in zip(ports, starts, strict=True)
        ]
        for one in loads:
            if refused := one.answer()["refused"]:
                raise RuntimeError(f"a web process refused: {refused}")

    load(clients * 4)  # warms up
    pids = [web.process.pid for web in webs]
    wait_until(partial(_are_idle, pids), "the web processes have started", within_s=120)
    each = run.some(requests)
    total = each * len(ports)
    before = cpu_s(pids)
    found: Found = {}
    with run.stage.costs(found, lambda: total):
        load(each)
    return {**found, "cpu_us": micros(cpu_s(pids) - before, total)}


def _are_idle(pids: Sequence[int]) -> bool:
    """For a second: what a process does after its first answers is none of the requests' cost."""
    before = cpu_s(pids)
    time.sleep(1)
    return cpu_s(pids) - before < _IDLE_S * len(pids)


def _batches(port: int) -> tuple[float, float]:
    """→ (requests, transactions that took them)."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    told = dict(re.findall(r'^notifier_batch_items_(sum|count)\{stage="submissions"\} (\S+)$', text, re.MULTILINE))
    return float(told["sum"]), float(told["count"])


def _looped(run: _Run) -> Found:
    """Nothing but a loop, to see what the cores themselves do."""
    each = run.some(500_000)
    loops = [run.stage.installation.start("bench.bare", "json", "--operations", each) for _ in run.places]
    return {"cpu_us": micros(sum(one.answer()["cpu_s"] for one in loops), each * len(loops))}


@contextlib.contextmanager
def _apart(here: Installation, number: int) -> Iterator[list[Installation]]:
    """So many further installations on the same servers, each with a copy of the database."""
    db.session.remove()
    db.engine.dispose()
    url = sa.make_url(here.environment["DATABASE_URL"])
    found = []
    for which in range(1, number + 1):
        name = f"{url.database}_{which}"
        if here.database == "postgresql":
            with sa.create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT").connect() as connection:
                connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {url.database}"))
        else:
            rows.tidy_up()
            db.engine.dispose()
            shutil.copy(str(url.database), name)
        environment = {
            **here.environment,
            "DATABASE_URL": url.set(database=name).render_as_string(hide_password=False),
            "REDIS_URL": f"{here.environment['REDIS_URL']}?db={which}",
        }
        found.append(replace(here, environment=environment, redis=redis.Redis.from_url(environment["REDIS_URL"])))
    yield found


@contextlib.contextmanager
def _in(place: Installation) -> Iterator[None]:
    """In the app context of an installation."""
    if str(db.engine.url.database) == sa.make_url(place.environment["DATABASE_URL"]).database:
        yield
        return
    with create_app(Settings.from_env(place.environment)).app_context():
        yield
        db.session.remove()
        db.engine.dispose()


_OF_OURS = ("workers", "webs")
_STARTS = itertools.count(0, 1_000_000 + CROWD // max(NUMBERS))  # far apart, each with other people
_KINDS: dict[str, Callable[[_Run], Found]] = {
    "loops": _looped,
    "bare_webs": _answered_barely,
    "workers": _delivered,
    "webs": _answered,
}
