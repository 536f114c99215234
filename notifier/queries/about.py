"""What people keep about templates: name, description, metadata."""

from collections.abc import Collection

import sqlalchemy as sa

from notifier.core.wording import About
from notifier.ground.extensions import db
from notifier.models import TemplateAbout


def load(keys: Collection[str] | None = None) -> dict[str, About]:
    """By template, for those that have any; of all templates without `keys`. One query."""
    statement = sa.select(TemplateAbout.key, TemplateAbout.name, TemplateAbout.description, TemplateAbout.pairs)
    if keys is not None:
        statement = statement.where(TemplateAbout.key.in_(keys))
    rows = db.session.execute(statement)
    return {key: About(name, description, pairs) for key, name, description, pairs in rows}


def one(key: str) -> About:
    return load([key]).get(key, About())


def keys_with(text: str) -> set[str]:
    """The templates in whose name, description or metadata a text occurs, in either case."""
    wanted = text.lower()
    return {
        key
        for key, about in load().items()
        if any(wanted in part.lower() for part in (about.name, about.description, *sum(about.metadata.items(), ())))
    }
