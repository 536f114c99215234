"""PostgreSQL looks into the partitions that a statement is about, and not into all that there are. Asked is all that an
installation does (`bench.operations`), with a month of days for every table.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from bench import rows
from bench.operations import DEAD, ITEMS, READER, UNREAD, Caller, Operation, operations
from bench.past import add_past
from bench.sample import CROWD, KEY, PEOPLE
from notifier.access import keys
from notifier.ground import partitions
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import first_at
from notifier.models.producer import SCOPES
from notifier.pipeline.upkeep.partitions import BY_TIME
from tests.stored import same_partitions

DAYS = 30
MANY = 2_500
FEW = 4  # today's and its neighbours at midnight, and the rest
_FIRST = "reads each partition's first rows by the key, and stops with the page"
_PERSON = "finds one person's rows in each partition by an index"
BOUNDED = {  # and why that is no accident
    "captures capture": _FIRST,
    "page: /admin/sandbox capture": _FIRST,
    "page: /admin/sandbox?channel=sms capture": _FIRST,
    "events: export, first page event": _FIRST,  # where the time begins, some twenty looks
    "page: /metrics event": _FIRST,  # the oldest that a subscription has not had
    "scheduler: ring_subscriptions event": _FIRST,
    "scheduler: prune_events event": _FIRST,
    "page: /admin/notifications/{notification} capture": "reads those since the delivery was made",
    "user: all that is known attempt": _PERSON,
    "user: all that is known capture": _PERSON,
    "user: all that is known event": _PERSON,
}
PARTITION = re.compile(r"(event|attempt|capture|subscription_attempt)_(before|rest|p\d+)")
NAMED = re.compile(r"\b(event|attempt|capture|subscription_attempt)\b")

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")


@pytest.fixture
def month(app: APIFlask) -> Iterator[None]:
    """A partition for each of the last DAYS and the next few; of events, too."""
    with same_partitions():
        first = now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
        with transaction() as session:
            for key in BY_TIME:
                name = key.table.name
                session.execute(sa.text(f"DROP TABLE {name}_before"))
                for day in range(DAYS + 4):
                    at = first + timedelta(days=day)
                    bounds = f"FROM ('{first_at(at)}') TO ('{first_at(at + timedelta(days=1))}')"
                    session.execute(
                        sa.text(f"CREATE TABLE {name}_p{at:%Y%m%d} PARTITION OF {name} FOR VALUES {bounds}")
                    )
            last = partitions.of(sa.Table("event", sa.MetaData()))[-1].upper
            for number in range(DAYS):
                lower = last + number * partitions.POSITIONS
                bounds = f"FROM ({lower}) TO ({lower + partitions.POSITIONS})"
                name = f"event_p{lower // partitions.POSITIONS:06}"
                session.execute(sa.text(f"CREATE TABLE {name} PARTITION OF event FOR VALUES {bounds}"))
        yield
        with transaction() as session:
            session.execute(sa.text("TRUNCATE event, attempt, capture, subscription_attempt"))


@pytest.mark.slow
def test_no_operation_looks_into_all_partitions_by_accident(app: APIFlask, month: None) -> None:
    keys.ensure_key(KEY, producer_name="Shop", scopes=SCOPES)
    add_past(MANY)
    rows.add_people(PEOPLE, CROWD)
    rows.add_dead_letters(DEAD // 10, prefix=PEOPLE, users=CROWD)
    rows.add_inbox(ITEMS // 10, UNREAD // 10, prefix=READER)
    found = looked_into(operations(Caller(app)))
    assert {name: found[name] for name in found.keys() - BOUNDED.keys()} == {}
    assert "events: export, first page event" in found  # it would have been seen


def looked_into(known: Mapping[str, Operation]) -> dict[str, list[str]]:
    """`<operation> <table>` → statements that look into more than FEW partitions of the table."""
    found: dict[str, list[str]] = defaultdict(list)
    running = ""

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not NAMED.search(statement) or not statement.startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")):
            return
        with connection.connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {statement}", parameters[0] if isinstance(parameters, list) else parameters)
            parts = set(PARTITION.findall("\n".join(line for (line,) in cursor)))
        for table, number in Counter(table for table, _ in parts).items():
            if number > FEW:
                found[f"{running} {table}"].append(statement)

    sa.event.listen(db.engine, "before_cursor_execute", explain)
    try:
        for name, operation in known.items():
            running = name
            given = operation.prepare()
            db.session.remove()
            operation.work(given)
            db.session.remove()
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", explain)
    return found
