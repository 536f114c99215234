"""Deciding: facts and the time go in, one decision per channel and address comes out, with its reason.

Called by `planning.decide`, for stored notifications and dry runs alike, and by the last look before a send. First
comes what holds for all channels alike: a flooded person, a repeat, a newer one. Then QUESTIONS are asked about each
channel, in this order: is it on, and on for this person; have they an address, neither suppressed nor flooded; do they
want it; does a digest gather it; is a cap used up; do they want their peace; whose turn is it; has it expired? Each
leaves a line in the trace.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from notifier.core import digest
from notifier.core.facts import AddressFacts, ChannelFacts, Facts
from notifier.core.flags import is_in_rollout
from notifier.core.preferences import Answer, has_any_type_on, resolve
from notifier.core.quiet_hours import quiet_until
from notifier.core.reasons import DIGESTED
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
from notifier.core.timestamps import timestamp

NO_DETAIL: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Summary:
    """The digest something goes into: `key` names it among the person's, `due_at` is when it is made."""

    key: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Route:
    """A delivery to be made; `due_at` None means at once, otherwise `reason` says why later.

    With any routing but `all`, `step` numbers the remaining channels, in order. Those after the first have the reason
    `fallback` and wait for it to fail; with `escalate` they have the reason `escalation`, and are due when the step
    before was not read in time. `expires_at`: its own, since the expiry of a held delivery may be later.
    """

    channel: str
    address: AddressFacts | None
    due_at: datetime | None = None
    reason: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    channel: str
    address: AddressFacts | None
    reason: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    summary: Summary | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now, but then: the person is not to be disturbed. `reason` is `muted` or `quiet_hours`."""

    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the explanation: which rule spoke, about which channel (`*`: all), with what outcome.

    `reason` is one of REASONS or BECAUSE, or names what the rule did; `core.explain` has the sentence for it.
    """

    rule: str
    channel: str
    outcome: str
    reason: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    routes: tuple[Route, ...]
    skips: tuple[Skip, ...]
    trace: tuple[Step, ...]

    @property
    def decisions(self) -> tuple[Route | Skip, ...]:
        return (*self.routes, *self.skips)


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
        case = _Case.of(facts, facts.channels[name], now, _Start(starts_at, step, expires_at))
        decided = _decide(case)
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
    usable = [a for a in mine if a.disabled_reason is None or _may_try_again(facts, channel, a)]
    case = _Case(facts, channel, now, _Start(now, 0, None), usable)
    for question in ASKED_AGAIN:
        no = question(case)
        if no is not None:
            return Skip(channel_name, no.address, no.reason, no.detail)
    until, reason = _quiet(facts, channel, case.because, now)
    return Wait(until, reason) if until else None


def _quiet(facts: Facts, channel: ChannelFacts, because: str, at: datetime) -> tuple[datetime | None, str]:
    """Until when mute and quiet hours hold something that is to start `at`, where they concern it.

    They concern neither what is looked at when one likes, nor what is pressing.
    """
    may_wait = (
        channel.waits_when_quiet
        and because != "mandatory"
        and facts.priority != "urgent"
        and facts.type.category != "transactional"
    )
    return _held(facts, at) if may_wait else (None, "")


def _preference(facts: Facts, channel: ChannelFacts) -> Answer:
    answer = resolve(
        facts.preferences,
        type=facts.type.key,
        category=facts.type.category,
        channel=channel.name,
        default_on=channel.default_on,
        mandatory=facts.type.mandatory and channel.name in facts.type.channels,
    )
    # A digest lists what has been chosen one by one, perhaps by types whose category is off.
    if facts.type.is_internal and not answer.enabled and has_any_type_on(facts.preferences, channel.name):
        return Answer(True, "type_channel")
    return answer


def choice_of(facts: Facts, channel_name: str) -> Answer:
    """Whether the person wants the type on this channel, whatever else would keep it from going out."""
    return _preference(facts, facts.channels[channel_name])


def outlived(expires_at: datetime | None, held: timedelta, *, is_perishable: bool) -> datetime | None:
    """When something expires that mute or quiet hours hold for so long. A day by default is a day of trying: being held
    does not count.
    """
    return expires_at if is_perishable or expires_at is None else expires_at + held


def turn_of(facts: Facts, channel_name: str, now: datetime) -> tuple[datetime | None, str | None]:
    """Asked when a later step is to start: (None, None), or until when it has to wait after all, and the reason."""
    channel = facts.channels[channel_name]
    until, reason = _quiet(facts, channel, _preference(facts, channel).because, now)
    return (until, ESCALATION if facts.routing == ESCALATE else reason) if until else (None, None)


@dataclass(frozen=True, slots=True)
class _Start:
    """When a channel's turn comes: at once, later because it is scheduled, or `step` other channels later; and until
    when it lives.
    """

    at: datetime
    step: int
    expires_at: datetime | None


@dataclass(slots=True)
class _Case:
    """One channel, and what the questions have found so far: the addresses that are left (None: it needs none), those
    of them that have been sent enough (`flooded`), why the person wants it, and when it is due.

    It belongs to one decision, whose questions change it in turn.
    """

    facts: Facts
    channel: ChannelFacts
    now: datetime
    start: _Start
    addresses: Sequence[AddressFacts | None]
    flooded: Sequence[AddressFacts] = ()
    because: str = ""
    due_at: datetime | None = None
    reason: str | None = None
    expires_at: datetime | None = None
    trace: list[Step] = field(default_factory=list)

    @classmethod
    def of(cls, facts: Facts, channel: ChannelFacts, now: datetime, start: _Start) -> "_Case":
        due_at, reason = (start.at, "scheduled") if start.at > now else (None, None)
        return cls(
            facts,
            channel,
            now,
            start,
            _active(facts, channel),
            due_at=due_at,
            reason=reason,
            expires_at=start.expires_at,
        )

    def tell(self, rule: str, outcome: str, reason: str, detail: Mapping[str, Any] = NO_DETAIL) -> None:
        self.trace.append(Step(rule, self.channel.name, outcome, reason, detail))


@dataclass(frozen=True, slots=True)
class _No:
    """A channel is left out: by which rule, and why; or is only listed in a summary."""

    rule: str
    reason: str
    address: AddressFacts | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    summary: Summary | None = None


def _is_on(case: _Case) -> _No | None:
    return None if case.channel.is_on else _No("channel", "channel_off")


def _is_on_for_them(case: _Case) -> _No | None:
    channel = case.channel
    if is_in_rollout(channel.name, channel.percentage, case.facts.user_id):
        return None
    return _No("flag", "not_in_rollout", None, {"percentage": channel.percentage})


def _has_address(case: _Case) -> _No | None:
    if not case.channel.needs_address:
        case.addresses = (None,)
    if not case.addresses:
        return _No("address", "no_address", None, _why_none(case.facts.addresses, case.channel))
    return None


def _is_not_suppressed(case: _Case) -> _No | None:
    left = [a for a in case.addresses if a is None or not _is_suppressed(case.facts, case.channel, a)]
    if not left:
        return _No("suppression", "suppressed", case.addresses[0])
    case.addresses = left
    return None


def _is_not_flooded(case: _Case) -> _No | None:
    if not case.facts.flooded:
        return None
    case.flooded = [a for a in case.addresses if a and (case.channel.name, a.digest) in case.facts.flooded]
    case.addresses = [a for a in case.addresses if a not in case.flooded]
    return None if case.addresses else _No("limit", "recipient_limit", case.flooded[0])


def _is_wanted(case: _Case) -> _No | None:
    answer = _preference(case.facts, case.channel)
    if not answer.enabled:
        return _No("preference", "opted_out", case.addresses[0], {"because": answer.because})
    case.because = answer.because
    case.tell("preference", "pass", answer.because)
    return None


def _is_sent_by_itself(case: _Case) -> _No | None:
    facts, category = case.facts, case.facts.type.category
    frequency = facts.preferences.digest.get(category, "off") if facts.is_limited else "off"
    if frequency == "off":
        return None
    return _summarised(case, "digest", digest.key_of(category), _digest_due_at(frequency, facts, case.start.at))


def _is_under_cap(case: _Case) -> _No | None:
    facts = case.facts
    if not facts.is_limited or case.channel.name not in facts.over_cap:
        return None
    if facts.preferences.held != "summary":
        return _No("cap", "frequency_cap", case.addresses[0], facts.over_cap[case.channel.name].detail)
    key, due_at = digest.key_of(facts.type.category, digest.OVER_CAP), _digest_due_at("daily", facts, case.start.at)
    return _summarised(case, "frequency_cap", key, due_at)


def _may_disturb(case: _Case) -> _No | None:
    facts = case.facts
    until, reason = _quiet(facts, case.channel, case.because, case.start.at)
    if until is None:
        return None
    detail = {"until": timestamp(until)}
    if facts.preferences.held == "drop" and not facts.type.is_internal:
        return _No("quiet", reason, case.addresses[0], detail)
    if facts.preferences.held == "summary" and facts.is_limited:
        return _summarised(case, reason, digest.key_of(facts.type.category, digest.HELD), until)
    case.due_at, case.reason = until, reason
    case.expires_at = outlived(case.expires_at, until - case.start.at, is_perishable=facts.is_perishable)
    case.tell("quiet", "wait", reason, detail)
    return None


def _is_its_turn(case: _Case) -> _No | None:
    if case.start.step and case.facts.routing == ESCALATE:
        case.reason = ESCALATION
    elif case.start.step:
        case.due_at, case.reason = None, FALLBACK
    return None


def _is_in_time(case: _Case) -> _No | None:
    if case.expires_at is None or (case.due_at or case.now) < case.expires_at:
        return None
    held = {"held": case.reason, "until": timestamp(case.due_at)} if case.due_at and case.reason else {}
    return _No("expiry", "expired", case.addresses[0], held)


Question = Callable[[_Case], _No | None]

# One after the other, until one of them says no.
QUESTIONS: tuple[Question, ...] = (
    _is_on,
    _is_on_for_them,
    _has_address,
    _is_not_suppressed,
    _is_not_flooded,
    _is_wanted,
    _is_sent_by_itself,
    _is_under_cap,
    _may_disturb,
    _is_its_turn,
    _is_in_time,
)
# Of these, what the last look asks again. What is under way is neither counted nor gathered any more.
ASKED_AGAIN: tuple[Question, ...] = (_is_on, _is_on_for_them, _has_address, _is_not_suppressed, _is_wanted)


def _decide(case: _Case) -> list[Route | Skip]:
    """→ a decision for each address, or one for the channel."""
    name = case.channel.name
    for question in QUESTIONS:
        no = question(case)
        if no is not None:
            case.tell(no.rule, "skip", no.reason, no.detail)
            return [Skip(name, no.address, no.reason, no.detail, no.summary)]
    due_at, reason = case.due_at, case.reason
    detail = {"until": timestamp(due_at)} if due_at else {}
    routes = [Route(name, a, due_at, reason, detail, case.start.step, case.expires_at) for a in case.addresses]
    flooded = [Skip(name, address, "recipient_limit") for address in case.flooded]
    case.tell("route", "wait" if reason else "send", reason or "at_once", detail)
    return [*routes, *flooded]


def _summarised(case: _Case, held: str, key: str, due_at: datetime) -> _No:
    detail = {"held": held, "until": timestamp(due_at)}
    # A digest may be days away: what would be kept a day by default is kept until then.
    expires_at = case.facts.expires_at
    if case.facts.is_perishable and expires_at is not None and due_at >= expires_at:
        return _No("expiry", "expired", case.addresses[0], detail)
    return _No("digest", DIGESTED, case.addresses[0], detail, Summary(key, due_at))


def _active(facts: Facts, channel: ChannelFacts) -> list[AddressFacts]:
    """The addresses this channel would use, in a stable order: every active one, the primary one, or the one that is
    meant.
    """
    enabled = [a for a in facts.addresses if a.channel == channel.name and a.disabled_reason is None]
    if facts.only_address is not None:
        return [a for a in enabled if a.id == facts.only_address]
    usable = [a for a in enabled if a.is_verified]
    usable.sort(key=lambda a: (not a.is_primary, str(a.id)))
    if not usable:
        dead = [
            a
            for a in facts.addresses
            if a.channel == channel.name and a.is_verified and _may_try_again(facts, channel, a)
        ]
        return sorted(dead, key=lambda a: (not a.is_primary, str(a.id)))[:1]
    return usable if channel.every_address else usable[:1]


def _may_try_again(facts: Facts, channel: ChannelFacts, address: AddressFacts) -> bool:
    """An address that bounced a day ago may work again, and what is mandatory is worth finding out."""
    return address.is_due_again and facts.type.mandatory and channel.name in facts.type.channels


def _is_suppressed(facts: Facts, channel: ChannelFacts, address: AddressFacts) -> bool:
    """`*` stands for a bounce; a category stands for somebody's complaint, and is never tried again."""
    bounced = set() if _may_try_again(facts, channel, address) else {"*"}
    return bool(address.suppressed_for & {facts.type.category, *bounced})


def _why_none(addresses: tuple[AddressFacts, ...], channel: ChannelFacts) -> dict[str, str]:
    disabled = [a.disabled_reason for a in addresses if a.channel == channel.name and a.disabled_reason]
    return {"disabled_reason": disabled[0]} if disabled else {}


def _digest_due_at(frequency: str, facts: Facts, at: datetime) -> datetime:
    """The end of the digest's window, or of the quiet it would fall into: one digest then, and not one for every hour
    of the night.
    """
    due = digest.due_at(frequency, facts.zone, at, facts.preferences.digest_at)
    return _held(facts, due)[0] or due


def _held(facts: Facts, at: datetime) -> tuple[datetime | None, str]:
    """Until when mute and quiet hours, one after the other, hold something that is to start `at`."""
    until, reason = at, ""
    mute = facts.preferences.mute_until
    if mute is not None and mute > until:
        until, reason = mute, "muted"
    quiet = facts.preferences.quiet_hours
    if quiet is not None:
        end = quiet_until(quiet, facts.zone, until)
        if end is not None:
            until, reason = end, reason or "quiet_hours"
    return (until, reason) if until > at else (None, "")
