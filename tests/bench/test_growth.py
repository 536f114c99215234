"""No operation looks at more when more is stored: counted in steps of SQLite's virtual machine, which are the same on
every machine. `make bench ARGS="--only growth"` measures the CPU time of the same operations, on both databases.
"""

from collections.abc import Mapping

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from bench import rows
from bench.operations import DEAD, ITEMS, READER, UNREAD, Caller, Meter, Operation, operations
from bench.past import add_past
from bench.sample import CROWD, KEY, PEOPLE
from notifier.access import keys
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.models import Delivery
from notifier.models.producer import SCOPES
from notifier.pipeline.planning.pacing import MOST_IN_LINE
from notifier.signals.queueing import queue

MANY = 11_000  # more than a page looks at
HELD_BACK = 3_000
GO_ON = ("scheduler: ", "accept ", "claim, ")
MOST = 1.2
SPARE = 100  # steps

# Counts everybody who is there: what it asks
BY_DESIGN = {"audience: everybody", "scheduler: count_opens"}
# Reads what has happened since; looks at the first thousand; counts up to 5,000 that wait for one reason; and what has
# come due by now
BOUNDED = {
    "scheduler: count_broadcast_hours",
    "scheduler: count_trends",
    "scheduler: prune_events",
    "page: /admin/queues",
    "page: /metrics",
}

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")


@pytest.mark.slow
def test_no_operation_looks_at_more_when_twice_as_much_is_stored(app: APIFlask) -> None:
    _forget_statistics()
    keys.ensure_key(KEY, producer_name="Shop", scopes=SCOPES)
    add_past(MANY)
    rows.add_people(PEOPLE, CROWD)
    rows.add_dead_letters(DEAD, prefix=PEOPLE, users=CROWD)
    rows.add_inbox(ITEMS, UNREAD, prefix=READER)
    known = operations(Caller(app))
    with Meter() as meter:
        steps = [_steps(meter, known)]
        add_past(MANY, prefix="later")
        steps.append(_steps(meter, known))
    before, after = steps
    grown = {name: (before[name], after[name]) for name in known if after[name] > before[name] * MOST + SPARE}
    assert set(grown) - BY_DESIGN - BOUNDED == set(), grown
    assert set(grown) >= {"audience: everybody"}  # it would have been seen


@pytest.mark.slow
def test_no_task_of_the_scheduler_and_no_submission_looks_at_more_when_twice_as_much_is_held_back(
    app: APIFlask,
) -> None:
    """A broadcast's mails that have come due and wait for room in their queue. Lists look at 10,000 rows, and so at all
    of these: they are left to the test above.
    """
    _forget_statistics()
    keys.ensure_key(KEY, producer_name="Shop", scopes=SCOPES)
    add_past(100)
    rows.add_people(PEOPLE, CROWD)
    rows.add_dead_letters(DEAD, prefix=PEOPLE, users=CROWD)
    rows.add_inbox(ITEMS, UNREAD, prefix=READER)
    known = {name: work for name, work in operations(Caller(app)).items() if name.startswith(GO_ON)}
    full = queue("email.low").key
    found = []
    with Meter() as meter:
        for _ in range(2):
            rows.fall_due("email", "low", HELD_BACK, prefix=PEOPLE, users=CROWD)
            redis_store.client.rpush(full, *(f"dlv_{n}" for n in range(MOST_IN_LINE)))
            found.append(_steps(meter, known))
            redis_store.client.delete(full)
    before, after = found
    grown = {name: (before[name], after[name]) for name in known if after[name] > before[name] * MOST + SPARE}
    assert set(grown) - BY_DESIGN - BOUNDED == set(), grown


def _forget_statistics() -> None:
    """Of ANALYZE, which other tests have run on tables with a few rows: an installation has none, or fitting ones."""
    with db.engine.begin() as connection:
        if sa.inspect(connection).has_table("sqlite_stat1"):
            connection.exec_driver_sql("DELETE FROM sqlite_stat1")
    db.engine.dispose()


def _steps(meter: Meter, known: Mapping[str, Operation]) -> dict[str, float]:
    """By operation. What it puts into queues is taken out of them again."""
    found = {}
    for name, operation in known.items():
        meter.cost(operation, 1, is_counted=True)  # what is pruned, or remembered
        cost = meter.cost(operation, 1, is_counted=True)
        found[name] = cost["looked_at"] * operation.size
    with transaction() as session:
        session.execute(sa.update(Delivery).where(Delivery.status == "queued").values(status="cancelled", wake_at=None))
    return found
