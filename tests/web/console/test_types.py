"""Event types in the console: the same rules as by the API, said beside the fields."""

import html
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from notifier.ground.extensions import db
from notifier.models import AuditEntry, EventType
from tests.web.conftest import Visitor

FORM: dict[str, Any] = {
    "key": "parcel_lost",
    "titles-0-locale": "en",
    "titles-0-title": "Parcel lost",
    "category": "transactional",
    "priority": "high",
    "channels": ["inapp", "email"],
    "schema": '{"type": "object", "required": ["order_id"]}',
    "resend_unknown": "",
    "routing": "",
}


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


ROW_NAMES = ("order_id", "total")


def sent_back(page: str) -> dict[str, str]:
    """What a browser sends of the form's texts, boxes and choices if nobody touches it."""
    found = {}
    for tag in re.findall(r"<input[^>]*>", page):
        name, value = re.search(r' name="([^"]+)"', tag), re.search(r' value="([^"]*)"', tag)
        is_sent = 'type="checkbox"' not in tag or " checked" in tag
        if name and is_sent and name[1] not in ("csrf_token", "channels", "q"):
            found[name[1]] = html.unescape(value[1] if value else "")
    for name, options in re.findall(r'<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'<option selected value="([^"]*)"', options)
        found[name] = chosen[1] if chosen else ""
    for name, text in re.findall(r'<textarea[^>]*name="([^"]+)"[^>]*>\s*(.*?)</textarea>', page, re.DOTALL):
        found[name] = html.unescape(text)
    return found


def test_data_are_a_table_that_loses_nothing_it_cannot_show(admin: Visitor) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "required": ["order_id"],
        "properties": {"order_id": {"type": "string", "maxLength": 9, "title": "No"}, "total": {"minimum": 0}},
        "additionalProperties": {"type": "string"},
    }
    admin.post("/admin/types/new", {**FORM, "schema": json.dumps(schema)})
    path = "/admin/types/parcel_lost"
    untouched = {**sent_back(admin.get(path).text), "channels": ["inapp"]}
    assert admin.post(path, untouched).status_code == 303
    row = stored()
    assert row is not None
    assert row.schema == schema
    page = admin.get(path).text
    # PostgreSQL keeps no order of names
    number, total = (re.findall(rf'name="(fields_-\d)-name"[^>]* value="{name}"', page)[0] for name in ROW_NAMES)
    changes = {
        f"{number}-description": "Its number",
        f"{total}-kind": "number",
        f"{total}-is_required": "y",
        "fields_-2-name": "carrier",
        "fields_-2-kind": "string",
        "fields_-2-example": "DHL",
        "titles-1-locale": "de",
        "titles-1-title": "Paket verloren",
        "titles-1-description": "Ein Paket ist weg.",
        "titles-2-locale": "fr",
        "titles-2-description": "Un colis est perdu.",
        "schema": json.dumps({**schema, "minProperties": 1}),
    }
    again = {**sent_back(page), "channels": ["inapp"], **changes}
    assert admin.post(path, again).status_code == 303
    row = stored()
    assert row is not None
    assert row.titles == {"en": "Parcel lost", "de": "Paket verloren"}
    assert row.descriptions == {"de": "Ein Paket ist weg.", "fr": "Un colis est perdu."}
    assert row.schema == {
        **schema,
        "minProperties": 1,
        "required": ["order_id", "total"],
        "properties": {
            "order_id": {**schema["properties"]["order_id"], "description": "Its number"},
            "total": {"minimum": 0, "type": "number"},
            "carrier": {"type": "string", "examples": ["DHL"]},
        },
    }


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
    ({"titles-0-locale": "", "titles-0-title": ""}, "Give it a title"),
    ({"titles-0-title": ""}, "Each title needs its language"),
    ({"titles-1-title": "Paket"}, "Each title needs its language"),
    ({"titles-1-description": "Ein Paket ist weg."}, "Each title needs its language"),
    ({"titles-0-title": "", "titles-0-description": "A parcel is gone."}, "Give it a title"),
    ({"titles-0-description": "x" * 301}, "longer than 300"),
    ({"titles-1-locale": "en", "titles-1-title": "Again"}, "two titles in one language"),
    ({"titles-0-title": "x" * 201}, "longer than 200"),
    ({"schema": "{"}, "this is not valid JSON"),
    ({"titles-0-title": "a\0b"}, "cannot be stored"),
    ({"fields_-0-name": "a\0b"}, "cannot be stored"),
    ({"fields_-0-name": "n", "fields_-0-kind": "gossip"}, "Not a valid choice"),
    ({"fields_-0-name": "n", "fields_-0-kind": "integer", "fields_-0-example": "x"}, "the example is no JSON"),
    ({"fields_-0-name": "n", "fields_-0-kind": "number", "fields_-0-example": "NaN"}, "NaN is not valid JSON"),
    ({"fields_-0-name": "n", "fields_-0-kind": "array", "fields_-0-example": '["\\u0000"]'}, "cannot be stored"),
    ({"fields_-0-name": "n", "fields_-0-kind": "string", "shown_schema": "x"}, "this is not valid JSON"),
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


@pytest.mark.parametrize("path", ["/admin/notifications", "/admin/failed/jobs"])
def test_a_list_is_narrowed_by_a_types_title_with_its_key(admin: Visitor, path: str) -> None:
    assert '<option value="order_shipped" >Order shipped (order_shipped)</option>' in admin.get(path).text
