"""Decides a batch: collects the facts that only the whole batch has (repeats, caps, limits), then asks `core.plan`
about each notification.

Called by `planning.store` and `intake.dry_run`, inside their transaction. A constant number of statements and of round
trips to Redis, however many notifications.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from notifier.channels import serving
from notifier.core.decisions import Plan
from notifier.core.facts import Facts
from notifier.core.plan import plan
from notifier.core.routing import BEST
from notifier.ground.ids import new_id, show
from notifier.ledgers import caps, flood, scores
from notifier.ledgers.caps import Planned
from notifier.pipeline.planning import repeats, replacing
from notifier.pipeline.planning.orders import Target, planner_facts, type_facts
from notifier.pipeline.planning.replacing import Contender, Place


@dataclass(slots=True)
class Decided:
    """`place`: the one it has taken of its collapse key."""

    notification_id: UUID
    target: Target
    facts: Facts
    plan: Plan
    place: Place | None = None


def decide(targets: Sequence[Target], now: datetime, *, is_rehearsal: bool = False) -> list[Decided]:
    """One decision each, in order. A rehearsal counts and marks nothing: it only looks."""
    ids = [new_id() for _ in targets]
    facts = _facts(ids, targets)
    for index, earlier in repeats.mark(targets, ids, now, is_rehearsal=is_rehearsal).items():
        facts[index] = replace(facts[index], duplicate_of=earlier)
    decided = [Decided(*each, plan(each[-1], now)) for each in zip(ids, targets, facts, strict=True)]
    _supersede(decided, replacing.overtaken(_contenders(decided)), now)
    for index, addresses in flood.flooded(_planned(decided), is_rehearsal=is_rehearsal).items():
        _again(decided[index], now, flooded=addresses)
    for index, used_up in caps.count(_planned(decided), now, is_rehearsal=is_rehearsal).items():
        _again(decided[index], now, over_cap=used_up)
    if not is_rehearsal:
        places, late = replacing.take(_contenders(decided), now)
        _supersede(decided, late, now)
        caps.recount(late)
        for one in decided:
            one.place = places.get(one.notification_id)
    return decided


def _facts(ids: Sequence[UUID], targets: Sequence[Target]) -> list[Facts]:
    channel_facts = {is_test: serving.registry().facts(is_test=is_test) for is_test in (False, True)}
    types = {id(type_): type_facts(type_) for type_ in {id(one.order.type): one.order.type for one in targets}.values()}
    facts = [
        planner_facts(
            target.order,
            target.person,
            channel_facts[target.is_test],
            is_flooded=target.is_flooded,
            of_type=types[id(target.order.type)],
        )
        for target in targets
    ]
    learning = {index: target.person.id for index, target in enumerate(targets) if target.order.routing == BEST}
    known = scores.load(learning.values()) if learning else {}
    for index, user_id in learning.items():
        facts[index] = replace(facts[index], scores=known[user_id], seed=ids[index].int)
    return facts


def _planned(decided: Sequence[Decided]) -> list[Planned]:
    return [Planned(one.target.submission_id, one.target.is_test, one.facts, one.plan) for one in decided]


def _again(one: Decided, now: datetime, **changes: Any) -> None:
    one.facts = replace(one.facts, **changes)
    one.plan = plan(one.facts, now)


def _contenders(decided: Sequence[Decided]) -> list[Contender]:
    """Those that may replace an older one of their key: a notification that is not sent replaces nothing."""
    contenders = []
    for one in decided:
        target, order = one.target, one.target.order
        if order.collapse_key is not None and (one.plan.routes or any(skip.summary for skip in one.plan.skips)):
            key = replacing.key_of(target.person.id, target.producer_id, target.is_test, order.collapse_key)
            contenders.append(Contender(one.notification_id, key, order.sequence or 0, order.submitted_at))
    return contenders


def _supersede(decided: Sequence[Decided], newer: Mapping[UUID, UUID], now: datetime) -> None:
    for one in decided:
        if one.notification_id in newer:
            _again(one, now, superseded_by=show("ntf", newer[one.notification_id]))
