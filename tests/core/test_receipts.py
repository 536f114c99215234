"""What a provider's later words do to a status, in whatever order they come."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.lifecycle import OPEN, STATUSES, may_move
from notifier.core.receipts import LEADS_TO, Told, fold

START = datetime(2026, 12, 1, tzinfo=UTC)


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


def told(*kinds: str) -> list[Told]:
    return [Told(kind, at(second)) for second, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("old", "kinds", "new"),
    [
        ("sent", ["delivered"], "delivered"),
        ("sent", ["delivered", "opened", "clicked"], "clicked"),
        ("sent", ["opened"], "opened"),
        ("sent", ["clicked"], "clicked"),
        ("sent", ["sent"], "sent"),
        ("sent", ["bounced"], "bounced"),
        ("sent", ["failed"], "failed"),
        ("delivered", ["sent"], "delivered"),
        ("delivered", ["bounced"], "bounced"),
        ("opened", ["delivered", "bounced", "failed"], "opened"),
        ("clicked", ["opened"], "clicked"),
        ("bounced", ["delivered", "opened"], "bounced"),
        ("failed", ["delivered"], "failed"),
        ("unknown", ["sent"], "sent"),
        ("unknown", ["delivered"], "delivered"),
        ("unknown", ["opened"], "opened"),
        ("unknown", ["clicked"], "clicked"),
        ("unknown", ["bounced"], "bounced"),
        ("unknown", ["failed"], "failed"),
        ("waiting", ["delivered"], "delivered"),
        ("waiting", ["opened"], "opened"),
        ("waiting", ["sent"], "waiting"),
        ("waiting", ["delivered", "bounced"], "bounced"),
        ("queued", ["delivered", "failed"], "failed"),
        ("waiting", ["failed", "bounced"], "waiting"),
        ("queued", ["delivered", "clicked"], "clicked"),
        ("queued", ["sent"], "queued"),
        ("skipped", ["delivered"], "skipped"),
        ("cancelled", ["opened"], "cancelled"),
        ("expired", ["delivered"], "expired"),
        ("sent", ["complained", "unsubscribed", "stopped", "started"], "sent"),
    ],
)
def test_a_status_is_as_far_as_the_events_in_the_order_of_their_times_say(old: str, kinds: list[str], new: str) -> None:
    events = told(*kinds)
    assert {fold(old, order).status for order in itertools.permutations(events)} == {new}


def test_what_a_machine_has_opened_has_been_opened_by_nobody() -> None:
    events = [Told("opened", at(1), by="machine"), Told("clicked", at(2), by="machine"), Told("delivered", at(0))]
    folded = fold("sent", events)
    assert (folded.status, dict(folded.times)) == ("delivered", {"delivered_at": at(0)})


@pytest.mark.parametrize(
    ("old", "events", "is_read"),
    [
        ("sent", [("opened", "person")], True),
        ("sent", [("clicked", "person")], True),
        ("opened", [("opened", "person")], True),
        ("clicked", [("opened", "person")], True),
        ("sent", [("opened", "unknown"), ("opened", "person")], True),
        ("sent", [("opened", "unknown"), ("clicked", "unknown")], False),
        ("sent", [("opened", "machine")], False),
        ("sent", [("delivered", "person")], False),
        ("cancelled", [("opened", "person")], False),
        ("sent", [("bounced", "unknown"), ("opened", "person")], False),
    ],
)
def test_only_a_persons_word_that_counts_says_that_it_was_read(
    old: str, events: list[tuple[str, str]], is_read: bool
) -> None:
    told = [Told(kind, at(second), by=by) for second, (kind, by) in enumerate(events)]
    assert fold(old, told).is_read is is_read


def test_a_failure_of_the_try_before_says_nothing_of_the_one_that_was_sent_since() -> None:
    for kind in ("failed", "bounced"):
        assert fold("sent", [Told(kind, at(1), is_of_earlier_try=True)]).status == "sent"


def test_times_are_the_first_of_each_kind_and_late_ones_fill_gaps() -> None:
    folded = fold("opened", [Told("delivered", at(5)), Told("delivered", at(3)), Told("opened", at(9))])
    assert (folded.passed, dict(folded.times)) == ((), {"delivered_at": at(3), "opened_at": at(9)})
    assert fold("bounced", told("delivered")).times == {}


def test_what_happened_on_the_way_is_counted_once() -> None:
    folded = fold("sent", told("delivered", "opened", "clicked"))
    assert (folded.has_gone_out, folded.has_arrived, folded.has_been_read, folded.has_failed) == (
        False,
        True,
        True,
        False,
    )
    late = fold("opened", told("delivered", "clicked"))
    assert (late.has_arrived, late.has_been_read) == (False, False)
    settled = fold("unknown", told("opened"))
    assert (settled.has_gone_out, settled.has_arrived, settled.has_been_read) == (True, True, True)


FURTHER = {"waiting": 0, "queued": 0, "unknown": 0, "sent": 1, "delivered": 2, "opened": 3, "clicked": 4}
FURTHER |= {"failed": 5, "bounced": 5}  # an end: nothing follows

EVENTS = st.builds(
    Told,
    st.sampled_from(sorted(LEADS_TO)),
    st.integers(0, 9).map(at),
    st.sampled_from(["person", "machine", "unknown"]),
    is_of_earlier_try=st.booleans(),
)


SETTLED = [status for status in STATUSES if status != "sending"]  # what is being sent waits for its record


@given(st.sampled_from(SETTLED), st.lists(st.lists(EVENTS, max_size=4), max_size=6))
def test_no_order_of_events_moves_a_status_back(status: str, batches: list[list[Told]]) -> None:
    for batch in batches:
        folded = fold(status, batch)
        path = [status, *folded.passed]
        assert all(may_move(old, new) for old, new in itertools.pairwise(path))
        assert folded.status == path[-1]
        if folded.passed:
            assert folded.status not in OPEN
            assert [FURTHER[step] for step in path] == sorted(FURTHER[step] for step in path)
            assert all(may_move(old, new) for old, new in itertools.pairwise(folded.route))
            assert (folded.route[0], folded.route[-1]) == (status, folded.status)
        status = folded.status
