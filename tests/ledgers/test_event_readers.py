"""Of the processes that could send events to a reader one does, and only it moves the position."""

import pytest
import sqlalchemy as sa
import time_machine

from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import event_readers as readers
from notifier.ledgers import events as stream
from notifier.models import Event, EventReader, EventStream
from notifier.queries.event_readers import Standing, standing

pytestmark = pytest.mark.usefixtures("app")


def take(lease: str, is_dead: bool = False) -> int | None:
    taken = readers.take("sink", lease, lambda _holder: is_dead)
    return None if taken is None else taken.position


def test_one_process_has_the_lease_until_it_lets_go() -> None:
    assert take("a") == 0
    assert take("b") is None
    assert readers.advance("sink", "a", 7)
    assert take("a") == 7
    readers.let_go("sink", "a")
    assert take("b") == 7


def test_a_lease_that_nobody_prolongs_lapses() -> None:
    with time_machine.travel(now(), tick=False) as clock:
        take("a")
        clock.shift(readers.LEASE / 2)
        readers.advance("sink", "a", 3)
        clock.shift(readers.LEASE / 2)
        readers.tell_trouble("sink", "a", "http_500")
        clock.shift(readers.LEASE / 2)
        assert take("b") is None
        clock.shift(readers.LEASE)
        assert take("b") == 3


def test_a_process_that_is_known_to_be_dead_is_not_waited_for() -> None:
    take("a")
    assert take("b", is_dead=True) is None  # nobody can tell: it has no lifeline
    with transaction() as session:
        session.execute(sa.update(EventReader).values(holder=12))
    assert take("b") is None
    assert take("b", is_dead=True) == 0


def test_who_has_lost_the_lease_moves_nothing() -> None:
    take("a")
    with transaction() as session:
        session.execute(sa.update(EventReader).values(lease="b"))
    assert not readers.advance("sink", "a", 9)
    assert not readers.tell_trouble("sink", "a", "late")
    readers.let_go("sink", "a")
    assert db.session.execute(sa.select(EventReader.position, EventReader.lease, EventReader.trouble)).one() == (
        0,
        "b",
        None,
    )


def test_events_that_are_deleted_unsent_are_counted_and_told() -> None:
    kept = current_settings().retention["events"]
    with transaction() as session:
        rows = [{"kind": "delivery.sent", "at": now() - kept * 1.1, "is_test": False} for _ in range(5)]
        rows.append({"kind": "delivery.sent", "at": now(), "is_test": False})
        session.execute(sa.insert(Event), rows)
        ids = list(session.scalars(sa.select(Event.id).order_by(Event.id)))
    take("a")
    readers.advance("sink", "a", ids[1])
    try:
        assert stream.prune() == 5
    finally:
        with transaction() as session:
            session.execute(sa.update(EventStream).values(pruned=0))
    assert standing("sink").missed == 3
    stream.prune()
    assert standing("sink").missed == 3


def test_how_far_behind_a_reader_is() -> None:
    assert standing("sink") == Standing()
    at = now()
    with transaction() as session:
        session.execute(sa.insert(Event), [{"kind": "delivery.sent", "at": at, "is_test": False}] * 2)
        first, last = session.scalars(sa.select(Event.id).order_by(Event.id))
    assert standing("sink") == Standing(unsent_since=at)
    take("a")
    readers.tell_trouble("sink", "a", "http_401")
    assert standing("sink") == Standing(has_sender=True, unsent_since=at, trouble="http_401")
    readers.advance("sink", "a", last, ["c1", "c2"])
    assert standing("sink") == Standing(has_sender=True, set_aside=2, refused="c2")
    assert first < last


def test_of_two_who_have_counted_the_same_events_one_stores_it() -> None:
    with transaction():
        readers.join("counter", 3)
        readers.join("counter", 5)
    assert readers.position_of("counter") == 3
    with transaction():
        assert [readers.move_on("counter", 3, 7), readers.move_on("counter", 3, 7)] == [True, False]
    assert readers.position_of("counter") == 7
