"""Counts the deliveries of broadcasts by channel and status, and the skipped ones by reason: nothing has to be scanned.

Told by `ledgers.moves` and `planning.store` in the transaction that makes or moves the deliveries, so the counts are
right whenever it is committed, and never when it is not. Rows are only added; the scheduler adds them up.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core import lifecycle
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import BroadcastTally, Delivery

_PLACES_AT_ONCE = 200
_MOST_AT_ONCE = 10_000  # ids in a statement: SQLite may be built to take 32,766

Place = tuple[UUID, str, str, str]  # broadcast, channel, status, reason

_table: sa.Table = BroadcastTally.__table__
BROADCAST = _table.c.broadcast_id
_place = (BROADCAST, _table.c.channel, _table.c.status, _table.c.reason)


def place_of(broadcast_id: UUID, channel: str, status: str, reason: str | None) -> Place:
    return broadcast_id, channel, status, (reason or "") if status == lifecycle.SKIPPED else ""


def made(deliveries: Iterable[Any]) -> None:
    """These have just been stored. One statement, none where none of them is a broadcast's."""
    _add(Counter(_where_it_is(one) for one in deliveries if one.broadcast_id is not None))


def moved(moves: Iterable[tuple[Place, Place]]) -> None:
    """From where each was to where it is now. One statement, none without any."""
    changes: Counter[Place] = Counter()
    for old, new in moves:
        changes[old] -= 1
        changes[new] += 1
    _add(changes)


def explained(reasons: Mapping[UUID, str]) -> None:
    """Skipped deliveries of broadcasts are about to be given these reasons: before it is done, inside the caller's
    transaction. Two statements for up to _MOST_AT_ONCE, none without any.
    """
    columns = (Delivery.id, Delivery.broadcast_id, Delivery.channel, Delivery.status, Delivery.reason)
    ids = list(reasons)
    for start in range(0, len(ids), _MOST_AT_ONCE):
        some = Delivery.id.in_(ids[start : start + _MOST_AT_ONCE])
        counted = sa.select(*columns).where(some, Delivery.broadcast_id.is_not(None))
        moved(
            (_where_it_is(row), place_of(row.broadcast_id, row.channel, row.status, reasons[row.id]))
            for row in db.session.execute(counted).all()
        )


def _where_it_is(delivery: Any) -> Place:
    return place_of(delivery.broadcast_id, delivery.channel, delivery.status, delivery.reason)


def _add(changes: Mapping[Place, int]) -> None:
    rows = list(_rows(changes))
    if rows:
        db.session.execute(sa.insert(_table), rows)


def _rows(changes: Mapping[Place, int]) -> Iterator[dict[str, Any]]:
    for (broadcast_id, channel, status, reason), count in sorted(changes.items()):
        if count:
            key = {"broadcast_id": broadcast_id, "channel": channel}
            yield {**key, "status": status, "reason": reason, "count": count}


def sums() -> "sa.Select[Any]":
    """How many deliveries are at each place; to be narrowed to broadcasts, and joined. With `counted`, the sum."""
    return sa.select(*_place, sa.func.sum(_table.c["count"]).label("counted")).group_by(*_place)


def of(broadcast_ids: Iterable[UUID]) -> dict[UUID, Counter[str]]:
    """How many deliveries of each are in each status."""
    wanted = list(broadcast_ids)
    found: dict[UUID, Counter[str]] = {key: Counter() for key in wanted}
    for row in db.session.execute(sums().where(BROADCAST.in_(wanted))) if wanted else ():
        found[row.broadcast_id][row.status] += row.counted
    return found


def has_open(broadcast_id: "UUID | sa.SQLColumnExpression[UUID]") -> "sa.ColumnElement[bool]":
    """Is something still to happen to one of its deliveries? For a WHERE, or a column."""
    is_open = sa.and_(BROADCAST.in_([broadcast_id]), _table.c.status.in_(sorted(lifecycle.OPEN)))
    number = sa.select(sa.func.sum(_table.c["count"])).where(is_open).scalar_subquery()
    return sa.func.coalesce(number, 0) > 0


class AddingUp:
    """Makes one row of several of a place. Remembers the last row it has seen: mostly nothing has changed since."""

    def __init__(self) -> None:
        self._last: int | None = None

    def add_up(self) -> int:
        """Each is added up once, by any scheduler. → how many were."""
        last = db.session.scalar(sa.select(sa.func.max(_table.c.id)))
        if last == self._last:
            db.session.close()
            return 0
        several = sa.select(*_place).group_by(*_place).having(sa.func.count() > 1).limit(_PLACES_AT_ONCE)
        places = [tuple(row) for row in db.session.execute(several)]
        db.session.close()
        if not places:
            self._last = last
            return 0
        with transaction() as session:
            chosen = sa.delete(_table).where(sa.tuple_(*_place).in_(places))
            gone = session.execute(chosen.returning(*_place, _table.c["count"])).all()
            changes: Counter[Place] = Counter()
            for broadcast_id, channel, status, reason, count in gone:
                changes[broadcast_id, channel, status, reason] += count
            _add(changes)
        return len(gone)
