"""What the sweeps cost with 200,000 deliveries queued and nothing wrong: printed, and each row looked at once."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.clock import now
from notifier.core.submission import InlineRecipient
from notifier.database import transaction
from notifier.extensions import db, redis_store
from notifier.ids import new_id
from notifier.models import Delivery, Notification, Submission
from notifier.pipeline import ghosts, people, sweep
from notifier.queueing import Doorbell, ring
from tests.pipeline.conftest import statements

pytestmark = pytest.mark.faults

ROWS = 200_000
BATCH = 5_000
WAITED = timedelta(minutes=10)


@pytest.fixture
def backlog(app: APIFlask) -> int:
    """Queued and rung ten minutes ago, beside as many that are done."""
    sweep.ring_lost()
    submission_id, at = new_id(), now() - WAITED
    with transaction() as session:
        people.upsert([InlineRecipient("erin", {"email": "erin@x.test"})])
        session.add(Submission(id=submission_id, type="newsletter", recipients=1, expanded=1))
    for _ in range(0, ROWS, BATCH):
        submissions = [{"id": new_id(), "type": "newsletter", "recipients": 1, "expanded": 1} for _ in range(BATCH)]
        notifications = [_notification(row["id"], at) for row in submissions]
        queued = [_delivery(row["id"], at, status="queued", wake_at=at) for row in notifications]
        done = [_delivery(row["id"], at, status="sent", wake_at=None) for row in notifications]
        with transaction() as session:
            for model, rows in ((Submission, submissions), (Notification, notifications), (Delivery, queued + done)):
                session.execute(sa.insert(model), rows)
        ring([Doorbell(row["id"], "email", "low") for row in queued])
    if db.engine.dialect.name == "postgresql":
        with transaction() as session:
            session.execute(sa.text("ANALYZE delivery"))
    return ROWS


def _notification(submission_id: Any, at: Any) -> dict[str, Any]:
    fields = {"user_id": "erin", "type": "newsletter", "category": "marketing", "priority": "low", "data": {}, "created_at": at}
    return {"id": new_id(), "submission_id": submission_id, **fields}


def _delivery(notification_id: Any, at: Any, **fields: Any) -> dict[str, Any]:
    return {"id": new_id(), "notification_id": notification_id, "channel": "email", "priority": "low", "created_at": at, **fields}


def _cost(work: Callable[[], Any]) -> tuple[Any, int, float]:
    """→ (what it answered, how many SQL statements it took, milliseconds)."""
    with statements() as sent:
        begun = time.perf_counter()
        answer = work()
        return answer, len(sent), (time.perf_counter() - begun) * 1000


def test_sweeping_a_long_backlog_rings_nothing_and_looks_at_each_once(app: APIFlask, backlog: int, tell: Callable[[str], None]) -> None:
    name = db.engine.dialect.name
    looked = rung = sweeps = statement_count = 0
    total_ms = longest_ms = 0.0
    while True:
        found, count, ms = _cost(sweep.ring_lost)
        if not found.rows:
            break
        looked, rung, sweeps, statement_count = looked + found.rows, rung + found.rung, sweeps + 1, statement_count + count
        total_ms, longest_ms = total_ms + ms, max(longest_ms, ms)
    assert (looked, rung) == (backlog, 0)
    again_after_s = sweep.LONGEST_DOORBELL_GRACE.total_seconds()
    share = total_ms / 1000 / again_after_s
    tell(
        f"sweep of {backlog} queued [{name}]: {sweeps} sweeps of {looked // sweeps} rows, {statement_count / sweeps:.1f} statements and"
        f" {total_ms / sweeps:.0f} ms each (longest {longest_ms:.0f}); all of them once in {again_after_s:.0f} s, {share:.1%} of a core at most"
    )
    for label, work in (
        ("ring_lost with nothing due", sweep.ring_lost),
        ("ring_due", sweep.ring_due),
        ("free_lapsed", sweep.free_lapsed),
        ("lay_ghosts", ghosts.Ghosts().lay),
    ):
        _, count, ms = _cost(work)
        tell(f"{label} beside them [{name}]: {count} statements, {ms:.1f} ms")


def test_reviewing_a_long_backlog_after_redis_forgot_it(app: APIFlask, backlog: int, tell: Callable[[str], None]) -> None:
    redis_store.client.flushall()
    rung = 0
    begun = time.perf_counter()
    while found := sweep.ring_lost().rung:
        rung += found
    took_s = time.perf_counter() - begun
    assert rung == backlog
    assert redis_store.client.llen("rq:queue:email.low") == backlog
    tell(f"review of {backlog} queued after FLUSHALL [{db.engine.dialect.name}]: {took_s:.1f} s, {rung / took_s:,.0f}/s")
