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
from pathlib import Path

from bench import constants, rows, shares
from bench.growth import growth
from bench.installation import DATABASES, Installation, installed
from bench.measures import MEASURES
from bench.processes import hire_janitor, running
from bench.sample import CROWD, PEOPLE
from bench.stage import Found, Stage, all_cpu_us
from bench.yardsticks import YARDSTICKS

HISTORIES = (10_000, 1_000_000)
AT_EVERY_SIZE = ("sms", "email", "singles", "bulks")
LARGEST_GROWTH = 1.2
AGAIN = 2  # times that a share is measured anew before it has fallen
SPELL_S = 180  # before that: other work on a shared host lasts for minutes, and makes all rounds of it dearer
GROWTH = "growth"  # measured only where it is named


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure of a measurement is to reach. `share`: of its yardstick's rate."""

    measure: str
    figure: str
    at_least: float | None = None
    at_most: float | None = None
    database: str | None = None  # None: with both


TARGETS = (
    Target("sms", "share", at_least=45),
    Target("email", "share", at_least=0.4),
    Target("webhook", "share", at_least=0.45),
    Target("slow_webhook", "share", at_least=0.45),
    Target("backlog", "peak_mb", at_most=200),
    Target("beside_hanging", "of_alone", at_least=0.95),
    Target("rules", "cpu_ms", at_most=100),
    Target("singles", "share", at_least=0.3, database="sqlite"),
    Target("singles", "share", at_least=0.22, database="postgresql"),
    Target("bulks", "share", at_least=0.07, database="sqlite"),  # twice what it was when the yardstick came
    Target("bulks", "share", at_least=0.18, database="postgresql"),
    Target("consume", "of_bulks", at_least=0.9),
    Target("broadcast", "of_bulks", at_least=1.5),
    Target("broadcast", "peak_growth", at_most=1.2),
    Target("beside_broadcast", "first_ms", at_most=5_000),
    Target("beside_broadcast", "urgent_of_alone", at_most=1.2),
    Target("beside_broadcast", "inbox_of_alone", at_most=1.2),
    Target("receipts", "share", at_least=0.5),
    Target("status_webhooks", "of_alone", at_most=1.1),
    Target("socket", "p99_ms", at_most=100),
    Target("tabs", "p99_ms", at_most=100),
    Target("urgent", "p99_ms", at_most=1_000),
    Target("idle_scheduler", "core_percent", at_most=1),
    Target("failed", "worst_ms", at_most=1_000),
    Target("events", "events/s", at_least=5_000),
)
EVERY_ACTION_MS = 200  # of a person with a full inbox


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    names = [*MEASURES, *YARDSTICKS, GROWTH]
    parser.add_argument("--database", choices=DATABASES, action="append", help="only this one")
    parser.add_argument(
        "--only", metavar="NAME", choices=names, action="append", help=f"only this measurement: {', '.join(names)}"
    )
    parser.add_argument("--rows", type=int, metavar="N", help=f"the larger history ({HISTORIES[1]:,}); 0 leaves it out")
    parser.add_argument("--quick", action="store_true", help="a fifth of everything, a larger history of 50,000")
    parser.add_argument("--rounds", type=int, metavar="N", help="medians of so many rounds (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, instead of to the last line")
    for name, does in (("check", "fail when one falls below 70 %% of its value"), ("keep", "write the values")):
        parser.add_argument(f"--{name}", action="store_true", help=f"only the shares in bench/shares.toml: {does}")
    parser.add_argument(
        "--capacity", action="store_true", help="only the figures of `notifier capacity`, and write them to its file"
    )
    given = parser.parse_args()
    begun = time.monotonic()
    hire_janitor()
    larger = given.rows if given.rows is not None else 50_000 if given.quick else HISTORIES[1]
    is_of_shares = given.check or given.keep
    results: dict[str, dict[str, Found]] = {}
    grown: dict[str, dict[str, Found]] = {}
    lines: list[str] = []
    for database in given.database or (["postgresql"] if given.capacity else DATABASES):
        chosen = given.only or list(constants.MEASURES if given.capacity else MEASURES)
        if is_of_shares:
            chosen = given.only or list(shares.kept(database))
        if GROWTH in chosen:
            found = growth(database, larger)
            lines += _grown(database, found)
            grown[database] = found
        chosen = [name for name in chosen if name != GROWTH]
        if not chosen:
            continue
        rounds = given.rounds or (shares.ROUNDS if is_of_shares else 1)
        with installed(database) as installation:
            results[database] = _measure(
                installation,
                0.2 if given.quick else 1.0,
                chosen,
                0 if is_of_shares or given.capacity else larger,
                rounds,
                is_check=given.check,
                is_alone=given.capacity,
            )
    if results:
        print("\n" + _table(results) + "\n")
    have_held = True
    if is_of_shares:
        if given.keep:
            shares.keep({database: _cpu_shares(found) for database, found in results.items()})
        for database, found in results.items():
            judged, holds = shares.judged(database, found)
            have_held &= holds
            lines += judged
    else:
        lines += _targets(results)
    print("\n".join(lines))
    print(f"\nTook {time.monotonic() - begun:.0f} s.")
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cores": _cores()}
    figures = json.dumps(
        {"machine": machine, "quick": given.quick, "larger_history": larger, "results": results, "growth": grown}
    )
    if given.json:
        given.json.write_text(figures + "\n")
    else:
        print(figures)
    return 0 if have_held else 1


def _grown(database: str, found: dict[str, Found]) -> list[str]:
    """The operations that cost more with the larger past than they may."""
    dear = {name: costs["times"] for name, costs in found.items() if costs["times"] > LARGEST_GROWTH}
    told = [
        f"MISSED {database:<11} {name:<50} {times:>6.2f} × CPU with the larger past" for name, times in dear.items()
    ]
    return [*told, f"met    {database:<11} {len(found) - len(dear)} of {len(found)} operations"]


def _cpu_shares(found: dict[str, Found]) -> dict[str, float]:
    return {name: figures["cpu_share"] for name, figures in found.items() if "cpu_share" in figures}


def _measure(
    installation: Installation,
    scale: float,
    names: Sequence[str],
    larger: int,
    rounds: int,
    *,
    is_check: bool,
    is_alone: bool,
) -> dict[str, Found]:
    say = f"{installation.database:>10}"
    with running(installation.start("bench.sink")) as sink:
        ports = sink.read_json()
        with _progress(f"{say}  people, and a history of {HISTORIES[0]:,}"):
            rows.add_people(PEOPLE, CROWD)
            for prefix, port in zip(("quick", "slow", "stuck"), ports, strict=True):
                rows.add_people(prefix, 100, webhook=f"http://127.0.0.1:{port}/hook")
            rows.add_history(HISTORIES[0], prefix=PEOPLE, users=CROWD)
        stage = Stage(installation, scale, *ports[:2])
        found: dict[str, Found] = {}
        for name in names:
            measured = _one(stage, name, rounds, is_alone=is_alone)
            found |= measured
            if is_alone:
                constants.keep(measured, is_whole=scale == 1, cores=_cores())
        for _ in range(AGAIN if is_check else 0):
            fallen = [name for name in names if shares.has_fallen(installation.database, name, found[name])]
            if fallen:
                with _progress(f"{say}  other work on the machine may end"):
                    time.sleep(SPELL_S)
            for name in fallen:
                found |= _one(stage, name, rounds)
        again = [name for name in names if name in AT_EVERY_SIZE]
        if larger and again:
            with _progress(f"{say}  a history of {larger:,}"):
                rows.add_people("former", max(100, larger // 100))
                rows.add_history(larger, prefix="former", users=max(100, larger // 100))
            for name in again:
                found[f"{name} of {larger:,}"] = _one(stage, name, rounds)[name]
        return found


def _one(stage: Stage, name: str, rounds: int, *, is_alone: bool = False) -> dict[str, Found]:
    """With its yardstick, if it has one."""
    with _progress(f"{stage.installation.database:>10}  {name}") as told:
        found, bare = shares.measured(stage, name, rounds, is_alone=is_alone)
        told.append("  ".join(f"{figure} {value:,g}" for figure, value in list(found.items())[:3]))
        if bare is not None:
            told.append(f"  {found['share']:.3g} of {shares.YARDSTICK_OF[name]}")
    return {name: found} if bare is None else {shares.YARDSTICK_OF[name]: bare, name: found}


@contextmanager
def _progress(what: str) -> Iterator[list[str]]:
    """A line that says what is being done, and then what came of it."""
    told: list[str] = []
    begun = time.monotonic()
    print(f"{what:<42}", end=" ", flush=True)
    yield told
    print(f"{time.monotonic() - begun:6.1f} s  {' '.join(told)}", flush=True)


_COLUMNS = {
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "cpu_us": "CPU µs",
    "redis_cpu_us": "redis µs",
    "postgresql_cpu_us": "pg µs",
    "peak_mb": "peak MB",
    "left_mb": "then MB",
}


def _table(results: dict[str, dict[str, Found]]) -> str:
    """`share` and `of CPU`: the rate as a share of the yardstick's, and the yardstick's CPU time as a share of ours."""
    lines = [
        f"{'':<12}{'':<24}{'rate':>11}" + "".join(f"{title:>10}" for title in (*_COLUMNS.values(), "share", "of CPU"))
    ]
    for database, found in results.items():
        for name, figures in found.items():
            columns = [shares.rate_of(figures) or None, *(figures.get(key) for key in _COLUMNS)]
            parts = [figures.get(key) for key in ("share", "cpu_share")]
            lines.append(
                f"{database:<12}{name:<24}"
                + "".join(f"{_shown(value):>{11 if place == 0 else 10}}" for place, value in enumerate(columns))
                + "".join(f"{'' if part is None else f'{part:.3g}':>10}" for part in parts)
                + (f"  {shares.YARDSTICK_OF[name]}" if name in shares.YARDSTICK_OF else "")
            )
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _targets(results: dict[str, dict[str, Found]]) -> list[str]:
    """Each target beside what was measured, and how much dearer an operation is with the larger history."""
    lines = []
    for database, found in results.items():
        actions = [Target("inbox", figure, at_most=EVERY_ACTION_MS) for figure in found.get("inbox", {})]
        for target in (*TARGETS, *actions):
            value = found.get(target.measure, {}).get(target.figure)
            if value is None or target.database not in (None, database):
                continue
            is_met = value >= target.at_least if target.at_least is not None else value <= (target.at_most or 0)
            wanted = f"≥ {target.at_least:,g}" if target.at_least is not None else f"≤ {target.at_most:,g}"
            unit = f"of {shares.YARDSTICK_OF[target.measure]}" if target.figure == "share" else target.figure
            lines.append(
                f"{'met   ' if is_met else 'MISSED'} {database:<11} {target.measure:<15} {value:>9,.3g} "
                f"{wanted:>8} {unit}"
            )
        for name in AT_EVERY_SIZE:
            larger = next((figures for other, figures in found.items() if other.startswith(f"{name} of ")), None)
            if larger and name in found:
                growth = all_cpu_us(larger) / all_cpu_us(found[name])
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
    return lines


def _cores() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


if __name__ == "__main__":
    sys.exit(main())
