"""How far the readers of the event stream have come that keep their place here, and which process reads.

The sink's position moves only after the receiver has confirmed, and only by the hand of the process that has the lease:
one that was taken for dead moves nothing. So each event is sent at least once. Those who count need no lease: their
position moves in the transaction that stores the counts (`move_on`). So each event is counted once, by any number of
schedulers.

Called by `programs.sink`, by those of `pipeline.upkeep` who count, and by pruning.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from notifier.ground import lifeline
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import insert, transaction
from notifier.ground.extensions import db
from notifier.models import Event, EventReader, EventStream

SINK = "sink"  # the reader that EVENTS_SINK names. By another URL it goes on where it was
BROADCASTS = "broadcasts"  # it counts what happens to them (`pipeline.upkeep.broadcast_hours`)
EXPERIMENTS = "experiments"  # it counts whom they reach (`pipeline.upkeep.experiment_counts`)
TRENDS = "trends"  # it counts what rises (`pipeline.upkeep.trends`)
LEASE = timedelta(minutes=2)  # longer than a request may take

_reader: sa.Table = EventReader.__table__
_r = _reader.c

log = structlog.get_logger()


def take(name: str, lease: str, is_dead: Callable[[int], bool]) -> "sa.Row[int, int] | None":
    """Takes or prolongs the lease for the process that calls itself so. → (position, missed); None: another process has
    it. `is_dead`: whether nobody holds that number of `ground.lifeline` any more.
    """
    found = db.session.execute(sa.select(_r.lease, _r.holder, _r.leased_until).where(_r.name == name)).one_or_none()
    db.session.close()
    at = now()
    others = None
    if found is not None:
        others = found.lease
        is_held = others not in (None, lease) and found.leased_until > at
        if is_held and (found.holder is None or not is_dead(found.holder)):
            return None
    with transaction() as session:
        if found is None:
            join(name, 0)
        mine = sa.update(_reader).where(_r.name == name, _r.lease.is_not_distinct_from(others))
        values = {"lease": lease, "holder": lifeline.number(), "leased_until": at + LEASE}
        return session.execute(mine.values(values).returning(_r.position, _r.missed)).one_or_none()


def position_of(name: str) -> int | None:
    """Of the last event that it has read. None: it has never read any."""
    found: int | None = db.session.scalar(sa.select(_r.position).where(_r.name == name))
    return found


def join(name: str, position: int) -> None:
    """It reads what comes after that position, inside the caller's transaction. One that is there stays where it is."""
    db.session.execute(_new(name, position).on_conflict_do_nothing())


def begin(name: str) -> None:
    """It goes on with what happens from now on, inside the caller's transaction: for a reader that has slept."""
    pruned = sa.select(EventStream.pruned).scalar_subquery()
    last = sa.select(sa.func.coalesce(sa.func.max(Event.id), pruned)).scalar_subquery()
    db.session.execute(_new(name, last).on_conflict_do_update(index_elements=["name"], set_={"position": last}))


def _new(name: str, position: Any) -> Any:
    return insert(_reader).values(name=name, position=position, set_aside=0, missed=0)


def move_on(name: str, position: int, reached: int) -> bool:
    """Inside the transaction that stores what was counted between the two. False: another process has counted it, and
    nothing is to be stored.
    """
    mine = sa.update(_reader).where(_r.name == name, _r.position == position).values(position=reached)
    return bool(db.session.execute(mine).rowcount)  # type: ignore[attr-defined]


def advance(name: str, lease: str, position: int, refused: Sequence[str] = ()) -> bool:
    """The receiver has confirmed everything up to there, but for those events that it refused for good (their cursors).
    Prolongs the lease; → False: it has been lost, and nothing was stored.
    """
    values: dict[str, Any] = {"position": position, "trouble": None, "leased_until": now() + LEASE}
    if refused:
        values |= {"set_aside": _r.set_aside + len(refused), "refused": refused[-1]}
    return _change(name, lease, values)


def prolong(name: str, lease: str) -> bool:
    """A batch is still under way. → False: the lease has been lost."""
    return _change(name, lease, {"leased_until": now() + LEASE})


def tell_trouble(name: str, lease: str, code: str) -> bool:
    """Nothing goes on for now. Prolongs the lease, as `advance` does."""
    return _change(name, lease, {"trouble": code[:64], "leased_until": now() + LEASE})


def let_go(name: str, lease: str) -> None:
    """Another process may go on at once."""
    _change(name, lease, {"lease": None, "holder": None, "leased_until": None})


def _change(name: str, lease: str, values: Mapping[str, Any]) -> bool:
    with transaction() as session:
        mine = sa.update(_reader).where(_r.name == name, _r.lease == lease).values(values)
        return bool(session.execute(mine).rowcount)  # type: ignore[attr-defined]


def miss(pruned: "sa.Subquery | sa.TableClause", last: int) -> None:
    """These events (`id`) up to `last` are about to be deleted, inside the caller's transaction: counts them for those
    who have not had them. (One that is being sent at this moment counts too.)
    """
    unsent = sa.select(sa.func.count()).select_from(pruned).where(pruned.c.id > _r.position).scalar_subquery()
    counted = sa.update(_reader).where(_r.position < last).values(missed=_r.missed + unsent)
    for name, missed in db.session.execute(counted.returning(_r.name, _r.missed)):
        if name == SINK and current_settings().events_sink is not None:
            log.warning("events.pruned_unsent", reader=name, missed=missed)
