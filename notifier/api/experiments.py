"""Experiments with templates: variants, results, and keeping the better one."""

from flask import Response

from notifier.api.answers import answer
from notifier.api.auth import Door, allow
from notifier.api.schemas.experiments import ExperimentOut, KeepIn, VariantIn
from notifier.api.templates import check_owner, contents_of
from notifier.catalogue import experiments
from notifier.catalogue.experiments import Proposal
from notifier.queries import experiments as queries

bp = Door("api_experiments", __name__, url_prefix="/api/v1/templates", tag="Templates")


@bp.post("/<name>/variants")
@allow("templates", is_live_only=True)
@bp.input(VariantIn)
@bp.output(ExperimentOut, 201)
def add_variant(name: str, json_data: VariantIn) -> Response:
    """Try other words for a template

    The first variant begins an experiment: from its start on, each person gets the published version or a variant,
    always the same one. Meanwhile no version can be published. Needs the scopes that publishing the template needs.
    """
    check_owner(name)
    contents = None if json_data.contents is None else contents_of(json_data.contents)
    proposal = Proposal(json_data.name, json_data.weight, contents, json_data.version, json_data.goal)
    experiments.add(name, proposal, starts=json_data.start)
    return answer(queries.one(name), 201)


@bp.get("/<name>/experiment")
@allow("read", "templates", is_live_only=True)
@bp.output(ExperimentOut)
def get_experiment(name: str) -> Response:
    """What an experiment says so far

    The one under way, else the last one. Figures are up to some seconds old.
    """
    return answer(queries.one(name))


@bp.post("/<name>/experiment/start")
@allow("templates", is_live_only=True)
@bp.output(ExperimentOut)
def start_experiment(name: str) -> Response:
    """Start an experiment that is prepared"""
    check_owner(name)
    experiments.start(name)
    return answer(queries.one(name))


@bp.post("/<name>/experiment/stop")
@allow("templates", is_live_only=True)
@bp.input(KeepIn)
@bp.output(ExperimentOut)
def stop_experiment(name: str, json_data: KeepIn) -> Response:
    """Stop an experiment, and publish what is kept"""
    check_owner(name)
    experiments.stop(name, json_data.keep)
    return answer(queries.one(name))
