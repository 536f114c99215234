"""The examination: the list of all checks, in the order of the report, run in parallel and within a time limit."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from notifier.ground.config import Settings
from notifier.programs.doctor import (
    buses,
    cells,
    clocks,
    databases,
    keys,
    processes,
    providers,
    public,
    records,
    redises,
    sign_in,
    sinks,
    subscriptions,
)
from notifier.programs.doctor.findings import Finding, skipped
from notifier.programs.doctor.patient import Patient
from notifier.programs.doctor.tasks import Task

WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Check:
    """`needs`: the services that must answer first; `asks`: those it uses if they answer; `decides`: the service whose
    answer this check finds out.
    """

    name: str
    work: Callable[[Patient], Iterable[Finding]]
    needs: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    decides: str | None = None


CHECKS = (
    Check("keys", keys.settings),
    Check("database", databases.database, decides="database"),
    Check("disk", databases.disk),
    Check("secrets", keys.stored, needs=("database",)),
    Check("redis", redises.answering, decides="redis"),
    Check("clocks", clocks.clocks, needs=("redis",), asks=("database",)),
    Check("processes", processes.processes, needs=("redis",)),
    Check("providers", providers.providers, asks=("database", "redis")),
    Check("public-url", public.public_url),
    Check("sign-in", sign_in.provider, asks=("database",)),
    Check("cells", cells.cells, needs=("database",)),
    Check("events", sinks.events, needs=("database",)),
    Check("bus", buses.bus, needs=("database",)),
    Check("status-webhooks", subscriptions.taken, needs=("database",)),
    Check("orphans", records.orphans, needs=("database",)),
    Check("late", records.late, needs=("database",)),
    Check("registries", records.registries, needs=("database", "redis")),
)


def examine(
    settings: Settings, only: Collection[str] = (), *, within_s: float = WITHIN_S
) -> Iterator[tuple[str, Finding]]:
    """Check and finding, each as soon as those before it are known. All of it takes `within_s` at most.

    `only`: these checks, and those that decide whether they can be made.
    """
    patient = Patient(settings, time.monotonic() + within_s)
    tasks = [(check, Task(partial(_run, check, patient))) for check in _chosen(only)]
    for check, task in tasks:
        for finding in task.findings(patient.until):
            yield check.name, replace(finding, what=patient.discreet(finding.what))
    patient.close()


def _chosen(only: Collection[str]) -> list[Check]:
    wanted = [check for check in CHECKS if not only or check.name in only]
    deciding = {name for check in wanted for name in (*check.needs, *check.asks)}
    return [check for check in CHECKS if check in wanted or check.decides in deciding]


def _run(check: Check, patient: Patient) -> Iterator[Finding]:
    missing = [name for name in check.needs if not patient.answers(name)]
    if missing:
        yield skipped(f"not checked: {_NAMED[missing[0]]} first")
        return
    try:
        with patient.app.app_context():
            yield from check.work(patient)
    finally:
        if check.decides:
            patient.decide(check.decides, answers=False)


_NAMED = {"database": "the database must answer and be up to date", "redis": "Redis must answer"}
