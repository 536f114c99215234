"""`make load`: whether an installation accepts so many events a second in bulk, and how long it takes to send them.

Three parts: the usual rate, ten times that, and the time until all of it is sent. Meanwhile one message a second is
followed from its call to its sending. `ARGS="--url … --key …"` names an installation, best with a test key, which sends
nothing; else one is made here, with providers that answer at once, and what each of its programs used is told, too:
beside other work a rate says little, CPU time for an event says what is in the way.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import urllib3

from bench.installation import DATABASES, installed
from bench.load import data, percentiles
from bench.processes import cpu_s, hire_janitor, running, wait_until
from bench.sample import KEY, TYPE
from bench.target import Target

_PEOPLE = 2_000
_POLL_S = 0.1
_OPEN = ("waiting", "queued", "sending")
_CORES = os.cpu_count() or 1
_numbers = itertools.count()


@dataclass
class Part:
    """What came of so many seconds at a rate."""

    name: str
    per_second: float
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    probes_s: list[float] = field(default_factory=list)
    took_s: float = 0.0
    last: str = ""
    cpu_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def reached(self) -> float:
        return self.accepted / self.took_s if self.took_s else 0.0

    def line(self) -> str:
        calls, probes = percentiles(self.latencies_s), percentiles(self.probes_s)
        told = (
            f"{self.name:<8}{self.per_second:>9,.0f}/s wanted {self.reached:>9,.0f}/s accepted   calls p50 "
            f"{calls['p50_ms']:,.0f} ms p99 {calls['p99_ms']:,.0f} ms"
        )
        if self.probes_s:
            told += f"   sent after p50 {probes['p50_ms']:,.0f} ms, at most {max(self.probes_s) * 1000:,.0f} ms"
        refused = ", ".join(f"{count:,} of {code}" for code, count in self.refused.items())
        return told + (f"   REFUSED {refused}" if refused else "") + f"\n        cores busy: {self._busy()}"

    def _busy(self) -> str:
        shares = [f"{name} {spent / self.took_s:.2f}" for name, spent in self.cpu_s.items()]
        others = os.getloadavg()[0]
        return f"{', '.join(shares)} of {_CORES}; {others:,.1f} wanted one or ran, others' work included"

    @property
    def cpu_us(self) -> dict[str, float]:
        """CPU time for an event, by program."""
        return {name: round(spent * 1e6 / self.accepted, 1) for name, spent in self.cpu_s.items() if self.accepted}


class Pressure:
    """`size` notifications a call, on these channels, to people who are made by being named. `spent`: CPU seconds of
    each of the installation's programs so far.
    """

    def __init__(
        self,
        target: Target,
        channels: Sequence[str],
        size: int,
        clients: int,
        spent: Callable[[], dict[str, float]] = dict,
    ) -> None:
        self.target, self.channels, self.size, self.clients = target, channels, size, clients
        self._spent = spent

    def spent(self) -> dict[str, float]:
        return {**self._spent(), "this program": time.process_time()}

    def body(self, priority: str | None = None) -> dict[str, Any]:
        number = next(_numbers)
        person = f"load{number % _PEOPLE}"
        # Data of its own, so that no repeat is left out
        one = {
            "type": TYPE,
            "recipients": [{"id": person, "email": f"{person}@sandbox.test"}],
            "data": data(number),
            "channels": self.channels,
            "dedupe": False,
        }
        return {**one, "priority": priority} if priority else one

    def part(self, name: str, per_second: float, seconds: float) -> Part:
        """Calls at even distances, whatever the answers; when all clients wait for answers, later."""
        size = min(self.size, math.ceil(per_second * seconds))
        part, lock, calls = Part(name, per_second), threading.Lock(), math.ceil(per_second * seconds / size)
        before, begun, over = self.spent(), time.monotonic(), threading.Event()

        def call(number: int) -> None:
            wait_s = begun + number * size / per_second - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            body = {"notifications": [self.body() for _ in range(size)]}
            sent_at = time.monotonic()
            try:
                answer = self.target.call("POST", "/api/v1/notifications/bulk", body)
            except urllib3.exceptions.HTTPError as error:
                with lock:
                    part.refused[type(error).__name__] += size
                return
            with lock:
                part.latencies_s.append(time.monotonic() - sent_at)
                self._count(part, answer.status, answer.body, size)

        def probe() -> None:
            while not over.wait(1.0):
                with contextlib.suppress(urllib3.exceptions.HTTPError):
                    took_s = self.followed(over)
                    if took_s is not None:
                        part.probes_s.append(took_s)

        prober = threading.Thread(target=probe)
        prober.start()
        with ThreadPoolExecutor(self.clients) as pool:
            list(pool.map(call, range(calls)))
        part.took_s = max(time.monotonic() - begun, calls * size / per_second)
        part.cpu_s = {name: spent - before[name] for name, spent in self.spent().items()}
        over.set()
        prober.join()
        return part

    @staticmethod
    def _count(part: Part, status: int, body: Any, size: int) -> None:
        if status != 202:
            part.refused[str(status)] += size
            return
        for result in body["results"]:
            if "error" in result:
                part.refused[result["error"]["code"]] += 1
            else:
                part.accepted += 1
                part.last = result["notifications"][0]

    def followed(self, over: threading.Event) -> float | None:
        """From a call of its own to the sending, in seconds; None when it was not accepted, or not sent by the end."""
        begun = time.monotonic()
        answer = self.target.call("POST", "/api/v1/notifications", self.body("high"))
        if answer.status != 202:
            return None
        shown = answer.body["notifications"][0]["id"]
        while self.is_open(shown):
            if over.wait(_POLL_S):
                return None
        return time.monotonic() - begun

    def is_open(self, notification: str) -> bool:
        found = self.target.call("GET", f"/api/v1/notifications/{notification}")
        return found.status != 200 or any(one["status"] in _OPEN for one in found.body["deliveries"])

    def drained(self, parts: Sequence[Part], patience_s: float) -> float | None:
        """Seconds until the last of each part is sent: the queues keep their order. None: not by then."""
        begun = time.monotonic()
        for part in parts:
            while part.last and self.is_open(part.last):
                if time.monotonic() - begun > patience_s:
                    return None
                time.sleep(_POLL_S)
        return time.monotonic() - begun


def pressed(pressure: Pressure, rate: float, burst: float, seconds: float, patience_s: float) -> dict[str, Any]:
    """Prints a line for each part; → the figures."""
    parts = []
    for name, per_second in (("usual", rate / burst), ("burst", rate)):
        parts.append(pressure.part(name, per_second, seconds))
        print(parts[-1].line(), flush=True)
    drained_s = pressure.drained(parts, patience_s)
    accepted, refused = sum(part.accepted for part in parts), sum(part.refused.total() for part in parts)
    print(
        f"drained {f'{drained_s:,.1f} s after the burst' if drained_s is not None else 'NOT'}: {accepted:,} accepted, "
        f"{refused:,} refused"
    )
    reached = parts[-1].reached
    cpu_us = parts[-1].cpu_us
    if reached < 0.95 * rate:
        print(f"This machine accepted {reached:,.0f} a second, not the {rate:,.0f} that were wanted.")
    if cpu_us:
        each = ", ".join(f"{name} {spent:,.0f}" for name, spent in cpu_us.items())
        print(f"CPU µs for an event of the burst: {each}; {sum(cpu_us.values()):,.0f} in all")
    return {
        "wanted_per_s": rate,
        "accepted_per_s": round(reached, 1),
        "accepted": accepted,
        "refused": refused,
        "drained_s": drained_s and round(drained_s, 1),
        "cpu_us": cpu_us,
        **percentiles(parts[-1].latencies_s),
    }


@contextlib.contextmanager
def own_installation(
    database: str, webs: int, connections: int
) -> Iterator[tuple[Target, Callable[[], dict[str, float]]]]:
    """So many web processes, a worker and a scheduler here; → and what they have used (`Pressure.spent`)."""
    hire_janitor()
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(installed(database))
        programs = {"web": [stack.enter_context(here.web("--reuse-port")) for _ in range(webs)]}
        programs["worker"] = [stack.enter_context(running(here.start("bench.worker", "serve")))]
        programs["scheduler"] = [stack.enter_context(running(here.start("notifier", "scheduler")))]
        pids = {name: [one.process.pid for one in ours] for name, ours in programs.items()}
        wait_until(lambda: here.redis.scard("rq:workers"), "the worker is there", within_s=300)

        def spent() -> dict[str, float]:
            return {**{name: cpu_s(ours) for name, ours in pids.items()}, **here.servers_cpu_s()}

        yield Target(f"http://127.0.0.1:{here.port}", KEY, connections=connections), spent


def main() -> int:
    parser = argparse.ArgumentParser(prog="make load ARGS=…", description=__doc__)
    parser.add_argument("--rate", type=float, default=10_000, help="events a second in the burst (10000)")
    parser.add_argument("--burst", type=float, default=10, help="how many times the usual rate that is (10)")
    parser.add_argument("--seconds", type=float, default=10, help="how long each rate is kept up (10)")
    parser.add_argument("--size", type=int, default=1_000, help="notifications in a call (1000)")
    parser.add_argument("--clients", type=int, default=8, help="calls under way at once (8)")
    parser.add_argument("--channels", default="inapp,email", help="(inapp,email)")
    parser.add_argument("--patience", type=float, default=900, help="seconds to wait for the end of it (900)")
    parser.add_argument("--url", help="an installation; else one is made here")
    parser.add_argument("--key", help="of a producer there; best a test key")
    parser.add_argument(
        "--web", type=int, default=_CORES, help="web processes of the one that is made here (one a core)"
    )
    parser.add_argument("--database", choices=DATABASES, default="postgresql", help="of the one that is made here")
    given = parser.parse_args()
    if bool(given.url) != bool(given.key):
        parser.error("--url and --key go together")
    if not 1 <= given.size <= 1_000 or min(given.rate, given.burst, given.seconds, given.clients, given.web) <= 0:
        parser.error("rates, seconds, clients and web processes must be above 0, and a call takes 1 to 1000")
    connections = given.clients + 1
    with contextlib.ExitStack() as stack:
        target, spent = (
            (Target(given.url, given.key, connections=connections), dict)
            if given.url
            else stack.enter_context(own_installation(given.database, given.web, connections))
        )
        pressure = Pressure(target, given.channels.split(","), given.size, given.clients, spent)
        print(f"{target.url}: {given.channels}, {given.size} in a call, {given.clients} calls at once", flush=True)
        found = pressed(pressure, given.rate, given.burst, given.seconds, given.patience)
    print(json.dumps(found))
    return 0 if found["drained_s"] is not None and not found["refused"] else 1


if __name__ == "__main__":
    sys.exit(main())
