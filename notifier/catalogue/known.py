"""Event types, published templates and the experiments with them, cached in each process for two seconds
(`ground.kept`).

Read by intake, planning, delivery and upkeep; no query while the cache is fresh.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import make_transient

from notifier.core.experiments import RUNNING, Experiment, Variant, Wording
from notifier.ground.extensions import db
from notifier.ground.kept import kept
from notifier.models import EventType, ExperimentVariant, Template
from notifier.models import Experiment as ExperimentRow

_VARIANT = (
    ExperimentVariant.experiment_id,
    ExperimentVariant.id.label("variant_id"),
    ExperimentVariant.name.label("variant"),
    ExperimentVariant.weight,
    ExperimentVariant.template_id.label("worded_as"),
)


def load_types(keys: Iterable[str]) -> dict[str, EventType]:
    """The types belong to no session: plain values, safe in every thread, and cached for a moment. At most
    one query.
    """
    return kept("types", keys, _read_types)


def _read_types(keys: set[str]) -> dict[str, EventType]:
    found = {row.key: row for row in db.session.scalars(sa.select(EventType).where(EventType.key.in_(keys)))}
    for row in found.values():
        make_transient(row)
    return found


def type_keys() -> Sequence[str]:
    """Of all types that producers may know of, in order of the alphabet."""
    return kept("type_keys", [""], _read_type_keys)[""]


def _read_type_keys(_: set[str]) -> dict[str, Sequence[str]]:
    keys = sa.select(EventType.key).where(EventType.is_internal.is_(False)).order_by(EventType.key)
    return {"": db.session.scalars(keys).all()}


def load_wordings(names: Iterable[str]) -> dict[str, Wording]:
    """`order_shipped` → its published version; `order_shipped@3` → that version, unless it is a draft, and no
    experiment: it was asked for. At most one query.
    """
    return kept("templates", names, _read_wordings)


def _read_wordings(wanted: set[str]) -> dict[str, Wording]:
    pairs = {
        (key, int(version))
        for key, at, version in (name.partition("@") for name in wanted)
        if at and version.isdecimal() and len(version) < 10
    }
    plain = {name for name in wanted if "@" not in name}
    conditions = [sa.and_(Template.key.in_(plain), Template.status == "published")] if plain else []
    conditions += [
        sa.and_(Template.key == key, Template.version == version, Template.status != "draft") for key, version in pairs
    ]
    if not conditions:
        return {}
    experiment = sa.and_(
        ExperimentRow.key == Template.key, ExperimentRow.status == RUNNING, Template.status == "published"
    )
    statement = (
        sa.select(Template.id, Template.key, Template.version, Template.status, *_VARIANT)
        .outerjoin(ExperimentRow, experiment)
        .outerjoin(ExperimentVariant, ExperimentVariant.experiment_id == ExperimentRow.id)
        .where(sa.or_(*conditions))
        .order_by(Template.id, ExperimentVariant.position)
    )
    found: dict[str, Wording] = {}
    for _, lines in groupby(db.session.execute(statement), key=lambda row: row.id):
        rows = list(lines)
        row = rows[0]
        if row.status == "published" and row.key in plain:
            found[row.key] = Wording(row.id, experiment=_experiment(row.key, rows))
        if (row.key, row.version) in pairs:
            found[f"{row.key}@{row.version}"] = Wording(row.id)
    return found


def _experiment(key: str, rows: Sequence[Any]) -> Experiment | None:
    """`rows`: of its variants, with the columns `_VARIANT`."""
    if rows[0].experiment_id is None:
        return None
    variants = (Variant(row.variant_id, row.variant, row.weight, row.worded_as) for row in rows)
    return Experiment(rows[0].experiment_id, key, tuple(variants))


def load_wording_of(experiment_id: UUID) -> Wording:
    """The experiment while it is running, then the version that it has led to: for what was said while it was running,
    and is dealt to people later. At most one query.
    """
    return kept("experiments", [experiment_id.hex], _read_experiments)[experiment_id.hex]


def _read_experiments(wanted: set[str]) -> dict[str, Wording]:
    statement = (
        sa.select(ExperimentRow.key, ExperimentRow.status, ExperimentRow.kept, *_VARIANT)
        .join(ExperimentVariant, ExperimentVariant.experiment_id == ExperimentRow.id)
        .where(ExperimentRow.id.in_([UUID(id) for id in wanted]))
        .order_by(ExperimentRow.id, ExperimentVariant.position)
    )
    found: dict[str, Wording] = {}
    for id, lines in groupby(db.session.execute(statement), key=lambda row: row.experiment_id):
        rows = list(lines)
        control, kept_one = rows[0].worded_as, (row.worded_as for row in rows if row.variant == rows[0].kept)
        experiment = _experiment(rows[0].key, rows) if rows[0].status == RUNNING else None
        found[id.hex] = Wording(next(kept_one, control), experiment=experiment)
    return found
