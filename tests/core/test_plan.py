"""Deciding, as a table: what the planner answers for one channel, given one thing that is special."""

from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from notifier.core.decisions import Skip, Wait
from notifier.core.facts import AddressFacts, ChannelFacts, Facts
from notifier.core.limits import Limit
from notifier.core.plan import last_look, plan
from notifier.core.preferences import Preferences, from_document
from notifier.core.questions import ASKED_AGAIN, QUESTIONS, outlived
from notifier.core.quiet_hours import QuietHours
from tests.core.planning import (
    ALERT,
    CHANNELS,
    LIKE,
    MAIL,
    MIDNIGHT,
    MORNING,
    NEWS,
    NIGHT,
    NOON,
    OTHER_MAIL,
    PHONE_A,
    PHONE_B,
    SHIPPED,
    any_facts,
    decided,
    facts,
)

LATER = NOON + timedelta(hours=1)
QUIET_AT_NOON = Preferences(quiet_hours=QuietHours(time(11), time(14)))


@pytest.mark.parametrize(
    ("case", "given_facts", "now", "decision"),
    [
        ("nothing special", facts(), NOON, ("email", "send", None)),
        (
            "the channel is off here",
            facts(channels={**CHANNELS, "email": ChannelFacts("email", is_on=False)}),
            NOON,
            ("email", "skip", "channel_off"),
        ),
        ("no address", facts(addresses=()), NOON, ("email", "skip", "no_address")),
        (
            "an address not verified yet",
            facts(addresses=(replace(MAIL, is_verified=False),)),
            NOON,
            ("email", "skip", "no_address"),
        ),
        (
            "an address switched off",
            facts(addresses=(replace(MAIL, disabled_reason="bounced"),)),
            NOON,
            ("email", "skip", "no_address"),
        ),
        (
            "suppressed for all",
            facts(addresses=(replace(MAIL, suppressed_for=frozenset({"*"})),)),
            NOON,
            ("email", "skip", "suppressed"),
        ),
        (
            "suppressed for marketing",
            facts(addresses=(replace(MAIL, suppressed_for=frozenset({"marketing"})),)),
            NOON,
            ("email", "skip", "suppressed"),
        ),
        (
            "suppressed for another category",
            facts(addresses=(replace(MAIL, suppressed_for=frozenset({"social"})),)),
            NOON,
            ("email", "send", None),
        ),
        ("opted out", facts(preferences=Preferences(channels={"email": False})), NOON, ("email", "skip", "opted_out")),
        (
            "opted out of a mandatory type",
            facts(ALERT, preferences=Preferences(channels={"email": False})),
            NOON,
            ("email", "send", None),
        ),
        (
            "a channel off by default",
            facts(requested=("sms",), addresses=(AddressFacts(5, "sms", "+49…"),)),
            NOON,
            ("sms", "skip", "opted_out"),
        ),
        (
            "muted",
            facts(preferences=Preferences(mute_until=NOON + timedelta(hours=1))),
            NOON,
            ("email", "muted", NOON + timedelta(hours=1)),
        ),
        (
            "muted until it is quiet",
            facts(preferences=replace(NIGHT, mute_until=MIDNIGHT)),
            NOON,
            ("email", "muted", MORNING),
        ),
        ("mute is over", facts(preferences=Preferences(mute_until=NOON)), NOON, ("email", "send", None)),
        ("quiet hours", facts(preferences=NIGHT), MIDNIGHT, ("email", "quiet_hours", MORNING)),
        (
            "quiet hours, transactional",
            facts(SHIPPED, requested=("email",), preferences=NIGHT),
            MIDNIGHT,
            ("email", "send", None),
        ),
        ("quiet hours, urgent", facts(ALERT, preferences=NIGHT), MIDNIGHT, ("email", "send", None)),
        ("quiet hours, in-app", facts(requested=("inapp",), preferences=NIGHT), MIDNIGHT, ("inapp", "send", None)),
        (
            "quiet hours, and what is held is dropped",
            facts(preferences=replace(NIGHT, held="drop")),
            MIDNIGHT,
            ("email", "skip", "quiet_hours"),
        ),
        (
            "for later",
            facts(send_at=NOON + timedelta(hours=2)),
            NOON,
            ("email", "scheduled", NOON + timedelta(hours=2)),
        ),
        ("for a quiet time", facts(preferences=NIGHT, send_at=MIDNIGHT), NOON, ("email", "quiet_hours", MORNING)),
        ("for a time that has just passed", facts(send_at=NOON - timedelta(seconds=5)), NOON, ("email", "send", None)),
        ("expired", facts(expires_at=NOON), NOON, ("email", "skip", "expired")),
        (
            "expires before the quiet ends",
            facts(preferences=NIGHT, expires_at=MORNING, is_perishable=True),
            MIDNIGHT,
            ("email", "skip", "expired"),
        ),
    ],
)
def test_one_channel(case: str, given_facts: Facts, now: datetime, decision: tuple[str, str, Any]) -> None:
    assert decided(given_facts, now) == [decision]


def test_email_goes_to_the_primary_address_alone() -> None:
    assert [r.address for r in plan(facts(addresses=(OTHER_MAIL, MAIL)), NOON).routes] == [MAIL]


def test_push_goes_to_every_active_device() -> None:
    everything = facts(
        requested=("push",), addresses=(PHONE_B, PHONE_A, replace(PHONE_A, id=9, disabled_reason="unregistered"))
    )
    assert [r.address for r in plan(everything, NOON).routes] == [PHONE_A, PHONE_B]


BROWSER = AddressFacts(7, "webpush", "Chrome")
FOLLOWED = {**CHANNELS, "webpush": ChannelFacts("webpush", every_address=True, follows="push")}


@pytest.mark.parametrize(
    ("case", "given_facts", "channels"),
    [
        (
            "a browser is switched on",
            facts(LIKE, channels=FOLLOWED, addresses=(PHONE_A, BROWSER)),
            ("inapp", "push", "webpush", "email"),
        ),
        ("none is", facts(LIKE, channels=FOLLOWED, addresses=(PHONE_A,)), ("inapp", "email", "push")),
        (
            "it has gone",
            facts(LIKE, channels=FOLLOWED, addresses=(replace(BROWSER, disabled_reason="gone"),)),
            ("inapp", "email", "push"),
        ),
        (
            "the type does not use push",
            facts(replace(LIKE, channels=("inapp",)), channels=FOLLOWED, addresses=(BROWSER,)),
            ("inapp",),
        ),
        (
            "the submission names its channels",
            facts(LIKE, channels=FOLLOWED, addresses=(BROWSER,), requested=("push",)),
            ("push",),
        ),
    ],
)
def test_browser_push_goes_wherever_push_does(case: str, given_facts: Facts, channels: tuple[str, ...]) -> None:
    assert {decision.channel for decision in plan(given_facts, NOON).decisions} == set(channels)


def test_a_suppressed_device_does_not_silence_the_others() -> None:
    some = facts(requested=("push",), addresses=(replace(PHONE_A, suppressed_for=frozenset({"*"})), PHONE_B))
    assert [r.address for r in plan(some, NOON).routes] == [PHONE_B]


def test_the_channels_of_the_submission_replace_those_of_the_type() -> None:
    assert [d[:2] for d in decided(facts(SHIPPED, requested=("inapp",)))] == [("inapp", "send")]
    assert [d[:2] for d in decided(facts(SHIPPED))] == [("inapp", "send"), ("email", "send")]


def test_a_mandatory_type_is_mandatory_on_its_own_channels_only() -> None:
    named = facts(ALERT, requested=("push",), preferences=Preferences(channels={"push": False}))
    assert decided(named) == [("push", "skip", "opted_out")]


def test_every_decision_leaves_its_reason_in_the_trace() -> None:
    result = plan(facts(SHIPPED, preferences=Preferences(channels={"email": False})), NOON)
    assert [(step.rule, step.channel, step.outcome) for step in result.trace] == [
        ("preference", "inapp", "pass"),
        ("route", "inapp", "send"),
        ("preference", "email", "skip"),
    ]
    assert result.skips[0].detail == {"because": "channel"}


@pytest.mark.parametrize(
    ("case", "given_facts", "address", "reason"),
    [
        ("as planned", facts(), 1, None),
        ("the person opted out meanwhile", facts(preferences=Preferences(channels={"email": False})), 1, "opted_out"),
        ("the address has gone", facts(addresses=()), 1, "no_address"),
        ("the address has died", facts(addresses=(replace(MAIL, disabled_reason="bounced"),)), 1, "no_address"),
        (
            "the address was suppressed",
            facts(addresses=(replace(MAIL, suppressed_for=frozenset({"*"})),)),
            1,
            "suppressed",
        ),
        (
            "the channel was switched off",
            facts(channels={**CHANNELS, "email": ChannelFacts("email", is_on=False)}),
            1,
            "channel_off",
        ),
        ("opted out of what is mandatory", facts(ALERT, preferences=Preferences(channels={"email": False})), 1, None),
        ("everything was muted meanwhile", facts(preferences=Preferences(mute_until=LATER)), 1, "muted"),
        ("these are quiet hours now", facts(preferences=QUIET_AT_NOON), 1, "quiet_hours"),
        (
            "of the quiet, some would be dropped: what is underway waits",
            facts(preferences=replace(QUIET_AT_NOON, held="drop")),
            1,
            "quiet_hours",
        ),
        (
            "or gathered: what is underway waits",
            facts(preferences=replace(QUIET_AT_NOON, held="summary")),
            1,
            "quiet_hours",
        ),
        ("urgent in quiet hours", facts(priority="urgent", preferences=QUIET_AT_NOON), 1, None),
        ("transactional in quiet hours", facts(SHIPPED, preferences=QUIET_AT_NOON), 1, None),
        ("mandatory in quiet hours", facts(ALERT, priority="low", preferences=QUIET_AT_NOON), 1, None),
        ("opted out, and quiet", facts(preferences=replace(QUIET_AT_NOON, channels={"email": False})), 1, "opted_out"),
    ],
)
def test_asked_again_before_the_send(case: str, given_facts: Facts, address: int, reason: str | None) -> None:
    skip = last_look(given_facts, "email", address, NOON)
    assert (skip and skip.reason) == reason


@pytest.mark.slow
@given(any_facts())
def test_the_last_look_at_the_same_moment_says_what_planning_said(f: Facts) -> None:
    for route in plan(replace(f, routing="all", send_at=None), NOON).routes:
        look = last_look(f, route.channel, route.address and route.address.id, NOON)
        assert look == (Wait(route.due_at, route.reason) if route.due_at and route.reason else None)


def test_skips_carry_the_address_they_would_have_used() -> None:
    assert plan(facts(preferences=Preferences(channels={"email": False})), NOON).skips == (
        Skip("email", MAIL, "opted_out", {"because": "channel"}),
    )


@pytest.mark.parametrize(
    ("type_", "changes", "expected"),
    [
        (ALERT, {}, [("email", "send", None)]),
        (ALERT, {"suppressed_for": frozenset({"*"})}, [("email", "send", None)]),
        (ALERT, {"disabled_reason": None, "suppressed_for": frozenset({"*"})}, [("email", "send", None)]),
        (ALERT, {"is_due_again": False}, [("email", "skip", "no_address")]),
        (
            ALERT,
            {"disabled_reason": None, "suppressed_for": frozenset({"*", "system"})},
            [("email", "skip", "suppressed")],
        ),
        (NEWS, {}, [("email", "skip", "no_address")]),
    ],
)
def test_what_is_mandatory_tries_an_address_again_that_died_a_day_ago(type_: Any, changes: Any, expected: Any) -> None:
    dead = replace(MAIL, **{"disabled_reason": "5.1.1", "is_due_again": True, **changes})
    asked = facts(type_, addresses=(dead,))
    assert decided(asked) == expected
    assert (last_look(asked, "email", dead.id, NOON) is None) is (expected[0][1] == "send")


def test_a_dead_address_is_not_tried_again_where_another_one_works() -> None:
    dead = replace(MAIL, disabled_reason="5.1.1", is_due_again=True)
    [route] = plan(facts(ALERT, addresses=(dead, OTHER_MAIL)), NOON).routes
    assert route.address == OTHER_MAIL


# ---- how long it lives while it is held

DAY = timedelta(days=1)
MUTED = Preferences(mute_until=NOON + 3 * DAY)


def test_what_is_held_outlives_the_default_expiry_and_not_the_producers_own() -> None:
    by_default = facts(preferences=MUTED, expires_at=NOON + DAY)
    [route] = plan(by_default, NOON).routes
    assert (route.due_at, route.reason, route.expires_at) == (NOON + 3 * DAY, "muted", NOON + 4 * DAY)
    assert decided(replace(by_default, is_perishable=True)) == [("email", "skip", "expired")]


def test_only_the_time_that_it_is_held_does_not_count() -> None:
    """Sent tomorrow, held from then on for two days: of its day nothing is used up."""
    [route] = plan(facts(preferences=MUTED, send_at=NOON + DAY, expires_at=NOON + 2 * DAY), NOON).routes
    assert (route.due_at, route.expires_at) == (NOON + 3 * DAY, NOON + 4 * DAY)
    [at_once] = plan(facts(expires_at=NOON + DAY), NOON).routes
    assert at_once.expires_at == NOON + DAY


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59Z", "9999-12-31T12:00:00+00:00", "9000-01-01T00:00:00Z"])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue"])
def test_a_mute_for_ever_holds_what_is_planned_and_what_is_under_way(until: str, zone: str) -> None:
    night = {"start": "22:00", "end": "07:00"}
    for_ever = from_document({"mute_until": until, "quiet_hours": night})
    muted = facts(preferences=for_ever, expires_at=NOON + DAY, zone=ZoneInfo(zone))
    [route] = plan(muted, NOON).routes
    assert route.due_at is not None
    assert route.expires_at is not None
    assert (route.reason, route.due_at.year >= 9000, route.expires_at > route.due_at) == ("muted", True, True)
    wait = last_look(muted, "email", MAIL.id, NOON)
    assert isinstance(wait, Wait)
    again = outlived(route.expires_at, wait.until - NOON, is_perishable=False)
    assert again is not None
    assert again > wait.until


@pytest.mark.parametrize("routing", ["first", "escalate"])
def test_what_comes_after_a_held_step_lives_as_long_as_that(routing: str) -> None:
    given_facts = facts(LIKE, requested=("email", "inapp"), preferences=MUTED, routing=routing, expires_at=NOON + DAY)
    assert [(route.channel, route.expires_at) for route in plan(given_facts, NOON).routes] == [
        ("email", NOON + 4 * DAY),
        ("inapp", NOON + 4 * DAY),
    ]


APPLE, ROBOT = replace(PHONE_A, platform="ios"), replace(PHONE_B, platform="android")


@pytest.mark.parametrize(
    ("unserved", "sent", "skipped"),
    [
        (set(), [APPLE, ROBOT], []),
        ({"ios"}, [ROBOT], [(APPLE, {"platform": "ios"})]),
        ({None}, [APPLE, ROBOT], []),
        ({"ios", "android"}, [], [(APPLE, {"platform": "ios"})]),
    ],
)
def test_a_device_that_no_provider_sends_to_is_left_out_with_its_platform(
    unserved: set[str | None], sent: list[AddressFacts], skipped: list[tuple[AddressFacts, dict[str, str]]]
) -> None:
    push = ChannelFacts("push", every_address=True, unserved=frozenset(unserved))
    given_facts = facts(LIKE, requested=("push",), addresses=(APPLE, ROBOT), channels={"push": push})
    found = plan(given_facts, NOON)
    assert [route.address for route in found.routes] == sent
    assert [(skip.address, skip.reason, skip.detail) for skip in found.skips] == [
        (address, "no_provider", detail) for address, detail in skipped
    ]


def test_the_last_look_asks_in_the_order_of_the_plan() -> None:
    assert [question for question in QUESTIONS if question in ASKED_AGAIN] == list(ASKED_AGAIN)


@pytest.mark.parametrize("how_many", range(9))
def test_of_several_reasons_the_first_in_order_is_given(how_many: int) -> None:
    """Each of these alone keeps a mail from going out; with the first ones taken away the next one speaks."""
    no_mail = Preferences(categories={"social": {"email": False}}, digest={"social": "daily"})
    troubles: list[tuple[str, dict[str, Any]]] = [
        ("channel_off", {"channels": {"email": ChannelFacts("email", is_on=False, percentage=0)}}),
        ("not_in_rollout", {"channels": {"email": ChannelFacts("email", percentage=0)}}),
        ("no_address", {"addresses": ()}),
        ("no_provider", {"channels": {"email": ChannelFacts("email", unserved=frozenset({None}))}}),
        ("suppressed", {"addresses": (replace(MAIL, suppressed_for=frozenset({"*"})),)}),
        ("recipient_limit", {"flooded": frozenset({("email", MAIL.digest)})}),
        ("opted_out", {"preferences": no_mail}),
        ("digested", {"preferences": replace(no_mail, categories={})}),
        ("frequency_cap", {"over_cap": {"email": Limit("*", "day", 1)}}),
    ]
    changes: dict[str, Any] = {}
    for _, trouble in reversed(troubles[how_many:]):
        changes |= trouble
    one = facts(LIKE, requested=("email",), expires_at=NOON, **changes)
    assert [skip.reason for skip in plan(one, NOON).skips] == [troubles[how_many][0]]
