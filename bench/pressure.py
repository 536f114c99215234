"""`make load`: whether an installation accepts so many events a second in bulk, and how long it takes to send them.

Three parts: the usual rate, ten times that, and the time until all of it is sent. Meanwhile one message a second is
followed from its call to its sending. `ARGS="--url … --key …"` names an installation, best with a test key, which sends
nothing; else one is made here, with providers that answer at once.
"""

import argparse
import contextlib
import itertools
import json
import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import urllib3

from bench.installation import DATABASES, installed
from bench.load import data, percentiles
from bench.processes import hire_janitor, running, wait_until
from bench.sample import KEY, TYPE
from bench.target import Target

_PEOPLE = 2_000
_POLL_S = 0.1
_OPEN = ("waiting", "queued", "sending")
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
        return told + (f"   REFUSED {refused}" if refused else "")


class Pressure:
    """`size` notifications a call, on these channels, to people who are made by being named."""

    def __init__(self, target: Target, channels: Sequence[str], size: int, clients: int) -> None:
        self.target, self.channels, self.size, self.clients = target, channels, size, clients

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
        begun, over = time.monotonic(), threading.Event()

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
    if reached < 0.95 * rate:
        print(f"This machine accepted {reached:,.0f} a second, not the {rate:,.0f} that were wanted.")
    return {
        "wanted_per_s": rate,
        "accepted_per_s": round(reached, 1),
        "accepted": accepted,
        "refused": refused,
        "drained_s": drained_s and round(drained_s, 1),
        **percentiles(parts[-1].latencies_s),
    }


@contextlib.contextmanager
def own_installation(database: str, connections: int) -> Iterator[Target]:
    """One web, one worker and one scheduler process here."""
    hire_janitor()
    with (
        installed(database) as here,
        here.web(),
        running(here.start("bench.worker", "serve")),
        running(here.start("notifier", "scheduler")),
    ):
        wait_until(lambda: here.redis.scard("rq:workers"), "the worker is there", within_s=300)
        yield Target(f"http://127.0.0.1:{here.port}", KEY, connections=connections)


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
    parser.add_argument("--database", choices=DATABASES, default="postgresql", help="of the one that is made here")
    given = parser.parse_args()
    if bool(given.url) != bool(given.key):
        parser.error("--url and --key go together")
    if not 1 <= given.size <= 1_000 or min(given.rate, given.burst, given.seconds, given.clients) <= 0:
        parser.error("rates, seconds and clients must be above 0, and a call takes 1 to 1000")
    connections = given.clients + 1
    with contextlib.ExitStack() as stack:
        target = (
            Target(given.url, given.key, connections=connections)
            if given.url
            else stack.enter_context(own_installation(given.database, connections))
        )
        pressure = Pressure(target, given.channels.split(","), given.size, given.clients)
        print(f"{target.url}: {given.channels}, {given.size} in a call, {given.clients} calls at once", flush=True)
        found = pressed(pressure, given.rate, given.burst, given.seconds, given.patience)
    print(json.dumps(found))
    return 0 if found["drained_s"] is not None and not found["refused"] else 1


if __name__ == "__main__":
    sys.exit(main())
