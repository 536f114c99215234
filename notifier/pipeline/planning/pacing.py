"""Lets out in parts what comes due or is expanded all at once: 100,000 newsletters at 07:00 delay nobody else.

A queue in Redis is filled up to MOST_IN_LINE jobs; further deliveries stay in the database, `waiting` and due, and
follow as workers empty the queue. Urgent ones too: one that is submitted by itself is queued at once, and has no
million of a broadcast before it. Called by `upkeep.due`, `intake.expand` and `operations.broadcast_retries`;
`queries.overview` and a metric show the number held back.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

import redis
import sqlalchemy as sa

from notifier import channels
from notifier.core import lifecycle
from notifier.core.submission import PRIORITIES
from notifier.ground.extensions import db
from notifier.models import Delivery
from notifier.signals.queueing import depths, queue_name

BATCH = 1_000  # released in one transaction
MOST_IN_LINE = 5_000  # jobs in one queue: more than workers take between two looks

Lane = tuple[str, str]  # channel, priority

_delivery = Delivery.__table__.c


def room(*, beside: int = 0) -> dict[Lane, int]:
    """How many more of each channel and priority may go out now. None to the queues while Redis is away. `beside`: so
    many others have been told so, and have queued nothing yet.
    """
    lanes = _lanes()
    try:
        in_line = depths(queue_name(*lane) for lane in lanes)
    except redis.RedisError:
        return {lane: BATCH if _is_shown_by_us(lane) else 0 for lane in lanes}
    return {lane: _room_of(lane, waiting + beside * BATCH) for lane, waiting in zip(lanes, in_line, strict=True)}


def _lanes() -> list[Lane]:
    return [(channel, priority) for priority in PRIORITIES for channel in channels.CHANNELS]


def _room_of(lane: Lane, waiting: int) -> int:
    return BATCH if _is_shown_by_us(lane) else min(max(MOST_IN_LINE - waiting, 0), BATCH)


def _is_shown_by_us(lane: Lane) -> bool:
    return channels.CHANNELS[lane[0]].address is None


def due(now: Any, free: Mapping[Lane, int]) -> list[UUID]:
    """The deliveries that may go out now, BATCH at most: urgent ones first, and in each lane those due longest. As many
    small index scans as there are lanes: however many are held back in one, the others are found at once.
    """
    if db.engine.dialect.name == "postgresql":
        lanes = [(*lane, PRIORITIES.index(lane[1]), count) for lane, count in free.items() if count]
        names = ("channels", "priorities", "ranks", "counts")
        values = dict(zip(names, map(list, zip(*lanes, strict=True)), strict=True)) if lanes else None
        return list(db.session.scalars(_BY_LANE, {"now": now, **values})) if values else []
    counts = {f"count_{number}": free.get(lane, 0) for number, lane in enumerate(_lanes())}
    return list(db.session.scalars(_first_of_each_lane(), {"now": now, **counts}))


# Planned once instead of for each lane, and by the index of a lane's waiting ones, which rows compared as a whole leave
# no choice about: PostgreSQL takes channel and priority for independent of the time, and so would look for items of the
# inbox among a million mails that have come due before.
_BY_LANE = sa.text(
    f"""
    SELECT due.id
    FROM unnest(
        CAST(:channels AS varchar[]), CAST(:priorities AS varchar[]), CAST(:ranks AS int[]), CAST(:counts AS int[])
    ) AS lane (channel, priority, rank, count)
    CROSS JOIN LATERAL (
        SELECT id, wake_at
        FROM delivery
        WHERE status = '{lifecycle.WAITING}'
            AND (channel, priority, wake_at) >= (lane.channel, lane.priority, CAST('-infinity' AS timestamptz))
            AND (channel, priority, wake_at) <= (lane.channel, lane.priority, :now)
        ORDER BY channel, priority, wake_at
        LIMIT lane.count
    ) AS due
    ORDER BY lane.rank, due.wake_at
    LIMIT {BATCH}
    """
).columns(sa.column("id", sa.Uuid))


@cache
def _first_of_each_lane() -> sa.TextualSelect:
    """For SQLite. Without being told, it takes the index by status, and reads all that have come due for each lane."""
    lanes = [
        f"""
        SELECT * FROM (
            SELECT id, {PRIORITIES.index(priority)} AS rank, wake_at
            FROM delivery INDEXED BY ix_delivery_waiting
            WHERE status = '{lifecycle.WAITING}'
                AND channel = '{channel}' AND priority = '{priority}' AND wake_at <= :now
            ORDER BY wake_at
            LIMIT :count_{number}
        )
        """
        for number, (channel, priority) in enumerate(_lanes())
    ]
    statement = f"{'UNION ALL'.join(lanes)} ORDER BY rank, wake_at LIMIT {BATCH}"
    now = sa.bindparam("now", type_=_delivery.wake_at.type)
    return sa.text(statement).bindparams(now).columns(sa.column("id", sa.Uuid))
