"""The questions that are asked about one channel, in their order, until one of them says no.

Asked by `core.plan` for a new notification (QUESTIONS) and by the last look before a send (ASKED_AGAIN).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from notifier.core import digest
from notifier.core.addresses import is_suppressed, usable, why_none
from notifier.core.decisions import NO_DETAIL, Route, Skip, Step, Summary
from notifier.core.facts import AddressFacts, ChannelFacts, Facts
from notifier.core.flags import is_in_rollout
from notifier.core.preferences import Answer, has_any_type_on, resolve
from notifier.core.quiet_hours import quiet_until
from notifier.core.reasons import DIGESTED
from notifier.core.record import record
from notifier.core.routing import ESCALATE, ESCALATION, FALLBACK
from notifier.core.timestamps import LAST, timestamp

_NEVER = LAST + timedelta(days=36_500)  # later than any mute ends


def quiet(facts: Facts, channel: ChannelFacts, because: str, at: datetime) -> tuple[datetime | None, str]:
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


def preference(facts: Facts, channel: ChannelFacts) -> Answer:
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


def outlived(expires_at: datetime | None, held: timedelta, *, is_perishable: bool) -> datetime | None:
    """When something expires that mute or quiet hours hold for so long. A day by default is a day of trying: being held
    does not count.
    """
    if is_perishable or expires_at is None:
        return expires_at
    return expires_at + min(held, max(_NEVER - expires_at, timedelta(0)))


@record
class Start:
    """When a channel's turn comes: at once, later because it is scheduled, or `step` other channels later; and until
    when it lives.
    """

    at: datetime
    step: int
    expires_at: datetime | None


@dataclass(slots=True)
class Case:
    """One channel, and what the questions have found so far: the addresses that are left (None: it needs none), those
    that no provider sends to (`unserved`), those that have been sent enough (`flooded`), why the person wants it, and
    when it is due.

    It belongs to one decision, whose questions change it in turn.
    """

    facts: Facts
    channel: ChannelFacts
    now: datetime
    start: Start
    addresses: Sequence[AddressFacts | None]
    unserved: Sequence[AddressFacts] = ()
    flooded: Sequence[AddressFacts] = ()
    because: str = ""
    due_at: datetime | None = None
    reason: str | None = None
    expires_at: datetime | None = None
    trace: list[Step] = field(default_factory=list)

    @classmethod
    def of(cls, facts: Facts, channel: ChannelFacts, now: datetime, start: Start) -> "Case":
        due_at, reason = (start.at, "scheduled") if start.at > now else (None, None)
        return cls(
            facts,
            channel,
            now,
            start,
            usable(facts, channel) if channel.needs_address else (None,),
            due_at=due_at,
            reason=reason,
            expires_at=start.expires_at,
        )

    def tell(self, rule: str, outcome: str, reason: str, detail: Mapping[str, Any] = NO_DETAIL) -> None:
        self.trace.append(Step(rule, self.channel.name, outcome, reason, detail))


@record
class No:
    """A channel is left out: by which rule, and why; or is only listed in a summary."""

    rule: str
    reason: str
    address: AddressFacts | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    summary: Summary | None = None


def _is_on(case: Case) -> No | None:
    return None if case.channel.is_on else No("channel", "channel_off")


def _is_on_for_them(case: Case) -> No | None:
    channel = case.channel
    if is_in_rollout(channel.name, channel.percentage, case.facts.user_id):
        return None
    return No("flag", "not_in_rollout", None, {"percentage": channel.percentage})


def _has_address(case: Case) -> No | None:
    if not case.channel.needs_address:
        case.addresses = (None,)
    if not case.addresses:
        return No("address", "no_address", None, why_none(case.facts.addresses, case.channel))
    return None


def _is_served(case: Case) -> No | None:
    if not case.channel.unserved:
        return None
    case.unserved = [a for a in case.addresses if a and a.platform in case.channel.unserved]
    case.addresses = [a for a in case.addresses if a not in case.unserved]
    if case.addresses:
        return None
    first = case.unserved[0]
    return No("device", "no_provider", first, _of_platform(first))


def _of_platform(address: AddressFacts) -> dict[str, Any]:
    return {"platform": address.platform} if address.platform else {}


def _is_not_suppressed(case: Case) -> No | None:
    left = [a for a in case.addresses if a is None or not is_suppressed(case.facts, case.channel, a)]
    if not left:
        return No("suppression", "suppressed", case.addresses[0])
    case.addresses = left
    return None


def _is_not_flooded(case: Case) -> No | None:
    if not case.facts.flooded:
        return None
    case.flooded = [a for a in case.addresses if a and (case.channel.name, a.digest) in case.facts.flooded]
    case.addresses = [a for a in case.addresses if a not in case.flooded]
    return None if case.addresses else No("limit", "recipient_limit", case.flooded[0])


def _is_wanted(case: Case) -> No | None:
    answer = preference(case.facts, case.channel)
    if not answer.enabled:
        return No("preference", "opted_out", case.addresses[0], {"because": answer.because})
    case.because = answer.because
    case.tell("preference", "pass", answer.because)
    return None


def _is_sent_by_itself(case: Case) -> No | None:
    facts, category = case.facts, case.facts.type.category
    frequency = facts.preferences.digest.get(category, "off")
    if frequency == "off" or not facts.is_limited:
        return None
    return _summarised(case, "digest", digest.key_of(category), _digest_due_at(frequency, facts, case.start.at))


def _is_under_cap(case: Case) -> No | None:
    facts = case.facts
    if case.channel.name not in facts.over_cap or not facts.is_limited:
        return None
    if facts.preferences.held != "summary":
        cap = facts.over_cap[case.channel.name].detail | {"category": facts.type.category}
        return No("cap", "frequency_cap", case.addresses[0], {"cap": cap})
    key, due_at = digest.key_of(facts.type.category, digest.OVER_CAP), _digest_due_at("daily", facts, case.start.at)
    return _summarised(case, "frequency_cap", key, due_at)


def _may_disturb(case: Case) -> No | None:
    facts = case.facts
    until, reason = quiet(facts, case.channel, case.because, case.start.at)
    if until is None:
        return None
    detail = {"until": timestamp(until)}
    if facts.preferences.held == "drop" and not facts.type.is_internal:
        return No("quiet", reason, case.addresses[0], detail)
    if facts.preferences.held == "summary" and facts.is_limited:
        return _summarised(case, reason, digest.key_of(facts.type.category, digest.HELD), until)
    case.due_at, case.reason = until, reason
    case.expires_at = outlived(case.expires_at, until - case.start.at, is_perishable=facts.is_perishable)
    case.tell("quiet", "wait", reason, detail)
    return None


def _is_its_turn(case: Case) -> No | None:
    if case.start.step and case.facts.routing == ESCALATE:
        case.reason = ESCALATION
    elif case.start.step:
        case.due_at, case.reason = None, FALLBACK
    return None


def _is_in_time(case: Case) -> No | None:
    if case.expires_at is None or (case.due_at or case.now) < case.expires_at:
        return None
    held = {"held": case.reason, "until": timestamp(case.due_at)} if case.due_at and case.reason else {}
    return No("expiry", "expired", case.addresses[0], held)


Question = Callable[[Case], No | None]


# One after the other, until one of them says no.
QUESTIONS: tuple[Question, ...] = (
    _is_on,
    _is_on_for_them,
    _has_address,
    _is_served,
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
ASKED_AGAIN: tuple[Question, ...] = (
    _is_on,
    _is_on_for_them,
    _has_address,
    _is_served,
    _is_not_suppressed,
    _is_wanted,
)


def decide(case: Case) -> list[Route | Skip]:
    """→ a decision for each address, or one for the channel."""
    name = case.channel.name
    for question in QUESTIONS:
        no = question(case)
        if no is not None:
            case.tell(no.rule, "skip", no.reason, no.detail)
            return [Skip(name, no.address, no.reason, no.detail, no.summary)]
    due_at, reason = case.due_at, case.reason
    detail = {"until": timestamp(due_at)} if due_at else NO_DETAIL
    routes = [Route(name, a, due_at, reason, detail, case.start.step, case.expires_at) for a in case.addresses]
    unserved = [Skip(name, address, "no_provider", _of_platform(address)) for address in case.unserved]
    flooded = [Skip(name, address, "recipient_limit") for address in case.flooded]
    case.tell("route", "wait" if reason else "send", reason or "at_once", detail)
    return [*routes, *unserved, *flooded]


def _summarised(case: Case, held: str, key: str, due_at: datetime) -> No:
    detail = {"held": held, "until": timestamp(due_at)}
    # A digest may be days away: what would be kept a day by default is kept until then.
    expires_at = case.facts.expires_at
    if case.facts.is_perishable and expires_at is not None and due_at >= expires_at:
        return No("expiry", "expired", case.addresses[0], detail)
    return No("digest", DIGESTED, case.addresses[0], detail, Summary(key, due_at))


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
