"""How much dearer each operation gets with the number of notifications stored.

Two installations, one with 10,000 and one with many, each with a program (`bench.operations`) that does what it is
told. They do the same operation in turns, so that other work on the machine hits both alike; the cheapest turn counts.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from bench import rows
from bench.installation import Installation, installed
from bench.operations import DEAD, ITEMS, READER, UNREAD
from bench.past import add_past
from bench.processes import Program, running
from bench.sample import CROWD, PEOPLE
from bench.stage import Found

SMALL = 10_000
TURNS = 5
_LEAST_S, _MOST_TIMES = 0.02, 30  # of one turn


def growth(database: str, many: int, only: Sequence[str] = ()) -> dict[str, Found]:
    """By operation (`only`: those with one of these words in their names): `cpu_us` with SMALL and with `many`, the
    servers' included, `times` as much, and `looked_at_times` as many steps or pages.
    """
    with ExitStack() as stack:
        programs = [_grown(stack, database, count) for count in (SMALL, many)]
        names: list[str] = []
        for program in programs:
            names = program.read_json()
        found = {}
        for name in names:
            if only and not any(word in name for word in only):
                continue
            costs = _compared(programs, name)
            found[name] = costs
            print(_shown(name, costs), flush=True)
        return found


def _grown(stack: ExitStack, database: str, count: int) -> Program:
    here: Installation = stack.enter_context(installed(database))
    add_past(count)
    rows.add_people(PEOPLE, CROWD)
    rows.add_dead_letters(DEAD, prefix=PEOPLE, users=CROWD)
    rows.add_inbox(ITEMS, UNREAD, prefix=READER)
    return stack.enter_context(running(here.start("bench.operations")))


def _compared(programs: Sequence[Program], name: str) -> Found:
    for program in programs:
        _ask(program, name, 1)  # warms up
    turns: list[list[Any]] = [[] for _ in programs]
    took_s = max(_us(answer) for answer in (_ask(program, name, 1) for program in programs)) / 1e6
    times = max(1, min(_MOST_TIMES, round(_LEAST_S / max(took_s, 1e-6))))
    for _ in range(TURNS if took_s < 0.5 else 2):
        for mine, program in zip(turns, programs, strict=True):
            mine.append(_us(_ask(program, name, times)))
    small, large = (min(mine) for mine in turns)
    looked = [_ask(program, name, min(times, 5), is_counted=True)["looked_at"] for program in programs]
    return {
        "small_us": small,
        "cpu_us": large,
        "times": large / max(small, 1.0),
        "small_looked_at": looked[0],
        "looked_at": looked[1],
        "looked_at_times": max(looked[1], 1) / max(looked[0], 1),
    }


def _us(answer: Any) -> float:
    return float(answer["cpu_us"] + answer["server_us"])


def _ask(program: Program, name: str, times: int, *, is_counted: bool = False) -> Any:
    assert program.process.stdin
    program.process.stdin.write(json.dumps({"name": name, "times": times, "is_counted": is_counted}) + "\n")
    program.process.stdin.flush()
    return program.read_json()


def _shown(name: str, costs: Found) -> str:
    return (
        f"{name:<60} {costs['small_us']:>10,.0f} {costs['cpu_us']:>10,.0f} µs {costs['times']:>6.2f} ×   looked at "
        f"{costs['small_looked_at']:>9,.0f} {costs['looked_at']:>11,.0f} {costs['looked_at_times']:>7.2f} ×"
    )
