"""The preference page's grid: categories as sections, event types as rows, channels as columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from notifier.channels import CHANNELS
from notifier.core.preferences import CATEGORIES, EVERY_CHANNEL
from notifier.extensions import db
from notifier.models import Address, EventType, Preference


@dataclass(frozen=True, slots=True)
class Cell:
    """One switch. A locked one is mandatory; `because` is the rule of core.preferences that spoke."""

    channel: str
    is_on: bool
    is_locked: bool
    because: str


@dataclass(frozen=True, slots=True)
class Row:
    type: str
    title: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Section:
    category: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    channels: tuple[str, ...]
    sections: tuple[Section, ...]


def grid_of(user_id: str, document: Mapping[str, Any], *, is_admin: bool = False, language: str = "en") -> Grid:
    """`document` is that of queries.preferences. Rows: types that may reach the person, so those for admins for them only.
    Columns: the channels that these types use by themselves, that the person has an address on, or has made a choice about.
    """
    query = sa.select(EventType).order_by(EventType.key)
    types = db.session.scalars(query if is_admin else query.where(EventType.to_admins.is_(False))).all()
    columns = _columns(user_id, document, types)
    effective = document["effective"]
    sections = []
    for category in CATEGORIES:
        rows = tuple(
            Row(type.key, type.titles.get(language) or type.titles.get("en") or type.key, tuple(_cell(effective[type.key], name) for name in columns))
            for type in types
            if type.category == category
        )
        if rows:
            sections.append(Section(category, rows))
    return Grid(columns, tuple(sections))


def types_allowed_by_name(user_id: str, category: str, channel: str) -> list[str]:
    """The types of the category that the person has switched on one by one, which outweighs a choice for the category."""
    document = db.session.scalar(sa.select(Preference.document).where(Preference.user_id == user_id)) or {}
    chosen = {key for key, switches in document.get("types", {}).items() if switches.get(channel, switches.get(EVERY_CHANNEL))}
    return list(db.session.scalars(sa.select(EventType.key).where(EventType.key.in_(chosen), EventType.category == category))) if chosen else []


def _columns(user_id: str, document: Mapping[str, Any], types: Any) -> tuple[str, ...]:
    used = {channel for type in types for channel in type.channels}
    used |= set(db.session.scalars(sa.select(Address.channel).where(Address.user_id == user_id, Address.disabled_at.is_(None)).distinct()))
    used |= document["channels"].keys()
    for switches in (*document["categories"].values(), *document["types"].values()):
        used |= switches.keys()
    return tuple(name for name in CHANNELS if name in used)


def _cell(row: Mapping[str, Any], channel: str) -> Cell:
    answer = row[channel]
    return Cell(channel, answer["enabled"], answer["because"] == "mandatory", answer["because"])
