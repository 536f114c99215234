"""A template that is tried in two variants, for tests."""

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.catalogue import experiments, templates
from notifier.catalogue.experiments import Proposal
from notifier.catalogue.known import load_wordings
from notifier.core import experiments as rules
from notifier.core.wording import Words
from notifier.ground.extensions import db
from notifier.models import (
    ExperimentVariant,
)

KEY = "waves"  # a template that submissions of any type may name
PLAIN = Words("Plain {{ actor }}", body="plain")
BOLD = Words("Bold {{ actor }}", body="bold")


@pytest.fixture
def waves(app: APIFlask) -> str:
    """Published; no experiment yet."""
    templates.publish(KEY, templates.create(KEY, {("*", "en"): PLAIN}))
    return KEY


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
