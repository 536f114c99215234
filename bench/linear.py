"""Whether more processes cost more CPU: one, two and four workers, one, two and four web processes, on the same work.

Rates say nothing here, where all share the same cores. What an operation costs in CPU does, the servers' included:
locks, waiting and empty looks at queues would show in it.
"""

import contextlib
import statistics
from collections.abc import Callable
from functools import partial

from bench import rows
from bench.installation import answers_at, free_port
from bench.processes import cpu_s, wait_until
from bench.sample import CROWD, PEOPLE
from bench.stage import LOCAL_CLIENTS, Found, Stage, all_cpu_us, micros

NUMBERS = (1, 2, 4)
_TURNS = 3


def linear(stage: Stage) -> Found:
    """In turns, so that other work on the machine hits all numbers alike; medians."""
    kinds: dict[str, Callable[[Stage, int], Found]] = {"workers": _delivered, "webs": _answered}
    took: dict[tuple[str, int], list[float]] = {(kind, number): [] for kind in kinds for number in NUMBERS}
    for _ in range(_TURNS):
        for (kind, number), costs in took.items():
            costs.append(all_cpu_us(kinds[kind](stage, number)))
    found: Found = {}
    for (kind, number), costs in took.items():
        found[f"{kind}_{number}_us"] = round(statistics.median(costs), 1)
    for kind in kinds:
        found[f"{kind}_4_of_1"] = round(found[f"{kind}_4_us"] / found[f"{kind}_1_us"], 2)
    return found


def _delivered(stage: Stage, number: int) -> Found:
    """So many workers empty one queue together."""
    count = stage.some(10_000)
    ids = rows.queue_up("sms", "medium", count, prefix=PEOPLE, users=CROWD)
    rows.ring(ids, "sms", "medium")
    found: Found = {}
    with stage.costs(found, lambda: count):
        workers = [stage.installation.start("bench.worker", "ours", "sms.medium") for _ in range(number)]
        spent = [worker.answer()["cpu_s"] for worker in workers]
    return {"cpu_us": micros(sum(spent), count), **found}


def _answered(stage: Stage, number: int) -> Found:
    """So many web processes answer singles, as many clients in all."""
    here = stage.installation
    ports = [here.port, *(free_port() for _ in range(number - 1))]
    shared = ("--prefix", PEOPLE, "--users", CROWD, "--channels", "inapp,email", "--clients", LOCAL_CLIENTS // number)
    each = stage.some(5_000) // number
    found: Found = {}
    with contextlib.ExitStack() as stack:
        webs = [here.start("notifier", "web", more={"PORT": str(port)}) for port in ports]
        for web in webs:
            stack.callback(web.stop)
        for port in ports:
            wait_until(partial(answers_at, port), "the web process answers", within_s=300)

        def load(requests: int) -> None:
            options = (*shared, "--requests", requests)
            loads = [here.start("bench.load", "singles", "--port", port, *options) for port in ports]
            if any(one.answer()["refused"] for one in loads):
                raise RuntimeError("a web process refused")

        load(LOCAL_CLIENTS * 2)  # warms up
        pids = [web.process.pid for web in webs]
        before = cpu_s(pids)
        with stage.costs(found, lambda: each * number):
            load(each)
        found["cpu_us"] = micros(cpu_s(pids) - before, each * number)
    here.clear_queues()
    return found
