"""What the law gives people, in the console: the export of one, and certificates of erasures."""

from collections.abc import Callable

import sqlalchemy as sa

from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import AuditEntry
from notifier.people import profiles
from tests.web.conftest import Visitor


def test_an_admin_exports_a_person_and_that_is_on_record(
    signed_in: Callable[..., Visitor], cast: dict[str, str]
) -> None:
    admin = signed_in("admin")
    assert "/admin/users/alice/export" in admin.get("/admin/users/alice").text
    document = admin.post("/admin/users/alice/export").json
    assert (document["format"], document["user"]["email"]) == ("notifier-person/2", "alice@example.test")
    told = sa.select(AuditEntry.subject).where(AuditEntry.action == "person.exported")
    assert db.session.scalars(told).all() == ["alice"]
    assert admin.post("/admin/users/nobody/export").status_code == 404
    assert signed_in("operator").post("/admin/users/alice/export").status_code == 403


def test_certificates_are_found_by_their_id_and_by_the_persons(
    signed_in: Callable[..., Visitor], cast: dict[str, str]
) -> None:
    admin = signed_in("admin")
    assert "Nobody has been erased yet" in admin.get("/admin/erasures").text
    with audit.acting_as("Shop"):
        first, second = profiles.erase("alice"), profiles.erase("bob")
    shown = {
        text: [certificate for certificate in (first, second) if str(certificate) in page]
        for text in ("", "alice", "bob", str(second), "carol", "era_0")
        if (page := admin.get("/admin/erasures", query_string={"q": text}).text.replace(f'value="{text}"', ""))
    }
    assert shown == {
        "": [first, second],
        "alice": [first],
        "bob": [second],
        str(second): [second],
        "carol": [],
        "era_0": [],
    }
    page = admin.get(f"/admin/erasures?q={first}").text
    assert ("by Shop" in page, "2 addresses" in page, "alice" in page) == (True, True, False)
