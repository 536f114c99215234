"""The audit log: who changed what, from where; without secrets, for admins, and never changed."""

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access import keys
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import AuditEntry
from notifier.providers import flags
from notifier.web.csv_lines import csv_line
from tests.web.conftest import Visitor


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    """Signed in, and what that left in the trail is forgotten."""
    admin = signed_in("admin")
    with transaction() as session:
        session.execute(sa.delete(AuditEntry))
    return admin


def wrote(action: str, subject: str = "x", actor: str | None = None, **options: Any) -> None:
    with audit.acting_as(actor, "127.0.0.1"), transaction():
        audit.write(action, subject, **options)


def entries() -> list[AuditEntry]:
    db.session.rollback()
    return list(db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id)))


def test_what_an_admin_does_in_the_console_is_told_with_who_and_from_where(admin: Visitor) -> None:
    admin.post("/admin/producers", {"name": "Shop"})
    [entry] = entries()
    assert (entry.actor, entry.action, entry.subject, entry.origin) == (
        "admin@example.test",
        "producer.created",
        "Shop",
        "127.0.0.1",
    )
    assert "producer.created" in admin.get("/admin/audit").text


def test_what_nobody_asked_for_the_product_did_itself(app: APIFlask) -> None:
    flags.put("sms", 10)
    assert [(entry.actor, entry.origin) for entry in entries()] == [("Notifier", None)]


def test_who_acted_is_forgotten_with_the_request(api: Any) -> None:
    api.put("/api/v1/users/ann", {"name": "Ann"})
    assert audit.actor() == "Notifier"


def test_what_is_rolled_back_was_never_written(app: APIFlask) -> None:
    def change() -> None:
        with transaction():
            audit.write("flag.set", "sms")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change()
    assert entries() == []


@pytest.mark.parametrize(
    ("after", "kept"),
    [
        (
            {"name": "Shop", "percentage": 5, "on": True, "gone": None},
            {"name": "Shop", "percentage": 5, "on": True, "gone": None},
        ),
        ({"password": "hunter2"}, {"password": audit.MASK}),
        (
            {"API_KEY": "x", "client_secret": "x", "accessToken": "x"},
            dict.fromkeys(("API_KEY", "client_secret", "accessToken"), audit.MASK),
        ),
        ({"settings": {"SMTP_URL": "smtp://ann:hunter2@mail.test"}}, {"settings": {"SMTP_URL": audit.MASK}}),
        ({"url": "smtp://ann:hunter2@mail.test"}, {"url": f"smtp://{audit.MASK}@mail.test"}),
        ({"note": "whsec_abcdef"}, {"note": f"whsec_{audit.MASK}"}),
        ({"secret": {"deep": ["x", {"er": "y"}]}}, {"secret": {"deep": [audit.MASK, {"er": audit.MASK}]}}),
        ({"text": "x" * 2000}, {"text": "x" * 1000 + "…"}),
        ({"nul": "a\0b"}, {"nul": "a�b"}),
        ({"types": {"b", "a"}}, {"types": ["a", "b"]}),
    ],
    ids=lambda value: next(iter(value)),
)
def test_no_secret_is_kept_and_nothing_that_cannot_be_stored(
    app: APIFlask, after: dict[str, Any], kept: dict[str, Any]
) -> None:
    wrote("provider.added", after=after)
    assert entries()[0].after == kept


def test_of_before_and_after_only_what_differs_is_kept(app: APIFlask) -> None:
    wrote("type.saved", before={"a": 1, "b": 2}, after={"a": 1, "b": 3, "c": 4})
    assert (entries()[0].before, entries()[0].after) == ({"b": 2}, {"b": 3, "c": 4})


def test_keys_are_told_of_by_their_beginning_only(app: APIFlask) -> None:
    producer = keys.create_producer("Shop")
    key, plain = keys.create_key(producer.id, scopes=("notify",))
    keys.revoke_key(key.id)
    told = " ".join(f"{entry.subject} {entry.before} {entry.after}" for entry in entries())
    assert [entry.action for entry in entries()] == ["producer.created", "key.created", "key.revoked"]
    assert plain not in told
    assert plain[16:] not in told


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["a.one", "a.two", "b.one"]),
        ("actor=ANN", ["a.one"]),
        ("action=a", ["a.one", "a.two"]),
        ("action=a.two", ["a.two"]),
        ("subject=dog", ["b.one"]),
        ("subject=%25", []),
        ("within=24h", ["a.one", "a.two", "b.one"]),
        ("actor=ann&action=b", []),
        ("after=99999999999999999999", ["a.one", "a.two", "b.one"]),
    ],
)
def test_it_is_filtered_on_the_page_and_in_the_file(admin: Visitor, query: str, found: list[str]) -> None:
    wrote("a.one", "cat", "ann@example.test")
    wrote("a.two", "cat", "ben@example.test")
    wrote("b.one", "dog", "ben@example.test")
    page = admin.get(f"/admin/audit?{query}").text
    assert [name for name in ("a.one", "a.two", "b.one") if f"<td>{name}</td>" in page] == found
    rows = list(csv.DictReader(io.StringIO(admin.get(f"/admin/audit/csv?{query}").text)))
    assert sorted(row["action"] for row in rows) == found


@pytest.mark.parametrize("query", ["actor=" + "x" * 201, "within=ever"])
def test_a_filter_that_makes_no_sense_is_left_out_on_the_page_and_refused_for_the_file(
    admin: Visitor, query: str
) -> None:
    wrote("a.one", "cat", "ann@example.test")
    page = admin.get(f"/admin/audit?{query}")
    assert ("The filters were ignored" in page.text, "<td>a.one</td>" in page.text) == (True, True)
    assert admin.get(f"/admin/audit/csv?{query}").status_code == 400


def test_what_a_spreadsheet_would_take_for_a_formula_is_text(admin: Visitor) -> None:
    wrote("a.one", "=HYPERLINK(1)", "@ann")
    [row] = csv.DictReader(io.StringIO(admin.get("/admin/audit/csv").text))
    assert (row["subject"], row["actor"]) == ("'=HYPERLINK(1)", "'@ann")


@pytest.mark.parametrize("first", [*"=+-@\t\r\n＝＋－＠"])
def test_all_that_a_formula_begins_with_is_text(first: str) -> None:
    [[cell]] = csv.reader(io.StringIO(csv_line([f"{first}1+1"]), newline=""))
    assert cell == f"'{first}1+1"


def test_pages_follow_each_other(admin: Visitor) -> None:
    with transaction():
        for number in range(51):
            audit.write("a.one", f"number {number}")
    first = admin.get("/admin/audit").text
    assert ("number 50" in first, "number 0<" in first) == (True, False)
    following = first.split("after=")[1].split('"')[0]
    assert "number 0<" in admin.get(f"/admin/audit?after={following}").text


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_only_admins_read_it(signed_in: Callable[..., Visitor], role: str) -> None:
    somebody = signed_in(role)
    assert [somebody.get(path).status_code for path in ("/admin/audit", "/admin/audit/csv")] == [403, 403]
