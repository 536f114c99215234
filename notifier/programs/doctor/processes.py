"""The processes: is there a scheduler, and a worker for every queue that holds jobs?"""

from collections import Counter
from collections.abc import Iterator, Sequence

from notifier.ground.extensions import redis_store
from notifier.programs.doctor.findings import Finding, counted, fault, ok, warning
from notifier.programs.doctor.patient import Patient
from notifier.signals import liveness
from notifier.signals.queueing import all_queues, depths

_SUSPENDED = "rq:suspended"


def processes(_patient: Patient) -> Iterator[Finding]:
    client = redis_store.client
    signs = liveness.worker_signs(client)
    workers = [sign for sign in signs if sign.is_recent]
    yield _seen("worker", workers, "nothing is sent")
    yield _seen(
        "scheduler",
        liveness.scheduler_signs(client),
        "nothing scheduled, held back or retried is sent, and nothing lost is rung again",
    )
    for sign in signs:
        if not sign.is_recent:
            yield warning(
                f"the worker {sign.name} on {sign.host} has been silent for {sign.age_s:.0f} s",
                "If it was stopped, RQ will forget it by itself; if not, see its log.",
            )
    if client.exists(_SUSPENDED):
        yield fault("all workers are suspended", 'Run: rq resume --url "$REDIS_URL"')
    yield from _queues(workers)


def _seen(kind: str, signs: Sequence[liveness.Sign], otherwise: str) -> Finding:
    if not signs:
        return fault(f"no {kind} is running: {otherwise}", f"Start one: python -m notifier {kind}")
    hosts = Counter(sign.host for sign in signs)
    where = ", ".join(f"{count} on {host}" if len(hosts) > 1 else f"on {host}" for host, count in sorted(hosts.items()))
    return ok(f"{counted(len(signs), kind)} {where}, last seen {min(sign.age_s for sign in signs):.0f} s ago")


def _queues(workers: Sequence[liveness.Sign]) -> Iterator[Finding]:
    names = all_queues()
    waiting = {name: depth for name, depth in zip(names, depths(names), strict=True) if depth}
    served = frozenset[str]().union(*(worker.queues for worker in workers))
    for name in waiting.keys() - served if workers else ():
        what = f"{counted(waiting[name], 'job')} in the queue {name}, and no worker serves it"
        yield fault(what, f"Start one: python -m notifier worker --queues '{name}'")
    yield ok(
        f"{counted(sum(waiting.values()), 'job')} in {counted(len(waiting), 'queue')}"
        if waiting
        else "the queues are empty"
    )
