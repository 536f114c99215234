"""Switches that stand for several, and taking a change back."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from notifier.core.choices import Switch, differences, taken_back, with_switch, without_empty
from notifier.core.preferences import from_document, resolve

TYPES = {"like": "social", "comment": "social", "newsletter": "marketing"}
COLUMNS = ("email", "push", "sms")
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


@pytest.mark.parametrize(
    ("before", "switch", "after"),
    [
        ({}, Switch(False, type="like", channel="email"), {"types": {"like": {"email": False}}}),
        (
            {"types": {"like": {"*": True}}},
            Switch(False, type="like", channel="email"),
            {"types": {"like": {"*": True, "email": False}}},
        ),
        ({}, Switch(True, channel="sms"), {"channels": {"sms": True}}),
        (
            {"categories": {"social": {"sms": False, "email": False}}, "types": {"like": {"sms": False}}},
            Switch(True, channel="sms"),
            {"channels": {"sms": True}, "categories": {"social": {"email": False}}},
        ),
        (
            {"categories": {"social": {"*": False}}, "types": {"like": {"*": True}}},
            Switch(True, channel="sms"),
            {
                "channels": {"sms": True},
                "categories": {"social": {"*": False, "sms": True}},
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
            {"categories": {"social": {"email": True, "push": True, "sms": True}}, "held": "drop"},
        ),
    ],
    ids=[
        "cell",
        "cell beside all",
        "column",
        "column over choices",
        "column over all",
        "section on a channel",
        "section off",
        "section on",
    ],
)
def test_a_switch_silences_what_is_below_it(before: dict[str, Any], switch: Switch, after: dict[str, Any]) -> None:
    untouched = deepcopy(before)
    assert without_empty(with_switch(before, switch, categories=TYPES, columns=COLUMNS)) == after
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
    after = cells(with_switch(document, switch, categories=TYPES, columns=COLUMNS))
    assert after == {place: switch.is_on if is_below(switch, *place) else was for place, was in before.items()}


@given(documents, some.lists(every_switch, min_size=1, max_size=4))
def test_taking_back_restores_the_document(document: dict[str, Any], wishes: list[Switch]) -> None:
    before = without_empty(document)
    after = before
    for wish in wishes:
        after = without_empty(with_switch(after, wish, categories=TYPES, columns=COLUMNS))
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
