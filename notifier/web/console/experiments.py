"""Experiments on a template's page: variants are made of drafts, started, compared, and the better one is kept.

Viewers look; admins act. What is kept is asked for on a page of its own, since everybody gets it from then on.
"""

from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import IntegerField, RadioField, SelectField, StringField
from wtforms.fields import SelectChoice
from wtforms.validators import DataRequired, InputRequired, Length

from notifier.catalogue import experiments
from notifier.catalogue.experiments import Proposal
from notifier.core.errors import Rejected
from notifier.core.experiments import CLICKED, OPENED, STOPPED
from notifier.core.wording import DRAFT, PUBLISHED
from notifier.queries import about, templates
from notifier.queries import experiments as queries
from notifier.web.access import allow, page_blueprint
from notifier.web.forms import ConsoleForm, said, stripped

pages = page_blueprint("experiments", url_prefix="/admin/templates")


class VariantForm(ConsoleForm):
    version = SelectField("Words of", coerce=int, validate_choice=False)
    name = StringField("Name", [DataRequired("Give it a name."), Length(max=32)], filters=[stripped])
    weight = IntegerField("Share of the people, in percent", [InputRequired("Say how many people get it.")], default=50)
    goal = RadioField(
        "Compare by", choices=[SelectChoice(OPENED, "who opens"), SelectChoice(CLICKED, "who clicks")], default=OPENED
    )


def template_page(key: str, form: VariantForm | None = None) -> str:
    """A template's versions, and its experiment."""
    versions, experiment = templates.versions(key), queries.last(key)
    is_under_way = experiment is not None and experiment["status"] != STOPPED
    form = form or VariantForm(formdata=None, data={"goal": experiment["goal"]} if experiment and is_under_way else {})
    form.version.choices = [
        SelectChoice(row.version, f"Draft {row.version}") for row in versions if row.status == DRAFT
    ]
    return render_template(
        "admin/template.html",
        key=key,
        versions=versions,
        about=about.one(key),
        type=templates.type_of(key),
        experiment=experiment,
        is_under_way=is_under_way,
        is_published=any(row.status == PUBLISHED for row in versions),
        form=form,
        lines=_lines(experiment) if experiment else [],
        seen=queries.revision_of(experiment) if experiment else None,
    )


def _lines(experiment: dict[str, Any]) -> list[dict[str, Any]]:
    """The variants, and where to draw their rates: percents of the width, which is the highest end of an interval."""
    widest = max((one["interval"][1] for one in experiment["variants"] if one["interval"]), default=0.0) or 1.0
    return [
        {
            **one,
            "drawn": None
            if one["interval"] is None
            else {
                "low": 100 * one["interval"][0] / widest,
                "high": 100 * one["interval"][1] / widest,
                "rate": 100 * one["rate"] / widest,
            },
        }
        for one in experiment["variants"]
    ]


@pages.post("/<key>/experiment/variants")
@allow("admin")
def add(key: str) -> ResponseReturnValue:
    templates.versions(key)  # there is such a template
    form = VariantForm()
    try:
        form.check()
        proposal = Proposal(form.name.data, form.weight.data, version=form.version.data, goal=form.goal.data)
        experiments.add(key, proposal)
    except Rejected as error:
        return template_page(key, form.refuse(error, {"/contents": "version"})), 422
    flash(f"{form.name.data} is a variant now. Nobody gets it before you start.")
    return _back(key)


@pages.post("/<key>/experiment/start")
@allow("admin")
def start(key: str) -> ResponseReturnValue:
    try:
        experiments.start(key, seen=request.form.get("seen"))
        flash("It is running: each person gets one of the variants, always the same.")
    except Rejected as error:
        _refused(error)
    return _back(key)


@pages.get("/<key>/experiment/keep/<name>")
@allow("admin")
def ask_to_keep(key: str, name: str) -> ResponseReturnValue:
    experiment = queries.one(key)
    variant = next((one for one in experiment["variants"] if one["name"] == name), None) or abort(404)
    if experiment["status"] == STOPPED:
        flash("It has been stopped already: there is nothing to do.", "warning")
        return _back(key)
    seen = queries.revision_of(experiment)
    return render_template("admin/experiment_keep.html", key=key, experiment=experiment, variant=variant, seen=seen)


@pages.post("/<key>/experiment/keep/<name>")
@allow("admin")
def keep(key: str, name: str) -> ResponseReturnValue:
    try:
        experiments.stop(key, name, seen=request.form.get("seen"))
        flash(f"The experiment has ended. From now on everybody gets {name}.")
    except Rejected as error:
        _refused(error)
    return _back(key)


def _refused(error: Rejected) -> None:
    if error.code == "not_found":
        raise error
    flash(said(error.detail), "error")


def _back(key: str) -> ResponseReturnValue:
    return redirect(url_for("templates.one", key=key, _anchor="experiment"), 303)
