"""Templates over the API: drafts, publishing, rolling back, previews."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.access import keys
from notifier.api.schemas.catalogue import TemplatePreviewOut, TemplateWords
from notifier.catalogue import CatalogueContent
from notifier.channels import FIELDS as DECLARED
from notifier.core.message import Content
from notifier.core.wording import FIELDS, TEXTS
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import AuditEntry, EventType, Template, TemplateAbout, TemplateContent
from tests.conftest import Api

HOME = "/api/v1/templates"
WORDS = [{"channel": "*", "locale": "en", "title": "Hello {{ name }}"}]


@pytest.fixture(autouse=True)
def _no_templates_stay(app: APIFlask) -> Iterator[None]:
    yield
    with transaction() as session:
        for table in (Template, TemplateAbout):
            session.execute(sa.delete(table).where(table.key == "hello"))


def test_a_draft_is_made_written_published_and_rolled_back(api: Any) -> None:
    made = api.post(HOME, {"key": "hello", "contents": WORDS})
    assert (made.status_code, made.json["version"], made.json["status"]) == (201, 1, "draft")
    assert api.get(f"{HOME}/hello").status_code == 404  # nothing is published
    assert api.post(f"{HOME}/hello@1/publish").json["status"] == "published"
    second = api.post(HOME, {"key": "hello"}).json
    assert (second["version"], second["contents"][0]["title"]) == (2, "Hello {{ name }}")
    written = api.put(f"{HOME}/hello@2", {"contents": [{"channel": "email", "locale": "de", "title": "Hallo"}]}).json
    assert [(one["channel"], one["locale"], one["title"]) for one in written["contents"]] == [("email", "de", "Hallo")]
    api.post(f"{HOME}/hello@2/publish")
    assert api.get(f"{HOME}/hello").json["version"] == 2
    api.post(f"{HOME}/hello@1/publish")
    assert api.get(f"{HOME}/hello").json["version"] == 1
    assert api.get(f"{HOME}/hello@2").json["status"] == "archived"


def test_publishing_says_what_is_worth_a_look_and_stops_nobody(api: Any) -> None:
    words = {
        "channel": "email",
        "locale": "en",
        "title": "t",
        "body": "b",
        "html": '<p>a</p>\n<img src="https://x.test/">',
    }
    api.post(HOME, {"key": "hello", "contents": [words]})
    published = api.post(f"{HOME}/hello@1/publish").json
    assert published["status"] == "published"
    [warning] = published["warnings"]
    assert (warning["pointer"], warning["code"], warning["line"]) == ("/contents/0/html", "image_without_alt", 2)


def test_a_preview_renders_and_stores_nothing(api: Any) -> None:
    api.post(HOME, {"key": "hello", "contents": WORDS})
    shown = api.post(f"{HOME}/hello@1/preview", {"channel": "email", "data": {"name": "Bo"}})
    assert (shown.status_code, shown.json["title"]) == (200, "Hello Bo")
    missing = api.post(f"{HOME}/hello@1/preview", {"channel": "email"})
    assert (missing.status_code, missing.json["errors"][0]["pointer"]) == (422, "/data")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"key": "hello", "contents": [{"channel": "pigeon", "title": "x"}]}, "/contents/0/channel"),
        ({"key": "hello", "contents": [{"channel": "*", "locale": "xx_1", "title": "x"}]}, "/contents/0/locale"),
        ({"key": "hello", "contents": [*WORDS, *WORDS]}, "/contents/1"),
        ({"key": "hello", "contents": [{"channel": "*", "title": "x", "body": "{% if %}"}]}, "/contents/0/body"),
        ({"key": "hello", "contents": [{"channel": "*", "title": "x" * 100_001}]}, "/contents/0/title"),
        ({"key": "a b", "contents": WORDS}, "/key"),
        ({"key": "hello", "contents": [{"channel": "*"}]}, "/contents/0/title"),
        ({"key": "hello", "base": 0}, "/base"),
        ({"key": "hello", "colour": "red"}, "/colour"),
    ],
    ids=["channel", "locale", "twice", "syntax", "long", "key", "title", "base", "field"],
)
def test_a_fault_is_named_by_its_pointer_and_nothing_is_stored(api: Any, body: Any, pointer: str) -> None:
    answer = api.post(HOME, body)
    assert (answer.status_code, [error["pointer"] for error in answer.json["errors"]]) == (422, [pointer])
    assert (
        db.session.scalar(sa.select(sa.func.count()).select_from(Template).where(Template.key.in_(("hello", "a b"))))
        == 0
    )


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("put", "hello@1", 409),
        ("post", "hello@1/publish", 409),
        ("put", "hello@9", 404),
        ("post", "hello@9/publish", 404),
        ("put", "hello", 404),
        ("post", "nobody@1/publish", 404),
        ("post", "hello@x/publish", 404),
    ],
)
def test_what_cannot_be_done_to_a_version_says_why(api: Any, method: str, path: str, code: int) -> None:
    api.post(HOME, {"key": "hello", "contents": WORDS})
    api.post(f"{HOME}/hello@1/publish")
    assert getattr(api, method)(f"{HOME}/{path}", {"contents": WORDS} if method == "put" else None).status_code == code


def test_who_changed_what_stands_in_the_audit_log(api: Any) -> None:
    api.post(HOME, {"key": "hello", "contents": WORDS})
    api.post(f"{HOME}/hello@1/publish")
    entries = db.session.execute(
        sa.select(AuditEntry.action, AuditEntry.actor).where(AuditEntry.subject == "hello@1").order_by(AuditEntry.id)
    ).all()
    assert [row.action for row in entries] == ["template.created", "template.published"]
    assert all(row.actor.startswith("Shop, key ntf_live_") for row in entries), entries


EVERYBODYS = {
    "mandatory": "one_time_code",
    "system": "account_activity",
    "both": "security_alert",
    "the product's own": "sign_in_link",
}
OTHERS = {"transactional": "order_shipped", "marketing": "newsletter", "its own": "hello"}
KEYS: dict[str, tuple[list[str], list[str] | None]] = {
    "templates": (["templates"], None),
    "templates and admin": (["templates", "admin"], None),
    "templates of one type": (["templates"], ["order_shipped"]),
    "templates of one type and admin": (["templates", "admin"], ["order_shipped"]),
    "read": (["read", "notify", "users", "urgent"], None),
}
# Who may change what; whoever may write templates may look at all of them, and so preview them.
MAY_CHANGE = {
    "templates": {"order_shipped", "newsletter", "hello"},
    "templates and admin": {*EVERYBODYS.values(), *OTHERS.values()},
    "templates of one type": {"order_shipped"},
    "templates of one type and admin": {*EVERYBODYS.values(), *OTHERS.values()},
    "read": set(),
}
TYPE = {
    "titles": {"en": "T"},
    "category": "transactional",
    "priority": "high",
    "channels": ["inapp"],
    "schema": {"type": "object"},
}


@pytest.mark.parametrize("who", KEYS)
def test_whose_words_and_types_a_key_may_change(app: APIFlask, client: FlaskClient, who: str) -> None:
    """403 stands before everything else, so nothing is changed by asking: there is no version 99999, and no category of
    gossip.
    """
    scopes, types = KEYS[who]
    caller = Api(client, keys.create_key(keys.create_producer("Shop").id, scopes=scopes, types=types)[1])
    for key in (*EVERYBODYS.values(), *OTHERS.values()):
        answers = {
            "begin": caller.post(HOME, {"key": key, "base": 99_999}),
            "write": caller.put(f"{HOME}/{key}@99999", {"contents": WORDS}),
            "publish": caller.post(f"{HOME}/{key}@99999/publish"),
            "type": caller.put(f"/api/v1/types/{key}", {**TYPE, "schema": {"type": "objekt"}}),
        }
        refused = {act for act, answer in answers.items() if answer.status_code == 403}
        assert refused == (set() if key in MAY_CHANGE[who] else set(answers)), (
            key,
            {act: answer.status_code for act, answer in answers.items()},
        )
        assert {answer.json["code"] for answer in answers.values() if answer.status_code == 403} <= {"scope_missing"}
        assert caller.post(f"{HOME}/{key}@99999/preview", {"channel": "sms"}).status_code == (
            403 if who == "read" else 404
        )


@pytest.mark.parametrize("change", [{"mandatory": True}, {"category": "system"}, {"to_admins": True}], ids=str)
def test_nobody_makes_a_type_everybodys_without_the_scope_admin(
    app: APIFlask, client: FlaskClient, change: Any
) -> None:
    caller = Api(client, keys.create_key(keys.create_producer("Shop").id, scopes=["templates"])[1])
    assert caller.put("/api/v1/types/order_shipped", {**TYPE, **change}).json["code"] == "scope_missing"


@pytest.mark.parametrize(
    ("scopes", "stored", "status"),
    [
        (["templates"], None, 403),
        (["templates"], "high", 403),
        (["templates"], "urgent", 200),
        (["templates", "urgent"], None, 201),
        (["templates", "urgent"], "high", 200),
        (["templates", "admin"], "high", 200),
    ],
)
def test_nobody_makes_a_type_urgent_without_the_scope_urgent(
    api: Api, client: FlaskClient, scopes: list[str], stored: str | None, status: int
) -> None:
    """Who may not send an urgent message may not send one by way of its type either."""
    path = "/api/v1/types/hurried"
    caller = Api(client, keys.create_key(keys.create_producer("Shop").id, scopes=scopes)[1])
    if stored:
        api.put(path, {**TYPE, "priority": stored})
    try:
        answer = caller.put(path, {**TYPE, "priority": "urgent"})
        assert (answer.status_code, answer.json.get("code")) == (status, "scope_missing" if status == 403 else None)
        assert api.get(path).json.get("priority") == (stored if status == 403 else "urgent")
    finally:
        with transaction() as session:
            session.execute(sa.delete(EventType).where(EventType.key == "hurried"))


def test_a_template_has_the_same_words_wherever_they_are_listed() -> None:
    stored, given = {"channel", "locale", *FIELDS}, {*TEXTS, *DECLARED}
    assert {field.name for field in fields(CatalogueContent)} == stored
    assert set(TemplateContent.__table__.columns.keys()) == {"template_id", *stored}
    assert {field.name for field in fields(Content)} == {*FIELDS, "language"}
    assert set(TemplateWords.model_fields) == {"channel", "locale", *given}
    assert set(TemplatePreviewOut.model_fields) == {*given, "language", "about"}


ABOUT = {"name": "Greeting", "description": "On arrival", "metadata": {"team": "desk"}}


def test_what_is_kept_about_a_template_is_of_all_its_versions_and_never_sent(api: Any) -> None:
    made = api.post(HOME, {"key": "hello", "contents": WORDS, "about": ABOUT}).json
    assert made["about"] == ABOUT
    assert api.put(f"{HOME}/hello@1", {"contents": WORDS}).json["about"] == ABOUT  # left out: it stays
    api.post(f"{HOME}/hello@1/publish")
    assert [one["about"] for one in api.get(HOME).json["data"] if one["key"] == "hello"] == [ABOUT]
    assert api.post(HOME, {"key": "hello", "about": {"name": "Hi"}}).json["about"]["metadata"] == {}
    shown = api.post(f"{HOME}/hello@1/preview", {"channel": "inapp", "data": {"name": "Bo"}}).json
    assert shown.pop("about")["name"] == "Hi"
    assert "Hi" not in str(shown)


@pytest.mark.parametrize(
    ("about", "pointer"),
    [
        ({"name": "x" * 201}, "/about/name"),
        ({"name": "\0"}, "/about/name"),
        ({"name": "\ud800"}, "/about/name"),
        ({"description": "x" * 2_001}, "/about/description"),
        ({"description": "\0"}, "/about/description"),
        ({"metadata": {str(number): "" for number in range(21)}}, "/about/metadata"),
        ({"metadata": {"x" * 65: ""}}, f"/about/metadata/{'x' * 64}"),
        ({"metadata": {"": ""}}, "/about/metadata/"),
        ({"metadata": {"a\0": ""}}, "/about/metadata/a\0"),
        ({"metadata": {"a/b": "\0"}}, "/about/metadata/a~1b"),
        ({"metadata": {"a": "\ud800"}}, "/about/metadata/a"),
        ({"metadata": {"a": "x" * 501}}, "/about/metadata/a"),
        ({"metadata": {"a": 5}}, "/about/metadata/a"),
        ({"colour": "red"}, "/about/colour"),
    ],
)
def test_what_cannot_be_kept_about_a_template_is_refused_and_no_draft_begun(
    api: Any, about: dict[str, Any], pointer: str
) -> None:
    answer = api.post(HOME, {"key": "hello", "contents": WORDS, "about": about})
    assert (answer.status_code, [fault["pointer"] for fault in answer.json.get("errors", [])]) == (422, [pointer])
    assert db.session.scalar(sa.select(Template.id).where(Template.key == "hello")) is None
