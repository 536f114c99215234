"""Uploaded images for the console, and where they are used."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.core.experiments import STOPPED
from notifier.core.wording import DRAFT, PUBLISHED, TEXTS
from notifier.ground.extensions import db
from notifier.models import Brand, Experiment, ExperimentVariant, Image, Template, TemplateContent

MOST_SHOWN = 50
_ADDRESSED = re.compile(r"/images/([0-9a-f]{32})\.")


@dataclass(frozen=True, slots=True)
class Use:
    """A version of a template that refers to an image. `is_sent`: people get it, as published or in an experiment."""

    key: str
    version: int
    is_sent: bool


@dataclass(frozen=True, slots=True)
class Page:
    images: Sequence[Image]
    next: str | None


def page(after: str | None) -> Page:
    """Newest first. Raises Rejected('not_found') for a cursor that is none."""
    statement = sa.select(Image).order_by(Image.created_at.desc(), Image.digest).limit(MOST_SHOWN + 1)
    if after:
        last = one(after)
        is_older = sa.or_(
            Image.created_at < last.created_at,
            sa.and_(Image.created_at == last.created_at, Image.digest > last.digest),
        )
        statement = statement.where(is_older)
    found = list(db.session.scalars(statement))
    return Page(found[:MOST_SHOWN], found[MOST_SHOWN - 1].digest if len(found) > MOST_SHOWN else None)


def one(digest: str) -> Image:
    """Raises Rejected('not_found')."""
    found = db.session.get(Image, digest)
    if found is None:
        raise Rejected("not_found", f"there is no image {digest[:80]!r}")
    return found


def is_a_logo(digest: str) -> bool:
    """Whether the brand of the installation or a producer refers to it."""
    refers = Brand.logo.contains(f"/images/{digest}.", autoescape=True)
    return db.session.scalar(sa.select(Brand.id).where(refers).limit(1)) is not None


def uses() -> Mapping[str, Sequence[Use]]:
    """digest → the templates that refer to it: published versions, variants of experiments, and drafts."""
    running = sa.select(ExperimentVariant.template_id).join(Experiment).where(Experiment.status != STOPPED)
    is_sent = sa.or_(Template.status == PUBLISHED, Template.id.in_(running))
    texts = [getattr(TemplateContent, name) for name in TEXTS]
    extra = sa.cast(TemplateContent.extra, sa.Text)
    statement = (
        sa.select(Template.key, Template.version, is_sent.label("is_sent"), *texts, extra.label("extra"))
        .join(TemplateContent, TemplateContent.template_id == Template.id)
        .where(sa.or_(is_sent, Template.status == DRAFT))
        .where(sa.or_(*(text.contains("/images/") for text in (*texts, extra))))
    )
    found: defaultdict[str, set[Use]] = defaultdict(set)
    for row in db.session.execute(statement):
        for text in (*(getattr(row, name) for name in TEXTS), row.extra):
            for digest in _ADDRESSED.findall(text or ""):
                found[digest].add(Use(row.key, row.version, row.is_sent))
    return {digest: sorted(those, key=lambda use: (use.key, use.version)) for digest, those in found.items()}
