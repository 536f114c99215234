"""Decides which claimed deliveries may go out now, and through which accounts; asks the providers' health once per
batch.

Called between claim and send. If no provider of the channel can take a delivery now, the delivery is held
(`delivery.outages`; reason `provider_down` or `paced`), without using up an attempt.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from notifier.channels.contract import Adapter
from notifier.core import lifecycle
from notifier.core.routing import PROVIDER_DOWN
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ledgers.moves import Move, move_each
from notifier.pipeline.delivery import held_up, outages
from notifier.pipeline.delivery.task import Outcome, Task
from notifier.pipeline.planning.routing import follow
from notifier.providers import health
from notifier.providers.health import Grant, Want
from notifier.signals.queueing import ring

PACED = "paced"


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A refusal by one of the scopes that a delivery's adapters depend on."""

    scope: str
    grant: Grant


def admit(tasks: Sequence[Task]) -> tuple[list[Task], list[Outcome]]:
    """→ those to be sent, each with the adapters it may try, and what became of the others. A round trip per provider
    of a channel at most.
    """
    admitted: list[Task] = []
    refusals: dict[int, list[_Refusal]] = {}  # index of the task → one of each adapter
    level, pending = 0, list(range(len(tasks)))
    while pending:
        needed = {index: _scopes(tasks[index], tasks[index].adapters[level]) for index in pending}
        grants = health.admit(_wants(tasks, level, needed))
        left = {scope: grant.count for scope, grant in grants.items()}
        refused = []
        for index, scopes in needed.items():
            task = tasks[index]
            full = next((scope for scope in scopes if left[scope] <= 0), None)
            if full is None:
                for scope in scopes:
                    left[scope] -= 1
                task.adapters = task.adapters[level:]
                admitted.append(task)
                refusals.pop(index, None)
                continue
            refusals.setdefault(index, []).append(_Refusal(full, grants[full]))
            if level + 1 < len(task.adapters):
                refused.append(index)
        level, pending = level + 1, refused
    waiting = [(tasks[index], of) for index, of in refusals.items()]
    try:
        return admitted, _hold(waiting)
    except Exception as error:
        obstacle = held_up.obstacle(error, "it could not be held", len(waiting))
    for task, _ in waiting:
        task.obstacle = obstacle
    return admitted + [task for task, _ in waiting], []


def _scopes(task: Task, adapter: Adapter) -> tuple[str, ...]:
    """The scopes that must be healthy for this adapter to send it. The sandbox always is."""
    return (
        ()
        if adapter.is_sandbox
        else tuple(dict.fromkeys((adapter.scope(task.recipient), adapter.receiver(task.recipient))))
    )


def _wants(tasks: Sequence[Task], level: int, needed: Mapping[int, Sequence[str]]) -> list[Want]:
    counts = Counter(scope for scopes in needed.values() for scope in scopes)
    paces = {scopes[0]: tasks[index].adapters[level].per_second for index, scopes in needed.items() if scopes}
    return [Want(scope, count, paces.get(scope)) for scope, count in counts.items()]


def _hold(waiting: Sequence[tuple[Task, Sequence[_Refusal]]]) -> list[Outcome]:
    """Holds them, and in the same transaction starts a routing's next step if the outage lasts."""
    if not waiting:
        return []
    now = clock_now()
    held = []
    for task, refusals in waiting:
        delivery = task.delivery
        soonest = min(refusals, key=lambda refusal: refusal.grant.wait_ms).grant
        columns = {
            "tries": delivery.tries - 1,
            "reason": PACED if soonest.is_paced else PROVIDER_DOWN,
            "held_for": outages.of_scopes([refusal.scope for refusal in refusals]),
            "due_at": now + timedelta(milliseconds=soonest.wait_ms),
            "wake_at": outages.look_again_at(delivery.expires_at, now),
            "detail": {**delivery.detail, "because": task.notification.routing},
        }
        still = {"tries": delivery.tries}  # or it is somebody else's now
        about = (delivery.id, task.notification.id, delivery.broadcast_id)
        held.append(Move(*about, lifecycle.SENDING, lifecycle.WAITING, columns, still))
    with transaction():
        move_each(held)
        started = follow([task.notification for task, _ in waiting])
    ring(started)
    return [Outcome(task.delivery.id, lifecycle.WAITING) for task, _ in waiting]
