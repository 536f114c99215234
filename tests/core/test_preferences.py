"""The rule of preferences: type × channel, type, category × channel, category, channel, default;
mandatory above all.
"""

from datetime import UTC, datetime, time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.preferences import Answer, Preferences, from_document, resolve
from notifier.core.quiet_hours import QuietHours


def ask(preferences: Preferences, *, default_on: bool = True, mandatory: bool = False) -> Answer:
    return resolve(
        preferences,
        type="newsletter",
        category="marketing",
        channel="email",
        default_on=default_on,
        mandatory=mandatory,
    )


NO = {"email": False}
YES = {"email": True}


@pytest.mark.parametrize(
    ("choices", "answer"),
    [
        # nothing chosen                                                    the channel's default
        ({}, Answer(True, "default")),
        ({"channels": {"sms": False}}, Answer(True, "default")),
        # one choice                                                        it decides
        ({"channels": NO}, Answer(False, "channel")),
        ({"categories": {"marketing": NO}}, Answer(False, "category_channel")),
        ({"categories": {"marketing": {"*": False}}}, Answer(False, "category")),
        ({"types": {"newsletter": NO}}, Answer(False, "type_channel")),
        ({"types": {"newsletter": {"*": False}}}, Answer(False, "type")),
        # two choices                                                       the more specific decides
        ({"channels": NO, "categories": {"marketing": YES}}, Answer(True, "category_channel")),
        ({"channels": NO, "categories": {"marketing": {"*": True}}}, Answer(True, "category")),
        ({"categories": {"marketing": {"*": False, "email": True}}}, Answer(True, "category_channel")),
        ({"categories": {"marketing": NO}, "types": {"newsletter": {"*": True}}}, Answer(True, "type")),
        ({"types": {"newsletter": {"*": True, "email": False}}}, Answer(False, "type_channel")),
        (
            {"channels": YES, "categories": {"marketing": YES}, "types": {"newsletter": NO}},
            Answer(False, "type_channel"),
        ),
        # of another type or category                                       nothing to do with it
        ({"categories": {"social": NO}, "types": {"like": NO}}, Answer(True, "default")),
    ],
)
def test_the_most_specific_choice_wins(choices: dict[str, Any], answer: Answer) -> None:
    assert ask(Preferences(**choices)) == answer


def test_a_channel_that_is_off_by_default_stays_off_until_chosen() -> None:
    assert ask(Preferences(), default_on=False) == Answer(False, "default")
    assert ask(Preferences(channels=YES), default_on=False) == Answer(True, "channel")


level = st.dictionaries(st.sampled_from(["email", "sms", "*"]), st.booleans())
choices = st.builds(
    Preferences,
    channels=st.dictionaries(st.sampled_from(["email", "sms"]), st.booleans()),
    categories=st.dictionaries(st.sampled_from(["marketing", "social"]), level),
    types=st.dictionaries(st.sampled_from(["newsletter", "like"]), level),
)


@given(choices, st.booleans())
def test_nothing_switches_a_mandatory_type_off(preferences: Preferences, default_on: bool) -> None:
    assert ask(preferences, default_on=default_on, mandatory=True) == Answer(True, "mandatory")


@given(choices, st.booleans(), st.booleans())
def test_a_choice_for_the_type_on_the_channel_always_decides(
    preferences: Preferences, choice: bool, default_on: bool
) -> None:
    chosen = Preferences(
        preferences.channels, preferences.categories, {**preferences.types, "newsletter": {"email": choice}}
    )
    assert ask(chosen, default_on=default_on) == Answer(choice, "type_channel")


def test_a_stored_document_becomes_choices() -> None:
    document = {
        "channels": {"sms": False},
        "categories": {"marketing": {"email": False}},
        "types": {"order_shipped": {"push": True}},
        "quiet_hours": {"start": "22:00", "end": "07:00", "days": [1, 5]},
        "mute_until": "2026-12-01T09:00:00+00:00",
        "held": "drop",
        "digest": {"social": "daily"},
        "do_not_track": True,
    }
    assert from_document(document) == Preferences(
        channels={"sms": False},
        categories={"marketing": {"email": False}},
        types={"order_shipped": {"push": True}},
        quiet_hours=QuietHours(time(22), time(7), frozenset({1, 5})),
        mute_until=datetime(2026, 12, 1, 9, tzinfo=UTC),
        held="drop",
        digest={"social": "daily"},
        do_not_track=True,
    )
    assert from_document({}) == Preferences()
    assert from_document({"mute_until": "9999-12-31T23:59:59Z"}).mute_until == datetime(9000, 1, 1, tzinfo=UTC)
