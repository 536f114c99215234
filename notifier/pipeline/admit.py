"""Decides which claimed deliveries may go out now, and through whom: asks the health of their providers, once per batch.

Called between claim and send. Where no provider of the channel can take a delivery at this moment, it
waits (reason `provider_down` or `paced`) and has used up no attempt.
"""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa

from notifier.clock import now as clock_now
from notifier.core import lifecycle
from notifier.database import transaction
from notifier.models import Delivery
from notifier.pipeline import health
from notifier.pipeline.claim import Outcome, Task
from notifier.pipeline.health import Want

_SPREAD = 0.2  # those that wait for the same provider do not all come back at once
_LEAST_WAIT_MS = 50


def admit(tasks: Sequence[Task]) -> tuple[list[Task], list[Outcome]]:
    """→ those to be sent, each with the adapters it may try, and what became of the others. A round trip per provider of a channel at most."""
    admitted: list[Task] = []
    waits: dict[int, int] = {}  # index of the task → ms
    level, pending = 0, list(range(len(tasks)))
    while pending:
        counts: Counter[str] = Counter()
        pace: dict[str, float | None] = {}
        for index in pending:
            adapter = tasks[index].adapters[level]
            if not adapter.is_sandbox:  # the sandbox is always well
                counts[adapter.scope(tasks[index].recipient)] += 1
                pace[adapter.scope(tasks[index].recipient)] = adapter.per_second
        grants = health.admit([Want(scope, count, pace[scope]) for scope, count in counts.items()])
        left = {scope: grant.count for scope, grant in grants.items()}
        refused = []
        for index in pending:
            task, adapter = tasks[index], tasks[index].adapters[level]
            scope = adapter.scope(task.recipient)
            if adapter.is_sandbox or left[scope] > 0:
                left[scope] = left.get(scope, 0) - 1
                task.adapters = task.adapters[level:]
                admitted.append(task)
                continue
            waits[index] = min(waits.get(index, grants[scope].wait_ms), grants[scope].wait_ms)
            if level + 1 < len(task.adapters):
                refused.append(index)
        level, pending = level + 1, refused
    sent = set(map(id, admitted))
    return admitted, _postpone([(tasks[index], wait) for index, wait in waits.items() if id(tasks[index]) not in sent])


def _postpone(waiting: Sequence[tuple[Task, int]]) -> list[Outcome]:
    if not waiting:
        return []
    now = clock_now()
    rows = []
    for task, wait_ms in waiting:
        due_at = now + timedelta(milliseconds=max(wait_ms, _LEAST_WAIT_MS) * (1 + random.uniform(0, _SPREAD)))
        reason = "paced" if task.adapters[0].per_second and wait_ms < 2_000 else "provider_down"
        rows.append({"key": task.delivery.id, "tries_now": task.delivery.tries, "due": due_at, "why": reason})
    table: sa.Table = Delivery.__table__
    with transaction() as session:
        session.connection().execute(
            sa.update(table)
            .where(table.c.id == sa.bindparam("key"), table.c.tries == sa.bindparam("tries_now"), table.c.status == lifecycle.SENDING)
            .values(status=lifecycle.WAITING, tries=table.c.tries - 1, reason=sa.bindparam("why"), due_at=sa.bindparam("due"), wake_at=sa.bindparam("due")),
            rows,
        )
    return [Outcome(task.delivery.id, lifecycle.WAITING) for task, _ in waiting]
