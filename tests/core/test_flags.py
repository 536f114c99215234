"""Whom a flag is on for: the same people every time, as many as it says, and each flag draws for itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.decisions import Skip
from notifier.core.facts import ChannelFacts
from notifier.core.flags import is_in_rollout
from notifier.core.plan import last_look, plan
from tests.core.planning import ALERT, CHANNELS, NOON, facts

CROWD = [f"u{n}" for n in range(10_000)]


def inside(name: str, percentage: int) -> set[str]:
    return {user for user in CROWD if is_in_rollout(name, percentage, user)}


@pytest.mark.parametrize("percentage", [0, 1, 10, 50, 99, 100])
def test_as_many_are_in_as_it_says(percentage: int) -> None:
    assert len(inside("sms", percentage)) == pytest.approx(percentage * 100, abs=150)


def test_at_0_it_is_nobody_and_at_100_everybody() -> None:
    assert (len(inside("sms", 0)), len(inside("sms", 100))) == (0, len(CROWD))


@given(st.text(min_size=1, max_size=128), st.integers(0, 100), st.integers(0, 100))
def test_who_is_in_stays_in_when_it_grows(user: str, one: int, other: int) -> None:
    smaller, larger = sorted((one, other))
    assert is_in_rollout("sms", smaller, user) <= is_in_rollout("sms", larger, user)


def test_two_flags_draw_apart() -> None:
    both = inside("sms", 50) & inside("sms:twilio", 50)
    assert len(both) == pytest.approx(2_500, abs=150)


IN, OUT = sorted(inside("email", 50))[0], sorted(set(CROWD) - inside("email", 50))[0]
HALF = {**CHANNELS, "email": ChannelFacts("email", percentage=50)}
SKIP = Skip("email", None, "not_in_rollout", {"percentage": 50})


@pytest.mark.parametrize(("user", "skips"), [(IN, ()), (OUT, (SKIP,))], ids=["in", "out"])
def test_a_channel_is_planned_for_those_who_are_in(user: str, skips: tuple[Skip, ...]) -> None:
    assert plan(facts(channels=HALF, user_id=user), NOON).skips == skips


@pytest.mark.parametrize(("user", "skip"), [(IN, None), (OUT, SKIP)], ids=["in", "out"])
def test_it_is_asked_again_before_the_send(user: str, skip: Skip | None) -> None:
    assert last_look(facts(channels=HALF, user_id=user), "email", 1, NOON) == skip


def test_a_mandatory_type_obeys_it_too() -> None:
    assert plan(facts(ALERT, channels=HALF, user_id=OUT), NOON).skips == (SKIP,)
