"""Templates in the console: a draft is written, looked at, published, rolled back."""

import html
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.catalogue import templates
from notifier.core.wording import Words
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.models import Address, Delivery, Notification
from notifier.pipeline.delivery.deliver import deliver
from notifier.queries import templates as queries
from tests.web.conftest import Visitor, seen_in

KEY = "fraud_alert_words"
HOME = f"/admin/templates/{KEY}"
FORM = {"channel": "*", "locale": "en", "title": "Hello {{ name }}", "body": "", "sample": '{"name": "Bo"}'}


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


@pytest.fixture
def draft(app: APIFlask) -> str:
    templates.create(KEY, {("*", "en"): Words("Hello {{ name }}")})
    return f"{HOME}/1"


def words() -> Words:
    db.session.rollback()
    return queries.source(KEY, max(row.version for row in queries.versions(KEY))).contents["*", "en"]


def test_from_the_first_draft_to_being_rolled_back(admin: Visitor) -> None:
    assert admin.post("/admin/templates", {"key": KEY}).location == f"{HOME}/1"
    assert admin.post(f"{HOME}/1", FORM).status_code == 303
    # Nobody knows a name
    assert "This text cannot be filled with the sample data" in admin.get(f"{HOME}/1/publish").text
    assert admin.post(f"{HOME}/1/publish").location == HOME
    assert admin.post(f"{HOME}/draft").location == f"{HOME}/2"
    admin.post(f"{HOME}/2", {**FORM, "title": "Hi {{ name }}"})
    asked = admin.get(f"{HOME}/2/publish").text
    assert "It replaces version 1" in asked
    assert "+title: Hi {{ name }}" in asked
    assert "-title: Hello {{ name }}" in asked
    admin.post(f"{HOME}/2/publish")
    assert "Roll back to version 1 of" in admin.get(f"{HOME}/1/publish").text
    admin.post(f"{HOME}/1/publish")
    assert {row.version: row.status for row in queries.versions(KEY)} == {1: "published", 2: "archived"}
    assert KEY in admin.get("/admin/templates").text


def test_what_is_published_is_what_was_looked_at(admin: Visitor, draft: str) -> None:
    def seen() -> dict[str, str]:
        return {"seen": seen_in(admin.get(f"{draft}/publish").text)}

    def statuses() -> dict[int, str]:
        db.session.rollback()
        return {row.version: row.status for row in queries.versions(KEY)}

    before = seen()
    templates.save(KEY, 1, {("*", "en"): Words("Written by somebody else")})
    assert admin.post(f"{draft}/publish", before).location == HOME
    assert "since you looked at it; look again" in html.unescape(admin.get(HOME).text)
    assert statuses() == {1: "draft"}
    before = seen()
    templates.publish(KEY, templates.create(KEY, {("*", "en"): Words("Another one")}))
    admin.post(f"{draft}/publish", before)
    assert statuses() == {1: "draft", 2: "published"}
    admin.post(f"{draft}/publish", seen())
    assert statuses() == {1: "published", 2: "archived"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [KEY.upper(), KEY]),
        ("&sort=-key", [KEY, KEY.upper()]),
        ("&sort=changed", [KEY, KEY.upper()]),
        ("&sort=-changed", [KEY.upper(), KEY]),
    ],
)
def test_the_list_is_searched_in_any_case_and_sorted_both_ways(
    admin: Visitor, draft: str, query: str, found: list[str]
) -> None:
    templates.create(KEY.upper())
    page = admin.get(f"/admin/templates?q=Alert_Words%00{query}").text
    assert re.findall(r'<a class="strong" href="/admin/templates/(\w+)"', page) == found


def test_the_preview_shows_what_is_typed_and_stores_nothing(admin: Visitor, draft: str) -> None:
    page = admin.post(f"{draft}/preview", {**FORM, "title": "Dear {{ name }}"}, headers={"X-Partial": "preview"})
    assert (page.status_code, "Dear Bo" in page.text, "<html" in page.text) == (200, True, False)
    assert "Dear Bo" in admin.post(f"{draft}/preview", {**FORM, "title": "Dear {{ name }}"}).text
    assert words().title == "Hello {{ name }}"


def test_words_for_any_channel_are_shown_although_the_channel_has_its_own(admin: Visitor, draft: str) -> None:
    templates.save(KEY, 1, {("inapp", "en"): Words("Its own")})
    page = admin.post(
        f"{draft}/preview", {**FORM, "title": "For all", "shown_as": "inapp"}, headers={"X-Partial": "preview"}
    ).text
    assert ("For all" in page, "Its own" in page) == (True, False)
    assert "These have words of their own, in a test too: In-app." in admin.get(f"{draft}?channel=*&locale=en").text
    assert "words of their own" not in admin.get(f"{draft}?channel=*&locale=de").text


def test_a_fault_is_shown_at_its_line_and_nothing_is_saved(admin: Visitor, draft: str) -> None:
    form = {**FORM, "body": "one\ntwo {% if %}\nthree"}
    answer = admin.post(draft, form)
    assert (answer.status_code, "Line 2" in answer.text, "two {% if %}" in answer.text) == (422, True, True)
    assert "Line 2 of the text" in admin.post(f"{draft}/preview", form, headers={"X-Partial": "preview"}).text
    assert words().body == ""


def test_of_endless_words_the_beginning_is_compared(admin: Visitor, draft: str) -> None:
    templates.save(KEY, 1, {("email", "en"): Words("t", "\n".join(map(str, range(10_000))))})
    page = admin.get(f"{draft}/publish").text
    assert (
        "body: 1\n" in html.unescape(page).replace("</span>", ""),
        "body: 9999" in page,
        "the rest is too long to compare" in page,
    ) == (True, False, True)


def test_the_editor_and_the_publish_page_say_what_mail_programs_drop(admin: Visitor, draft: str) -> None:
    form = {**FORM, "channel": "email", "html": '<p>a</p><p style="transform: none">b</p>'}
    said = "transform does nothing in Gmail and Outlook"
    assert said in admin.post(f"{draft}/preview", form, headers={"X-Partial": "preview"}).text
    admin.post(draft, form)
    assert said in admin.get(f"{draft}/publish").text


def test_of_ones_previews_the_latest_are_kept(admin: Visitor, draft: str) -> None:
    """Else whoever may look could fill the Redis that the queues need."""
    form = {**FORM, "channel": "email", "html": "<p>Hello</p>"}
    for number in range(25):
        admin.post(f"{draft}/preview", {**form, "title": f"Hello {number}"}, headers={"X-Partial": "preview"})
    assert len(list(redis_store.client.scan_iter("notifier:preview:*"))) == 20


def test_html_of_a_mail_is_shown_in_a_frame_with_a_policy_of_its_own(admin: Visitor, draft: str) -> None:
    form = {**FORM, "channel": "email", "html": "<p>Hello <b>{{ name }}</b></p><script>alert(1)</script>"}
    page = admin.post(f"{draft}/preview", form, headers={"X-Partial": "preview"}).text
    assert 'sandbox="allow-popups' in page
    address = page.split('src="')[1].split('"')[0]
    mail = admin.get(address)
    assert mail.status_code == 200
    assert "Bo" in mail.text
    assert "sandbox" in mail.headers["Content-Security-Policy"]
    assert "script-src" not in mail.headers["Content-Security-Policy"]
    assert "default-src 'none'" in mail.headers["Content-Security-Policy"]


def test_who_writes_over_somebody_elses_words_is_told_and_loses_nothing(admin: Visitor, draft: str) -> None:
    seen = templates.revision_of(words())
    templates.save(KEY, 1, {("*", "en"): Words("Theirs")})
    answer = admin.post(draft, {**FORM, "title": "Mine", "seen": seen})
    assert (answer.status_code, "somebody else has changed" in answer.text.lower(), "Mine" in answer.text) == (
        422,
        True,
        True,
    )
    assert words().title == "Theirs"


@pytest.mark.parametrize(
    ("to", "sentence"), [("sandbox", "The sandbox keeps what would have gone to"), ("me", "It is on its way to")]
)
def test_a_test_send_takes_the_ordinary_road_with_the_draft(admin: Visitor, draft: str, to: str, sentence: str) -> None:
    answer = admin.post(
        f"{draft}/test", {**FORM, "to": to, "type": "order_placed", "sample": '{"order_id": "A1", "name": "Bo"}'}
    )
    assert answer.status_code == 303, answer.text
    page = admin.get(answer.location).text
    assert sentence in page, re.findall(r'class="message[^<]*<[^<]*', page)
    row = db.session.scalar(sa.select(Notification))
    assert row is not None
    assert (row.user_id, row.is_test, row.type) == ("admin", to == "sandbox", "order_placed")


@pytest.mark.parametrize("channel", ["sms", "whatsapp", "voice", "email"])
def test_the_sandbox_needs_no_address_of_ones_own(signed_in: Callable[..., Visitor], draft: str, channel: str) -> None:
    admin = signed_in("admin", "lone")
    with transaction() as session:
        session.execute(sa.delete(Address).where(Address.user_id == "lone"))
    form = {
        **FORM,
        "channel": channel,
        "to": "sandbox",
        "type": "order_placed",
        "sample": '{"order_id": "A1", "name": "Bo"}',
    }
    answer = admin.post(f"{draft}/test", form)
    assert answer.status_code == 303, answer.text
    assert "The sandbox keeps what would have gone to" in admin.get(answer.location).text
    assert db.session.scalars(sa.select(Address).where(Address.user_id == "lone")).all() == []
    [delivery] = db.session.scalars(sa.select(Delivery))
    [outcome] = deliver([delivery.id])
    assert (delivery.channel, outcome.status) == (channel, "delivered")


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"sample": "{"}, "this is not valid JSON"),
        ({"sample": "[]"}, "This must be an object"),
        ({"title": "a\0b"}, "cannot be stored"),
        ({"title": "x" * 100_001}, "longer than"),
        ({"type": "nope", "sample": "{}"}, "nope"),
    ],
    ids=["broken", "list", "nul", "long", "type"],
)
def test_a_test_send_of_what_makes_no_sense_sends_nothing(
    admin: Visitor, draft: str, form: dict[str, str], sentence: str
) -> None:
    answer = admin.post(f"{draft}/test", {**FORM, "to": "me", "type": "order_placed", **form})
    assert (answer.status_code, sentence in answer.text) == (422, True)
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Notification)) == 0


def sample_in(page: str) -> Any:
    found = re.search(r'name="sample"[^>]*>(.*?)</textarea>', page, re.DOTALL)
    assert found
    return json.loads(html.unescape(found[1]))


@pytest.mark.parametrize("act", ["", "/test"], ids=["save", "test"])
def test_the_sample_data_of_an_author_stays_theirs(
    admin: Visitor, signed_in: Callable[..., Visitor], draft: str, act: str
) -> None:
    form = {**FORM, "to": "sandbox", "type": "order_placed", "sample": '{"order_id": "A1", "name": "Böö"}'}
    answer = admin.post(f"{draft}{act}", form)
    assert answer.status_code == 303
    for path in (answer.location, f"{draft}?channel=sms&locale=de"):
        assert sample_in(admin.get(path).text) == {"order_id": "A1", "name": "Böö"}
    assert sample_in(signed_in("admin", "other").get(draft).text) == {}
    admin.post(draft, {**form, "sample": "{"})
    assert sample_in(admin.get(draft).text) == {"order_id": "A1", "name": "Böö"}


@pytest.mark.parametrize(
    "key", ["", " ", "a b", "../x", "x" * 65, "a\0"], ids=["empty", "blank", "space", "path", "long", "nul"]
)
def test_a_name_that_cannot_be_is_refused(admin: Visitor, key: str) -> None:
    assert admin.post("/admin/templates", {"key": key}).status_code == 422


@pytest.mark.parametrize(
    "path", ["/admin/templates/none", "/admin/templates/none/1", f"{HOME}/9", "/admin/templates/none/1/publish"]
)
def test_what_is_not_there_is_not_found(admin: Visitor, draft: str, path: str) -> None:
    assert admin.get(path).status_code == 404


def test_viewers_read_and_may_not_write(signed_in: Callable[..., Visitor], draft: str) -> None:
    viewer = signed_in("viewer")
    for path in ("/admin/templates", HOME, draft, f"{draft}/publish"):
        page = viewer.get(path)
        assert (page.status_code, "this needs admin" in page.text) == (200, True)
    for path in ("/admin/templates", f"{HOME}/draft", draft, f"{draft}/publish", f"{draft}/remove", f"{draft}/test"):
        assert viewer.post(path, FORM).status_code == 403
    assert "Hello Bo" in viewer.post(f"{draft}/preview", FORM).text


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_who_may_not_write_is_shown_what_is_stored_with_data_of_their_own(
    signed_in: Callable[..., Visitor], draft: str, role: str
) -> None:
    """A source that anybody may type is a program that anybody may run."""
    visitor = signed_in(role)
    for headers in ({"X-Partial": "preview"}, {}):
        page = visitor.post(
            f"{draft}/preview", {**FORM, "title": "Mine {{ name }}", "body": "{% if %}"}, headers=headers
        ).text
        assert ("Hello Bo" in page, "Mine Bo" in page) == (True, False)


def test_what_is_published_never_changes(admin: Visitor, draft: str) -> None:
    templates.publish(KEY, 1)
    assert "never changes" in admin.get(draft).text
    assert admin.post(draft, {**FORM, "title": "Changed"}).status_code == 422
    assert words().title == "Hello {{ name }}"


def test_without_redis_the_editor_works_and_says_what_is_missing(admin: Visitor, draft: str, redis_away: None) -> None:
    form: dict[str, Any] = {**FORM, "channel": "email", "html": "<p>Hi</p>"}
    assert "Redis cannot be reached" in admin.post(f"{draft}/preview", form).text
    assert admin.post(draft, FORM).status_code == 303
