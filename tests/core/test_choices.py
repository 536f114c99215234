"""Switches that stand for several, and taking a change back."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from notifier.core.choices import Switch, differences, next_state, taken_back, with_switch, without_empty
from notifier.core.preferences import from_document, resolve

TYPES = {"like": "social", "comment": "social", "newsletter": "marketing"}
COLUMNS = ("email", "push", "sms")
MAY_OPT_IN = ("email", "push")
DEFAULTS = {"email": True, "push": True, "sms": False}

Cells = dict[tuple[str, str], bool]


def cells(document: dict[str, Any]) -> Cells:
    """What is on, type by type and channel by channel."""
    preferences = from_document(document)
    return {
        (key, channel): resolve(
            preferences, type=key, category=category, channel=channel, default_on=DEFAULTS[channel], mandatory=False
        ).enabled
        for key, category in TYPES.items()
        for channel in COLUMNS
    }


def is_below(switch: Switch, key: str, channel: str) -> bool:
    return switch.type in (None, key) and switch.category in (None, TYPES[key]) and switch.channel in (None, channel)


def is_opt_in(switch: Switch, channel: str) -> bool:
    """A switch over several that would switch on what is off by default."""
    return switch.is_on and switch.type is None and not DEFAULTS[channel]


@pytest.mark.parametrize(
    ("below", "pressed"),
    [
        ({"email": [True, True]}, False),
        ({"email": [False, True]}, False),
        ({"email": [True], "sms": [False]}, False),
        ({"email": [False], "sms": [True]}, False),
        ({"email": [False, False]}, True),
        ({"email": [False], "sms": [False]}, True),
        ({"sms": [False, False]}, None),
        ({"email": [], "sms": [False]}, None),
        ({"sms": [True, False]}, False),
        ({}, None),
    ],
    ids=str,
)
def test_pressing_a_switch_over_several_never_opts_in(below: dict[str, list[bool]], pressed: bool | None) -> None:
    assert next_state(below, may_opt_in=MAY_OPT_IN) is pressed


@pytest.mark.parametrize(
    ("before", "switch", "after"),
    [
        ({}, Switch(False, type="like", channel="email"), {"types": {"like": {"email": False}}}),
        (
            {"types": {"like": {"*": True}}},
            Switch(False, type="like", channel="email"),
            {"types": {"like": {"*": True, "email": False}}},
        ),
        ({}, Switch(True, channel="push"), {"channels": {"push": True}}),
        ({}, Switch(True, channel="sms"), {}),
        ({}, Switch(True, category="social", channel="sms"), {}),
        (
            {"categories": {"social": {"push": False, "email": False}}, "types": {"like": {"push": False}}},
            Switch(True, channel="push"),
            {"channels": {"push": True}, "categories": {"social": {"email": False}}},
        ),
        (
            {"categories": {"social": {"*": False}}, "types": {"like": {"*": True}}},
            Switch(True, channel="push"),
            {
                "channels": {"push": True},
                "categories": {"social": {"*": False, "push": True}},
                "types": {"like": {"*": True}},
            },
        ),
        (
            {
                "channels": {"email": True},
                "types": {"like": {"email": True, "push": False}, "newsletter": {"email": True}},
            },
            Switch(False, category="social", channel="email"),
            {
                "channels": {"email": True},
                "categories": {"social": {"email": False}},
                "types": {"like": {"push": False}, "newsletter": {"email": True}},
            },
        ),
        (
            {
                "categories": {"social": {"email": True}},
                "types": {"like": {"email": True}, "newsletter": {"email": True}},
            },
            Switch(False, category="social"),
            {"categories": {"social": {"*": False}}, "types": {"newsletter": {"email": True}}},
        ),
        (
            {"categories": {"social": {"*": False}}, "types": {"like": {"*": False}}, "held": "drop"},
            Switch(True, category="social"),
            {
                "categories": {"social": {"*": False, "email": True, "push": True}},
                "types": {"like": {"*": False, "email": True, "push": True}},
                "held": "drop",
            },
        ),
        (
            {"channels": {"sms": True}, "categories": {"social": {"*": False}}, "types": {"like": {"sms": False}}},
            Switch(True, category="social"),
            {
                "channels": {"sms": True},
                "categories": {"social": {"*": False, "email": True, "push": True}},
                "types": {"like": {"sms": False}},
            },
        ),
    ],
    ids=[
        "cell",
        "cell beside all",
        "column",
        "column of opt-ins",
        "section on a channel of opt-ins",
        "column over choices",
        "column over all",
        "section on a channel",
        "section off",
        "section on",
        "section on beside an opt-in",
    ],
)
def test_a_switch_silences_what_is_below_it(before: dict[str, Any], switch: Switch, after: dict[str, Any]) -> None:
    untouched = deepcopy(before)
    assert without_empty(with_switch(before, switch, categories=TYPES, may_opt_in=MAY_OPT_IN)) == after
    assert before == untouched


switches = some.dictionaries(some.sampled_from(["*", *COLUMNS]), some.booleans())
documents = some.fixed_dictionaries(
    {},
    optional={
        "channels": some.dictionaries(some.sampled_from(COLUMNS), some.booleans()),
        "categories": some.dictionaries(some.sampled_from(["social", "marketing"]), switches),
        "types": some.dictionaries(some.sampled_from(list(TYPES)), switches),
    },
)
every_switch = some.one_of(
    some.builds(Switch, some.booleans(), type=some.sampled_from(list(TYPES)), channel=some.sampled_from(COLUMNS)),
    some.builds(
        Switch,
        some.booleans(),
        category=some.sampled_from(["social", "marketing"]),
        channel=some.sampled_from([None, *COLUMNS]),
    ),
    some.builds(Switch, some.booleans(), channel=some.sampled_from(COLUMNS)),
)


@given(documents, every_switch)
def test_what_is_below_a_switch_is_as_it_says_and_the_rest_as_it_was(document: dict[str, Any], switch: Switch) -> None:
    before = cells(document)
    after = cells(with_switch(document, switch, categories=TYPES, may_opt_in=MAY_OPT_IN))
    assert after == {
        place: switch.is_on if is_below(switch, *place) and not is_opt_in(switch, place[1]) else was
        for place, was in before.items()
    }


@given(documents, some.lists(every_switch, min_size=1, max_size=4))
def test_taking_back_restores_the_document(document: dict[str, Any], wishes: list[Switch]) -> None:
    before = without_empty(document)
    after = before
    for wish in wishes:
        after = without_empty(with_switch(after, wish, categories=TYPES, may_opt_in=MAY_OPT_IN))
    restored, left = taken_back(after, differences(before, after))
    assert (without_empty(restored), left) == (before, [])


def test_what_has_been_changed_again_is_left_alone() -> None:
    change = [{"choice": "types.like.email", "from": None, "to": False}, {"choice": "held", "from": None, "to": "drop"}]
    assert taken_back({"types": {"like": {"email": True}}, "held": "drop"}, change) == (
        {"types": {"like": {"email": True}}},
        ["types.like.email"],
    )


def test_what_has_been_put_back_already_is_no_conflict() -> None:
    assert taken_back({}, [{"choice": "caps.social.day", "from": None, "to": 3}]) == ({}, [])
