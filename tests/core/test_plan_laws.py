"""What holds for every plan, whatever is known, chosen and switched."""

from dataclasses import replace
from datetime import datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.decisions import Route
from notifier.core.facts import AddressFacts, Facts, TypeFacts
from notifier.core.limits import Limit
from notifier.core.plan import plan
from notifier.core.preferences import EVERY_CHANNEL, Preferences
from notifier.core.quiet_hours import quiet_until
from notifier.core.reasons import REASONS
from tests.core.planning import (
    ACTIVITY,
    ALERT,
    BERLIN,
    CHANNELS,
    LIKE,
    MAIL,
    MIDNIGHT,
    MORNING,
    NEWS,
    NOON,
    any_facts,
    any_preferences,
    facts,
)

any_time = st.sampled_from([NOON, MIDNIGHT, MORNING])
over_every_cap = st.sampled_from([{}, dict.fromkeys(CHANNELS, Limit(EVERY_CHANNEL, "day", 0))])


@pytest.mark.slow
@given(any_facts(), any_time)
def test_nothing_is_both_sent_and_skipped_and_nothing_is_forgotten(known: Facts, now: datetime) -> None:
    result = plan(known, now)
    sent, skipped = {route.channel for route in result.routes}, {skip.channel for skip in result.skips}
    assert not sent & skipped
    assert sent | skipped == set(known.requested or known.type.channels)


@pytest.mark.slow
@given(any_facts(), any_time)
def test_every_skip_and_every_delay_has_a_reason_and_a_line_that_says_so(known: Facts, now: datetime) -> None:
    result = plan(known, now)
    said = {(step.channel, step.reason) for step in result.trace}
    for decision in result.decisions:
        assert decision.reason is None or decision.reason in REASONS
        assert said & {(decision.channel, decision.reason or "at_once"), ("*", decision.reason)}
    assert all(route.reason is not None for route in result.routes if route.due_at is not None)


@pytest.mark.slow
@given(any_facts(), any_time, st.randoms())
def test_the_plan_does_not_depend_on_the_order_of_facts(known: Facts, now: datetime, random: Random) -> None:
    addresses: list[AddressFacts] = list(known.addresses)
    random.shuffle(addresses)
    names = list(known.channels)
    random.shuffle(names)
    assert plan(
        replace(known, addresses=tuple(addresses), channels={name: known.channels[name] for name in names}), now
    ) == plan(known, now)


@given(any_preferences(), over_every_cap, any_time)
def test_choices_caps_and_quiet_hours_never_withhold_or_delay_what_is_mandatory(
    preferences: Preferences, over_cap: dict[str, Limit], now: datetime
) -> None:
    assert plan(facts(ALERT, preferences=preferences, over_cap=over_cap), now).routes == (Route("email", MAIL),)
    calm = plan(facts(replace(ALERT, priority="medium"), preferences=preferences, over_cap=over_cap), now)
    assert calm.routes == (Route("email", MAIL),)


@given(st.sampled_from([NEWS, LIKE, ACTIVITY]), any_preferences(), over_every_cap, any_time)
def test_what_is_urgent_waits_for_nothing_and_goes_into_no_summary(
    type_: TypeFacts, preferences: Preferences, over_cap: dict[str, Limit], now: datetime
) -> None:
    result = plan(facts(type_, priority="urgent", preferences=preferences, over_cap=over_cap), now)
    assert all(route.due_at is None for route in result.routes)
    assert {skip.reason for skip in result.skips} <= {"opted_out"}


@given(st.sampled_from([NEWS, LIKE, ACTIVITY]), any_preferences(), any_time)
def test_nothing_is_released_into_quiet_hours_or_while_muted(
    type_: TypeFacts, preferences: Preferences, now: datetime
) -> None:
    for route in plan(facts(type_, preferences=preferences), now).routes:
        if not CHANNELS[route.channel].waits_when_quiet:
            continue
        at = route.due_at or now
        assert preferences.mute_until is None or preferences.mute_until <= at
        assert preferences.quiet_hours is None or quiet_until(preferences.quiet_hours, BERLIN, at) is None


@pytest.mark.slow
@given(any_facts(), any_time)
def test_only_what_is_limited_goes_into_a_summary(known: Facts, now: datetime) -> None:
    for skip in plan(known, now).skips:
        assert skip.summary is None or (known.type.is_limited and known.priority != "urgent")
        assert (skip.summary is None) == (skip.reason != "digested")
        assert skip.summary is None or skip.summary.due_at > now
