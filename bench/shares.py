"""What share of its yardstick each measurement reaches: by rate, and by CPU time.

A yardstick is measured just before each round of what it judges, or in turns with it, so that a machine whose speed
changes changes both. `judged` compares shares of CPU time with those in `shares.toml`. Other work on the machine, or on
the one that it is a part of, can only make an operation dearer (caches are shared), and a large program more than a
small loop: so a share of CPU is that of the cheapest rounds, as Python's `timeit` advises. Even so, the same code took
931 µs for a webhook, and 2,173 a few minutes later with nothing else on the machine, while its yardstick took 231 and
304: what is kept lies between such spells, not at their best.
"""

import statistics
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.measures import MEASURES, answers
from bench.stage import Found, Stage, all_cpu_us
from bench.yardsticks import YARDSTICKS

KEPT = Path(__file__).parent / "shares.toml"
LOWEST = 0.7  # of the value kept
ROUNDS = 3

YARDSTICK_OF = {
    "sms": "rq_simple_worker",
    "email": "bare_mail",
    "webhook": "bare_post",
    "slow_webhook": "bare_slow_post",
    "apns": "bare_post",
    "fcm": "bare_post",
    "twilio": "bare_post",
    "singles": "bare_answer",
    "bulks": "bare_rows",
    "hundreds": "bare_rows",
    "receipts": "bare_answer",
    "release": "bare_jobs",
    "bulk_retry": "bare_jobs",
}


_IN_TURN = {"singles": answers}  # measure their yardstick themselves


def measured(stage: Stage, name: str, rounds: int = 1, *, is_alone: bool = False) -> tuple[Found, Found | None]:
    """Medians of so many rounds, with its `share` and `cpu_share` of its yardstick; and the yardstick's. `is_alone`:
    without one.
    """
    yardstick = None if is_alone else YARDSTICK_OF.get(name)
    if yardstick is None:
        return _medians([measure_of(name)(stage) for _ in range(rounds)]), None
    bares, ours = [], []
    for _ in range(rounds):
        bare, found = (
            _IN_TURN[name](stage) if name in _IN_TURN else (YARDSTICKS[yardstick](stage), MEASURES[name](stage))
        )
        bares.append(bare)
        ours.append({**found, "share": rate_of(found) / rate_of(bare)})
    return {**_medians(ours), **cpu_share(ours, bares)}, _medians(bares)


def measure_of(name: str) -> Callable[[Stage], Found]:
    return MEASURES.get(name) or YARDSTICKS[name]


def rate_of(found: Found) -> float:
    """The first rate is the one that counts."""
    return next((value for figure, value in found.items() if figure.endswith("/s")), 0.0)


def cpu_share(ours: list[Found], bares: list[Found]) -> Found:
    """Of the cheapest rounds."""
    if "cpu_us" not in ours[0]:
        return {}
    return {"cpu_share": min(map(all_cpu_us, bares)) / min(map(all_cpu_us, ours))}


def _medians(rounds: list[Found]) -> Found:
    return {figure: statistics.median(found[figure] for found in rounds if figure in found) for figure in rounds[0]}


def kept(database: str) -> dict[str, float]:
    return dict(tomllib.loads(KEPT.read_text()).get(database, {})) if KEPT.exists() else {}


def keep(found: Mapping[str, Mapping[str, float]]) -> None:
    """Database → measurement → share. What was not measured stays."""
    known = tomllib.loads(KEPT.read_text()) if KEPT.exists() else {}
    lines = [
        "# CPU time of an operation of the yardstick, as a share of what ours takes, Redis and PostgreSQL included.",
        '# `make bench ARGS="--quick --check"` fails below 70 % of a value; `--quick --keep` writes them anew.',
    ]
    for database in sorted({*known, *found}):
        lines += ["", f"[{database}]"]
        shares = {**known.get(database, {}), **found.get(database, {})}
        lines += [f"{name} = {value:.3g}" for name, value in shares.items()]
    KEPT.write_text("\n".join(lines) + "\n")


def has_fallen(database: str, name: str, found: Found) -> bool:
    value = kept(database).get(name)
    return value is not None and found["cpu_share"] < LOWEST * value


def judged(database: str, results: Mapping[str, Found]) -> tuple[list[str], bool]:
    """A line for each share kept that was measured; and whether all have held."""
    lines, have_held = [], True
    for name, value in kept(database).items():
        if name in results:
            share = results[name]["cpu_share"]
            holds = not has_fallen(database, name, results[name])
            have_held &= holds
            lines.append(
                f"{'holds ' if holds else 'FELL  '} {database:<11} {name:<15} {share:>9.3g} of {YARDSTICK_OF[name]},"
                f" kept: {value:g}"
            )
    return lines, have_held
