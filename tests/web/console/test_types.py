"""Event types in the console: the same rules as by the API, said beside the fields."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import AuditEntry, EventType
from tests.web.conftest import Visitor

FORM: dict[str, Any] = {
    "key": "parcel_lost",
    "titles": '{"en": "Parcel lost"}',
    "category": "transactional",
    "priority": "high",
    "channels": ["inapp", "email"],
    "schema": '{"type": "object", "required": ["order_id"]}',
    "resend_unknown": "",
    "routing": "",
}


@pytest.fixture(autouse=True)
def _the_catalogue_stays(app: APIFlask) -> Iterator[None]:
    row = db.session.get_one(EventType, "order_placed")
    before = {column.name: getattr(row, column.name) for column in EventType.__table__.columns}
    yield
    db.session.rollback()
    with transaction() as session:
        session.execute(sa.delete(EventType).where(EventType.key == "parcel_lost"))
        session.execute(sa.update(EventType).where(EventType.key == "order_placed").values(**before))


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


def stored(key: str = "parcel_lost") -> EventType | None:
    db.session.rollback()
    return db.session.scalar(sa.select(EventType).where(EventType.key == key).execution_options(populate_existing=True))


def test_a_type_is_made_found_and_changed(admin: Visitor) -> None:
    assert admin.post("/admin/types/new", FORM).location == "/admin/types/parcel_lost"
    row = stored()
    assert row is not None
    assert (row.titles, row.channels, row.priority, row.routing, row.dedupe_window_s) == (
        {"en": "Parcel lost"},
        ["inapp", "email"],
        "high",
        None,
        None,
    )
    assert "Parcel lost" in admin.get("/admin/types?q=LOST").text
    assert "order_id" in admin.get("/admin/types/parcel_lost").text
    admin.post("/admin/types/parcel_lost", {**FORM, "tracks_opens": "y"})
    row = stored()
    assert row is not None
    assert (row.tracks_opens, row.tracks_clicks) == (True, False)
    assert re.search(r'<input[^>]* checked[^>]*name="tracks_opens"', admin.get("/admin/types/parcel_lost").text)
    admin.post(
        "/admin/types/parcel_lost",
        {**FORM, "priority": "low", "dedupe_window_s": "60", "is_mandatory": "y", "routing": "first"},
    )
    row = stored()
    assert row is not None
    assert (row.priority, row.dedupe_window_s, row.is_mandatory, row.routing) == ("low", 60, True, "first")
    told = db.session.execute(
        sa.select(AuditEntry.action, AuditEntry.before)
        .where(AuditEntry.subject == "parcel_lost")
        .order_by(AuditEntry.id)
    ).all()
    assert [entry.action for entry in told] == ["type.saved"] * 3
    assert told[2].before["priority"] == "high"


def test_who_writes_over_what_somebody_else_has_changed_is_told(admin: Visitor) -> None:
    admin.post("/admin/types/new", FORM)
    [seen] = re.findall(r'name="seen" type="hidden" value="([^"]+)"', admin.get("/admin/types/parcel_lost").text)
    mine = {**FORM, "seen": seen, "priority": "low"}
    assert admin.post("/admin/types/parcel_lost", {**mine, "priority": "medium"}).status_code == 303
    answer = admin.post("/admin/types/parcel_lost", mine)
    row = stored()
    assert row is not None
    assert (answer.status_code, "Somebody else has changed parcel_lost" in answer.text, row.priority) == (
        422,
        True,
        "medium",
    )


SENSELESS: list[tuple[dict[str, Any], str]] = [
    ({"key": "Parcel"}, "Use 1 to 64 characters"),
    ({"key": "order_placed"}, "There is already a type with this name"),
    ({"titles": "{}"}, "Titles look like"),
    ({"titles": '{"en": ""}'}, "Titles look like"),
    ({"titles": '{"en": 5}'}, "Titles look like"),
    ({"titles": "{"}, "this is not valid JSON"),
    ({"category": "gossip"}, "Not a valid choice"),
    ({"category": "marketing", "priority": "urgent"}, "marketing"),
    ({"channels": []}, "channel"),
    ({"channels": ["pigeon"]}, "not a valid choice"),
    ({"schema": '{"type": "nonsense"}'}, "nonsense"),
    ({"schema": '{"$ref": "https://evil.test/x"}'}, "$ref"),
    ({"dedupe_window_s": "-1"}, "between 0"),
    ({"dedupe_window_s": "soon"}, "valid integer"),
    ({"is_mandatory": "y", "tracks_clicks": "y"}, "never tracked"),
    ({"escalate_after_s": "5", "routing": "escalate"}, "between 10"),
]


def test_what_makes_no_sense_is_said_and_stores_nothing(admin: Visitor, subtests: pytest.Subtests) -> None:
    for change, words in SENSELESS:
        with subtests.test(change=change):
            answer = admin.post("/admin/types/new", {**FORM, **change})
            assert (answer.status_code, words.lower() in answer.text.lower()) == (422, True)
            assert stored() is None


@pytest.mark.parametrize("key", ["nope", "sign_in_link", "A%00"])
def test_what_is_not_there_or_the_products_own_is_not_found(admin: Visitor, key: str) -> None:
    assert [admin.get(f"/admin/types/{key}").status_code, admin.post(f"/admin/types/{key}", FORM).status_code] == [
        404,
        404,
    ]


def test_viewers_read(signed_in: Callable[..., Visitor]) -> None:
    viewer = signed_in("viewer")
    assert "this needs admin" in viewer.get("/admin/types").text
    assert "this needs admin" in viewer.get("/admin/types/order_placed").text
    assert viewer.post("/admin/types/order_placed", FORM).status_code == 403
