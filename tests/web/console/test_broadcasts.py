"""Broadcasts in the console: written, looked at once more, started once; paused, cancelled, retried; and read."""

import csv
import html
import io
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.access.keys import create_producer
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import parse, show
from notifier.ledgers import moves
from notifier.models import AuditEntry, Broadcast, BroadcastTally, Delivery, Notification
from notifier.people import audiences, profiles
from notifier.pipeline.intake import expand
from notifier.pipeline.upkeep import broadcasts as upkeep
from notifier.web.console import broadcast_compose, broadcasts
from tests.stored import rows
from tests.web.conftest import Visitor

PEOPLE = [f"u{number:02}" for number in range(12)]
SAID = {"name": "Spring news", "type": "newsletter", "data-v-title": "Spring", "data-v-body": "It is here."}
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


@pytest.fixture
def shop(app: APIFlask) -> str:
    return show("prd", create_producer("Shop").id)


@pytest.fixture
def people(app: APIFlask) -> list[str]:
    with transaction():
        profiles.upsert(
            [InlineRecipient(key, {"email": f"{key}@x.test", "attributes": {"plan": "pro"}}) for key in PEOPLE]
        )
    return PEOPLE


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


@pytest.fixture
def form(shop: str) -> dict[str, Any]:
    """What a browser sends of a form that is filled in: to those whose plan is pro."""
    first = {"rows-0-field": "attributes.plan", "rows-0-operator": "eq", "rows-0-value": "pro"}
    return {**SAID, "producer": shop, "to": "where", "match": "all", **first, "when": "now", "zone": "Europe/Berlin"}


def faults(text: str) -> list[str]:
    return re.findall(r'(?:fault"[^>]*|role="alert">(?: <p)?)>([^<]+)', text)


def looked_at(admin: Visitor, form: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """→ what the last look sends."""
    answer = admin.post("/admin/broadcasts/new", {**form, **changes})
    assert answer.status_code == 200, faults(answer.text)
    return hidden(answer.text)


def hidden(text: str) -> dict[str, Any]:
    return {html.unescape(name): html.unescape(value) for name, value in _HIDDEN.findall(text)}


def started(admin: Visitor, form: dict[str, Any], **changes: Any) -> str:
    """→ the path of its page."""
    answer = admin.post("/admin/broadcasts", looked_at(admin, form, **changes))
    assert answer.status_code == 303, faults(answer.text)
    return str(answer.location)


def stored() -> list[Broadcast]:
    db.session.rollback()
    return list(db.session.scalars(sa.select(Broadcast).execution_options(populate_existing=True)))


def actions() -> list[tuple[str, str]]:
    rows = db.session.execute(
        sa.select(AuditEntry.action, AuditEntry.actor)
        .where(AuditEntry.action.startswith("broadcast."))
        .order_by(AuditEntry.id)
    )
    return [(row.action, row.actor) for row in rows]


# ---- writing it -----------------------------------------------------------------------------------------------------


def test_an_empty_list_says_what_to_do(admin: Visitor) -> None:
    text = admin.get("/admin/broadcasts").text
    assert "Nothing has been sent to a whole audience yet." in text
    assert 'href="/admin/broadcasts/new"' in text


def test_the_form_has_a_field_for_each_property_of_the_type(admin: Visitor, shop: str) -> None:
    text = admin.get("/admin/broadcasts/new?type=newsletter").text
    assert '<option selected value="newsletter">Newsletter (newsletter)</option>' in text
    assert re.search(r'<label for="data-v-title">Title</label> <input[^>]*id="data-v-title"', text)
    assert re.search(r'<label for="data-v-body">Body</label> <textarea[^>]*id="data-v-body"', text)


def test_what_was_looked_at_is_what_starts(admin: Visitor, people: list[str], form: dict[str, Any]) -> None:
    answer = admin.post("/admin/broadcasts/new", {**form, "rows-1-field": "email", "rows-1-operator": "exists"})
    assert "Send “Spring news” to 12 people?" in answer.text
    assert "That is twelve people." in answer.text
    assert stored() == []
    page = admin.post("/admin/broadcasts", hidden(answer.text))
    (row,) = stored()
    assert page.location == f"/admin/broadcasts/{show('brd', row.id)}"
    assert (row.name, row.type, row.status) == ("Spring news", "newsletter", "scheduled")
    assert row.audience == {"where": {"all": [{"attributes.plan": {"eq": "pro"}}, {"email": {"exists": True}}]}}
    assert expand.expand(row.id) == 12
    assert {one.user_id for one in db.session.scalars(sa.select(Notification))} == set(people)
    db.session.close()
    assert actions()[0] == ("broadcast.created", "admin@example.test")


def test_the_button_pressed_twice_starts_one(admin: Visitor, people: list[str], form: dict[str, Any]) -> None:
    look = looked_at(admin, form)
    first, second = (admin.post("/admin/broadcasts", look) for _ in range(2))
    assert (first.status_code, second.status_code, first.location) == (303, 303, second.location)
    assert len(stored()) == 1
    assert "It had been started already." in admin.get(second.location).text


@pytest.mark.usefixtures("people")
def test_the_button_pressed_again_after_its_time_has_come_starts_one(admin: Visitor, form: dict[str, Any]) -> None:
    at = {"when": "at", "at": f"{now() + timedelta(minutes=5):%Y-%m-%dT%H:%M}", "zone": "UTC"}
    pressed, unpressed = looked_at(admin, form, **at), looked_at(admin, form, **at)
    first = admin.post("/admin/broadcasts", pressed)
    with time_machine.travel(now() + timedelta(minutes=7)):
        again, late = admin.post("/admin/broadcasts", pressed), admin.post("/admin/broadcasts", unpressed)
    assert (first.status_code, again.status_code, again.location) == (303, 303, first.location)
    assert (late.status_code, "is in the past" in late.text, len(stored())) == (422, True, 1)


@pytest.mark.usefixtures("people")
def test_while_it_is_being_started_its_button_keeps_its_key(
    admin: Visitor, form: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    look = looked_at(admin, form)
    monkeypatch.setattr(audiences, "_LONGEST_WAIT_S", 0.01)
    with audiences._SURVEYING:
        answer = admin.post("/admin/broadcasts", look)
    assert (answer.status_code, hidden(answer.text)["key"]) == (422, look["key"])
    assert "it starts once" in answer.text
    assert admin.post("/admin/broadcasts", hidden(answer.text)).status_code == 303
    assert len(stored()) == 1


@pytest.mark.usefixtures("people")
def test_above_a_number_it_has_to_be_typed(
    admin: Visitor, form: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast_compose, "MUST_BE_TYPED", 11)
    look = looked_at(admin, form)
    for typed in ("", "11", "twelve"):
        refused = admin.post("/admin/broadcasts", {**look, "typed": typed})
        assert refused.status_code == 422
        assert "Type 12, the number of people, to start it." in refused.text
    assert stored() == []
    assert hidden(refused.text)["key"] == look["key"]
    assert admin.post("/admin/broadcasts", {**look, "typed": " 1 2 "}).status_code == 303


@pytest.mark.usefixtures("people")
def test_an_audience_that_has_grown_is_looked_at_again(admin: Visitor, form: dict[str, Any]) -> None:
    look = looked_at(admin, form)
    with transaction():
        profiles.upsert([InlineRecipient(f"v{n}", {"attributes": {"plan": "pro"}}) for n in range(11)])
    answer = admin.post("/admin/broadcasts", look)
    assert "The audience has grown since you looked." in answer.text
    assert "Send “Spring news” to 23 people?" in answer.text
    assert stored() == []


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "Give it a name."),
    ({"producer": "prd_nope"}, "Not a valid choice"),
    ({"type": "nope"}, "Not a valid choice"),
    ({"type": "fraud_alert"}, "Not a valid choice"),
    ({"data-v-title": ""}, "This is needed."),
    ({"type": "one_time_code", "data-v-code": "1", "data-v-minutes": "many"}, "This must be a whole number."),
    ({"data-v-url": "not an address"}, "must be a link that begins with https:// or http://"),
    ({"data-more": "[]"}, "This must be an object"),
    ({"data-more": '{"notification": 1}'}, "is reserved"),
    ({"rows-0-value": "nobody"}, "There is nobody in this audience"),
    ({"rows-0-field": "shoe_size"}, "There is no such field"),
    ({"rows-0-field": ""}, "Say at least one thing"),
    ({"condition": "{"}, "this is not valid JSON"),
    ({"condition": '{"not": {}}'}, "A condition names at least one field"),
    ({"to": "users", "users": "u01, nope"}, "There is no user &#39;nope&#39;"),
    ({"to": "users", "users": " "}, "at least one id"),
    ({"to": "upload", "upload": "upl_nope"}, "There is no such upload"),
    ({"when": "at", "at": ""}, "Say when."),
    ({"when": "at", "at": "2020-01-01T09:00"}, "This has passed."),
    ({"when": "at", "at": "0001-01-01T00:00"}, "This has passed."),
    ({"when": "local", "at": "0001-01-01T00:00"}, "is in the past"),
    ({"when": "at", "at": "9999-12-31T23:59", "zone": "America/New_York"}, "more than a year ahead"),
    ({"when": "local", "at": "9999-12-31T23:59"}, "more than a year ahead"),
    ({"when": "local", "at": "2020-01-01T09:00", "zone": "Mars/Olympus"}, "This is no time zone."),
    ({"per_second": "0"}, "between 1 and"),
    ({"stop_at_failures": "101"}, "between 1 and 100"),
    ({"template": "nope@3"}, "There is no published template"),
    ({"priority": "urgent"}, "is at most medium"),
    ({"name": "a\0b"}, "cannot be stored"),
    ({"data-v-body": "a\0b"}, "cannot be stored"),
    ({"rows-0-value": "a\0b"}, "cannot be stored"),
]


@pytest.mark.slow
@pytest.mark.usefixtures("people")
def test_what_cannot_be_is_refused_beside_its_field(
    admin: Visitor, form: dict[str, Any], subtests: pytest.Subtests
) -> None:
    for changes, said in REFUSED:
        with subtests.test(changes=str(changes)):
            answer = admin.post("/admin/broadcasts/new", {**form, **changes})
            assert (answer.status_code, said in answer.text) == (422, True), faults(answer.text)
            assert 'role="alert"' in answer.text
            for people in ("12", "12000"):  # which would have to be typed
                at_once = {**form, **changes, "key": "0" * 32, "people": people}
                assert admin.post("/admin/broadcasts", at_once).status_code == 422
            assert stored() == []


@pytest.mark.usefixtures("people")
def test_times_are_those_of_the_chosen_zone_or_of_each_person(admin: Visitor, form: dict[str, Any]) -> None:
    started(admin, form, when="at", at="2027-01-15T09:00")
    started(admin, form, when="local", at="2027-01-15T09:00", name="Local", stop_at_failures="20", per_second="500")
    at, local = sorted(stored(), key=lambda row: row.name != "Spring news")
    assert (at.send_at.isoformat(), at.local_time) == ("2027-01-15T08:00:00+00:00", None)
    assert (local.send_at, local.local_time) == (None, "2027-01-15T09:00:00")
    assert (local.stop_at_failures, local.per_second) == (0.2, 500)
    assert "in each person’s own time zone" in admin.get(f"/admin/broadcasts/{show('brd', local.id)}").text


@pytest.mark.usefixtures("people")
def test_the_last_look_and_the_page_say_pace_and_stop_in_the_same_words(admin: Visitor, form: dict[str, Any]) -> None:
    limits = {"per_second": "5000", "stop_at_failures": "29"}
    for chosen, pace, stop in [
        (limits, "at most 5,000 people a second", "when 29 % of at least 100 sends have failed"),
        ({}, "as fast as it goes", "never"),
    ]:
        look = admin.post("/admin/broadcasts/new", {**form, **chosen}).text
        for text in (look, admin.get(started(admin, form, **chosen)).text):
            said = [" ".join(words.split()) for words in re.findall(r"<dd>([^<]*)</dd>", text)]
            assert {pace, stop} <= {*said}


@pytest.mark.usefixtures("people")
def test_the_last_look_leads_back_with_all_that_was_typed(admin: Visitor, form: dict[str, Any]) -> None:
    look = looked_at(admin, form, channels=["email", "inapp"])
    assert look["name"] == "Spring news"
    text = admin.post("/admin/broadcasts/new", {**look, "step": "edit"}).text
    for shown in ('value="Spring news"', "It is here.</textarea>", 'value="attributes.plan"', 'value="pro"'):
        assert shown in text


@pytest.mark.usefixtures("people")
def test_a_count_says_how_many_can_be_reached_and_shows_some(admin: Visitor, form: dict[str, Any]) -> None:
    part = admin.post("/admin/broadcasts/count", form, headers={"X-Partial": "count"}).text
    assert "12 people" in part
    assert re.search(r"<dt>E-mail</dt> <dd> 12", part)
    assert "In-app" not in part  # a newsletter goes by mail
    assert "u00, u01, u02" in part
    assert "<html" not in part
    by_other_ways = admin.post("/admin/broadcasts/count", {**form, "channels": ["inapp", "sms"]}).text
    assert re.search(r"<dt>In-app</dt> <dd> 12", by_other_ways)
    assert "<dt>E-mail</dt>" not in by_other_ways
    whole = admin.post("/admin/broadcasts/count", {**form, "to": "users", "users": "u01 u02 nope"}).text
    assert "There is no user &#39;nope&#39;" in whole
    assert 'value="Spring news"' in whole


def test_a_test_goes_to_oneself_by_the_usual_way(admin: Visitor, form: dict[str, Any]) -> None:
    answer = admin.post("/admin/broadcasts/test", form)
    assert "The message is on its way to you." in answer.text
    assert 'value="Spring news"' in answer.text
    [notification] = db.session.scalars(sa.select(Notification)).all()
    assert (notification.user_id, notification.type, notification.is_test) == ("admin", "newsletter", False)
    assert notification.producer_id == parse("prd", form["producer"])
    assert f"/admin/notifications/{show('ntf', notification.id)}" in answer.text
    assert stored() == []
    assert admin.post("/admin/broadcasts/test", {**form, "data-v-title": ""}).status_code == 422


# ---- running it -----------------------------------------------------------------------------------------------------


@pytest.fixture
def running(admin: Visitor, people: list[str], form: dict[str, Any]) -> str:
    """The path of one whose people have all been notified."""
    path = started(admin, form)
    expand.expand(stored()[0].id)
    db.session.close()
    return path


def set_status(status: str, *, number: int = 12, **columns: Any) -> None:
    """Of so many deliveries, by the one writer of statuses."""
    with transaction():
        ids = list(db.session.scalars(sa.select(Delivery.id).where(Delivery.status == "queued").limit(number)))
        moves.move(ids, "sending")
        moves.move(ids, status, **columns)


def test_operators_pause_resume_and_cancel_and_each_is_told(signed_in: Callable[..., Visitor], running: str) -> None:
    operator = signed_in("operator")
    operator.post(f"{running}/pause")
    text = operator.get(running).text
    assert "Paused" in text
    assert f'action="{running}/resume"' in text
    operator.post(f"{running}/resume")
    assert stored()[0].status == "running"
    asked = operator.get(f"{running}/cancel").text
    assert "<strong>12</strong> deliveries will not go out" in asked
    operator.post(f"{running}/cancel")
    assert "Being cancelled …" in operator.get(running).text
    db.session.close()
    assert [upkeep.cancel_rest() for _ in range(2)] == [12, 0]
    text = operator.get(running).text
    assert "Cancelled <time" in text
    assert "/pause" not in text
    assert actions()[2:5] == [
        ("broadcast.paused", "operator@example.test"),
        ("broadcast.resumed", "operator@example.test"),
        ("broadcast.cancelled", "operator@example.test"),
    ]


def test_what_is_too_late_changes_nothing_and_says_so(admin: Visitor, running: str) -> None:
    admin.post(f"{running}/cancel")
    assert admin.get(f"{running}/cancel").status_code == 303
    admin.post(f"{running}/pause")
    assert "Nothing was changed: a broadcast that is cancelled cannot be paused." in admin.get(running).text
    assert admin.get(f"{running}/retry").status_code == 303
    assert stored()[0].status == "cancelled"
    assert admin.post(f"/admin/broadcasts/brd_{'0' * 32}/pause").status_code == 404


def test_the_failed_part_is_sent_again_after_a_question(admin: Visitor, running: str) -> None:
    set_status("failed", number=3, outcome="permanent", code="mailbox_full")
    assert "3 failed, or may have gone out" in admin.get(running).text
    assert "Send 3 failed deliveries again?" in admin.get(f"{running}/retry").text
    with transaction() as session:
        failed = session.scalars(sa.select(Delivery).filter_by(status="failed").order_by(Delivery.id)).all()
        failed[0].reason, failed[1].expires_at = "discarded", now() - timedelta(seconds=1)
    assert "Send 1 failed delivery again?" in admin.get(f"{running}/retry").text
    admin.post(f"{running}/retry")
    assert stored()[0].retrying is not None
    [told] = [row.after for row in rows(AuditEntry, action="broadcast.retried")]
    assert told == {"failed": 1}
    assert ("broadcast.retried", "admin@example.test") in actions()


def test_one_that_has_paused_itself_says_why(admin: Visitor, running: str) -> None:
    with transaction() as session:
        session.execute(sa.update(Broadcast).values(status="paused", paused_reason="30 of 100 sends have failed"))
    for path in (running, "/admin/broadcasts", "/admin/broadcasts?status=paused"):
        assert "30 of 100 sends have failed" in admin.get(path).text
    assert "No broadcast is running." in admin.get("/admin/broadcasts?status=running").text


# ---- reading it -----------------------------------------------------------------------------------------------------


def test_its_figures_add_up(admin: Visitor, running: str) -> None:
    set_status("failed", number=2, outcome="permanent", code="mailbox_full")
    set_status("delivered", number=5)
    text = admin.get(running).text
    for said in (
        "12 of 12",
        "7 of 12 have ended",
        '<tr id="status-delivered"> <td><span class="state good">delivered</span></td> <td class="number">5</td>',
        '<tr id="status-all"> <th scope="row">All</th> <td class="number">12</td> <td class="number">12</td>',
    ):
        assert said in text


def test_recipients_are_listed_by_status_with_their_stories(admin: Visitor, running: str) -> None:
    set_status("failed", number=2, outcome="permanent", code="mailbox_full")
    text = admin.get(f"{running}/recipients?status=failed").text
    assert text.count("mailbox_full") == 2
    assert len(re.findall(r'href="/admin/notifications/ntf_\w+"', text)) == 2
    assert admin.get(f"{running}/recipients").text.count('href="/admin/notifications/ntf_') == 12
    assert "That page is no longer available" in admin.get(f"{running}/recipients?after=nonsense").text


def test_recipients_are_listed_by_channel_too(admin: Visitor, running: str) -> None:
    some = sa.select(Delivery.id).order_by(Delivery.id).limit(5)
    key = parse("brd", running.rpartition("/")[2])
    with transaction() as session:
        session.execute(sa.update(Delivery).where(Delivery.id.in_(some.scalar_subquery())).values(channel="inapp"))
        place = {"broadcast_id": key, "status": "queued", "reason": ""}
        counts = {"inapp": 5, "email": -5}
        session.execute(
            sa.insert(BroadcastTally), [{**place, "channel": name, "count": n} for name, n in counts.items()]
        )
    assert f"{running.rpartition('/')[2]}/recipients?channel=inapp" in admin.get(running).text
    for query, lines, chips in (
        ("?channel=inapp", 5, ("All <span>5</span>", "In-app <span>5</span>")),
        ("?channel=inapp&status=failed", 0, ("Queued <span>5</span>",)),
        ("?channel=pigeon", 12, ("All <span>12</span>", "All channels <span>12</span>")),
    ):
        text = re.sub(r"\s+", " ", admin.get(f"{running}/recipients{query}").text)
        assert text.count('href="/admin/notifications/ntf_') == lines
        for chip in chips:
            assert chip in text


def test_results_are_a_csv_of_every_delivery(admin: Visitor, running: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcasts, "_LINES_AT_ONCE", 5)
    with transaction() as session:
        session.execute(sa.update(Delivery).values(code="=cmd()"))
    answer = admin.get(f"{running}/results.csv")
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.mimetype == "text/csv"
    assert sorted(line["user"] for line in lines) == PEOPLE
    assert {(line["channel"], line["status"], line["code"]) for line in lines} == {("email", "queued", "'=cmd()")}


def test_a_viewer_sees_all_and_is_told_why_not(signed_in: Callable[..., Visitor], running: str) -> None:
    viewer = signed_in("viewer")
    for path in ("/admin/broadcasts", running, f"{running}/recipients", f"{running}/results.csv"):
        assert viewer.get(path).status_code == 200
    assert "Your role is viewer; this needs operator or admin." in viewer.get(running).text
    assert viewer.post(f"{running}/pause").status_code == 403
    assert viewer.get("/admin/broadcasts/new").status_code == 403


def test_names_and_audiences_are_shown_as_text(admin: Visitor, people: list[str], form: dict[str, Any]) -> None:
    path = started(admin, form, name="<b>Ü</b> & „Größe“", **{"data-v-title": "<i>x</i>"})
    for text in (admin.get(path).text, admin.get("/admin/broadcasts").text, admin.get(f"{path}/cancel").text):
        assert "&lt;b&gt;Ü&lt;/b&gt; &amp; „Größe“" in text
        assert "<b>Ü" not in text
