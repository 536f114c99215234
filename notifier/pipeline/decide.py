"""Decides a batch: gathers what only the whole batch can know, then asks `core.plan` about each notification.

Called by `store` and the dry run, inside their transaction. A constant number of statements and of
round trips to Redis, whatever the number of targets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from notifier import channels
from notifier.core.plan import Facts, Plan, plan
from notifier.ids import new_id
from notifier.pipeline import caps
from notifier.pipeline.caps import Planned
from notifier.pipeline.facts import Order, Person, planner_facts


@dataclass(frozen=True, slots=True)
class Target:
    """One notification to be made: who submitted it, for whom, with what."""

    submission_id: UUID
    producer_id: UUID | None
    is_test: bool
    order: Order
    person: Person
    data: Mapping[str, Any]
    collapse_key: str | None
    is_flooded: bool = False


@dataclass(frozen=True, slots=True)
class Decided:
    notification_id: UUID
    target: Target
    plan: Plan


def decide(targets: Sequence[Target], now: datetime, *, is_rehearsal: bool = False) -> list[Decided]:
    """One decision each, in order. A rehearsal counts and marks nothing: it only looks."""
    ids = [new_id() for _ in targets]
    facts = [_facts(target) for target in targets]
    plans = [plan(known, now) for known in facts]
    planned = [Planned(*each) for each in zip(ids, (target.is_test for target in targets), facts, plans, strict=True)]
    for index, used_up in caps.count(planned, now, is_rehearsal=is_rehearsal).items():
        plans[index] = plan(replace(facts[index], over_cap=used_up), now)
    return [Decided(*decided) for decided in zip(ids, targets, plans, strict=True)]


def _facts(target: Target) -> Facts:
    channel_facts = channels.registry().facts(is_test=target.is_test)
    return planner_facts(target.order, target.person, channel_facts, is_flooded=target.is_flooded)
