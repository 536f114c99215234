"""Changes the status of deliveries, as `core.lifecycle` allows. No other module writes that column: a test holds this.
(`planning.store` inserts deliveries with their first status.)

Called inside the caller's transaction, for rows that it has locked. Tells the event stream, and the caps which
deliveries end without having gone out, and which come back.
"""

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core import lifecycle
from notifier.ground.extensions import db
from notifier.ledgers import caps, events
from notifier.models import Delivery

_deliveries: sa.Table = Delivery.__table__
_delivery = _deliveries.c


@dataclass(frozen=True, slots=True)
class Move:
    """One delivery's change of status. With `old` equal to `new` only `columns` change. All moves of a batch have the
    same names in `columns`, and in `still`.
    """

    delivery_id: UUID
    notification_id: UUID
    old: str
    new: str
    columns: Mapping[str, Any]
    still: Mapping[str, Any] = field(default_factory=dict)  # columns that must still have these values


def move(
    chosen: "Collection[UUID] | sa.ColumnElement[bool]", new: str, *returned: Any, **columns: Any
) -> "Sequence[sa.Row[Any]]":
    """Moves the chosen deliveries (by id, or by a condition) to the status `new` where the lifecycle allows it, and
    sets `columns`, the same for all.

    → a row for each that was moved, in no order: `id`, `notification_id`, and the columns `returned`. One statement,
    and one more where the status is an event.
    """
    if isinstance(chosen, Collection):
        if not chosen:
            return []
        chosen = _delivery.id.in_(chosen)
    olds = lifecycle.leading_to(new)
    rows = db.session.execute(
        sa.update(_deliveries)
        .where(chosen, _delivery.status.in_(olds))
        .values(status=new, **columns)
        .returning(_delivery.id, _delivery.notification_id, *returned)
        .execution_options(synchronize_session=False)
    ).all()
    events.tell_statuses((row.id, new) for row in rows)
    if any(_concerns_caps(old, new) for old in olds):
        caps.recount(row.notification_id for row in rows)
    return rows


def move_each(moves: Sequence[Move]) -> None:
    """Moves each delivery to a status of its own, with values of its own. One statement, executed for all rows at once,
    and one more where there are events to tell; none without moves.

    A delivery that is no longer in its `old` status is left alone. Raises ValueError if the lifecycle has no such move.
    """
    if not moves:
        return
    for one in moves:
        if one.old != one.new and not lifecycle.may_move(one.old, one.new):
            raise ValueError(f"a delivery does not move from {one.old} to {one.new}")
    statement = _update(tuple(moves[0].columns), tuple(moves[0].still))
    db.session.connection().execute(statement, [_parameters(one) for one in moves])
    events.tell_statuses((one.delivery_id, one.new) for one in moves if one.old != one.new)
    caps.recount(one.notification_id for one in moves if _concerns_caps(one.old, one.new))


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


def _bound(kind: str, name: str) -> "sa.BindParameter[Any]":
    return sa.bindparam(f"{kind}_{name}", type_=_delivery[name].type)


def _concerns_caps(old: str, new: str) -> bool:
    """Whether the delivery stops counting for the caps, or counts again."""
    return (old in lifecycle.LEFT_OUT) != (new in lifecycle.LEFT_OUT)
