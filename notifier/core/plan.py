"""Deciding: facts and the time go in, one decision per channel and address comes out, with its reason.

Called by `pipeline.accept` (which stores the decisions) and by its dry run (which does not).
The order of the questions is the order of `_decide`; each leaves a line in the trace.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from notifier.core.preferences import Answer, Preferences, resolve
from notifier.core.quiet_hours import quiet_until

FALLBACK = "fallback"

# The closed list of reasons. A skip or a delay without one of these does not exist.
REASONS: dict[str, str] = {
    "no_address": "There is no active address for this channel.",
    "opted_out": "The person has switched this off.",
    "suppressed": "The address is on the suppression list.",
    "muted": "The person has muted notifications.",
    "quiet_hours": "It is quiet hours for the person.",
    "expired": "It would arrive after it has expired.",
    "channel_off": "The channel is switched off here.",
    "scheduled": "It was submitted for a later time.",
    FALLBACK: "It goes this way if the channels before it fail.",
    "not_needed": "An earlier channel has succeeded.",
    "provider_down": "The provider is out of order; it is tried again later.",
    "paced": "The provider's pace is used up for the moment.",
    "recipient_limit": "The person has been sent too many of these in a short time.",
    "retry": "A try failed; the next one is due later.",
    "cancelled": "The producer cancelled it.",
    "user_erased": "The person was erased.",
    "template_error": "The template cannot be filled with this data.",
}


BECAUSE: dict[str, str] = {
    "mandatory": "It is mandatory on this channel.",
    "type_channel": "The person chose it for this type on this channel.",
    "type": "The person chose it for this type.",
    "category_channel": "The person chose it for this category on this channel.",
    "category": "The person chose it for this category.",
    "channel": "The person chose this channel.",
    "default": "The channel is on for everybody who has not chosen.",
}


@dataclass(frozen=True, slots=True)
class TypeFacts:
    key: str
    category: str
    priority: str
    channels: tuple[str, ...]
    mandatory: bool = False
    is_internal: bool = False


@dataclass(frozen=True, slots=True)
class ChannelFacts:
    """`every_address`: sent to each active address, not to the primary one alone.

    `needs_address` and `waits_when_quiet` are False for in-app, which the person looks at when they like.
    """

    name: str
    default_on: bool = True
    every_address: bool = False
    needs_address: bool = True
    waits_when_quiet: bool = True
    is_on: bool = True


@dataclass(frozen=True, slots=True)
class AddressFacts:
    """An address as the planner sees it: never the address itself, only its masked form.

    `suppressed_for` holds the categories it is suppressed for; `*` stands for all.
    """

    id: Any
    channel: str
    masked: str
    is_primary: bool = False
    is_verified: bool = True
    disabled_reason: str | None = None
    suppressed_for: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known about one notification before it is decided. `requested` overrides the type's channels.

    `only_address`: the id of the one address it goes to, confirmed or not (an address's own code).
    """

    type: TypeFacts
    priority: str
    zone: ZoneInfo
    preferences: Preferences
    addresses: tuple[AddressFacts, ...]
    channels: Mapping[str, ChannelFacts]
    requested: tuple[str, ...] | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None
    routing: str = "all"
    is_flooded: bool = False
    only_address: Any = None


@dataclass(frozen=True, slots=True)
class Route:
    """A delivery to be made; `due_at` None means at once, otherwise `reason` says why later.

    With routing `first`, `step` counts the channels that are left, in order; those after the first have
    the reason `fallback` and wait for it to fail.
    """

    channel: str
    address: AddressFacts | None
    due_at: datetime | None = None
    reason: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0


@dataclass(frozen=True, slots=True)
class Skip:
    channel: str
    address: AddressFacts | None
    reason: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the explanation: which rule spoke, about which channel, with what outcome."""

    rule: str
    channel: str
    outcome: str
    sentence: str


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
    routes: list[Route] = []
    skips: list[Skip] = []
    trace: list[Step] = []
    for name in dict.fromkeys(facts.requested or facts.type.channels):
        for decision in _decide(facts, facts.channels[name], now, trace):
            (routes if isinstance(decision, Route) else skips).append(decision)  # type: ignore[arg-type]
    if facts.routing == "first":
        routes = _one_after_the_other(routes)
    return Plan(tuple(routes), tuple(skips), tuple(trace))


def _one_after_the_other(routes: list[Route]) -> list[Route]:
    order = {channel: step for step, channel in enumerate(dict.fromkeys(route.channel for route in routes))}
    return [replace(route, step=step, due_at=None, reason=FALLBACK, detail={}) if (step := order[route.channel]) else route for route in routes]


def still_wanted(facts: Facts, channel_name: str, address_id: Any) -> Skip | None:
    """Asked again just before a send: the reason not to make it after all, or None.

    Between planning and sending a person may have opted out, and an address may have died.
    """
    channel = facts.channels[channel_name]
    if not channel.is_on:
        return Skip(channel_name, None, "channel_off")
    if channel.needs_address:
        address = next((a for a in facts.addresses if a.id == address_id and a.channel == channel_name), None)
        if address is None or address.disabled_reason is not None or not (address.is_verified or facts.type.is_internal):
            return Skip(channel_name, address, "no_address")
        if address.suppressed_for & {facts.type.category, "*"}:
            return Skip(channel_name, address, "suppressed")
    answer = _preference(facts, channel)
    return None if answer.enabled else Skip(channel_name, None, "opted_out", {"because": answer.because})


def _preference(facts: Facts, channel: ChannelFacts) -> Answer:
    return resolve(
        facts.preferences,
        type=facts.type.key,
        category=facts.type.category,
        channel=channel.name,
        default_on=channel.default_on,
        mandatory=facts.type.mandatory and channel.name in facts.type.channels,
    )


def _decide(facts: Facts, channel: ChannelFacts, now: datetime, trace: list[Step]) -> list[Route | Skip]:
    def skip(rule: str, reason: str, address: AddressFacts | None = None, **detail: Any) -> list[Route | Skip]:
        trace.append(Step(rule, channel.name, "skip", REASONS[reason]))
        return [Skip(channel.name, address, reason, detail)]

    if facts.is_flooded:
        return skip("recipient", "recipient_limit")
    if not channel.is_on:
        return skip("channel", "channel_off")

    addresses: list[AddressFacts | None] = [None]
    if channel.needs_address:
        active = _active(facts, channel)
        if not active:
            return skip("address", "no_address", None, **_why_none(facts.addresses, channel))
        addresses = [a for a in active if not a.suppressed_for & {facts.type.category, "*"}]
        if not addresses:
            return skip("suppression", "suppressed", active[0])

    answer = _preference(facts, channel)
    if not answer.enabled:
        return skip("preference", "opted_out", addresses[0], because=answer.because)
    trace.append(Step("preference", channel.name, "pass", BECAUSE[answer.because]))

    starts_at = max(now, facts.send_at) if facts.send_at else now
    due_at, reason = (starts_at, "scheduled") if starts_at > now else (None, None)
    if channel.waits_when_quiet and answer.because != "mandatory" and facts.priority != "urgent" and facts.type.category != "transactional":
        held_until, held_reason = _held(facts, starts_at)
        if held_until is not None:
            if facts.preferences.held == "drop":
                return skip("quiet", held_reason, addresses[0], until=_shown(held_until))
            due_at, reason = held_until, held_reason
            trace.append(Step("quiet", channel.name, "wait", REASONS[held_reason]))

    if facts.expires_at is not None and (due_at or now) >= facts.expires_at:
        held = {"held": reason, "until": _shown(due_at)} if due_at and reason else {}
        return skip("expiry", "expired", addresses[0], **held)
    detail = {"until": _shown(due_at)} if due_at else {}
    trace.append(Step("route", channel.name, "send" if due_at is None else "wait", "To be sent at once." if due_at is None else f"Due {_shown(due_at)}."))
    return [Route(channel.name, address, due_at, reason, detail) for address in addresses]


def _shown(at: datetime) -> str:
    """A time as the API shows it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _active(facts: Facts, channel: ChannelFacts) -> list[AddressFacts]:
    """The addresses this channel would use, in a stable order: every active one, the primary one, or the one that is meant."""
    enabled = [a for a in facts.addresses if a.channel == channel.name and a.disabled_reason is None]
    if facts.only_address is not None:
        return [a for a in enabled if a.id == facts.only_address]
    usable = [a for a in enabled if a.is_verified]
    usable.sort(key=lambda a: (not a.is_primary, str(a.id)))
    return usable if channel.every_address else usable[:1]


def _why_none(addresses: tuple[AddressFacts, ...], channel: ChannelFacts) -> dict[str, str]:
    disabled = [a.disabled_reason for a in addresses if a.channel == channel.name and a.disabled_reason]
    return {"disabled_reason": disabled[0]} if disabled else {}


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
