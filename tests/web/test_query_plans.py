"""How PostgreSQL answers what the console's pages ask, when much is stored: by indexes, reading no large table from end
to end.
"""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from bench import rows
from notifier.access import keys
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, show
from notifier.models import Broadcast, BroadcastTally, Delivery, Receipt, Submission, Tally
from notifier.providers import accounts as providers
from notifier.queries.search import WINDOW
from notifier.queries.waiting import WHY
from tests.stored import start_anew
from tests.web.conftest import Visitor

HISTORY, DEAD, TALLIES, USERS = 21_000, 1_000, 9_000, 3_000
RECEIPTS = 12_000
GROWING = {"submission", "notification", "delivery", "attempt", "receipt", "inbox_item", "tally", "capture", "user"}
MOST_READ = 2 * WINDOW + 100  # rows of one table, by one statement: two deliveries for each notification

PARTITION = re.compile("_(before|rest|p[0-9]+)$")

Asked = list[tuple[str, Any]]

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")


@pytest.fixture
def much(app: APIFlask) -> Iterator[dict[str, str]]:
    """A history, dead letters and counts of a year. → what stands in the addresses of the pages."""
    start_anew()
    producer = keys.create_producer("Shop")
    providers.add("smtp", "smtp", {"SMTP_URL": "smtp://127.0.0.1:2525"})
    rows.add_people("person", USERS)
    hour = now().replace(minute=0, second=0, microsecond=0)
    counts = [
        {"at": hour - timedelta(hours=n), "channel": "email", "event": "sent", "count": n} for n in range(TALLIES)
    ]
    told = [
        {"provider": "smtp", "channel": "email", "event_id": str(n), "at": hour, "received_at": hour, "status": kind}
        for n in range(RECEIPTS)
        for kind in ("bounced" if n % 50 == 0 else "delivered",)
    ]
    with transaction() as session:
        session.execute(sa.insert(Tally), counts)
        session.execute(sa.insert(Receipt), told)
    rows.add_history(HISTORY, prefix="person", users=USERS)
    rows.add_dead_letters(DEAD, prefix="person", users=USERS)
    broadcast_id = make_broadcast(producer.id)
    dead, about = db.session.execute(
        sa.select(Delivery.id, Delivery.notification_id).where(Delivery.status == "failed").limit(1)
    ).one()
    db.session.close()
    yield {
        "delivery": show("dlv", dead),
        "notification": show("ntf", about),
        "producer": show("prd", producer.id),
        "broadcast": show("brd", broadcast_id),
    }
    with transaction() as session:
        # Sooner done than deleting row by row, as is done after every test
        session.execute(sa.text("TRUNCATE submission, tally, receipt, broadcast_tally CASCADE"))


def make_broadcast(producer_id: UUID) -> UUID:
    """As if the whole history had been one. → its id."""
    key, at = new_id(), now()
    kind = {"type": "newsletter", "producer_id": producer_id}
    states = {"category": "marketing", "name": "News", "status": "running", "audience": {"all": True}}
    with transaction() as session:
        session.execute(sa.insert(Submission), [{"id": key, "recipients": HISTORY, "expanded": HISTORY, **kind}])
        session.execute(sa.insert(Broadcast), [{"id": key, **kind, **states, "starts_at": at, "started_at": at}])
        session.execute(sa.update(Delivery).values(broadcast_id=key))
        place = (Delivery.broadcast_id, Delivery.channel, Delivery.status)
        sums = sa.select(*place, sa.literal(""), sa.func.count()).group_by(*place)
        columns = ["broadcast_id", "channel", "status", "reason", "count"]
        session.execute(sa.insert(BroadcastTally).from_select(columns, sums))
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # By what stands there now, not by what autovacuum saw half-way
        tables = ", ".join(f'"{name}"' for name in sorted(GROWING))
        connection.execute(sa.text(f"ANALYZE {tables}"))
    return key


def asked_for(visitor: Visitor, path: str) -> Asked:
    """The questions that a page asks the database."""
    asked: Asked = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            asked.append((statement, parameters))

    sa.event.listen(db.engine, "before_cursor_execute", note)
    answer = visitor.get(path)
    sa.event.remove(db.engine, "before_cursor_execute", note)
    assert answer.status_code in (200, 302), path
    return asked


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def misread(statement: str, parameters: Any) -> list[str]:
    """What of its plan reads a table that grows from end to end, or more of it than a page may."""
    explained = (
        db.session.connection().exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
    )
    found = []
    for node in nodes(explained[0]["Plan"]):
        table = PARTITION.sub("", node.get("Relation Name", ""))
        read = node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        if table in GROWING and ((node["Node Type"].endswith("Seq Scan") and read) or read > MOST_READ):
            found.append(f"{node['Node Type']} of {table}, {round(read):,} rows")
    return found


PAGES = (
    "/admin/",
    "/admin/?window=day",
    "/admin/?window=month",
    "/admin/queues",
    *(f"/admin/queues/waiting/{why}" for why in WHY),
    *(
        f"/admin/failed{page}?{query}"
        for page in ("", "/jobs")
        for query in (
            "",
            "channel=email",
            "channel=email&provider=smtp&outcome=permanent&code=mailbox_7",
            "queue=email.medium",
            "type=order_shipped",
            "user=person7",
            "within=24h",
            "text=mailbox",
            "text=nowhere",
            "text={delivery}",
            "text={notification}",
        )
    ),
    "/admin/failed?sort=count",
    "/admin/failed/jobs?sort=failed",
    "/admin/failed/registry",
    "/admin/failed/registry?queue=email.medium&page=10",
    "/admin/failed/{delivery}",
    "/admin/failed/actions",
    "/admin/failed/actions/new?kind=retry",
    "/admin/failed/actions/new?kind=retry&channel=email&provider=smtp&outcome=permanent&code=mailbox_7",
    "/admin/failed/actions/new?kind=discard&user=person7",
    "/admin/notifications",
    "/admin/notifications?id={notification}",
    "/admin/notifications?id={delivery}",
    "/admin/notifications?id=what-a-provider-calls-it",
    "/admin/notifications?q=person7",
    "/admin/notifications?q=person7%40example.test",
    "/admin/notifications?q=yesterday",
    "/admin/notifications?user=person7",
    "/admin/notifications?type=order_shipped",
    "/admin/notifications?type=nothing",
    "/admin/notifications?status=failed",
    "/admin/notifications?status=bounced",
    "/admin/notifications?channel=sms&status=delivered",
    "/admin/notifications?producer={producer}",
    "/admin/notifications?user=person7&status=failed&channel=email",
    "/admin/notifications/{notification}",
    "/admin/providers",
    "/admin/providers/smtp",
    "/admin/broadcasts",
    "/admin/broadcasts?status=finished",
    "/admin/broadcasts/new?type=newsletter",
    "/admin/broadcasts/lists",
    *(
        f"/admin/broadcasts/{{broadcast}}{page}"
        for page in (
            "",
            "/cancel",
            "/retry",
            "/recipients",
            "/recipients?status=delivered",
            "/recipients?status=failed",
            "/recipients?status=clicked",
        )
    ),
    "/admin/sandbox",
    "/admin/sandbox?channel=email",
    "/admin/sandbox?type=nothing",
    "/admin/sandbox?to=person7",
    "/admin/sandbox?to=nobody%40example.test",
    "/admin/users",
    "/admin/users?q=person2999",
    "/admin/users?q=nobody%40example.test",
    "/admin/users/person7",
    "/admin/sandbox?type=order_shipped&within=1h",
)


@pytest.mark.slow
def test_no_page_reads_a_table_that_grows_from_end_to_end(
    much: dict[str, str], signed_in: Callable[..., Visitor]
) -> None:
    visitor = signed_in("admin")
    asked = [(path, question) for path in PAGES for question in asked_for(visitor, path.format(**much))]
    found = {
        (path, statement): wrong for path, (statement, parameters) in asked if (wrong := misread(statement, parameters))
    }
    assert found == {}
    # It would have been seen:
    assert misread("SELECT count(*) FROM delivery WHERE status = 'delivered'", {}) == [
        f"Seq Scan of delivery, {2 * HISTORY + DEAD:,} rows"
    ]
    assert misread("SELECT id FROM notification ORDER BY id LIMIT 21000", {}) == [
        "Index Only Scan of notification, 21,000 rows"
    ]
    db.session.close()
