"""Providers in the console: a form made from what the adapter declares; secrets go in and never come out."""

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller
from apiflask import APIFlask

from notifier.core.errors import Rejected
from notifier.core.limit_policies import POLICIES
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import AuditEntry, Flag, Provider
from notifier.people import addresses
from notifier.providers import accounts as providers
from notifier.signals import hook_health
from notifier.signals.hook_health import HookHealth
from tests.running import free_port
from tests.stored import rows
from tests.web.conftest import Visitor, seen_in

SECRET = "smtp://user:hunter2@127.0.0.1:2525"
SERVER = {
    "setting_SMTP_URL_scheme": "smtp",
    "setting_SMTP_URL_host": "127.0.0.1",
    "setting_SMTP_URL_port": "2525",
    "setting_SMTP_URL_user": "user",
    "setting_SMTP_URL_password": "hunter2",
}
FORM = {
    "name": "spare",
    **SERVER,
    "setting_SMTP_FROM": "Shop <shop@example.com>",
    "position": "1",
    "weight": "1",
    "is_on": "y",
}


class Hearing:
    """Of a mail server: keeps every mail."""

    def __init__(self, mails: list[Any]) -> None:
        self.mails = mails

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(envelope)
        return "250 OK"


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


def stored() -> Provider | None:
    db.session.rollback()
    return db.session.scalar(sa.select(Provider).execution_options(populate_existing=True))


def test_the_form_is_what_the_adapter_declares(admin: Visitor) -> None:
    page = admin.get("/admin/providers/new/smtp").text
    for words in (
        "Host",
        "STARTTLS when offered",
        "From (SMTP_FROM)",
        "Connections (SMTP_CONNECTIONS)",
        "Sender of the mails",
    ):
        assert words in page


def test_a_channel_to_which_a_provider_can_be_added_is_not_said_to_have_none(admin: Visitor) -> None:
    page = admin.get("/admin/providers").text
    panels = page.split("<section ")[1:]
    assert [panel for panel in panels if "comes with none" in panel and "/admin/providers/new/" in panel] == []
    assert "Add SMTP" in page


def test_an_account_is_added_changed_and_its_secret_stays_unless_given(admin: Visitor) -> None:
    assert admin.post("/admin/providers/new/smtp", FORM).status_code == 303
    row = stored()
    assert row is not None
    assert (row.name, row.channel, row.settings["SMTP_URL"], row.position) == ("spare", "email", SECRET, 1)
    page = admin.get("/admin/providers/spare").text
    assert ("hunter2" in page, "it is never shown" in page, "Shop &lt;shop@example.com&gt;" in page) == (
        False,
        True,
        True,
    )
    assert 'value="127.0.0.1"' in page
    unchanged = {**SERVER, "setting_SMTP_URL_password": "", "position": "2", "weight": "3"}
    for name in ("host", "port", "user"):
        elsewhere = admin.post("/admin/providers/spare", {**unchanged, f"setting_SMTP_URL_{name}": "25"})
        assert (elsewhere.status_code, "Enter the password again" in elsewhere.text) == (422, True)
    admin.post("/admin/providers/spare", {**unchanged, "setting_SMTP_FROM": "Blog <blog@example.com>"})
    row = stored()
    assert row is not None
    assert (row.settings["SMTP_URL"], row.settings["SMTP_FROM"], row.position, row.weight, row.is_on) == (
        SECRET,
        "Blog <blog@example.com>",
        2,
        3,
        False,
    )
    admin.post("/admin/providers/spare", {**SERVER, "position": "2", "weight": "3"})
    db.session.rollback()
    entries = db.session.scalars(
        sa.select(AuditEntry).where(AuditEntry.action.startswith("provider.")).order_by(AuditEntry.id)
    ).all()
    assert [(entry.after or {}).get("replaced") for entry in entries] == [None, ["SMTP_URL"], ["SMTP_URL"]]
    assert "hunter2" not in str([(entry.subject, entry.before, entry.after) for entry in entries])
    assert "hunter2" not in admin.get("/admin/audit").text
    assert "not in use" in admin.get("/admin/providers").text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "Give it a name"),
        ({"setting_SMTP_URL_host": ""}, "The host is required"),
        ({"setting_SMTP_URL_host": "user@mail"}, "a name or an address"),
        ({"setting_SMTP_URL_port": "70000"}, "from 1 to 65535"),
        ({"setting_SMTP_URL_user": ""}, "A password needs a user"),
        ({"position": "first"}, "valid integer"),
        ({"weight": "0"}, "between 1"),
        ({"name": "a\0"}, "cannot be stored"),
        ({"name": "a/b"}, "letters, digits"),
        ({"name": "flags"}, "not flags or new"),
    ],
    ids=["name", "missing", "host", "port", "user", "position", "weight", "nul", "slash", "page"],
)
def test_what_makes_no_sense_is_said_and_stores_nothing(admin: Visitor, change: dict[str, str], words: str) -> None:
    answer = admin.post("/admin/providers/new/smtp", {**FORM, **change})
    assert (answer.status_code, words in answer.text, "hunter2" in answer.text) == (422, True, False)
    assert stored() is None


def test_what_somebody_else_has_changed_meanwhile_is_not_undone(admin: Visitor) -> None:
    """Such as an account that was taken out of use in an emergency."""
    admin.post("/admin/providers/new/smtp", FORM)
    opened = {**FORM, "seen": seen_in(admin.get("/admin/providers/spare").text)}
    given = {"SMTP_URL": SECRET, "SMTP_FROM": "Shop <shop@example.com>"}
    providers.change("spare", given, keeping=(), position=1, weight=1, is_on=False)
    answer = admin.post("/admin/providers/spare", {**opened, "weight": "7"})
    assert (answer.status_code, "Somebody else has changed spare since you opened it" in answer.text) == (422, True)
    account = stored()
    assert account is not None
    assert (account.is_on, account.weight) == (False, 1)
    opened["seen"] = seen_in(admin.get("/admin/providers/spare").text)
    assert admin.post("/admin/providers/spare", {**opened, "weight": "7"}).status_code == 303


def test_the_same_name_twice_is_refused(admin: Visitor) -> None:
    admin.post("/admin/providers/new/smtp", FORM)
    assert "already" in admin.post("/admin/providers/new/smtp", FORM).text


def test_of_two_who_add_the_same_name_at_once_one_is_refused(app: APIFlask) -> None:
    ends: list[str] = []

    def add() -> None:
        with app.app_context():
            start.wait()
            try:
                providers.add("spare", "smtp", {"SMTP_URL": SECRET})
                ends.append("added")
            except Rejected as error:
                ends.append(error.code)

    start = threading.Barrier(4)
    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["added", *["validation_failed"] * 3]


def test_it_is_removed_only_by_its_name(admin: Visitor) -> None:
    providers.add("spare", "smtp", {"SMTP_URL": SECRET})
    admin.post("/admin/providers/spare/remove", {"confirm": "spar"})
    assert stored() is not None
    assert "spare" in admin.get("/admin/providers").text
    admin.post("/admin/providers/spare/remove", {"confirm": "spare"})
    assert stored() is None
    assert "spare has been removed" in admin.get("/admin/providers").text
    assert "spare" not in admin.get("/admin/providers").text


def test_its_flag_and_what_is_known_of_its_hook_go_with_it(admin: Visitor) -> None:
    providers.add("spare", "smtp", {"SMTP_URL": SECRET})
    hook_health.note_refused("spare", "it is not signed", "refused")
    admin.post("/admin/providers/flags", {"flag": "email:spare", "percentage": "20"})
    assert db.session.scalars(sa.select(Flag.name)).all() == ["email:spare"]
    admin.post("/admin/providers/spare/remove", {"confirm": "spare"})
    db.session.rollback()
    assert db.session.scalars(sa.select(Flag.name)).all() == []
    assert hook_health.read(["spare"]) == {"spare": HookHealth()}


@pytest.mark.parametrize(
    ("percentage", "expected"),
    [("10", [("sms", 10)]), ("0", [("sms", 0)]), ("100", []), ("101", []), ("-1", []), ("x", []), ("", [])],
)
def test_a_channel_is_on_for_a_share_of_the_people(admin: Visitor, percentage: str, expected: Any) -> None:
    admin.post("/admin/providers/flags", {"flag": "sms", "percentage": percentage})
    db.session.rollback()
    assert [tuple(row) for row in db.session.execute(sa.select(Flag.name, Flag.percentage))] == expected


def test_a_channel_that_is_none_is_not_said_to_be_on(admin: Visitor) -> None:
    page = admin.get(admin.post("/admin/providers/flags", {"flag": "pigeon", "percentage": "100"}).location).text
    assert ("Nothing was changed: there is no channel" in page, "pigeon is on" in page) == (True, False)


def test_where_a_server_is_can_be_seen_by_those_who_may_change_it(signed_in: Callable[..., Visitor]) -> None:
    providers.add("spare", "smtp", {"SMTP_URL": "smtp://user:hunter2@mail.internal:2525"})
    shown = {role: signed_in(role).get("/admin/providers/spare").text for role in ("viewer", "operator", "admin")}
    assert {role: "mail.internal" in page for role, page in shown.items()} == {
        "viewer": False,
        "operator": False,
        "admin": True,
    }


def test_a_connection_is_tried_noted_and_sends_nothing(admin: Visitor) -> None:
    mails: list[Any] = []
    controller = Controller(Hearing(mails), "127.0.0.1", free_port())
    controller.start()
    try:
        providers.add("spare", "smtp", {"SMTP_URL": f"smtp://127.0.0.1:{controller.port}"})
        assert admin.post("/admin/providers/spare/try").status_code == 303
        works = admin.get("/admin/providers/spare").text
    finally:
        controller.stop(no_assert=True)
    assert f"The connection works: 127.0.0.1:{controller.port} lets us in." in works
    assert mails == []
    admin.post("/admin/providers/spare/try")
    assert f"127.0.0.1 refuses connections on port {controller.port}." in admin.get("/admin/providers/spare").text
    tried = [(entry.actor, entry.subject) for entry in rows(AuditEntry) if entry.action == "provider.tried"]
    assert tried == [("admin@example.test", "spare")] * 2


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[::1]", "192.168.1.1"])
def test_a_server_inside_the_network_is_tried_only_where_it_is_allowed(admin: Visitor, host: str) -> None:
    providers.add("spare", "smtp", {"SMTP_URL": f"smtp://{host}:25"})
    admin.post("/admin/providers/spare/try")
    assert "OUTBOUND_ALLOW does not name its network" in admin.get("/admin/providers/spare").text


def test_connections_are_tried_so_often_and_no_oftener(admin: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POLICIES, "trial", replace(POLICIES["trial"], default="1/10 minutes"))
    providers.add("spare", "smtp", {"SMTP_URL": f"smtp://127.0.0.1:{free_port()}"})
    for _ in range(2):
        admin.post("/admin/providers/spare/try")
    assert "You have tried too often" in admin.get("/admin/providers/spare").text


def test_a_test_is_sent_by_a_worker_and_followed_on_its_story(admin: Visitor, work: Callable[[], None]) -> None:
    providers.add("spare", "smtp", {"SMTP_URL": f"smtp://127.0.0.1:{free_port()}"})
    addresses.add_given("admin", "email", "me@example.com", label=None)
    page = admin.get("/admin/providers/spare").text
    [own] = re.findall(r'<option value="([^"]+)">me@example.com \(yours\)', page)
    with transaction() as session:
        session.execute(sa.update(Provider).values(changed_at=now() - timedelta(minutes=1)))
    answer = admin.post("/admin/providers/spare/test", {"own": own, "to": ""})
    assert (answer.status_code, answer.location.startswith("/admin/notifications/ntf_")) == (303, True)
    story = admin.get(answer.location).text
    assert ("A test message through spare is on its way" in story, "queued" in story, "Attempt 1" in story) == (
        True,
        True,
        False,
    )
    work()
    assert "spare could not be reached, or failed (attempt 1)" in admin.get(answer.location).text
    assert "provider.tested" in admin.get("/admin/audit").text


def test_an_account_of_the_environment_is_shown_and_tested_but_not_changed(admin: Visitor) -> None:
    page = admin.get("/admin/providers/webhook").text
    assert ("It is built in" in page, "Send a test" in page, "Remove webhook" in page) == (True, True, False)
    answer = admin.post("/admin/providers/webhook/test", {"to": "https://127.0.0.1:1/hook"})
    assert answer.status_code == 303
    assert admin.post("/admin/providers/webhook", FORM).status_code == 404
    assert "It works without settings; the environment may have some (SLACK_BOT_TOKEN" in " ".join(
        admin.get("/admin/providers/slack").text.split()
    )
    assert "set by the environment" not in admin.get("/admin/providers").text


@pytest.mark.parametrize(
    "to", ["", "nobody", "rejected@sandbox.test", "a\0@x.test"], ids=["empty", "none", "sandbox", "nul"]
)
def test_a_destination_that_makes_no_sense_is_said_beside_its_field(admin: Visitor, to: str) -> None:
    providers.add("spare", "smtp", {"SMTP_URL": SECRET})
    answer = admin.post("/admin/providers/spare/test", {"to": to})
    assert (answer.status_code, 'id="to-fault"' in answer.text, "hunter2" in answer.text) == (422, True, False)


def test_where_nothing_can_be_sent_to_it_says_what_to_do(admin: Visitor) -> None:
    assert "add one in" in admin.get("/admin/providers/webpush").text
    providers.add("spare", "smtp", {"SMTP_URL": SECRET}, is_on=False)
    page = admin.get("/admin/providers/spare").text
    assert ("It is not in use" in page, "Send the test" in page) == (True, False)


@pytest.mark.parametrize("path", ["/admin/providers/nobody", "/admin/providers/new/pigeon", "/admin/providers/a%00"])
def test_what_is_not_there_is_not_found(admin: Visitor, path: str) -> None:
    assert [admin.get(path).status_code, admin.post(path, FORM).status_code] == [404, 404]


def test_viewers_look(signed_in: Callable[..., Visitor]) -> None:
    providers.add("spare", "smtp", {"SMTP_URL": SECRET})
    viewer = signed_in("viewer")
    for path in ("/admin/providers", "/admin/providers/spare"):
        page = viewer.get(path).text
        assert ("this needs admin" in page, "hunter2" in page) == (True, False)
    paths = (
        "/admin/providers/spare",
        "/admin/providers/spare/test",
        "/admin/providers/spare/remove",
        "/admin/providers/flags",
    )
    assert [viewer.post(path).status_code for path in paths] == [403] * 4


def test_without_redis_it_says_so(admin: Visitor, redis_away: None) -> None:
    assert "Redis cannot be reached" in admin.get("/admin/providers").text
