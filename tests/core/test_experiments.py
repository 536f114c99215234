"""Which variant a person gets, and what the figures of an experiment say."""

from collections import Counter
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.experiments import Experiment, Tried, Variant, interval, judge, two_proportions

ID = UUID(int=7)


def experiment(*weights: int, id: UUID = ID, key: str = "like") -> Experiment:
    names = ("control", *"bcdefghij")
    variants = tuple(
        Variant(UUID(int=number), name, weight, UUID(int=100 + number))
        for number, (name, weight) in enumerate(zip(names, weights, strict=False))
    )
    return Experiment(id, key, variants)


@pytest.mark.parametrize("weights", [(50, 50), (90, 10), (1, 99), (34, 33, 33), (91, *[1] * 9)])
def test_weights_hold_within_one_percent_over_100_000_people(weights: tuple[int, ...]) -> None:
    tried = experiment(*weights)
    counts = Counter(tried.variant_for(f"user-{number}").name for number in range(100_000))
    for variant in tried.variants:
        assert abs(counts[variant.name] / 100_000 - variant.weight / 100) < 0.01


# Of sha256("u1\0like\0" + 32 digits)[:8] 0.7025 of all numbers are smaller, and so on
DEALT = [("u1", "b"), ("u2", "b"), ("u3", "b"), ("ü4", "control"), ("u5", "control")]


@pytest.mark.parametrize(("user_id", "name"), DEALT)
def test_a_persons_variant_is_the_same_in_every_release(user_id: str, name: str) -> None:
    assert experiment(50, 50).variant_for(user_id).name == name


@given(st.text(max_size=128), st.lists(st.integers(1, 9), min_size=1, max_size=9), st.uuids())
def test_a_person_always_has_the_same_variant(user_id: str, others: list[int], id: UUID) -> None:
    weights = (100 - sum(others), *others)
    first = experiment(*weights, id=id)
    assert first.variant_for(user_id) == experiment(*weights, id=id).variant_for(user_id)
    assert first.variant_for(user_id) in first.variants


def test_another_experiment_deals_people_anew() -> None:
    people = [f"user-{number}" for number in range(2_000)]
    one, other = (experiment(50, 50, id=uuid4()) for _ in range(2))
    alike = sum(one.variant_for(who).name == other.variant_for(who).name for who in people)
    assert 800 < alike < 1_200


# Known figures: 120/1000 against 150/1000 as in every textbook; intervals of Newcombe (1998), table I
@pytest.mark.parametrize(
    ("one", "other", "z", "p_value"),
    [
        ((120, 1000), (150, 1000), -1.963, 0.0496),
        ((150, 1000), (120, 1000), 1.963, 0.0496),
        ((50, 100), (50, 100), 0.0, 1.0),
        ((200, 1000), (260, 1000), -3.188, 0.00143),
        ((15, 100), (5, 100), 2.357, 0.0184),
    ],
)
def test_two_rates_are_compared_with_pooled_p(
    one: tuple[int, int], other: tuple[int, int], z: float, p_value: float
) -> None:
    found = two_proportions(Tried("a", one[1], one[0]), Tried("b", other[1], other[0]))
    assert found is not None
    assert found == pytest.approx((z, p_value), abs=0.0006)


@pytest.mark.parametrize(
    ("successes", "people", "expected"),
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
        (10, 10, (0.7225, 1.0)),
        (0, 0, None),
    ],
)
def test_a_rate_has_wilsons_interval(successes: int, people: int, expected: tuple[float, float] | None) -> None:
    found = interval(successes, people)
    assert found == (None if expected is None else pytest.approx(expected, abs=0.00006))


@pytest.mark.parametrize(
    ("tried", "words", "p_value"),
    [
        ([(1000, 120), (1000, 150)], "b is better", 0.0496),
        ([(1000, 150), (1000, 120)], "control is better", 0.0496),
        ([(1000, 120), (1000, 149)], "no difference", 0.0577),
        ([(0, 0), (0, 0)], "too early", None),
        ([(1000, 300), (0, 0)], "too early", None),
        # 4.9 and 5 opens expected of the smaller group
        ([(98, 5), (98, 4)], "too early", None),
        ([(100, 5), (100, 5)], "no difference", 1.0),
        ([(100, 95), (100, 96)], "too early", None),
        ([(10_000, 10), (100, 0)], "too early", None),
        ([(1000, 0), (1000, 0)], "too early", None),
        ([(1000, 1000), (1000, 1000)], "too early", None),
        # Of three, the same figures are no proof any more
        ([(1000, 120), (1000, 150), (1000, 100)], "no difference", 0.1488),
        ([(1000, 120), (1000, 180), (1000, 100)], "b is better", 0.0005),
    ],
)
def test_the_verdict_is_in_words(tried: list[tuple[int, int]], words: str, p_value: float | None) -> None:
    names = ("control", "b", "c")
    found = judge([Tried(name, people, good) for name, (people, good) in zip(names, tried, strict=False)])
    assert found.words == words
    assert found.p_value == (None if p_value is None else pytest.approx(p_value, abs=0.0006))
