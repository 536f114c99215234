"""Prints the cost of looking for due and lost deliveries with 200,000 queued. With Redis intact each is looked at once,
and nothing is rung.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.ground.clock import now
from notifier.ground.config import Settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.models import Delivery
from notifier.pipeline.upkeep import due, ghosts, lapsed, lost
from notifier.signals.queueing import Doorbell, ring
from tests.faults.installation import ROWS
from tests.stored import sent_statements as statements
from tests.stored import store_newsletter

pytestmark = pytest.mark.faults

BATCH = 5_000
WAITED = timedelta(minutes=10)
NET_S = 600.0  # a safety net


@pytest.fixture
def backlog(app: APIFlask) -> int:
    """Queued and rung ten minutes ago."""
    lost.ring_lost()
    notification, at = store_newsletter(), now() - WAITED
    common = {"notification_id": notification, "channel": "email", "priority": "low", "created_at": at}
    for _ in range(0, ROWS, BATCH):
        queued = [{"id": new_id(), "status": "queued", "wake_at": at, **common} for _ in range(BATCH)]
        with transaction() as session:
            session.execute(sa.insert(Delivery.__table__), queued)
        ring([Doorbell(row["id"], "email", "low") for row in queued])
    if db.engine.dialect.name == "postgresql":
        with transaction() as session:
            session.execute(sa.text("ANALYZE delivery"))
    return ROWS


def _cost(work: Callable[[], Any]) -> tuple[Any, int, float]:
    """→ (what it answered, how many SQL statements it took, milliseconds)."""
    with statements() as sent:
        begun = time.perf_counter()
        answer = work()
        return answer, len(sent), (time.perf_counter() - begun) * 1000


def test_a_long_backlog_costs_little_and_a_forgotten_one_is_rung_at_once(
    app: APIFlask, settings: Settings, backlog: int, tell: Callable[[str], None]
) -> None:
    name = db.engine.dialect.name
    others = (("ring_due", due.ring_due), ("free_lapsed", lapsed.free_lapsed), ("lay_ghosts", ghosts.Ghosts().lay))
    before = [f"{label} {_cost(work)[2]:.1f}" for label, work in others]
    looked = rung = looks = statement_count = 0
    total_ms = longest_ms = 0.0
    while True:
        found, count, ms = _cost(lost.ring_lost)
        if not found.rows:
            break
        looked, rung, looks, statement_count = (
            looked + found.rows,
            rung + found.rung,
            looks + 1,
            statement_count + count,
        )
        total_ms, longest_ms = total_ms + ms, max(longest_ms, ms)
    assert (looked, rung) == (backlog, 0)
    after = [f"{label} {_cost(work)[2]:.1f}" for label, work in (("ring_lost", lost.ring_lost), *others)]
    again_after_s = lost.LONGEST_DOORBELL_GRACE.total_seconds()
    tell(
        f"{backlog} queued [{name}]: {looks} looks at {looked // looks} rows, "
        f"{statement_count / looks:.1f} statements,"
        f" {total_ms / looks:.0f} ms each (longest {longest_ms:.0f}); once in {again_after_s:.0f} s, that is "
        f"{total_ms / 10 / again_after_s:.1f} % of the time"
    )
    tell(f"ms of the others, before [{name}]: {', '.join(before)}; after: {', '.join(after)}")

    # By a client that has patience: on a loaded machine ours takes a Redis that is slow to forget for one that hangs.
    server = redis.Redis.from_url(settings.redis_url)
    server.flushall()
    begun = time.perf_counter()
    rung = 0
    while server.llen("rq:queue:email.low") < backlog and time.perf_counter() - begun < NET_S:
        rung += lost.ring_lost().rung
    took_s = time.perf_counter() - begun
    assert server.llen("rq:queue:email.low") == backlog
    tell(f"review of {backlog} after FLUSHALL [{name}]: {took_s:.1f} s, {rung / took_s:,.0f}/s")
