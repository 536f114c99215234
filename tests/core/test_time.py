"""When something goes out: at once, at its time, after the quiet, in a summary, or never, as its producer and the
person have said.
"""

from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.decisions import Summary
from notifier.core.digest import FREQUENCIES
from notifier.core.facts import ChannelFacts, Facts, TypeFacts
from notifier.core.limits import Limit
from notifier.core.plan import last_look, plan
from notifier.core.preferences import EVERY_CHANNEL, Preferences, from_document
from notifier.core.quiet_hours import QuietHours, quiet_until
from tests.core.planning import (
    ALERT,
    BERLIN,
    LIKE,
    MAIL,
    MIDNIGHT,
    MORNING,
    NEWS,
    NIGHT,
    NOON,
    SHIPPED,
    any_preferences,
    facts,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EIGHT = MORNING + HOUR  # 08:00 in Berlin on the day after
MONDAY_EIGHT = EIGHT + 3 * DAY
SUMMED = TypeFacts("social_digest", "social", "medium", ("email",), is_internal=True)
OVER = dict.fromkeys(("email",), Limit(EVERY_CHANNEL, "day", 5))


def like(**changes: Any) -> Facts:
    return facts(LIKE, requested=("email",), **changes)


def chosen(**choices: Any) -> Facts:
    return like(preferences=Preferences(**choices))


MUTED = Preferences(mute_until=NOON + 2 * HOUR)
SUMMARY_AT_NIGHT = replace(NIGHT, held="summary")


@pytest.mark.parametrize(
    ("case", "known", "now", "outcome"),
    [
        # the person is quiet, or has muted everything: it waits, is summed up, or is dropped, as they chose
        ("quiet, and it waits", like(preferences=NIGHT), MIDNIGHT, ("quiet_hours", MORNING)),
        ("quiet, and it is summed up", like(preferences=SUMMARY_AT_NIGHT), MIDNIGHT,
            ("digested", Summary("social:held", MORNING))),
        ("quiet, and it is dropped", like(preferences=replace(NIGHT, held="drop")), MIDNIGHT, ("quiet_hours", None)),
        ("muted, and it waits", like(preferences=MUTED), NOON, ("muted", NOON + 2 * HOUR)),
        ("muted, and it is summed up", like(preferences=replace(MUTED, held="summary")), NOON,
            ("digested", Summary("social:held", NOON + 2 * HOUR))),
        ("muted, and it is dropped", like(preferences=replace(MUTED, held="drop")), NOON, ("muted", None)),
        ("muted until it is quiet", like(preferences=replace(NIGHT, mute_until=MIDNIGHT)), NOON, ("muted", MORNING)),
        ("not quiet any more when it is to be sent", like(preferences=NIGHT, send_at=EIGHT), MIDNIGHT,
            ("scheduled", EIGHT)),
        ("quiet when it is to be sent", like(preferences=NIGHT, send_at=MIDNIGHT), NOON, ("quiet_hours", MORNING)),
        ("transactional passes, whatever was chosen",
            facts(SHIPPED, requested=("email",), preferences=replace(NIGHT, held="drop")), MIDNIGHT, (None, None)),
        ("urgent passes, whatever was chosen", like(priority="urgent", preferences=replace(NIGHT, held="drop")),
            MIDNIGHT, (None, None)),
        ("mandatory passes, whatever was chosen",
            facts(replace(ALERT, priority="low"), preferences=replace(NIGHT, held="drop")), MIDNIGHT, (None, None)),
        # the person wants it summed up
        ("hourly", chosen(digest={"social": "hourly"}), NOON, ("digested", Summary("social", NOON + HOUR))),
        ("daily", chosen(digest={"social": "daily"}), NOON, ("digested", Summary("social", EIGHT))),
        ("weekly", chosen(digest={"social": "weekly"}), NOON, ("digested", Summary("social", MONDAY_EIGHT))),
        ("daily at an hour of their own", chosen(digest={"social": "daily"}, digest_at=time(18)), NOON,
            ("digested", Summary("social", NOON + 5 * HOUR))),
        ("off", chosen(digest={"social": "off"}), NOON, (None, None)),
        ("another category", chosen(digest={"marketing": "daily"}), NOON, (None, None)),
        ("urgent", replace(chosen(digest={"social": "daily"}), priority="urgent"), NOON, (None, None)),
        ("transactional",
            facts(SHIPPED, requested=("email",), preferences=Preferences(digest={"transactional": "daily"})), NOON,
            (None, None)),
        ("mandatory", facts(replace(ALERT, priority="low"), preferences=Preferences(digest={"system": "daily"})), NOON,
            (None, None)),
        ("an alert",
            facts(TypeFacts("fraud_alert", "system", "high", ("email",), is_alert=True),
                preferences=Preferences(digest={"system": "daily"})),
         NOON, (None, None)),
        ("a digest itself", facts(SUMMED, preferences=Preferences(digest={"social": "daily"})), NOON, (None, None)),
        ("hours of the night, in one", chosen(digest={"social": "hourly"}, quiet_hours=NIGHT.quiet_hours), MIDNIGHT,
            ("digested", Summary("social", MORNING))),
        ("while muted, in one", chosen(digest={"social": "hourly"}, mute_until=EIGHT), NOON,
            ("digested", Summary("social", EIGHT))),
        ("scheduled, in that of then", replace(chosen(digest={"social": "daily"}), send_at=MIDNIGHT + DAY), NOON,
            ("digested", Summary("social", EIGHT + DAY))),
        # beyond a cap
        ("over the cap", like(over_cap=OVER), NOON, ("frequency_cap", None)),
        ("over the cap, kept", like(over_cap=OVER, preferences=Preferences(held="summary")), NOON,
            ("digested", Summary("social:cap", EIGHT))),
        ("a digest over the cap", facts(SUMMED, over_cap=OVER), NOON, (None, None)),
        # a digest waits for the quiet to end, whatever the person does with what is held
        ("a digest in the quiet", facts(SUMMED, preferences=SUMMARY_AT_NIGHT), MIDNIGHT, ("quiet_hours", MORNING)),
        ("a digest in the quiet, and the rest is dropped", facts(SUMMED, preferences=replace(NIGHT, held="drop")),
            MIDNIGHT, ("quiet_hours", MORNING)),
        # what expires
        ("expires before its time", like(send_at=NOON + HOUR, expires_at=NOON + HOUR), NOON, ("expired", None)),
        ("said to expire before the mute ends", like(preferences=MUTED, expires_at=NOON + HOUR, is_perishable=True),
            NOON, ("expired", None)),
        ("kept a day by default, under a longer mute", like(preferences=MUTED, expires_at=NOON + HOUR), NOON,
            ("muted", NOON + 2 * HOUR)),
        ("said to expire before its digest",
            replace(chosen(digest={"social": "weekly"}), expires_at=NOON + DAY, is_perishable=True), NOON,
            ("expired", None)),
        ("kept a day by default, for a weekly digest",
            replace(chosen(digest={"social": "weekly"}), expires_at=NOON + DAY), NOON,
         ("digested", Summary("social", MONDAY_EIGHT))),
    ],
)  # fmt: skip
def test_it_goes_out(case: str, known: Facts, now: datetime, outcome: tuple[str | None, Any]) -> None:
    """outcome: the reason, and when it is due or which summary it goes into; (None, None) is at once."""
    [decision] = plan(known, now).decisions
    assert (decision.reason, getattr(decision, "due_at", None) or getattr(decision, "summary", None)) == outcome


@given(st.sampled_from([NEWS, LIKE]), any_preferences(), st.sampled_from([NOON, MIDNIGHT, MORNING]))
def test_no_summary_is_made_in_the_quiet_or_while_muted(
    type_: TypeFacts, preferences: Preferences, now: datetime
) -> None:
    for skip in plan(facts(type_, preferences=preferences), now).skips:
        if skip.summary is not None:
            assert preferences.mute_until is None or preferences.mute_until <= skip.summary.due_at
            assert (
                preferences.quiet_hours is None
                or quiet_until(preferences.quiet_hours, BERLIN, skip.summary.due_at) is None
            )


@pytest.mark.parametrize(
    ("case", "preferences", "is_on"),
    [
        ("nothing chosen", Preferences(), True),
        ("the category is off", Preferences(categories={"social": {"*": False}}), False),
        (
            "the category is off but for one type",
            Preferences(categories={"social": {"*": False}}, types={"like": {"email": True}}),
            True,
        ),
        (
            "the category is off but for one type elsewhere",
            Preferences(categories={"social": {"*": False}}, types={"like": {"push": True}}),
            False,
        ),
        ("one type is off", Preferences(types={"like": {"*": False}}), True),
        ("the channel is off", Preferences(channels={"email": False}), False),
    ],
)
def test_a_digest_goes_where_anything_in_it_may_go(case: str, preferences: Preferences, is_on: bool) -> None:
    known = facts(SUMMED, preferences=preferences)
    assert bool(plan(known, NOON).routes) is is_on
    assert (last_look(known, "email", MAIL.id, NOON) is None) is is_on


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_a_channel_that_is_off_is_not_summed_up(frequency: str) -> None:
    known = replace(chosen(digest={"social": frequency}), channels={"email": ChannelFacts("email", is_on=False)})
    assert [skip.reason for skip in plan(known, NOON).skips] == ["channel_off"]


def test_the_hour_of_a_digest_is_read_from_the_document() -> None:
    assert from_document({"digest_at": "18:30"}).digest_at == time(18, 30)
    assert from_document({}).digest_at == time(8)


def test_quiet_hours_of_some_days_hold_on_those_alone() -> None:
    """15 January 2026 is a Thursday."""
    weekend = Preferences(quiet_hours=QuietHours(time(22), time(7), frozenset({5, 6})))
    assert [bool(plan(like(preferences=weekend), MIDNIGHT + n * DAY).routes[0].due_at) for n in range(4)] == [
        False,
        True,
        True,
        False,
    ]
