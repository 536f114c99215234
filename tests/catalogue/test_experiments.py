"""The life of an experiment: variants are added, it is started, and stopped with what is kept."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.catalogue import experiments, templates
from notifier.catalogue.experiments import Proposal
from notifier.catalogue.known import load_wordings
from notifier.core.errors import Rejected
from notifier.core.wording import Words
from notifier.ground.extensions import db
from notifier.models import AuditEntry, Experiment
from notifier.queries import experiments as shown
from notifier.queries import templates as queries
from tests.experimenting import BOLD, KEY, PLAIN, begin, waves  # noqa: F401 (a fixture)

pytestmark = pytest.mark.usefixtures("waves")
PLACE = ("*", "en")


def states() -> dict[int, str]:
    db.session.rollback()
    return {row.version: row.status for row in queries.versions(KEY)}


def words(version: int) -> Any:
    db.session.rollback()
    return queries.source(KEY, version).contents


def current() -> tuple[str, dict[str, int], str | None]:
    """Status, weights by name, and what was kept."""
    db.session.rollback()
    found = shown.one(KEY)
    return found["status"], {one["name"]: one["weight"] for one in found["variants"]}, found["kept"]


def refusal(act: Callable[[], object]) -> tuple[str, list[str]]:
    with pytest.raises(Rejected) as refused:
        act()
    db.session.rollback()
    return refused.value.code, [fault.pointer for fault in refused.value.faults]


def test_variants_are_added_then_started_then_stopped() -> None:
    experiments.add(KEY, Proposal("b", 30, {PLACE: BOLD}))
    assert current() == ("draft", {"control": 70, "b": 30}, None)
    assert load_wordings([KEY])[KEY].experiment is None
    experiments.add(KEY, Proposal("c", 20, {PLACE: Words("Loud")}, goal="clicked"))
    experiments.start(KEY)
    assert current() == ("running", {"control": 50, "b": 30, "c": 20}, None)
    running = load_wordings([KEY])[KEY].experiment
    assert running is not None
    assert [variant.name for variant in running.variants] == ["control", "b", "c"]
    assert load_wordings([f"{KEY}@1"])[f"{KEY}@1"].experiment is None  # that very version was asked for
    assert states() == {1: "published", 2: "variant", 3: "variant"}
    experiments.stop(KEY, "b")
    assert current() == ("stopped", {"control": 50, "b": 30, "c": 20}, "b")
    assert (states(), words(2)) == ({1: "archived", 2: "published", 3: "archived"}, {PLACE: BOLD})
    assert load_wordings([KEY])[KEY].experiment is None
    told = db.session.execute(
        sa.select(AuditEntry.action, AuditEntry.after).where(AuditEntry.subject == KEY).order_by(AuditEntry.id)
    ).all()
    assert [entry.action for entry in told if entry.action.startswith("experiment")] == [
        *("experiment.variant_added",) * 2,
        "experiment.started",
        "experiment.stopped",
    ]
    assert told[-1].after == {"status": "stopped", "kept": "b", "published": 2}


def test_the_control_may_be_kept_and_another_experiment_begun() -> None:
    begin()
    experiments.stop(KEY, "control")
    assert states() == {1: "published", 2: "archived"}
    begin(10)
    assert (current(), states()[3]) == (("running", {"control": 90, "b": 10}, None), "variant")


def test_a_draft_becomes_a_variant() -> None:
    draft = templates.create(KEY)
    templates.save(KEY, draft, {PLACE: BOLD})
    assert experiments.add(KEY, Proposal("b", 50, version=draft), starts=True) == draft
    assert states() == {1: "published", draft: "variant"}
    # It never changes from now on, nor is another one published in its place
    for act in (
        lambda: templates.save(KEY, draft, {PLACE: PLAIN}),
        lambda: templates.publish(KEY, draft),
        lambda: templates.publish(KEY, templates.create(KEY)),
    ):
        assert refusal(act)[0] == "conflict"


def test_a_variant_says_what_the_control_says_on_channels_that_it_does_not_mention() -> None:
    html = Words("Mail", html="<p>Mail</p>")
    templates.publish(KEY, templates.create(KEY, {PLACE: PLAIN, ("email", "en"): html, ("email", "de"): html}))
    version = experiments.add(KEY, Proposal("b", 50, {PLACE: BOLD}))
    assert words(version) == {PLACE: BOLD, ("email", "en"): html, ("email", "de"): html}


def test_a_variant_must_have_the_controls_languages_on_the_channels_it_mentions() -> None:
    templates.publish(KEY, templates.create(KEY, {PLACE: PLAIN, ("*", "de"): PLAIN}))
    assert refusal(lambda: experiments.add(KEY, Proposal("b", 50, {PLACE: BOLD}))) == (
        "validation_failed",
        ["/contents"],
    )
    assert states() == {1: "archived", 2: "published"}


@pytest.mark.parametrize(
    ("proposal", "code", "pointers"),
    [
        (Proposal("B!", 50, {PLACE: BOLD}), "validation_failed", ["/name"]),
        (Proposal("control", 50, {PLACE: BOLD}), "validation_failed", ["/name"]),
        (Proposal("b", 0, {PLACE: BOLD}), "validation_failed", ["/weight"]),
        (Proposal("b", 100, {PLACE: BOLD}), "validation_failed", ["/weight"]),
        (Proposal("c", 70, {PLACE: BOLD}), "validation_failed", ["/weight"]),
        (Proposal("a", 10, {PLACE: BOLD}), "validation_failed", ["/name"]),
        (Proposal("b", 50, {PLACE: BOLD}, goal="bought"), "validation_failed", ["/goal"]),
        (Proposal("b", 50), "validation_failed", ["/contents"]),
        (Proposal("b", 50, {PLACE: BOLD}, version=1), "validation_failed", ["/contents"]),
        (Proposal("b", 50, {}), "validation_failed", ["/contents"]),
        (Proposal("b", 50, {PLACE: Words("{% if %}")}), "validation_failed", ["/contents/0/title"]),
        (Proposal("b", 50, {("pigeon", "en"): BOLD}), "validation_failed", ["/contents/0/channel"]),
        (Proposal("b", 50, version=1), "validation_failed", ["/version"]),
        (Proposal("b", 50, version=2**40), "validation_failed", ["/version"]),
    ],
)
def test_a_fault_is_named_and_nothing_is_stored(proposal: Proposal, code: str, pointers: list[str]) -> None:
    experiments.add(KEY, Proposal("a", 40, {PLACE: BOLD}))
    before = states(), current()
    assert refusal(lambda: experiments.add(KEY, proposal)) == (code, pointers)
    assert (states(), current()) == before


def test_what_cannot_be_done_now_is_refused() -> None:
    assert refusal(lambda: experiments.add("unheard_of", Proposal("b", 50, {PLACE: BOLD})))[0] == "not_found"
    assert refusal(lambda: experiments.start(KEY))[0] == "not_found"
    assert refusal(lambda: experiments.stop(KEY, "control"))[0] == "not_found"
    begin()
    assert refusal(lambda: experiments.start(KEY))[0] == "conflict"
    assert refusal(lambda: experiments.add(KEY, Proposal("c", 10, {PLACE: BOLD})))[0] == "conflict"
    assert refusal(lambda: experiments.stop(KEY, "c")) == ("validation_failed", ["/keep"])
    experiments.stop(KEY, "b")
    assert refusal(lambda: experiments.stop(KEY, "control"))[0] == "conflict"
    assert (current()[2], states()) == ("b", {1: "archived", 2: "published"})


@pytest.mark.parametrize("act", ["begin", "stop"])
def test_of_two_admins_at_once_one_has_their_way(app: APIFlask, act: str) -> None:
    drafts = [templates.create(KEY) for _ in range(3)]
    if act == "stop":
        begin()
    answers: list[str] = []

    def go(number: int) -> None:
        with app.app_context():
            try:
                if act == "begin":
                    experiments.add(KEY, Proposal(f"v{number}", 50, version=drafts[number]), starts=True)
                else:
                    experiments.stop(KEY, ("b", "control")[number % 2])
                answers.append("done")
            except Rejected as refused:
                answers.append(refused.code)
            db.session.remove()

    threads = [threading.Thread(target=go, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["conflict", "conflict", "done"]
    db.session.rollback()
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Experiment)) == 1
    assert sorted(states().values()).count("published") == 1


def test_what_is_started_or_stopped_is_what_was_looked_at() -> None:
    def seen() -> str:
        db.session.rollback()
        return shown.revision_of(shown.one(KEY))

    experiments.add(KEY, Proposal("b", 30, {PLACE: BOLD}))
    one_variant = seen()
    experiments.add(KEY, Proposal("c", 20, {PLACE: Words("Loud")}))
    assert refusal(lambda: experiments.start(KEY, seen=one_variant)) == ("conflict", [])
    prepared = seen()
    experiments.start(KEY, seen=prepared)
    assert refusal(lambda: experiments.stop(KEY, "b", seen=prepared)) == ("conflict", [])
    running = seen()
    experiments.stop(KEY, "control", seen=running)
    begin()  # another one, with a variant of the same name
    assert refusal(lambda: experiments.stop(KEY, "b", seen=running)) == ("conflict", [])
    assert current() == ("running", {"control": 50, "b": 50}, None)
