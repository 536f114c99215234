"""The table of moves, seen from outside."""

import itertools

import pytest

from notifier.core import lifecycle
from notifier.core.lifecycle import MOVES, OPEN, STATUSES, furthest, may_move


def test_every_target_of_a_move_is_a_status() -> None:
    assert set().union(*MOVES.values()) <= set(STATUSES)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sent", "queued"),
        ("opened", "delivered"),
        ("clicked", "opened"),
        ("delivered", "sent"),
        ("skipped", "queued"),
        ("expired", "sending"),
        ("cancelled", "sent"),
    ],
)
def test_a_late_word_never_moves_a_status_back(old: str, new: str) -> None:
    assert not may_move(old, new)


def test_what_was_sent_leads_back_to_the_queue_on_no_path_but_a_persons() -> None:
    """Only failed and unknown lead back, and only by somebody's retry."""
    reached, frontier = set(), {"sent"}
    while frontier:
        reached |= frontier
        frontier = set().union(*(MOVES[s] for s in frontier if s not in ("failed", "unknown"))) - reached
    assert not reached & OPEN


@pytest.mark.parametrize(
    ("statuses", "whole"),
    [
        ([], "skipped"),
        (["skipped", "skipped"], "skipped"),
        (["skipped", "queued"], "queued"),
        (["failed", "queued"], "queued"),
        (["failed", "sent"], "sent"),
        (["delivered", "opened", "queued"], "opened"),
        (["cancelled", "failed"], "failed"),
    ],
)
def test_a_notification_is_as_far_as_its_furthest_delivery(statuses: list[str], whole: str) -> None:
    assert all(furthest(list(order)) == whole for order in itertools.permutations(statuses))


def test_the_diagram_shows_every_move() -> None:
    assert len(lifecycle.diagram().splitlines()) == 1 + sum(map(len, MOVES.values()))
