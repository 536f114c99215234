"""One writer of a status: what the table allows is moved, the rest stays, however many there are."""

from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.core import lifecycle
from notifier.core.lifecycle import LEFT_OUT, MOVES, STATUSES
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.ledgers.moves import Move, move, move_each
from notifier.models import Delivery, Notification, Submission
from tests.stored import sent_statements

PAIRS = [(old, new) for old in STATUSES for new in STATUSES]


def stored(*statuses: str) -> list[UUID]:
    """A delivery of each status, of a notification of its own. → their ids, in order."""
    submission, notifications = new_id(), [new_id() for _ in statuses]
    kind = {"type": "order_shipped", "category": "transactional", "priority": "high"}
    with transaction() as session:
        session.execute(sa.insert(Submission), {"id": submission, "type": kind["type"], "recipients": 1, "expanded": 1})
        session.execute(
            sa.insert(Notification),
            [{"id": key, "submission_id": submission, "user_id": key.hex, **kind} for key in notifications],
        )
        rows = [
            {"id": new_id(), "notification_id": key, "channel": "email", "priority": "high", "status": status}
            for key, status in zip(notifications, statuses, strict=True)
        ]
        session.execute(sa.insert(Delivery), rows)
    return [row["id"] for row in rows]


def statuses_of(ids: list[UUID]) -> list[str]:
    rows = db.session.execute(sa.select(Delivery.id, Delivery.status).where(Delivery.id.in_(ids)))
    found = {row.id: row.status for row in rows}
    db.session.close()
    return [found[key] for key in ids]


def to(key: UUID, old: str, new: str, still: int = 0) -> Move:
    return Move(key, key, None, old, new, {"reason": new}, {"tries": still})


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("new", STATUSES)
def test_those_move_that_may(new: str) -> None:
    ids = stored(*STATUSES)
    with transaction():
        moved = move(ids, new, Delivery.channel, reason="because")
    may = {old for old in STATUSES if new in MOVES[old]}
    assert statuses_of(ids) == [new if old in may else old for old in STATUSES]
    assert {row.id for row in moved} == {key for key, old in zip(ids, STATUSES, strict=True) if old in may}
    assert {row.channel for row in moved} <= {"email"}


@pytest.mark.usefixtures("app")
def test_a_condition_chooses_as_ids_do() -> None:
    ids = stored("waiting", "queued")
    with transaction():
        moved = move(Delivery.id == ids[1], "cancelled")
    assert ([row.id for row in moved], statuses_of(ids)) == ([ids[1]], ["waiting", "cancelled"])


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("old", STATUSES)
def test_each_moves_where_the_table_says(old: str) -> None:
    allowed = [new for new in STATUSES if new == old or lifecycle.may_move(old, new)]
    ids = stored(*[old] * len(allowed))
    with transaction():
        move_each([to(key, old, new) for key, new in zip(ids, allowed, strict=True)])
    assert statuses_of(ids) == allowed


@pytest.mark.parametrize(("old", "new"), [(a, b) for a, b in PAIRS if a != b and b not in MOVES[a]])
def test_a_move_that_is_not_in_the_table_is_refused(old: str, new: str) -> None:
    with pytest.raises(ValueError, match=f"from {old} to {new}"):
        move_each([to(UUID(int=1), old, new)])


@pytest.mark.usefixtures("app")
def test_what_has_moved_on_meanwhile_stays_where_it_is() -> None:
    ids = stored("cancelled", "sending", "sending")
    with transaction():
        move_each(
            [to(ids[0], "sending", "sent"), to(ids[1], "sending", "sent", still=1), to(ids[2], "sending", "sent")]
        )
    assert statuses_of(ids) == ["cancelled", "sending", "sent"]


@pytest.mark.parametrize("size", [1, 100])
def test_one_statement_moves_however_many(app: APIFlask, size: int) -> None:
    ids = stored(*["queued"] * size)
    with transaction(), sent_statements() as sent:
        move(ids, "sending")
        move_each([to(key, "sending", ("sent", "waiting")[number % 2]) for number, key in enumerate(ids)])
        move([], "queued")
        move_each([])
    # The last one tells the event stream
    assert [statement.split()[0] for statement in sent] == ["UPDATE", "UPDATE", "INSERT"]
    assert set(statuses_of(ids)) == {"sent", "waiting"} if size > 1 else {"sent"}


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(("old", "new"), [(a, b) for a, b in PAIRS if b in MOVES[a]])
def test_the_caps_are_told_of_what_goes_out_no_more_and_of_what_does_after_all(old: str, new: str) -> None:
    """Seen by what is asked after the commit."""
    [key] = stored(old)
    with sent_statements() as sent:
        with transaction():
            notification = db.session.scalar(sa.select(Delivery.notification_id).where(Delivery.id == key))
            move_each([Move(key, notification, None, old, new, {})])
        assert statuses_of([key]) == [new]
    asked = any("JOIN event_type" in statement for statement in sent)
    assert asked == ((old in LEFT_OUT) != (new in LEFT_OUT))
