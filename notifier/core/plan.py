"""Deciding: facts and the time go in, one decision per channel and address comes out, with its reason.

Called by `planning.decide`, for stored notifications and dry runs alike, and by the last look before a send. First
comes what holds for all channels alike: a flooded person, a repeat, a newer one. Then QUESTIONS are asked about each
channel, in this order: is it on, and on for this person; have they an address, neither suppressed nor flooded; do they
want it; does a digest gather it; is a cap used up; do they want their peace; whose turn is it; has it expired? Each
leaves a line in the trace.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from notifier.core.addresses import may_try_again
from notifier.core.decisions import Plan, Route, Skip, Step, Wait
from notifier.core.facts import Facts
from notifier.core.preferences import Answer
from notifier.core.questions import ASKED_AGAIN, Case, Start, decide, preference, quiet
from notifier.core.routing import (
    ALL,
    BEST,
    ESCALATE,
    ESCALATION,
    FALLBACK,
    FIRST,
    PATIENCE,
    Order,
    counted,
    has_proved_itself,
    in_order,
)


def plan(facts: Facts, now: datetime) -> Plan:
    """One decision for every channel of the type (or those requested), and every address it has there."""
    names = _names(facts)
    trace: list[Step] = []
    refusal = _refused_as_a_whole(facts)
    if refusal is not None:
        trace.append(Step("whole", "*", "skip", refusal[0], refusal[1]))
        return Plan((), tuple(Skip(name, None, *refusal) for name in names), tuple(trace))
    routes: list[Route] = []
    skips: list[Skip] = []
    order = in_order(facts.routing, names, facts.scores, facts.seed)
    step, starts_at, expires_at = 0, max(now, facts.send_at) if facts.send_at else now, facts.expires_at
    for name in order.channels:
        case = Case.of(facts, facts.channels[name], now, Start(starts_at, step, expires_at))
        decided = decide(case)
        trace += case.trace
        for decision in decided:
            (routes if isinstance(decision, Route) else skips).append(decision)  # type: ignore[arg-type]
        taken = [decision for decision in decided if isinstance(decision, Route)]
        if facts.routing != ALL and taken:
            step += 1
            expires_at = taken[0].expires_at  # what comes after a step that was held lives as long
            if facts.routing == ESCALATE:  # after a step that waits, the next one waits longer
                starts_at = (taken[0].due_at or starts_at) + facts.escalate_after
    if order.reason and len(order.channels) > 1:
        trace.append(Step("routing", "*", "order", order.reason, _why_this_order(facts, order, routes)))
        trace += _patience(facts, routes)
    return Plan(tuple(routes), tuple(skips), tuple(trace))


def _names(facts: Facts) -> tuple[str, ...]:
    """The channels to be decided about: the requested ones, or the type's and the ones that follow them."""
    if facts.requested or facts.only_address is not None:
        return tuple(dict.fromkeys(facts.requested or facts.type.channels))
    reached = {a.channel for a in facts.addresses if a.is_verified and a.disabled_reason is None}
    followers = {
        facts.channels[name].follows: name
        for name in sorted(reached)
        if name in facts.channels and facts.channels[name].follows
    }
    if not followers:
        return tuple(dict.fromkeys(facts.type.channels))
    return tuple(dict.fromkeys(name for each in facts.type.channels for name in (each, followers.get(each)) if name))


def _why_this_order(facts: Facts, order: Order, routes: Sequence[Route]) -> Mapping[str, Any]:
    if facts.routing != BEST or not routes:
        return order.detail
    first = routes[0].channel
    is_proved = has_proved_itself(first, order.channels, facts.scores)
    return {
        "because": "proved" if is_proved else "tried",
        "first": first,
        **counted(first, facts.scores),
        **order.detail,
    }


def _patience(facts: Facts, routes: Sequence[Route]) -> list[Step]:
    """The line that tells what `first` and `best` do in an outage, if there is another channel."""
    if facts.routing not in (FIRST, BEST) or not any(route.reason == FALLBACK for route in routes):
        return []
    seconds = int(PATIENCE[facts.priority].total_seconds())
    return [
        Step("outage", "*", "wait", "patience", {"seconds": seconds})
        if seconds
        else Step("outage", "*", "pass", "no_patience")
    ]


def _refused_as_a_whole(facts: Facts) -> tuple[str, dict[str, Any]] | None:
    """The reason that applies to every channel, if there is one."""
    if facts.is_flooded:
        return "recipient_limit", {}
    if facts.duplicate_of is not None:
        return "duplicate", {"duplicate_of": facts.duplicate_of}
    if facts.superseded_by is not None:
        return "superseded", {"superseded_by": facts.superseded_by}
    return None


def last_look(facts: Facts, channel_name: str, address_id: Any, now: datetime) -> Skip | Wait | None:
    """Asks again, just before a send, the questions of planning: a reason to skip the delivery or to put it off, or
    None.

    Since planning, a person may have opted out, muted everything or set quiet hours, and an address may have died. A
    delivery under way is never dropped or put into a digest because of quiet hours, whatever the person has chosen for
    new ones: it waits.
    """
    channel = facts.channels[channel_name]
    mine = [
        a
        for a in facts.addresses
        if a.id == address_id and a.channel == channel_name and (a.is_verified or facts.type.is_internal)
    ]
    usable = [a for a in mine if a.disabled_reason is None or may_try_again(facts, channel, a)]
    case = Case(facts, channel, now, Start(now, 0, None), usable)
    for question in ASKED_AGAIN:
        no = question(case)
        if no is not None:
            return Skip(channel_name, no.address, no.reason, no.detail)
    until, reason = quiet(facts, channel, case.because, now)
    return Wait(until, reason) if until else None


def choice_of(facts: Facts, channel_name: str) -> Answer:
    """Whether the person wants the type on this channel, whatever else would keep it from going out."""
    return preference(facts, facts.channels[channel_name])


def turn_of(facts: Facts, channel_name: str, now: datetime) -> tuple[datetime | None, str | None]:
    """Asked when a later step is to start: (None, None), or until when it has to wait after all, and the reason."""
    channel = facts.channels[channel_name]
    until, reason = quiet(facts, channel, preference(facts, channel).because, now)
    return (until, ESCALATION if facts.routing == ESCALATE else reason) if until else (None, None)
