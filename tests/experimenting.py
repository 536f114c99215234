"""A template that is tried in two variants, for tests."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.catalogue import experiments, templates
from notifier.catalogue.experiments import Proposal
from notifier.catalogue.known import load_wordings
from notifier.core import experiments as rules
from notifier.core.wording import Words
from notifier.ground import kept
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import (
    BroadcastVariant,
    Experiment,
    ExperimentVariant,
    Notification,
    Submission,
    Template,
)

KEY = "waves"  # a template that submissions of any type may name
PLAIN = Words("Plain {{ actor }}", body="plain")
BOLD = Words("Bold {{ actor }}", body="bold")


@pytest.fixture
def waves(app: APIFlask) -> Iterator[str]:
    """Published; no experiment yet. Nothing of it stays."""
    templates.publish(KEY, templates.create(KEY, {("*", "en"): PLAIN}))
    yield KEY
    db.session.rollback()
    with transaction() as session:
        for table in (BroadcastVariant, Notification, Submission, Experiment):
            session.execute(sa.delete(table))
        session.execute(sa.delete(Template).where(Template.key == KEY))
    kept.forget()


def begin(weight: int = 50, *, goal: str = "opened") -> None:
    experiments.add(KEY, Proposal("b", weight, {("*", "en"): BOLD}, goal=goal), starts=True)


def dealt(*names: str, wanted: int = 1) -> list[str]:
    """People who get each of these variants: so many of each, one after the other."""
    db.session.rollback()
    experiment = running()
    found: dict[str, list[str]] = {name: [] for name in names}
    number = 0
    while any(len(people) < wanted for people in found.values()):
        user_id, number = f"p{number}", number + 1
        name = experiment.variant_for(user_id).name
        if name in found and len(found[name]) < wanted:
            found[name].append(user_id)
    return [user_id for people in found.values() for user_id in people]


def running() -> rules.Experiment:
    experiment = load_wordings([KEY])[KEY].experiment
    assert experiment is not None
    return experiment


def variants() -> dict[str, ExperimentVariant]:
    db.session.rollback()
    rows = db.session.scalars(sa.select(ExperimentVariant).order_by(ExperimentVariant.position))
    return {row.name: row for row in rows}
