"""The scheduler keeps the tables that grow in partitions; where one cannot be made, it says so and work goes on."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
import time_machine
from apiflask import APIFlask
from sqlalchemy.exc import ProgrammingError

from notifier.core.submission import InlineRecipient
from notifier.ground import metrics, partitions
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import event_readers, events
from notifier.models import Attempt, Capture, Delivery, Event, EventReader, EventStream
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.upkeep import broadcast_hours, trends
from notifier.pipeline.upkeep import partitions as upkeep
from notifier.queries import events as queries
from tests.stored import rows, same_partitions

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")

TABLES = {"attempt", "capture", "event", "subscription_attempt"}


@pytest.fixture(autouse=True)
def as_it_was(app: APIFlask) -> Iterator[None]:
    with same_partitions():
        yield


def send(submit: Callable[..., Any], *names: str) -> None:
    people = [InlineRecipient(name, {"email": f"{name}@sandbox.test"}) for name in names]
    submit(*people, channels=("email",))
    db.session.close()
    deliver(db.session.scalars(sa.select(Delivery.id).where(Delivery.status == "queued")).all())


def ahead(table: str) -> timedelta:
    found = metrics.REGISTRY.get_sample_value("notifier_partition_ahead_seconds", {"table": table})
    return timedelta(seconds=found or 0)


def test_all_that_grow_have_partitions_for_the_coming_days() -> None:
    assert upkeep.keep() > 0
    assert upkeep.keep() == 0
    assert all(ahead(table) > upkeep.LEAST_AHEAD for table in TABLES)


def test_one_that_cannot_be_made_is_told_with_what_to_do_and_rows_are_stored_all_the_same(
    submit: Callable[..., Any],
) -> None:
    [last] = partitions.of(Capture.__table__)[-1:]
    first = partitions._time(last.upper)
    blocking = f"capture_p{first:%Y%m%d}"
    with transaction() as session:
        session.execute(sa.text(f"CREATE TABLE {blocking} (id uuid)"))
    with structlog.testing.capture_logs() as logs, pytest.raises(ProgrammingError):
        upkeep.keep()
    [told] = [line for line in logs if line["event"] == "partitions.not_made"]
    assert (told["table"], told["remedy"]) == ("capture", upkeep.REMEDY)
    assert "already exists" in told["error"]
    assert ahead("capture") < timedelta(days=4) < ahead("attempt")
    send(submit, "erin")
    assert len(rows(Capture)) == len(rows(Attempt)) == 1
    with transaction() as session:
        session.execute(sa.text(f"DROP TABLE {blocking}"))


def test_events_go_with_their_day_and_nobody_counts_or_misses_one_twice(submit: Callable[..., Any]) -> None:
    trends.count()
    broadcast_hours.count()
    with transaction():
        event_readers.join(event_readers.SINK, 0)
    upkeep.keep()
    send(submit, "erin")
    told = len(rows(Event))
    with time_machine.travel(now() + timedelta(days=1)):
        upkeep.keep()  # the day ends: the next position is in another partition
        gap = queries.end()
        assert gap % partitions.POSITIONS == 0
        send(submit, "frank")
        first, second = [row.id for row in rows(Event)][:told], [row.id for row in rows(Event)][told:]
        assert max(first) < gap < min(second)
        db.session.close()
        windows = [trends.count() for _ in range(4)]
        assert windows[-1] == 0  # the positions that nobody has took no window each
        assert event_readers.position_of(event_readers.TRENDS) == max(second)
        db.session.close()
    with time_machine.travel(now() + timedelta(days=14, hours=23)):
        assert events.prune() == 0
        assert [row.id for row in rows(Event)] == second
    [sink] = rows(EventReader, name=event_readers.SINK)
    [stream] = rows(EventStream)
    assert (sink.missed, stream.pruned) == (told, max(first))


def test_what_begins_another_partition_here_leaves_no_later_test_without_spare_ones(submit: Callable[..., Any]) -> None:
    position, left = partitions.last_position(Event.__table__.c.id), partitions.ahead_of_positions(Event.__table__.c.id)
    with same_partitions():
        send(submit, "erin")
        with time_machine.travel(now() + timedelta(days=1)):
            upkeep.keep()
        assert partitions.last_position(Event.__table__.c.id) > position + partitions.POSITIONS // 2
        db.session.close()
    assert partitions.last_position(Event.__table__.c.id) == position
    assert partitions.ahead_of_positions(Event.__table__.c.id) == left
