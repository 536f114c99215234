"""Event types and templates for the API and the console."""

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.core.submission import OWN_TYPES
from notifier.core.wording import TEXTS, About
from notifier.ground import shapes
from notifier.ground.extensions import db
from notifier.models import EventType, Template, TemplateContent
from notifier.queries import about
from notifier.queries.titles import of_type

_CONTENT = ("channel", "locale", *TEXTS)


def all_types() -> list[dict[str, Any]]:
    """The types that a producer may submit."""
    return [
        type_json(row)
        for row in db.session.scalars(sa.select(EventType).where(~EventType.is_internal).order_by(EventType.key))
    ]


def known_keys() -> list[str]:
    """The keys of all types that a producer may submit, for lists to choose from."""
    return list(db.session.scalars(sa.select(EventType.key).where(~EventType.is_internal).order_by(EventType.key)))


def names() -> dict[str, str]:
    """Key → what to choose the type by, its title with the key beside it: the types of `known_keys`, by key."""
    rows = db.session.execute(
        sa.select(EventType.key, EventType.titles).where(~EventType.is_internal).order_by(EventType.key)
    )
    return {row.key: f"{of_type(row.key, row.titles)} ({row.key})" for row in rows}


def keys_for_audiences() -> list[str]:
    """Those of them that a broadcast may have: none that goes to the admins."""
    statement = sa.select(EventType.key).where(~EventType.is_internal, ~EventType.to_admins)
    return [key for key in db.session.scalars(statement.order_by(EventType.key)) if key not in OWN_TYPES]


def internal_keys() -> set[str]:
    """The types that only the product submits. Their data are codes and links for one person: nobody else sees them."""
    return set(db.session.scalars(sa.select(EventType.key).where(EventType.is_internal)))


def keys_of_everybody() -> set[str]:
    """The types whose messages reach people whatever they chose: the product's own, mandatory ones, those of category
    system, and those that go to the admins.
    """
    return set(
        db.session.scalars(
            sa.select(EventType.key).where(
                sa.or_(
                    EventType.is_internal,
                    EventType.is_mandatory,
                    EventType.category == "system",
                    EventType.to_admins,
                )
            )
        )
    )


def one_type(key: str) -> dict[str, Any]:
    """Raises Rejected('not_found')."""
    return type_json(row_of(key))


def row_of(key: str) -> EventType:
    """Raises Rejected('not_found')."""
    row = db.session.scalar(sa.select(EventType).where(EventType.key == key).execution_options(populate_existing=True))
    if row is None:
        raise Rejected("not_found", f"there is no event type {key[:80]!r}")
    return row


def category_of(key: str) -> str | None:
    return db.session.scalar(sa.select(EventType.category).where(EventType.key == key))


def priority_of(key: str) -> str | None:
    return db.session.scalar(sa.select(EventType.priority).where(EventType.key == key))


def type_json(row: EventType) -> dict[str, Any]:
    return {
        "key": row.key,
        "titles": row.titles,
        "descriptions": row.descriptions,
        "category": row.category,
        "priority": row.priority,
        "channels": row.channels,
        "schema": row.schema,
        "mandatory": row.is_mandatory,
        "to_admins": row.to_admins,
        "resend_unknown": row.resend_unknown,
        "routing": row.routing,
        "escalate_after": row.escalate_after_s,
        "dedupe_window": row.dedupe_window_s,
        "dedupe_near": row.dedupe_near,
        "tracking": {"opens": row.tracks_opens, "clicks": row.tracks_clicks},
    }


def published_templates() -> list[dict[str, Any]]:
    """The published version of every template, without its words."""
    rows = db.session.scalars(sa.select(Template).where(Template.status == "published").order_by(Template.key))
    kept = about.load()
    return [_template_json(row, kept.get(row.key)) for row in rows]


def one_template(name: str) -> dict[str, Any]:
    """`order_shipped` is the published version, `order_shipped@3` that one; with its words. Raises
    Rejected('not_found').
    """
    key, at, version = name.partition("@")
    statement = sa.select(Template).where(Template.key == key)
    if at and version.isascii() and version.isdecimal() and len(version) < 10:
        statement = statement.where(Template.version == int(version))
    else:
        statement = statement.where(Template.status == "published")
    row = None if at and not version else db.session.scalar(statement)
    if row is None:
        raise Rejected("not_found", f"there is no template {name[:80]!r}")
    contents = db.session.scalars(
        sa.select(TemplateContent)
        .where(TemplateContent.template_id == row.id)
        .order_by(TemplateContent.channel, TemplateContent.locale)
    )
    return {
        **_template_json(row, about.one(row.key)),
        "contents": [{**{name: getattr(content, name) for name in _CONTENT}, **content.extra} for content in contents],
    }


def _template_json(row: Template, kept: About | None) -> dict[str, Any]:
    return {
        "key": row.key,
        "version": row.version,
        "status": row.status,
        "created_at": shapes.timestamp(row.created_at),
        "published_at": shapes.timestamp(row.published_at),
        "about": asdict(kept or About()),
    }
