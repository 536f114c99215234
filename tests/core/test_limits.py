"""Caps: what an installation may say, and which of its own and the person's hold."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.facts import AddressFacts, ChannelFacts, Facts, TypeFacts
from notifier.core.limits import DEFAULT_CAPS, MOST, Limit, limits_of, parse_caps
from notifier.core.plan import plan
from notifier.core.preferences import CATEGORIES, Preferences

DAY_5, HOUR_2 = Limit("*", "day", 5), Limit("*", "hour", 2)


@pytest.mark.parametrize(
    ("case", "category", "chosen", "holds"),
    [
        ("no choice", "marketing", {}, [DAY_5, HOUR_2]),
        ("fewer a day", "marketing", {"day": 3}, [Limit("*", "day", 3), HOUR_2]),
        ("more a day than the installation allows", "marketing", {"day": 500}, [DAY_5, HOUR_2]),
        ("none at all", "marketing", {"day": 0}, [Limit("*", "day", 0), HOUR_2]),
        (
            "fewer by one channel",
            "marketing",
            {"channels": {"email": {"day": 1}}},
            [DAY_5, HOUR_2, Limit("email", "day", 1)],
        ),
        (
            "more by one channel",
            "marketing",
            {"channels": {"email": {"hour": 9}}},
            [DAY_5, HOUR_2, Limit("email", "hour", 2)],
        ),
        ("a category without caps", "transactional", {}, []),
        (
            "a category without caps of which somebody wants fewer",
            "transactional",
            {"hour": 1},
            [Limit("*", "hour", 1)],
        ),
    ],
)
def test_of_two_caps_the_lower_one_holds(case: str, category: str, chosen: dict[str, Any], holds: list[Limit]) -> None:
    assert limits_of(category, chosen, DEFAULT_CAPS) == tuple(holds)


number = st.integers(0, MOST)
windows = st.dictionaries(st.sampled_from(["hour", "day"]), number)
choices = st.fixed_dictionaries(
    {},
    optional={"hour": number, "day": number, "channels": st.dictionaries(st.sampled_from(["email", "push"]), windows)},
)
any_caps = st.dictionaries(st.sampled_from(CATEGORIES), windows)


@given(any_caps, st.sampled_from(CATEGORIES), choices)
def test_a_person_can_only_lower_them(caps: dict[str, Any], category: str, chosen: dict[str, Any]) -> None:
    own = {limit.per: limit.maximum for limit in limits_of(category, {}, caps)}
    for limit in limits_of(category, chosen, caps):
        assert limit.maximum <= own.get(limit.per, MOST)
    assert own.keys() <= {limit.per for limit in limits_of(category, chosen, caps) if limit.scope == "*"}


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("", {}),
        ("social 10/hour 50/day, marketing 2/hour 5/day, system 3/hour 10/day", {}),
        ("marketing 1/day", {"marketing": {"day": 1}}),
        ("system none", {"system": {}}),
        (" social  0/hour ,", {"social": {"hour": 0}}),
    ],
)
def test_what_is_not_named_keeps_its_caps(text: str, changes: dict[str, Any]) -> None:
    assert parse_caps(text) == ({**DEFAULT_CAPS, **changes}, [])


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("gossip 1/day", ["'gossip' is not one of marketing, social, system"]),
        ("transactional 1/day", ["'transactional' is not one of marketing, social, system"]),
        ("social", ["social has no caps; say none if that is meant"]),
        ("social -1/day", ["'-1/day' must look like 10/hour or 50/day, with at most 1000000"]),
        ("social 1/week", ["'1/week' must look like 10/hour or 50/day, with at most 1000000"]),
        ("social 9999999/day", ["'9999999/day' must look like 10/hour or 50/day, with at most 1000000"]),
        ("social 1/day none", ["'none' must look like 10/hour or 50/day, with at most 1000000"]),
        ("social 1/day 2/day", ["social has two caps per day"]),
        ("social 1/day, social 2/hour", ["social is named twice"]),
        ("gossip x, social ²/day",
            ["'gossip' is not one of marketing, social, system",
             "'x' must look like 10/hour or 50/day, with at most 1000000",
             "'²/day' must look like 10/hour or 50/day, with at most 1000000"]),
    ],
)  # fmt: skip
def test_all_that_is_wrong_is_named(text: str, faults: list[str]) -> None:
    assert parse_caps(text)[1] == faults


def test_a_cap_shows_what_it_is() -> None:
    assert DAY_5.detail == {"per": "day", "max": 5}
    assert Limit("email", "hour", 1).detail == {"per": "hour", "max": 1, "channel": "email"}


# ---- what the plan makes of a cap that is used up

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
NEWS = TypeFacts("newsletter", "marketing", "low", ("inapp", "email"))
FREE = {
    "mandatory": replace(NEWS, mandatory=True),
    "transactional": replace(NEWS, category="transactional"),
    "an alert to admins": replace(NEWS, is_alert=True),
    "the product's own": replace(NEWS, is_internal=True),
}
CHANNELS = {"inapp": ChannelFacts("inapp", needs_address=False, waits_when_quiet=False), "email": ChannelFacts("email")}


def facts(type_: TypeFacts = NEWS, **changes: Any) -> Facts:
    mail = AddressFacts(1, "email", "a…@x.test", is_primary=True)
    base = Facts(
        type=type_,
        priority=type_.priority,
        zone=ZoneInfo("UTC"),
        preferences=Preferences(),
        addresses=(mail,),
        channels=CHANNELS,
    )
    return replace(base, **changes)


@pytest.mark.parametrize(
    ("case", "changes", "fates"),
    [
        ("none", {}, {"inapp": None, "email": None}),
        ("by mail", {"over_cap": {"email": DAY_5}}, {"inapp": None, "email": "frequency_cap"}),
        (
            "by every channel",
            {"over_cap": {"email": DAY_5, "inapp": DAY_5}},
            {"inapp": "frequency_cap", "email": "frequency_cap"},
        ),
        (
            "kept for the summary",
            {"over_cap": {"email": DAY_5}, "preferences": Preferences(held="summary")},
            {"inapp": None, "email": "digested"},
        ),
        (
            "switched off anyway",
            {"over_cap": {"email": DAY_5}, "preferences": Preferences(channels={"email": False})},
            {"inapp": None, "email": "opted_out"},
        ),
        (
            "a repeat anyway",
            {"over_cap": {"email": DAY_5}, "duplicate_of": "ntf_1"},
            {"inapp": "duplicate", "email": "duplicate"},
        ),
    ],
)
def test_what_becomes_of_what_is_over(case: str, changes: dict[str, Any], fates: dict[str, str | None]) -> None:
    assert {decision.channel: decision.reason for decision in plan(facts(**changes), NOON).decisions} == fates


def test_the_skip_says_which_cap_it_was() -> None:
    [skip] = plan(facts(over_cap={"email": DAY_5}), NOON).skips
    assert skip.detail == {"cap": {"per": "day", "max": 5, "category": "marketing"}}


over = st.dictionaries(st.sampled_from(["inapp", "email"]), st.just(DAY_5))


@given(over, st.sampled_from(["wait", "drop", "summary"]), st.sampled_from(sorted(FREE)))
def test_caps_never_withhold_what_they_do_not_concern(over_cap: dict[str, Limit], held: Any, case: str) -> None:
    given_facts = facts(FREE[case], over_cap=over_cap, preferences=Preferences(held=held))
    assert not given_facts.is_limited
    assert plan(given_facts, NOON) == plan(replace(given_facts, over_cap={}), NOON)


@given(over, st.sampled_from(["wait", "drop", "summary"]))
def test_caps_never_withhold_what_is_urgent(over_cap: dict[str, Limit], held: Any) -> None:
    assert plan(facts(over_cap=over_cap, priority="urgent", preferences=Preferences(held=held)), NOON).skips == ()
