"""Changes the status of deliveries, as `core.lifecycle` allows. No other module writes that column: a test holds this.
(`planning.store` inserts deliveries with their first status.)

Called inside the caller's transaction, for rows that it has locked. Tells the event stream, the counts of broadcasts,
and the caps which deliveries end without having gone out, and which come back.
"""

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core import lifecycle
from notifier.core.record import record
from notifier.ground.database import NamedRow, named
from notifier.ground.extensions import db
from notifier.ledgers import broadcast_counts, caps, events
from notifier.ledgers.broadcast_counts import Place, place_of
from notifier.models import Delivery

_deliveries: sa.Table = Delivery.__table__
_delivery = _deliveries.c
# What the counts of broadcasts need of a row that has moved. Of others nothing is kept.
_COUNTED = (_delivery.broadcast_id, _delivery.channel, _delivery.moved_from, _delivery.reason)
_OLD_OF_COUNTED = sa.case((_delivery.broadcast_id.is_not(None), _delivery.status))


@record
class Move:
    """One delivery's change of status. With `old` equal to `new` only `columns` change. All moves of a batch have the
    same names in `columns`, and in `still`. `broadcast_id`: the delivery's; it is counted there.
    """

    delivery_id: UUID
    notification_id: UUID
    broadcast_id: UUID | None
    old: str
    new: str
    columns: Mapping[str, Any]
    still: Mapping[str, Any] = field(default_factory=dict)  # columns that must still have these values


def move(
    chosen: "Collection[UUID] | sa.ColumnElement[bool]", new: str, *returned: Any, **columns: Any
) -> Sequence[NamedRow]:
    """Moves the chosen deliveries (by id, or by a condition) to the status `new` where the lifecycle allows it, and
    sets `columns`, the same for all.

    → a row for each that was moved, in no order: `id`, `notification_id`, and the columns `returned`. One statement,
    and one more each where the status is an event, and where a broadcast's are among them.
    """
    if isinstance(chosen, Collection):
        if not chosen:
            return []
        chosen = _delivery.id.in_(chosen)
    olds = lifecycle.leading_to(new)
    rows = named(
        db.session.execute(
            sa.update(_deliveries)
            .where(chosen, _delivery.status.in_(olds))
            .values(status=new, moved_from=_OLD_OF_COUNTED, **columns)
            .returning(*_returned(returned))
            .execution_options(synchronize_session=False)
        )
    )
    events.tell_statuses((row.id, new) for row in rows)
    broadcast_counts.moved(_change(row, new) for row in rows if row.broadcast_id is not None)
    if any(_concerns_caps(old, new) for old in olds):
        caps.recount(row.notification_id for row in rows)
    return rows


def move_each(moves: Sequence[Move]) -> None:
    """Moves each delivery to a status of its own, with values of its own. One statement, executed for all rows at once,
    and one more where there are events to tell; none without moves. Two more where a broadcast's are among them.

    A delivery that is no longer in its `old` status is left alone. Raises ValueError if the lifecycle has no such move.
    """
    if not moves:
        return
    for one in moves:
        if one.old != one.new and not lifecycle.may_move(one.old, one.new):
            raise ValueError(f"a delivery does not move from {one.old} to {one.new}")
    counted = _about_to_move(moves)
    statement = _update(tuple(moves[0].columns), tuple(moves[0].still))
    db.session.connection().execute(statement, [_parameters(one) for one in moves])
    events.tell_statuses((one.delivery_id, one.new) for one in moves if one.old != one.new)
    broadcast_counts.moved(counted)
    caps.recount(one.notification_id for one in moves if _concerns_caps(one.old, one.new))


def _about_to_move(moves: Sequence[Move]) -> list[tuple[Place, Place]]:
    """The moves of broadcasts' deliveries, as they are counted. Asks which of them will move indeed, since a statement
    that is executed for all rows at once does not say it afterwards.
    """
    concerned = {one.delivery_id: one for one in moves if one.broadcast_id is not None}
    if not concerned:
        return []
    names = ("id", "broadcast_id", "channel", "status", "reason", *moves[0].still)
    mine = sa.select(*(_delivery[name] for name in names)).where(_delivery.id.in_(concerned))
    found = []
    for row in db.session.execute(mine.order_by(_delivery.id).with_for_update(key_share=True)):
        one = concerned[row.id]
        if row.status == one.old and all(getattr(row, name) == value for name, value in one.still.items()):
            reason = one.columns.get("reason", row.reason)
            old = place_of(row.broadcast_id, row.channel, row.status, row.reason)
            found.append((old, place_of(row.broadcast_id, row.channel, one.new, reason)))
    return found


@functools.lru_cache(maxsize=64)  # the callers have a handful of shapes, and building one takes as long as running it
def _update(columns: tuple[str, ...], still: tuple[str, ...]) -> sa.Update:
    """On the table: the ORM would treat each row by itself. `status = old`: an IN of varying length is no
    executemany.
    """
    unmoved = [_delivery[name] == _bound("still", name) for name in still]
    return (
        sa.update(_deliveries)
        .where(_delivery.id == sa.bindparam("key"), _delivery.status == sa.bindparam("old"), *unmoved)
        .values({name: _bound("new", name) for name in ("status", *columns)})
    )


def _parameters(one: Move) -> dict[str, Any]:
    values = {f"new_{name}": value for name, value in (*one.columns.items(), ("status", one.new))}
    return {"key": one.delivery_id, "old": one.old, **values, **{f"still_{n}": v for n, v in one.still.items()}}


def _returned(wanted: Iterable[Any]) -> list[Any]:
    """Each column once: a claim wants some of the same."""
    columns = (_delivery.id, _delivery.notification_id, *_COUNTED, *wanted)
    return list({column.key: column for column in columns}.values())


def _change(row: Any, new: str) -> tuple[Place, Place]:
    """Raises ValueError for one that was skipped: its reason before, under which it was counted, is gone by then."""
    if row.moved_from == lifecycle.SKIPPED:
        raise ValueError("skipped deliveries of a broadcast are moved one by one")
    old = place_of(row.broadcast_id, row.channel, row.moved_from, None)
    return old, place_of(row.broadcast_id, row.channel, new, row.reason)


def _bound(kind: str, name: str) -> "sa.BindParameter[Any]":
    return sa.bindparam(f"{kind}_{name}", type_=_delivery[name].type)


def _concerns_caps(old: str, new: str) -> bool:
    """Whether the delivery stops counting for the caps, or counts again."""
    return (old in lifecycle.LEFT_OUT) != (new in lifecycle.LEFT_OUT)
