"""Experiments with templates for the API and the console: their variants, and what their figures say."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from notifier.core import experiments as rules
from notifier.core import revisions
from notifier.core.errors import Rejected
from notifier.core.experiments import CLICKED, OPENED, Tried
from notifier.ground.extensions import db
from notifier.ground.shapes import timestamp
from notifier.models import Experiment, ExperimentVariant, Template

_FIGURES = ("people", "opened", "clicked")


def one(key: str) -> dict[str, Any]:
    """The one that is under way, else the last that was. Raises Rejected('not_found') where there was none."""
    found = last(key)
    if found is None:
        raise Rejected("not_found", f"there is no experiment with {key[:80]!r}")
    return found


def last(key: str) -> dict[str, Any] | None:
    """As `one`; None where there was none."""
    newest = sa.select(Experiment.id).where(Experiment.key == key).order_by(Experiment.id.desc()).limit(1)
    statement = (
        sa.select(Experiment, ExperimentVariant, Template.version)
        .join(ExperimentVariant, ExperimentVariant.experiment_id == Experiment.id)
        .join(Template, Template.id == ExperimentVariant.template_id)
        .where(Experiment.id == newest.scalar_subquery())
        .order_by(ExperimentVariant.position)
        .execution_options(populate_existing=True)
    )
    rows = db.session.execute(statement).all()
    return _shown(rows[0][0], [(variant, version) for _, variant, version in rows]) if rows else None


def revision_of(shown: Mapping[str, Any]) -> str:
    """A short text, another one where it is another experiment, has been started or stopped, or has other variants;
    the same, whatever has been counted meanwhile.
    """
    variants = [[one[name] for name in ("name", "version", "weight")] for one in shown["variants"]]
    return revisions.revision_of(shown["created_at"], shown["status"], variants)


def of_all_cells(shown: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """An experiment as each of several cells shows it → as the first does, with the people of all. Variants go by
    name.
    """
    first = shown[0]
    variants = []
    for variant in first["variants"]:
        same = [other for one in shown for other in one["variants"] if other["name"] == variant["name"]]
        variants.append({**variant, **{name: sum(other[name] for other in same) for name in _FIGURES}})
    return {**first, **_judged(first["goal"], variants)}


def _shown(row: Experiment, variants: list[tuple[ExperimentVariant, int]]) -> dict[str, Any]:
    counted = [
        {
            "name": variant.name,
            "weight": variant.weight,
            "version": version,
            **{name: getattr(variant, name) for name in _FIGURES},
        }
        for variant, version in variants
    ]
    return {
        "template": row.key,
        "status": row.status,
        "goal": row.goal,
        "created_at": timestamp(row.created_at),
        "started_at": timestamp(row.started_at),
        "stopped_at": timestamp(row.stopped_at),
        "kept": row.kept,
        **_judged(row.goal, counted),
        "note": rules.NOTE,
    }


def _judged(goal: str, variants: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """With what their figures say."""
    tried = [Tried(one["name"], one["people"], one[CLICKED if goal == CLICKED else OPENED]) for one in variants]
    verdict = rules.judge(tried)
    return {
        "variants": [
            {**variant, "rate": one.rate, "interval": rules.interval(one.successes, one.people)}
            for variant, one in zip(variants, tried, strict=True)
        ],
        "p_value": verdict.p_value,
        "verdict": verdict.words,
    }
