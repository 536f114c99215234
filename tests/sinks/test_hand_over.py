"""A batch is handed over in order; what is refused is found, and passed over only when the receiver takes others."""

from collections.abc import Sequence

import pytest

from notifier.sinks.collector import MOST_REFUSED, Away, Line, Refused, hand_over


class Receiver:
    """Refuses the batches with a bad event in them; away once it has taken so many."""

    def __init__(self, bad: set[int], away_after: int = 10_000) -> None:
        self.bad, self.away_after = bad, away_after
        self.taken: list[int] = []
        self.calls = 0

    def take(self, lines: Sequence[Line]) -> None:
        self.calls += 1
        if len(self.taken) >= self.away_after:
            raise Away("http_503")
        if self.bad & {line.position for line in lines}:
            raise Refused("http_400")
        self.taken += [line.position for line in lines]

    def close(self) -> None:
        pass


def handed(count: int, receiver: Receiver) -> tuple[int, list[str], str | None]:
    """→ the position that was confirmed last, what was passed over, and what stopped it."""
    position, refused, end = 0, [], None

    def confirmed(to: int, without: Sequence[str]) -> None:
        nonlocal position
        position = to
        refused.extend(without)

    try:
        hand_over([Line(n, f"c{n}", None, b"") for n in range(1, count + 1)], receiver.take, confirmed)
    except (Away, Refused) as error:
        end = error.code
    return position, refused, end


@pytest.mark.parametrize(
    ("count", "bad", "position", "passed_over", "end"),
    [
        (8, set(), 8, [], None),
        (8, {1}, 8, ["c1"], None),
        (8, {4}, 8, ["c4"], None),
        (8, {4, 5, 7}, 8, ["c4", "c5", "c7"], None),
        (8, {8}, 7, [], "http_400"),  # nothing behind it shows whose fault it is
        (8, {7, 8}, 6, [], "http_400"),
        (1, {1}, 0, [], "http_400"),
        (1_000, {333}, 1_000, ["c333"], None),
        (1_000, set(range(1, 1_001)), 0, [], "http_400"),
        (1_000, set(range(1, MOST_REFUSED)), 1_000, [f"c{n}" for n in range(1, MOST_REFUSED)], None),
        (1_000, set(range(1, MOST_REFUSED + 1)), 0, [], "http_400"),
    ],
)
def test_what_is_refused_is_passed_over_once_another_is_taken(
    count: int, bad: set[int], position: int, passed_over: list[str], end: str | None
) -> None:
    receiver = Receiver(bad)
    assert handed(count, receiver) == (position, passed_over, end)
    assert receiver.taken == [n for n in range(1, position + 1) if n not in bad]  # in order, each once


def test_a_receiver_that_refuses_everything_is_asked_a_few_times_only() -> None:
    receiver = Receiver(set(range(1, 1_001)))
    handed(1_000, receiver)
    assert receiver.calls <= MOST_REFUSED + 10


def test_one_bad_event_costs_a_few_requests() -> None:
    receiver = Receiver({500})
    handed(1_000, receiver)
    assert receiver.calls <= 40


def test_what_was_confirmed_before_the_receiver_went_away_stays_confirmed() -> None:
    receiver = Receiver({6}, away_after=4)
    assert handed(8, receiver) == (4, [], "http_503")
