"""Experiments with a template: variants are added, it is started, and stopped with the variant that is kept.

Called by the console and the API. A variant is a version of the template beside the published one, the control: what is
said with it is stored, rendered and repeated like any other version. Each function that writes is one transaction,
which locks the versions of the key and writes a line of the audit trail. `core.experiments` deals variants to people,
`pipeline.upkeep.experiment_counts` counts whom they reach, `queries.experiments` reads.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session

from notifier.catalogue import templates
from notifier.catalogue.templates import Contents, Place, refused
from notifier.core.errors import Fault, Rejected
from notifier.core.experiments import (
    ALL_WEIGHT,
    CONTROL,
    GOALS,
    MOST_VARIANTS,
    OPENED,
    PREPARED,
    RUNNING,
    STOPPED,
)
from notifier.core.wording import ARCHIVED, DRAFT, PUBLISHED, VARIANT, Words
from notifier.ground import kept
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit, event_readers
from notifier.models import Experiment, ExperimentVariant, Template
from notifier.queries import experiments as queries

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A variant as somebody asks for it: with these words, or with those of the draft `version`. `goal` None: as it is,
    or opened.
    """

    name: str
    weight: int
    contents: Contents | None = None
    version: int | None = None
    goal: str | None = None


def add(key: str, proposal: Proposal, *, starts: bool = False) -> int:
    """Adds a variant to the template's experiment, which begins with its first one; `starts`: starts it, too. → the
    variant's version. Channels for which it has no words say what the control says. Raises Rejected.

    None is added once it is running: people would change from one variant to another.
    """
    if faults := _faults(proposal):
        raise refused(*faults)
    control, mine = _published(key), _mine(key, proposal)
    words = _filled_up(mine, templates.contents_of(db.session, control.id))
    control_id = control.id
    templates.check(key, words, is_whole=True)
    db.session.close()
    try:
        with transaction() as session:
            versions = templates.versions_of(session, key)
            experiment = _current(session, key)
            if experiment is not None and experiment.status == RUNNING:
                raise Rejected(
                    "conflict",
                    "it is running: another variant would change what people get; stop it, and begin another one",
                )
            if not any(row.id == control_id and row.status == PUBLISHED for row in versions.values()):
                raise Rejected("conflict", f"somebody else has just published another {key}; look at it first")
            row = _row(session, key, proposal, versions, mine)
            session.flush()
            before = templates.contents_of(session, row.id)
            lacking = {place: text for place, text in words.items() if place not in before}
            templates.add_contents(session, row.id, lacking)
            experiment = experiment or _begin(session, key, control_id)
            experiment.goal = proposal.goal or experiment.goal
            _add_variant(session, experiment, proposal, row)
            about = {"name": proposal.name, "weight": proposal.weight, "version": row.version, "goal": experiment.goal}
            audit.write("experiment.variant_added", key, after=about)
            version = row.version
            if starts:
                _start(session, experiment)
    except IntegrityError:
        raise Rejected("conflict", f"somebody else has just changed {key}; look at it first") from None
    kept.forget()
    return version


def start(key: str, *, seen: str | None = None) -> None:
    """From now on each person gets their variant. `seen`: the `queries.experiments.revision_of` the experiment as
    somebody looked at it. Raises Rejected, also if it is another one by now.
    """
    with transaction() as session:
        templates.versions_of(session, key)
        experiment = _needed(session, key, {PREPARED})
        _refuse_unseen(key, seen)
        _start(session, experiment)
    kept.forget()


def stop(key: str, keep: str, *, seen: str | None = None) -> None:
    """Publishes the variant `keep`, unless that is the control, which is published already; nobody gets another one any
    more. One that has not been started can be stopped, too. `seen`: as of `start`. Raises Rejected.
    """
    try:
        with transaction() as session:
            versions = templates.versions_of(session, key)
            rows = {row.id: row for row in versions.values()}
            experiment = _needed(session, key, {PREPARED, RUNNING})
            _refuse_unseen(key, seen)
            variants = _variants(session, experiment)
            chosen = next((one for one in variants if one.name == keep), None)
            if chosen is None:
                names = ", ".join(one.name for one in variants)
                raise refused(Fault("/keep", "unknown_variant", f"{keep[:32]!r} is none of {names}"))
            published = rows[chosen.template_id]
            if published.status != PUBLISHED:
                templates.put_in_use(session, versions, published)
            for one in variants:
                if one.template_id != chosen.template_id:
                    rows[one.template_id].status = ARCHIVED
            before = {"status": experiment.status}
            experiment.status, experiment.kept, experiment.stopped_at = STOPPED, keep, now()
            if experiment.started_at is None:
                experiment.counted_at = experiment.stopped_at
            about = {"status": STOPPED, "kept": keep, "published": published.version}
            audit.write("experiment.stopped", key, before=before, after=about)
    except IntegrityError:
        raise Rejected("conflict", f"somebody else has just changed {key}; look at it first") from None
    kept.forget()


def _refuse_unseen(key: str, seen: str | None) -> None:
    """Inside a transaction that holds the versions of the key."""
    if seen is not None and queries.revision_of(queries.one(key)) != seen:
        raise Rejected("conflict", f"the experiment with {key} is another one than you looked at; look again")


def _start(session: scoped_session[Session], experiment: Experiment) -> None:
    experiment.status, experiment.started_at = RUNNING, now()
    session.flush()
    others = sa.select(Experiment.id).where(Experiment.counted_at.is_(None), Experiment.started_at.is_not(None))
    if session.scalar(others.where(Experiment.id != experiment.id)) is None:
        event_readers.begin(event_readers.EXPERIMENTS)
    shares = {one.name: one.weight for one in _variants(session, experiment)}
    audit.write("experiment.started", experiment.key, after={"variants": shares, "goal": experiment.goal})


def _faults(proposal: Proposal) -> list[Fault]:
    found = []
    if not _NAME.match(proposal.name) or proposal.name == CONTROL:
        words = f"the name is 1 to 32 of a-z 0-9 _ -, and not {CONTROL}, which is the published version"
        found.append(Fault("/name", "invalid_name", words))
    if not 0 < proposal.weight < ALL_WEIGHT:
        found.append(_too_heavy())
    if proposal.goal not in (None, *GOALS):
        found.append(Fault("/goal", "unknown_goal", f"compare by {' or '.join(GOALS)}"))
    if (proposal.contents is None) == (proposal.version is None):
        found.append(Fault("/contents", "one_of_two", "give contents, or the version of a draft"))
    return found


def _too_heavy() -> Fault:
    return Fault("/weight", "invalid_weight", f"weights are of {ALL_WEIGHT}, and something must be left to the control")


def _published(key: str) -> Template:
    row: Template | None = db.session.scalar(
        sa.select(Template).where(Template.key == key, Template.status == PUBLISHED)
    )
    if row is None:
        raise Rejected("not_found", f"there is no published template {key[:80]!r} to compare with")
    return row


def _mine(key: str, proposal: Proposal) -> Contents:
    if proposal.version is None:
        mine = proposal.contents or {}
        if faults := templates.place_faults(list(mine)):
            raise refused(*faults)
    else:
        row = db.session.scalar(
            sa.select(Template).where(
                Template.key == key, Template.version == min(proposal.version, templates.LAST_VERSION)
            )
        )
        if row is None or row.status != DRAFT:
            raise refused(Fault("/version", "no_draft", f"there is no draft '{key[:80]}@{proposal.version}'"))
        mine = templates.contents_of(db.session, row.id)
    if not mine:
        raise refused(Fault("/contents", "empty", "write something first: it has no words for any channel"))
    return mine


def _filled_up(mine: Contents, control: Contents) -> dict[Place, Words]:
    """With the control's words for channels that it does not mention. A channel that it does mention must have all the
    control's languages: else their readers would get another language, and the figures would compare languages.
    """
    channels = {channel for channel, _ in mine}
    lacking = sorted(place for place in control.keys() - mine.keys() if place[0] in channels)
    if lacking:
        places = ", ".join(templates.place_name(place) for place in lacking[:5])
        raise refused(Fault("/contents", "missing_language", f"the control has {places}: write that here, too"))
    return {**{place: words for place, words in control.items() if place[0] not in channels}, **mine}


def _row(
    session: scoped_session[Session], key: str, proposal: Proposal, versions: Mapping[int, Template], mine: Contents
) -> Template:
    """The version that becomes the variant."""
    if proposal.version is None:
        row = Template(key=key, version=max(versions) + 1, status=VARIANT)
        session.add(row)
        session.flush()
        templates.add_contents(session, row.id, mine)
        return row
    row = versions[proposal.version]
    if row.status != DRAFT or templates.contents_of(session, row.id) != mine:
        raise Rejected("conflict", f"somebody else has just changed version {row.version} of {key}; look at it first")
    row.status = VARIANT
    return row


def _begin(session: scoped_session[Session], key: str, control_id: Any) -> Experiment:
    experiment = Experiment(key=key, goal=OPENED, status=PREPARED)
    session.add(experiment)
    session.flush()
    control = ExperimentVariant(experiment_id=experiment.id, position=0, name=CONTROL, weight=ALL_WEIGHT)
    control.template_id = control_id
    session.add(control)
    session.flush()
    return experiment


def _add_variant(session: scoped_session[Session], experiment: Experiment, proposal: Proposal, row: Template) -> None:
    """Its weight is taken from the control's."""
    control, *others = _variants(session, experiment)
    if any(one.name == proposal.name for one in others):
        raise refused(Fault("/name", "duplicate", f"there is a variant {proposal.name!r} already"))
    if len(others) >= MOST_VARIANTS:
        raise refused(Fault("/name", "too_many", f"at most {MOST_VARIANTS} are compared with the control"))
    if control.weight <= proposal.weight:
        raise refused(_too_heavy())
    control.weight -= proposal.weight
    session.add(
        ExperimentVariant(
            experiment_id=experiment.id,
            position=len(others) + 1,
            name=proposal.name,
            weight=proposal.weight,
            template_id=row.id,
        )
    )
    session.flush()


def _current(session: scoped_session[Session], key: str) -> Experiment | None:
    """The one that has not been stopped. The versions of the key are locked, so nobody changes it meanwhile."""
    chosen = sa.select(Experiment).where(Experiment.key == key, Experiment.status != STOPPED)
    found: Experiment | None = session.scalar(chosen.execution_options(populate_existing=True))
    return found


def _needed(session: scoped_session[Session], key: str, statuses: Iterable[str]) -> Experiment:
    found = _current(session, key)
    if found is not None and found.status in statuses:
        return found
    if found is not None:
        raise Rejected("conflict", f"the experiment with {key} is {found.status} already")
    if session.scalar(sa.select(Experiment.id).where(Experiment.key == key).limit(1)) is not None:
        raise Rejected("conflict", f"the experiment with {key} has been stopped already")
    raise Rejected("not_found", f"there is no experiment with {key[:80]!r}")


def _variants(session: scoped_session[Session], experiment: Experiment) -> Sequence[ExperimentVariant]:
    """The control first."""
    mine = sa.select(ExperimentVariant).where(ExperimentVariant.experiment_id == experiment.id)
    return session.scalars(mine.order_by(ExperimentVariant.position).execution_options(populate_existing=True)).all()
