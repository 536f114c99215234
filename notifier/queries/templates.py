"""Templates for the editor and the API: the keys with their versions, and one version with its texts."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.core.wording import DRAFT, FIELDS, PUBLISHED, TemplateSource, Words
from notifier.ground.extensions import db
from notifier.models import EventType, Template, TemplateContent
from notifier.queries import about
from notifier.queries.titles import of_type

_LAST_VERSION = 2**31 - 1  # what both databases can count to


@dataclass(frozen=True, slots=True)
class Line:
    """One key in the list. `published` and `draft` are versions; `titles` those of the type that goes by this name."""

    key: str
    titles: dict[str, str] | None
    published: int | None
    draft: int | None
    versions: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Version:
    id: UUID
    version: int
    status: str
    created_at: datetime
    published_at: datetime | None
    contents: int


def lines(text: str = "", status: str | None = None) -> list[Line]:
    """Every key, sorted. `text`: a part of the key, or of its name, description or metadata; `status` draft: only keys
    with a draft newer than the published version.
    """

    def of(status: str) -> sa.ColumnElement[int]:
        return sa.func.max(sa.case((Template.status == status, Template.version)))

    latest = sa.func.max(sa.func.coalesce(Template.published_at, Template.created_at))
    statement = (
        sa.select(
            Template.key,
            of(PUBLISHED).label("published"),
            of(DRAFT).label("draft"),
            sa.func.count().label("versions"),
            latest.label("changed_at"),
        )
        .group_by(Template.key)
        .order_by(Template.key)
    )
    if text:
        named = about.keys_with(text)
        statement = statement.where(sa.or_(Template.key.icontains(text, autoescape=True), Template.key.in_(named)))
    rows = db.session.execute(statement).all()
    titles = {row.key: row.titles for row in db.session.execute(sa.select(EventType.key, EventType.titles))}
    found = [
        Line(
            row.key, titles.get(row.key), row.published, _newer(row.draft, row.published), row.versions, row.changed_at
        )
        for row in rows
    ]
    return [line for line in found if status != DRAFT or line.draft]


def _newer(draft: int | None, published: int | None) -> int | None:
    return draft if draft and draft > (published or 0) else None


def versions(key: str) -> list[Version]:
    """Newest first. Raises Rejected('not_found') for a key that has none."""
    counts = (
        sa.select(sa.func.count())
        .where(TemplateContent.template_id == Template.id)
        .correlate(Template)
        .scalar_subquery()
    )
    columns = (
        Template.id,
        Template.version,
        Template.status,
        Template.created_at,
        Template.published_at,
        counts.label("contents"),
    )
    rows = db.session.execute(sa.select(*columns).where(Template.key == key).order_by(Template.version.desc())).all()
    if not rows:
        raise Rejected("not_found", f"there is no template {key[:80]!r}")
    return [Version(*row) for row in rows]


def source(key: str, version: int) -> TemplateSource:
    """Raises Rejected('not_found')."""
    row = (
        db.session.execute(sa.select(Template.id).where(Template.key == key, Template.version == version)).first()
        if version <= _LAST_VERSION
        else None
    )
    if row is None:
        raise Rejected("not_found", f"there is no template '{key[:80]}@{version}'")
    contents = db.session.scalars(
        sa.select(TemplateContent)
        .where(TemplateContent.template_id == row.id)
        .order_by(TemplateContent.channel, TemplateContent.locale)
        .execution_options(populate_existing=True)
    )
    words = {
        (content.channel, content.locale): Words(**{name: getattr(content, name) for name in FIELDS})
        for content in contents
    }
    return TemplateSource(row.id, key, version, words)


def languages() -> dict[str, list[str]]:
    """The languages of each published template."""
    found: dict[str, list[str]] = {}
    rows = db.session.execute(
        sa.select(Template.key, TemplateContent.locale)
        .join(TemplateContent, TemplateContent.template_id == Template.id)
        .where(Template.status == PUBLISHED)
        .distinct()
        .order_by(Template.key, TemplateContent.locale)
    )
    for key, locale in rows:
        found.setdefault(key, []).append(locale)
    return found


def type_of(key: str) -> EventType | None:
    """The type that goes by a template's name."""
    return db.session.get(EventType, key)


def type_names() -> list[tuple[str, str]]:
    """Each type's key, and its title with the key beside it."""
    rows = db.session.execute(sa.select(EventType.key, EventType.titles).order_by(EventType.key))
    return [(row.key, f"{of_type(row.key, row.titles)} ({row.key})") for row in rows]
