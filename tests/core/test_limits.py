"""Caps: what an installation may say, and which of its own and the person's hold."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.limits import DEFAULT_CAPS, MOST, Limit, limits_of, parse_caps
from notifier.core.preferences import CATEGORIES

DAY_5, HOUR_2 = Limit("*", "day", 5), Limit("*", "hour", 2)


@pytest.mark.parametrize(
    ("case", "category", "chosen", "holds"),
    [
        ("no choice", "marketing", {}, [DAY_5, HOUR_2]),
        ("fewer a day", "marketing", {"day": 3}, [Limit("*", "day", 3), HOUR_2]),
        ("more a day than the installation allows", "marketing", {"day": 500}, [DAY_5, HOUR_2]),
        ("none at all", "marketing", {"day": 0}, [Limit("*", "day", 0), HOUR_2]),
        ("fewer by one channel", "marketing", {"channels": {"email": {"day": 1}}}, [DAY_5, HOUR_2, Limit("email", "day", 1)]),
        ("more by one channel", "marketing", {"channels": {"email": {"hour": 9}}}, [DAY_5, HOUR_2, Limit("email", "hour", 2)]),
        ("a category without caps", "transactional", {}, []),
        ("a category without caps of which somebody wants fewer", "transactional", {"hour": 1}, [Limit("*", "hour", 1)]),
    ],
)
def test_of_two_caps_the_lower_one_holds(case: str, category: str, chosen: dict[str, Any], holds: list[Limit]) -> None:
    assert limits_of(category, chosen, DEFAULT_CAPS) == tuple(holds)


number = st.integers(0, MOST)
windows = st.dictionaries(st.sampled_from(["hour", "day"]), number)
choices = st.fixed_dictionaries({}, optional={"hour": number, "day": number, "channels": st.dictionaries(st.sampled_from(["email", "push"]), windows)})
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
        ("gossip 1/day", ["'gossip' is none of marketing, social, system"]),
        ("transactional 1/day", ["'transactional' is none of marketing, social, system"]),
        ("social", ["social has no caps; say none if that is meant"]),
        ("social -1/day", ["'-1/day' is not like 10/hour or 50/day, 1000000 at most"]),
        ("social 1/week", ["'1/week' is not like 10/hour or 50/day, 1000000 at most"]),
        ("social 9999999/day", ["'9999999/day' is not like 10/hour or 50/day, 1000000 at most"]),
        ("social 1/day none", ["'none' is not like 10/hour or 50/day, 1000000 at most"]),
        ("social 1/day 2/day", ["social has two caps by day"]),
        ("social 1/day, social 2/hour", ["social is named twice"]),
        ("gossip x, social ²/day", ["'gossip' is none of marketing, social, system", "'x' is not like 10/hour or 50/day, 1000000 at most",
                                    "'²/day' is not like 10/hour or 50/day, 1000000 at most"]),
    ],
)  # fmt: skip
def test_all_that_is_wrong_is_named(text: str, faults: list[str]) -> None:
    assert parse_caps(text)[1] == faults


def test_a_cap_shows_what_it_is() -> None:
    assert DAY_5.detail == {"cap": {"per": "day", "max": 5}}
    assert Limit("email", "hour", 1).detail == {"cap": {"per": "hour", "max": 1, "channel": "email"}}
