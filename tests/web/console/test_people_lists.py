"""Lists of people in the console: uploaded, read by a worker, and their bad lines told by number."""

import io
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from notifier.core.submission import InlineRecipient
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import AuditEntry, Upload, User
from notifier.people import profiles, upload_reading
from notifier.web.console import people_lists
from tests.web.conftest import Visitor

CSV = "id,email,name,attributes.plan\nanna,anna@x.test,Ännchen Müßig,pro\nbad id,b@x.test,B,pro\nboris,nonsense,B,pro\n"


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


def send(visitor: Visitor, text: str | bytes, **form: Any) -> Any:
    content = text if isinstance(text, bytes) else text.encode()
    return visitor.post("/admin/broadcasts/lists", {"file": (io.BytesIO(content), "people.csv"), **form})


def stored() -> list[Upload]:
    db.session.rollback()
    return list(db.session.scalars(sa.select(Upload).execution_options(populate_existing=True)))


def test_a_list_is_taken_in_read_and_written_to(admin: Visitor) -> None:
    assert "No list has been uploaded yet." in admin.get("/admin/broadcasts/lists").text
    page = send(admin, CSV).location
    (row,) = stored()
    assert page == f"/admin/broadcasts/lists/{show('upl', row.id)}"
    assert "Being read …" in admin.get(page).text
    upload_reading.read(row.id)
    text = admin.get(page).text
    assert "<dt>People on the list</dt> <dd>1</dd>" in text
    for line in (3, 4):
        assert f'<td class="number">{line}</td>' in text
    assert "this is no e-mail address" in text
    assert f"/admin/broadcasts/new?upload={show('upl', row.id)}" in text
    db.session.rollback()
    assert db.session.get_one(User, "anna").name == "Ännchen Müßig"
    entry = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "upload.received")).one()
    assert entry.actor == "admin@example.test"


@pytest.mark.parametrize(("form", "name"), [({}, "Before"), ({"may_change": "1"}, "Ännchen Müßig")])
def test_people_who_are_known_change_only_if_asked(admin: Visitor, form: dict[str, str], name: str) -> None:
    with transaction():
        profiles.upsert([InlineRecipient("anna", {"name": "Before"})])
    send(admin, CSV, **form)
    upload_reading.read(stored()[0].id)
    db.session.rollback()
    assert db.session.get_one(User, "anna").name == name


REFUSED: list[tuple[Any, str]] = [
    ("", "the file is empty"),
    ("email\na@x.test\n", "there is no column &#39;id&#39;"),
    (b"PK\x03\x04zipped", "this is a ZIP archive"),
    ("id,name\nanna,Änne\n".encode("latin-1"), "UTF-8"),
    ('id\n"anna', "a quote that begins in line 2"),
]


def test_a_file_that_cannot_be_read_is_refused_as_a_whole(admin: Visitor, subtests: pytest.Subtests) -> None:
    for text, said in REFUSED:
        with subtests.test(said=said):
            answer = send(admin, text)
            assert (answer.status_code, said in answer.text) == (422, True)
            assert stored() == []
    assert "Choose a CSV file." in admin.post("/admin/broadcasts/lists").text


def test_a_file_may_be_longer_than_any_other_form_but_not_endless(
    admin: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"u{number:07},{'x' * 90}\n" for number in range(15_000))
    assert send(admin, f"id,name\n{rows}").status_code == 303
    monkeypatch.setattr(people_lists, "MOST_BYTES", 1_000_000)
    refused = send(admin, f"id,name\n{rows}")
    assert (refused.status_code, "The file is too large: at most 1 MB." in refused.text) == (413, True)


def test_only_admins_upload(signed_in: Callable[..., Visitor]) -> None:
    operator = signed_in("operator")
    assert "Your role is operator; this needs admin." in operator.get("/admin/broadcasts/lists").text
    assert send(operator, CSV).status_code == 403
    assert stored() == []
