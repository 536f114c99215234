"""Runs the measurements on both databases and prints a table, and all of it as one line of JSON."""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench import rows
from bench.installation import DATABASES, installed
from bench.measures import MEASURES, Found, Stage
from bench.processes import running
from bench.sample import CROWD, PEOPLE

HISTORIES = (10_000, 1_000_000)
AT_EVERY_SIZE = ("sms", "email", "singles", "bulks")
LARGEST_GROWTH = 1.3


@dataclass(frozen=True, slots=True)
class Target:
    """What a measurement is to reach. `of`: as a multiple of that figure of another measurement."""

    measure: str
    figure: str
    at_least: float | None = None
    at_most: float | None = None
    of: str | None = None


TARGETS = (
    Target("sms", "deliveries/s", at_least=3_000),
    Target("sms", "deliveries/s", at_least=20, of="rq_worker"),
    Target("sms", "deliveries/s", at_least=6, of="rq_simple_worker"),
    Target("sms", "peak_mb", at_most=200),
    Target("email", "deliveries/s", at_least=3_000),
    Target("slow_webhook", "deliveries/s", at_least=1_000),
    Target("beside_hanging", "of_alone", at_least=0.9),
    Target("rules", "cpu_ms", at_most=100),
    Target("singles", "requests/s", at_least=1_500),
    Target("bulks", "recipients/s", at_least=5_000),
    Target("receipts", "of_bare", at_least=0.5),
    Target("socket", "p99_ms", at_most=100),
    Target("tabs", "p99_ms", at_most=100),
    Target("urgent", "p99_ms", at_most=1_000),
    Target("failed", "worst_ms", at_most=1_000),
)
EVERY_ACTION_MS = 200  # of a person with a full inbox


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--database", choices=DATABASES, action="append", help="only this one")
    parser.add_argument(
        "--only",
        metavar="NAME",
        choices=MEASURES,
        action="append",
        help=f"only this measurement: {', '.join(MEASURES)}",
    )
    parser.add_argument("--rows", type=int, metavar="N", help=f"the larger history ({HISTORIES[1]:,}); 0 leaves it out")
    parser.add_argument("--quick", action="store_true", help="a fifth of everything, a larger history of 50,000")
    given = parser.parse_args()
    begun = time.monotonic()
    larger = given.rows if given.rows is not None else 50_000 if given.quick else HISTORIES[1]
    results = {}
    for database in given.database or DATABASES:
        with installed(database) as installation:
            results[database] = _measure(
                Stage(installation, 0.2 if given.quick else 1.0), given.only or list(MEASURES), larger
            )
    print("\n" + _table(results) + "\n")
    print(_targets(results))
    print(f"\nTook {time.monotonic() - begun:.0f} s.")
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cores": _cores()}
    print(json.dumps({"machine": machine, "quick": given.quick, "larger_history": larger, "results": results}))
    return 0


def _measure(stage: Stage, names: Sequence[str], larger: int) -> dict[str, Found]:
    installation = stage.installation
    say = f"{installation.database:>10}"
    with (
        _progress(f"{say}  people, and a history of {HISTORIES[0]:,}"),
        running(installation.start("bench.sink")) as sink,
    ):
        ports = sink.read_json()
        rows.add_people(PEOPLE, CROWD)
        for prefix, port in zip(("quick", "slow", "stuck"), ports, strict=True):
            rows.add_people(prefix, 100, webhook=f"http://127.0.0.1:{port}/hook")
        rows.add_history(HISTORIES[0], prefix=PEOPLE, users=CROWD)
        found = {name: _one(stage, name) for name in names}
        again = [name for name in names if name in AT_EVERY_SIZE]
        if larger and again:
            with _progress(f"{say}  a history of {larger:,}"):
                rows.add_people("former", max(100, larger // 100))
                rows.add_history(larger, prefix="former", users=max(100, larger // 100))
            for name in again:
                found[f"{name} of {larger:,}"] = _one(stage, name)
        return found


def _one(stage: Stage, name: str) -> Found:
    with _progress(f"{stage.installation.database:>10}  {name}") as told:
        found = MEASURES[name](stage)
        told.append("  ".join(f"{figure} {value:,g}" for figure, value in list(found.items())[:3]))
    return found


@contextmanager
def _progress(what: str) -> Iterator[list[str]]:
    """A line that says what is being done, and then what came of it."""
    told: list[str] = []
    begun = time.monotonic()
    print(f"{what:<42}", end=" ", flush=True)
    yield told
    print(f"{time.monotonic() - begun:6.1f} s  {' '.join(told)}", flush=True)


def _table(results: dict[str, dict[str, Found]]) -> str:
    lines = [
        (
            f"{'':<12}{'':<24}{'rate':>12}{'p50 ms':>10}{'p99 ms':>10}{'CPU µs':>9}{'redis µs':>10}{'pg µs':>8}"
            f"{'peak MB':>9}"
        )
    ]
    for database, found in results.items():
        for name, figures in found.items():
            rate = next(
                (value for figure, value in figures.items() if figure.endswith("/s") and figure != "alone/s"), None
            )
            columns = [
                rate,
                *(
                    figures.get(key)
                    for key in ("p50_ms", "p99_ms", "cpu_us", "redis_cpu_us", "postgresql_cpu_us", "peak_mb")
                ),
            ]
            lines.append(
                f"{database:<12}{name:<24}"
                + "".join(f"{_shown(v):>{w}}" for v, w in zip(columns, (12, 10, 10, 9, 10, 8, 9), strict=True))
            )
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _targets(results: dict[str, dict[str, Found]]) -> str:
    """Each target beside what was measured, and how much dearer an operation is with the larger history."""
    lines = []
    for database, found in results.items():
        actions = [Target("inbox", figure, at_most=EVERY_ACTION_MS) for figure in found.get("inbox", {})]
        for target in (*TARGETS, *actions):
            value = found.get(target.measure, {}).get(target.figure)
            base = found.get(target.of, {}).get(target.figure) if target.of else 1.0
            if value is None or base is None:
                continue
            value /= base
            is_met = value >= target.at_least if target.at_least is not None else value <= (target.at_most or 0)
            wanted = f"≥ {target.at_least:,g}" if target.at_least is not None else f"≤ {target.at_most:,g}"
            unit = f"× {target.of}" if target.of else target.figure
            lines.append(
                f"{'met   ' if is_met else 'MISSED'} {database:<11} {target.measure:<15} {_shown(value):>9} "
                f"{wanted:>8} {unit}"
            )
        for name in AT_EVERY_SIZE:
            larger = next((figures for other, figures in found.items() if other.startswith(f"{name} of ")), None)
            if larger and name in found:
                growth = _cost(larger) / _cost(found[name])
                verdict = "met   " if growth <= LARGEST_GROWTH else "MISSED"
                lines.append(
                    f"{verdict} {database:<11} {name:<15} {growth:>9.2f} {f'≤ {LARGEST_GROWTH:g}':>8} × CPU with "
                    "the larger history"
                )
        for name, figures in found.items():
            if "times" in figures:
                lines.append(
                    f"       {database:<11} {name:<15} {figures['times']:>9.2f}          × as cheap from Redis "
                    "as from the database"
                )
    return "\n".join(lines)


def _cost(figures: Found) -> float:
    return sum(value for figure, value in figures.items() if figure.endswith("cpu_us") and figure != "load_cpu_us")


def _cores() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


if __name__ == "__main__":
    sys.exit(main())
