"""Event types and the ids of published templates, cached in each process for two seconds (`ground.kept`).

Read by intake, planning, delivery and upkeep; no query while the cache is fresh.
"""

from collections.abc import Iterable
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import make_transient

from notifier.ground.extensions import db
from notifier.ground.kept import kept
from notifier.models import EventType, Template


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


def load_template_ids(names: Iterable[str]) -> dict[str, UUID]:
    """`order_shipped` → its published version; `order_shipped@3` → that version, unless it is a draft. At most one
    query.
    """
    return kept("templates", names, _read_template_ids)


def _read_template_ids(wanted: set[str]) -> dict[str, UUID]:
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
    found: dict[str, UUID] = {}
    for row in db.session.execute(
        sa.select(Template.id, Template.key, Template.version, Template.status).where(sa.or_(*conditions))
    ):
        if row.status == "published" and row.key in plain:
            found[row.key] = row.id
        if (row.key, row.version) in pairs:
            found[f"{row.key}@{row.version}"] = row.id
    return found
