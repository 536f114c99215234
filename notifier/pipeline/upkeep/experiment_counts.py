"""Counts whom the variants of experiments reach, and who opens and clicks, from the event stream: each person once.

Called by the scheduler. What machines open is no event of a delivery, so it does not count.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from notifier.core import events as names
from notifier.core.experiments import RUNNING
from notifier.core.lifecycle import CLICKED, DELIVERED, OPENED, SENT
from notifier.ground.clock import now as clock_now
from notifier.ground.database import insert, look_again, transaction
from notifier.ground.extensions import db
from notifier.ledgers import event_readers
from notifier.models import Event, Experiment, ExperimentPerson, ExperimentVariant, Notification, User
from notifier.pipeline.upkeep import counting
from notifier.queries.events import WINDOW

FORGOTTEN_AT_ONCE = 1_000
_PEOPLE_AT_ONCE = 1_000  # in a statement: SQLite takes 32,766 values
_SETTLED = timedelta(seconds=10)  # whatever was dealt before the end is known by then
_COUNTED = {names.OF_STATUS[status]: status for status in (SENT, DELIVERED, OPENED, CLICKED)}

_e = Event.__table__.c
_n = Notification.__table__.c
_people: sa.Table = ExperimentPerson.__table__
_p = _people.c
_variants: sa.Table = ExperimentVariant.__table__

Key = tuple[UUID, str]  # experiment, person


@dataclass(frozen=True, slots=True)
class _Uncounted:
    """Experiments whose events are to be counted: `variants` → their experiments; `ended`: when the stopped ones
    were.
    """

    variants: Mapping[UUID, UUID]
    ended: Mapping[UUID, datetime]


@dataclass(slots=True)
class _Reached:
    """What one person has done."""

    variant_id: UUID
    has_opened: bool = False
    has_clicked: bool = False


def count() -> int:
    """Counts the next window of the stream. → as `counting.count`. One query where there is no experiment."""
    look_again()
    uncounted, at = _uncounted(), clock_now()
    if not uncounted.variants:
        db.session.close()
        return 0

    def read(after: int, upto: int) -> dict[Key, _Reached]:
        return _read(after, upto, uncounted)

    counted = counting.count(event_readers.EXPERIMENTS, read, _store)
    if counted is not None and counted < WINDOW:
        _close({key for key, ended_at in uncounted.ended.items() if ended_at < at - _SETTLED}, at)
    return counted or 0


def _close(over: Collection[UUID], at: datetime) -> None:
    """All that happened while they ran has been counted."""
    if over:
        with transaction() as session:
            closed = sa.update(Experiment).where(Experiment.id.in_(over)).values(counted_at=at)
            session.execute(closed.execution_options(synchronize_session=False))


def forget() -> int:
    """Deletes whom those experiments have reached that are over and counted: some at a time. → how many."""
    over = sa.select(Experiment.id).where(Experiment.counted_at.is_not(None))
    some = sa.select(_p.experiment_id, _p.user_id).where(_p.experiment_id.in_(over)).limit(FORGOTTEN_AT_ONCE)
    keys = [tuple(row) for row in db.session.execute(some)]
    db.session.close()
    if keys:
        with transaction() as session:
            session.execute(sa.delete(_people).where(sa.tuple_(_p.experiment_id, _p.user_id).in_(keys)))
    return len(keys)


def _uncounted() -> _Uncounted:
    columns = (ExperimentVariant.id, Experiment.id.label("experiment_id"), Experiment.status, Experiment.stopped_at)
    joined = sa.select(*columns).join(Experiment, Experiment.id == ExperimentVariant.experiment_id)
    chosen = joined.where(Experiment.counted_at.is_(None), Experiment.started_at.is_not(None))
    rows = db.session.execute(chosen).all()
    ended = {row.experiment_id: row.stopped_at for row in rows if row.status != RUNNING}
    return _Uncounted({row.id: row.experiment_id for row in rows}, ended)


def _read(after: int, upto: int, uncounted: _Uncounted) -> dict[Key, _Reached]:
    statement = (
        sa.select(_e.kind, _e.at, _e.user_id, _n.variant_id)
        .join(Notification.__table__, _n.id == _e.notification_id)
        .where(_e.id > after, _e.id <= upto, _e.kind.in_(_COUNTED), _e.is_test.is_(False))
        .where(_n.variant_id.in_(uncounted.variants), _e.user_id.is_not(None))
    )
    found: dict[Key, _Reached] = {}
    for row in db.session.execute(statement):
        experiment_id = uncounted.variants[row.variant_id]
        if experiment_id in uncounted.ended and row.at > uncounted.ended[experiment_id]:
            continue
        one = found.setdefault((experiment_id, row.user_id), _Reached(row.variant_id))
        status = _COUNTED[row.kind]
        one.has_opened |= status in (OPENED, CLICKED)
        one.has_clicked |= status == CLICKED
    return found


def _store(found: Mapping[Key, _Reached]) -> None:
    """Of those who have been erased meanwhile nothing is kept."""
    counts: dict[UUID, Counter[str]] = defaultdict(Counter)
    keys = sorted(found)
    for start in range(0, len(keys), _PEOPLE_AT_ONCE):
        some = keys[start : start + _PEOPLE_AT_ONCE]
        here = set(db.session.scalars(sa.select(User.id).where(User.id.in_({user_id for _, user_id in some}))))
        some = [key for key in some if key[1] in here]
        opened = [key for key in some if found[key].has_opened]
        clicked = [key for key in some if found[key].has_clicked]
        for name, new in (
            ("people", _add(some)),
            ("opened", _mark("has_opened", opened)),
            ("clicked", _mark("has_clicked", clicked)),
        ):
            for key in new:
                counts[found[key].variant_id][name] += 1
    for variant_id, more in sorted(counts.items()):
        values = {name: _variants.c[name] + number for name, number in more.items()}
        db.session.execute(sa.update(_variants).where(_variants.c.id == variant_id).values(values))


def _add(keys: Collection[Key]) -> list[Key]:
    """→ those that were not there yet."""
    if not keys:
        return []
    rows = [dict(zip(_p.keys(), (*key, False, False), strict=True)) for key in keys]
    new = insert(_people).values(rows).on_conflict_do_nothing().returning(_p.experiment_id, _p.user_id)
    return [(row.experiment_id, row.user_id) for row in db.session.execute(new)]


def _mark(column: str, keys: Collection[Key]) -> list[Key]:
    """→ those that were not marked yet."""
    if not keys:
        return []
    unmarked = sa.update(_people).where(sa.tuple_(_p.experiment_id, _p.user_id).in_(keys), _p[column].is_(False))
    new = unmarked.values({column: True}).returning(_p.experiment_id, _p.user_id)
    return [(row.experiment_id, row.user_id) for row in db.session.execute(new)]
