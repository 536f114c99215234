"""A worker process that empties a queue, and what that costs."""

from uuid import UUID

import sqlalchemy as sa

from bench import rows
from bench.sample import CROWD, PEOPLE
from bench.stage import Found, Stage, micros
from notifier.ground.extensions import db
from notifier.models import Delivery


def emptied(stage: Stage, kind: str, channel: str, count: int, people: str = PEOPLE, users: int = CROWD) -> Found:
    """How fast one worker process of that kind empties a queue."""
    ids = rows.queue_up(channel, "medium", count, prefix=people, users=users)
    rows.ring(ids, channel, "medium")
    found: Found = {}
    with stage.costs(found, lambda: count):
        answer = stage.installation.start("bench.worker", kind, f"{channel}.medium").answer()
    _expect_sent(ids)
    return {
        "deliveries/s": round(count / answer["seconds"], 1),
        "cpu_us": micros(answer["cpu_s"], count),
        **{name: answer[name] for name in ("peak_mb", "left_mb") if answer[name]},
        **found,
    }


def rq_worker(stage: Stage) -> Found:
    """RQ's own worker, which forks, on the same jobs."""
    return emptied(stage, "stock", "sms", stage.some(150))


def rq_simple_worker(stage: Stage) -> Found:
    """RQ's worker that does not fork."""
    return emptied(stage, "simple", "sms", stage.some(600))


def _expect_sent(ids: list[UUID]) -> None:
    outcomes = dict(
        db.session.execute(
            sa.select(Delivery.status, sa.func.count())
            .where(Delivery.id.between(ids[0], ids[-1]))
            .group_by(Delivery.status)
        )
        .tuples()
        .all()
    )
    db.session.rollback()
    if outcomes != {"sent": len(ids)}:
        raise RuntimeError(f"not all of {len(ids)} were sent: {outcomes}")
