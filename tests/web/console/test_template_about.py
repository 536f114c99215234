"""What is kept about a template, in the console: written, shown, searched."""

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.catalogue import about, templates
from notifier.core.wording import About, Words
from notifier.ground.database import transaction
from notifier.models import AuditEntry, Template, TemplateAbout
from notifier.queries import about as queries
from tests.web.conftest import Visitor, seen_in

KEY = "kiln_words"
HOME = f"/admin/templates/{KEY}"
GIVEN = {"name": "Kiln", "description": "Fires & <glazes>", "metadata": '{"team": "Ofen 50%"}'}


@pytest.fixture(autouse=True)
def _template(app: APIFlask) -> Iterator[None]:
    templates.create(KEY, {("*", "en"): Words("t")})
    yield
    with transaction() as session:
        for table in (Template, TemplateAbout):
            session.execute(sa.delete(table).where(table.key == KEY))


def test_it_is_written_and_shown_and_audited(signed_in: Callable[..., Visitor]) -> None:
    admin = signed_in("admin")
    assert admin.post(f"{HOME}/about", GIVEN).location == HOME
    assert queries.one(KEY) == About("Kiln", "Fires & <glazes>", {"team": "Ofen 50%"})
    for page in (HOME, f"{HOME}/about"):
        assert "Fires &amp; &lt;glazes&gt;" in admin.get(page).text
    assert "Kiln" in admin.get("/admin/templates").text
    with transaction() as session:
        entries = session.scalars(sa.select(AuditEntry.after).where(AuditEntry.action == "template.described")).all()
    assert entries[-1]["name"] == "Kiln"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "x" * 201}, "longer than 200"),
        ({"description": "x" * 2_001}, "longer than 2000"),
        ({"name": "\0"}, "cannot be stored"),
        ({"metadata": "[]"}, "This must be an object"),
        ({"metadata": '{"team": 5}'}, "Every value is a text"),
        ({"metadata": '{"": "x"}'}, "1 to 64 characters"),
        ({"metadata": '{"a": "' + "x" * 501 + '"}'}, "at most 500 characters"),
        ({"metadata": "{" + ",".join(f'"{n}": ""' for n in range(21)) + "}"}, "At most 20 keys"),
    ],
)
def test_what_is_too_long_is_refused_beside_its_field(
    signed_in: Callable[..., Visitor], change: dict[str, str], sentence: str
) -> None:
    answer = signed_in("admin").post(f"{HOME}/about", {**GIVEN, **change})
    assert (answer.status_code, sentence in answer.text, queries.one(KEY)) == (422, True, About())


@pytest.mark.parametrize(
    ("text", "is_found"),
    [("kiln", True), ("GLAZES", True), ("team", True), ("ofen 50%", True), ("50_", False), ("Ofen 500", False)],
)
def test_the_list_is_searched_by_it(signed_in: Callable[..., Visitor], text: str, is_found: bool) -> None:
    about.save(KEY, About("Kiln", "Fires & <glazes>", {"team": "Ofen 50%"}))
    page = signed_in("viewer").get("/admin/templates", query_string={"q": text}).text
    assert (f'href="{HOME}"' in page) == is_found


def test_there_is_nothing_to_keep_about_a_template_that_is_none(signed_in: Callable[..., Visitor]) -> None:
    assert signed_in("admin").get("/admin/templates/nowhere/about").status_code == 404


def test_what_somebody_else_has_kept_meanwhile_is_not_undone(signed_in: Callable[..., Visitor]) -> None:
    admin = signed_in("admin")
    opened = GIVEN | {"seen": seen_in(admin.get(f"{HOME}/about").text)}
    admin.post(f"{HOME}/about", GIVEN | {"name": "Theirs"})
    answer = admin.post(f"{HOME}/about", opened)
    assert (answer.status_code, "Somebody else has changed what is kept" in answer.text) == (422, True)
    assert queries.one(KEY).name == "Theirs"
    assert admin.post(f"{HOME}/about", GIVEN | {"seen": seen_in(admin.get(f"{HOME}/about").text)}).location == HOME
