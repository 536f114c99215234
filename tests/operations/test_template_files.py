"""Templates and types as files of a folder: written, compared, and taken over as a whole or not at all."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.catalogue import about, experiments, templates, toml_files
from notifier.catalogue import types as event_types
from notifier.catalogue.experiments import Proposal
from notifier.channels import FIELDS
from notifier.core.wording import TEXTS, About, Words
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import AuditEntry, EventType, Experiment, Template, TemplateAbout
from notifier.operations import template_files
from notifier.queries import about as queries
from notifier.queries import templates as sources

TYPE = """titles = { en = "Kiln" }
category = "transactional"
priority = "high"
channels = ["email"]
schema = "{}"
"""


@pytest.fixture(autouse=True)
def _leave_no_trace(app: APIFlask):
    yield
    with transaction() as session:
        for table in (EventType, Experiment, Template, TemplateAbout):
            session.execute(sa.delete(table).where(table.key.startswith("kiln")))
        session.execute(sa.delete(AuditEntry).where(AuditEntry.subject.startswith("kiln")))


def _states(outcomes: list[template_files.Outcome]) -> dict[str, str]:
    return {outcome.path.stem: outcome.state for outcome in outcomes if outcome.state != "same"}


def test_all_that_is_pulled_is_the_same_when_it_is_pushed(app: APIFlask, tmp_path: Path):
    every = Words.of(dict.fromkeys([*TEXTS, *FIELDS], "'''\r\n\\ «é»"))
    with transaction() as session:
        templates.store_published(session, "kiln", {("*", "en"): every, ("email", "en"): every, ("sms", "ar"): every})
    about.save("kiln", About("Kiln", "Fires", {"team": "glaze"}))
    assert set(_states(template_files.pull(tmp_path)).values()) == {"new"}
    assert (tmp_path / "order_shipped.toml").exists()
    assert _states(template_files.diff(tmp_path)) == {}
    assert _states(template_files.push(tmp_path, publish=True)) == {}
    assert _states(template_files.pull(tmp_path)) == {}


def test_a_file_is_published_with_its_type_and_what_is_kept_about_it(app: APIFlask, tmp_path: Path):
    words = '[about]\nname = "Kiln"\n\n[words.en."*"]\ntitle = "It fires"\n'
    (tmp_path / "kiln.toml").write_text(f"# ours\n{TYPE}\n{words}")
    assert _states(template_files.push(tmp_path, publish=False)) == {"kiln": "new"}
    assert db.session.get(EventType, "kiln") is None
    assert _states(template_files.push(tmp_path, publish=True)) == {"kiln": "new"}
    db.session.close()
    assert db.session.get_one(EventType, "kiln").channels == ["email"]
    assert db.session.scalars(sa.select(Template.status).where(Template.key == "kiln")).all() == ["published"]
    assert queries.one("kiln") == About("Kiln")
    (tmp_path / "kiln.toml").write_text('[words.en."*"]\ntitle = "It glows"\n')  # the type, and [about], stay
    [outcome] = template_files.diff(tmp_path)
    assert [line for line in outcome.lines if line[0] in "+-" and line[:3] not in ("+++", "---")] == [
        '-title = "It fires"',
        '+title = "It glows"',
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            f"{TYPE}\n[words.en.email]\ntitle = 't'\nhtml = '''\n<p>\n{{{{ x|nosuch }}}}'''\n",
            "line 11: words.en.email.html: ",
        ),
        (f'{TYPE}\n[words.en."*"]\ntitle = "{{% if %}}"\n', "line 8: words.en.*.title: "),
        (TYPE.replace('["email"]', '["fax"]'), "line 4: channels: there is no channel 'fax'"),
        (TYPE.replace('"{}"', '\'{"$ref": "http://x"}\''), "line 5: schema: references must point"),
        *(
            (TYPE.replace('"{}"', f"'{{\"const\": {bad}}}'"), "line 5: schema: it is the JSON Schema of the data")
            for bad in ("NaN", "1e999", r'"\ud800"', r'"\u0000"', r'{"\u0000": 1}')
        ),
        (TYPE.replace('"Kiln"', r'"K\u0000"'), "line 1: titles: it names the type by language"),
        (f'{TYPE}\n[descriptions]\nen = "a\\u0000"\n', "line 7: descriptions: it says by language"),
        (f"{TYPE}internal = true\n", "internal: kiln belongs to Notifier itself"),
        ('[words.xx_YY."*"]\ntitle = "t"\n', "line 1: words.xx_YY.*: 'xx_YY' is not a language"),
    ],
)
def test_of_a_bad_file_nothing_is_stored(app: APIFlask, tmp_path: Path, text: str, fault: str):
    (tmp_path / "kiln.toml").write_text(text)
    [outcome] = template_files.push(tmp_path, publish=True)
    assert (outcome.state, outcome.lines[0][: len(fault)]) == ("bad", fault)
    assert db.session.get(EventType, "kiln") is None
    assert db.session.scalar(sa.select(Template.id).where(Template.key == "kiln")) is None


def test_a_file_that_says_the_same_keeps_its_comments(app: APIFlask, tmp_path: Path):
    template_files.pull(tmp_path)
    path = tmp_path / "order_shipped.toml"
    path.write_text("# the team's own\n" + path.read_text())
    template_files.pull(tmp_path)
    assert path.read_text().startswith("# the team's own\n")
    path.write_text("no TOML")
    template_files.pull(tmp_path)
    assert toml_files.read(path.read_text()).type is not None


def test_what_a_file_leaves_out_stays_as_it_is(app: APIFlask, tmp_path: Path):
    templates.publish("kiln", templates.create("kiln", {("*", "en"): Words("It fires")}))
    about.save("kiln", About("Kiln"))
    for text, title in (('[words.en."*"]\ntitle = "It glows"\n', "It glows"), (TYPE, "It glows")):
        (tmp_path / "kiln.toml").write_text(text)
        assert _states(template_files.push(tmp_path, publish=True)) == {"kiln": "changed"}
        db.session.close()
        assert queries.one("kiln") == About("Kiln")
        assert sources.source("kiln", 2).contents == {("*", "en"): Words(title)}


def test_a_schema_that_python_takes_for_the_same_is_another(app: APIFlask, tmp_path: Path):
    path = tmp_path / "kiln.toml"
    for const in ("1", "true"):
        path.write_text(TYPE.replace('"{}"', f"'{{\"const\": {const}}}'"))
        assert set(_states(template_files.push(tmp_path, publish=True))) == {"kiln"}
        db.session.close()
        assert db.session.get_one(EventType, "kiln").schema["const"] is json.loads(const)
    path.write_text(path.read_text().replace("true", "1"))
    template_files.pull(tmp_path)
    assert "true" in path.read_text()


def test_descriptions_stay_unless_a_file_changes_them(app: APIFlask, tmp_path: Path):
    said = {"en": "The kiln is hot."}
    for text, state, kept in (
        (f"{TYPE}descriptions = {{ en = 'The kiln is hot.' }}\n", "new", said),
        (TYPE, "same", said),
        (f"{TYPE}descriptions = {{}}\n", "changed", {}),
        (f"{TYPE}descriptions = {{}}\n", "same", {}),
    ):
        (tmp_path / "kiln.toml").write_text(text)
        assert [one.state for one in template_files.push(tmp_path, publish=True)] == [state]
        db.session.close()
        assert db.session.get_one(EventType, "kiln").descriptions == kept


def test_words_on_trial_are_not_replaced_by_a_file(app: APIFlask, tmp_path: Path):
    templates.publish("kiln", templates.create("kiln", {("*", "en"): Words("It fires")}))
    experiments.add("kiln", Proposal("b", 50, {("*", "en"): Words("It burns")}))
    (tmp_path / "kiln.toml").write_text('[about]\nname = "Kiln"\n\n[words.en."*"]\ntitle = "It glows"\n')
    [outcome] = template_files.push(tmp_path, publish=True)
    assert (outcome.state, queries.one("kiln")) == ("bad", About())
    assert outcome.lines[0].startswith("there is an experiment with kiln")


class _Busy(type(Path())):  # type: ignore[misc]
    """A folder in which somebody changes things in the console once `push` has read what is stored."""

    meanwhile: Callable[[], object]

    def glob(self, pattern: str, **options: bool) -> Iterator[Path]:  # type: ignore[override]
        found = list(Path(self).glob(pattern))
        self.meanwhile()
        yield from found


def _word() -> None:
    templates.publish("kiln", templates.create("kiln", {("*", "en"): Words("It cools")}))


def _retype() -> None:
    file = toml_files.read(TYPE.replace("high", "low"))
    assert file.type is not None
    event_types.put("kiln", template_files._fields(file.type))


def _describe() -> None:
    about.save("kiln", About("Kiln"))


@pytest.mark.parametrize("meanwhile", [_word, _retype, _describe])
def test_what_somebody_has_changed_since_it_was_compared_is_not_overwritten(
    app: APIFlask, tmp_path: Path, meanwhile: Callable[[], None]
):
    (tmp_path / "kiln.toml").write_text(f'{TYPE}\n[words.en."*"]\ntitle = "It fires"\n')
    template_files.push(tmp_path, publish=True)
    (tmp_path / "kiln.toml").write_text(f'{TYPE}\n[words.en."*"]\ntitle = "It glows"\n')
    busy = _Busy(tmp_path)
    busy.meanwhile = meanwhile
    [outcome] = template_files.push(busy, publish=True)
    assert (outcome.state, outcome.lines) == ("bad", ("somebody else has just changed it; compare again",))
    assert _states(template_files.push(tmp_path, publish=True)) == {"kiln": "changed"}
