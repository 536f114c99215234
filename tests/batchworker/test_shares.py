"""Urgent first, and the lowest class still gets its share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.batchworker.shares import Shares, ceiling, kept_for_urgent

WEIGHTS = (40, 30, 20, 10)


def divide(backlogs: list[int], budgets: list[int]) -> list[int]:
    """What each class has taken in the end, as the worker's two passes do it."""
    shares, left, taken = Shares(WEIGHTS), list(backlogs), [0] * len(backlogs)
    for free in budgets:
        quotas = shares.quotas(free)
        counts = [min(quota, backlog) for quota, backlog in zip(quotas, left, strict=True)]
        shares.took(counts, quotas)
        for index, count in enumerate(counts):
            left[index] -= count
            taken[index] += count
        rest = free - sum(counts)
        for index in range(len(left)):
            more = min(rest, left[index])
            left[index] -= more
            taken[index] += more
            rest -= more
    return taken


@pytest.mark.parametrize("free", [1, 3, 7, 10, 64, 200])
def test_with_work_for_all_each_gets_its_weight(free: int) -> None:
    rounds = 2000 // free
    taken = divide([10**6] * 4, [free] * rounds)
    total = sum(taken)
    assert total == free * rounds
    assert [round(count / total, 1) for count in taken] == [0.4, 0.3, 0.2, 0.1]


@pytest.mark.parametrize(
    ("backlogs", "taken"),
    [
        ([5, 1000, 1000, 1000], 5),  # a little urgent work all goes at once
        ([0, 0, 0, 1000], 0),
    ],
)
def test_urgent_work_goes_first_as_long_as_there_is_little_of_it(backlogs: list[int], taken: int) -> None:
    assert divide(backlogs, [20])[0] == taken


def test_nobody_waits_for_classes_that_have_nothing() -> None:
    assert divide([0, 0, 0, 1000], [100]) == [0, 0, 0, 100]


@given(st.lists(st.integers(0, 300), min_size=4, max_size=4), st.lists(st.integers(1, 50), min_size=1, max_size=40))
def test_no_lane_stays_free_while_there_is_work(backlogs: list[int], budgets: list[int]) -> None:
    assert sum(divide(backlogs, budgets)) == min(sum(backlogs), sum(budgets))


@given(st.integers(1, 500))
def test_a_class_that_had_no_work_for_long_does_not_hoard(rounds: int) -> None:
    shares = Shares(WEIGHTS)
    for _ in range(rounds):
        quotas = shares.quotas(10)
        shares.took([quotas[0], 0, 0, 0], quotas)
    assert shares.quotas(10)[3] <= 2


@pytest.mark.parametrize(("lanes", "groups", "most"), [(128, 9, 64), (128, 1, 128), (1, 9, 1)])
def test_a_group_holds_at_most_half_the_lanes(lanes: int, groups: int, most: int) -> None:
    assert ceiling(lanes, groups) == most


@pytest.mark.parametrize(("lanes", "kept"), [(1, 0), (3, 0), (4, 1), (128, 16)])
def test_some_lanes_are_kept_for_urgent_work(lanes: int, kept: int) -> None:
    assert kept_for_urgent(lanes) == kept
