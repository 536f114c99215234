"""The counts of broadcasts: at every moment they are what a full count finds."""

from collections import Counter
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.core import lifecycle
from notifier.core.lifecycle import MOVES, SKIPPED, STATUSES
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.ledgers import broadcast_counts
from notifier.ledgers.broadcast_counts import Place, place_of
from notifier.ledgers.moves import Move, move, move_each
from notifier.models import BroadcastTally, Delivery, Notification, Submission
from tests.stored import rows, sent_statements

CHANNELS = ("email", "sms")


def stored(*statuses: str, broadcast_id: UUID | None) -> list[UUID]:
    """A delivery of each status, of a notification of its own, counted as it is made. → their ids, in order."""
    submission = broadcast_id or new_id()
    kind = {"type": "newsletter", "category": "marketing", "priority": "low"}
    with transaction() as session:
        if session.get(Submission, submission) is None:
            session.add(Submission(id=submission, type="newsletter", recipients=1, expanded=1))
            session.flush()
        made = []
        for number, status in enumerate(statuses):
            key = new_id()
            session.add(Notification(id=key, submission_id=submission, user_id=key.hex, **kind))
            session.flush()
            made.append(
                Delivery(
                    id=new_id(),
                    notification_id=key,
                    broadcast_id=broadcast_id,
                    channel=CHANNELS[number % 2],
                    priority="low",
                    status=status,
                    reason="opted_out" if status == SKIPPED else None,
                )
            )
        session.add_all(made)
        broadcast_counts.made(made)
        return [one.id for one in made]


def counted() -> dict[Place, int]:
    """As the tallies say it."""
    found = {(row[0], row[1], row[2], row[3]): row.counted for row in db.session.execute(broadcast_counts.sums())}
    db.session.close()
    return {place: number for place, number in found.items() if number}


def there() -> dict[Place, int]:
    """As a full count finds it."""
    found = [one for one in rows(Delivery) if one.broadcast_id is not None]
    return dict(Counter(place_of(one.broadcast_id, one.channel, one.status, one.reason) for one in found))


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("new", STATUSES)
def test_what_moves_together_is_counted_from_where_it_was(new: str) -> None:
    old = [status for status in STATUSES if status != SKIPPED or new != lifecycle.WAITING]
    ids = stored(*old, broadcast_id=new_id())
    with transaction():
        move(ids, new, reason="because")
    assert counted() == there()


@pytest.mark.usefixtures("app")
def test_what_moves_alone_is_counted_where_it_has_moved_indeed() -> None:
    """One has moved on meanwhile, and one belongs to another worker."""
    ids = stored("queued", "sending", "sending", "skipped", broadcast_id=new_id())
    with transaction():
        move_each(
            [
                Move(key, key, new_id(), old, new, {"reason": "because"}, {"tries": tries})
                for key, (old, new, tries) in zip(
                    ids,
                    [
                        ("sending", "sent", 0),
                        ("sending", "failed", 0),
                        ("sending", "sent", 7),
                        ("skipped", "waiting", 0),
                    ],
                    strict=True,
                )
            ]
        )
    assert counted() == there()
    assert [one.status for one in rows(Delivery)] == ["queued", "failed", "sending", "waiting"]


@pytest.mark.usefixtures("app")
def test_those_of_no_broadcast_cost_no_statement_and_leave_no_trace() -> None:
    ids = stored("queued", "queued", broadcast_id=None)
    with transaction(), sent_statements() as sent:
        move(ids, "sending")
        move_each([Move(key, key, None, "sending", "waiting", {}) for key in ids])
    assert [statement.split()[0] for statement in sent] == ["UPDATE", "UPDATE"]
    assert (counted(), [one.moved_from for one in rows(Delivery)]) == ({}, [None, None])


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("size", [1, 100])
def test_counting_costs_the_same_however_many_move(size: int) -> None:
    broadcast = new_id()
    ids = stored(*["queued"] * size, broadcast_id=broadcast)
    with transaction(), sent_statements() as sent:
        move(ids, "sending")
        move_each([Move(key, key, broadcast, "sending", "waiting", {}) for key in ids])
    assert [statement.split()[0] for statement in sent] == ["UPDATE", "INSERT", "SELECT", "UPDATE", "INSERT"]


def test_a_transaction_that_is_undone_counts_nothing(app: APIFlask) -> None:
    ids = stored("queued", broadcast_id=new_id())
    before = counted()
    with transaction() as session:
        move(ids, "sending")
        session.rollback()
    assert counted() == before == there()


def test_adding_up_changes_no_sum_and_leaves_a_row_for_each_place(app: APIFlask) -> None:
    broadcast = new_id()
    ids = stored(*["waiting"] * 4, broadcast_id=broadcast)
    for new in ("queued", "sending", "sent"):
        for key in ids:
            with transaction():
                move([key], new)
    assert len(rows(BroadcastTally)) > 4
    adding = broadcast_counts.AddingUp()
    assert (adding.add_up() > 0, adding.add_up()) == (True, 0)
    with sent_statements() as sent:
        assert adding.add_up() == 0
    assert not any("GROUP BY" in statement for statement in sent)
    assert len(rows(BroadcastTally)) == 2
    assert counted() == there() == {(broadcast, "email", "sent", ""): 2, (broadcast, "sms", "sent", ""): 2}


STEP = st.tuples(
    st.sampled_from(["together", "alone", "add up"]),
    st.sets(st.integers(0, 5), min_size=1),
    st.sampled_from(STATUSES),
    st.sampled_from(["cancelled", "expired", "opted_out"]),
)


@pytest.mark.slow
@settings(max_examples=25)
@given(steps=st.lists(STEP, max_size=12))
def test_however_deliveries_move_the_counts_are_what_a_full_count_finds(app: APIFlask, steps: list) -> None:
    """Of two broadcasts, and of none."""
    first, second = new_id(), new_id()
    ids = [
        *stored("waiting", "queued", "sending", broadcast_id=first),
        *stored("waiting", "failed", broadcast_id=second),
        *stored("queued", broadcast_id=None),
    ]
    of = {one.id: one.broadcast_id for one in rows(Delivery)}
    for kind, places, new, reason in steps:
        chosen = [ids[place] for place in sorted(places)]
        if kind == "add up":
            broadcast_counts.AddingUp().add_up()
            continue
        with transaction() as session:
            if kind == "together":
                if new != lifecycle.WAITING:
                    move(chosen, new, reason=reason)
                continue
            found = session.execute(sa.select(Delivery.id, Delivery.status).where(Delivery.id.in_(chosen))).all()
            move_each(
                [
                    Move(row.id, row.id, of[row.id], row.status, new, {"reason": reason})
                    for row in found
                    if new in MOVES[row.status]
                ]
            )
        mine = (first, second)
        assert {p: n for p, n in counted().items() if p[0] in mine} == {
            p: n for p, n in there().items() if p[0] in mine
        }
