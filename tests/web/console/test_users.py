"""People in the console: found by what is known of them, shown masked, reached again."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from flask import current_app

from notifier.cells import homes
from notifier.core.submission import InlineRecipient
from notifier.ground.cells import Cells
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Address, AuditEntry, ConsentEvent, Notification, Suppression
from notifier.people import addresses, preferences, profiles, suppressions
from tests.stored import deliveries, rows
from tests.web.conftest import Visitor

Send = Callable[..., list[Any]]


@pytest.fixture
def viewer(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("viewer")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {"alice", "bob", "carol", "dave"}),
        ("ali", {"alice"}),
        ("alice@Example.TEST ", {"alice"}),
        ("+49 151 12345679", {"bob"}),
        ("example.test", set()),
        ("%", set()),
        ("a\0", {"alice"}),
        ("x" * 999, set()),
    ],
    ids=["all", "beginning", "mail", "phone", "part", "percent", "nul", "long"],
)
def test_somebody_is_found_by_the_beginning_of_their_id_or_a_whole_address(
    viewer: Visitor, cast: Any, text: str, found: set[str]
) -> None:
    page = viewer.get("/admin/users", query_string={"q": text}).text
    assert {name for name in cast if f'href="/admin/users/{name}"' in page} == found


def test_whoever_lives_in_another_cell_is_looked_for_there(
    viewer: Visitor, app: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = Cells("eu", {"us": "https://us.example.com"}, ("k" * 40,))
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], region=cells))
    homes.keep({"ann": "us"})
    found = viewer.get("/admin/users", query_string={"q": "ann"}).text
    assert 'href="https://us.example.com/admin/users/ann"' in found
    assert viewer.get("/admin/users/ann").location == "/admin/users?q=ann"
    assert "lives in" not in viewer.get("/admin/users", query_string={"q": "nobody"}).text


def test_a_person_is_shown_with_masked_addresses_and_their_choices(viewer: Visitor, cast: Any) -> None:
    page = viewer.get("/admin/users/bob").text
    assert "bob@example.test" not in page
    assert "@example.test" in page
    assert "22:00 to 07:00" in page
    assert "Europe/Berlin" in page
    assert "on or off as by default" in page


def test_of_their_choices_only_those_are_shown_that_somebody_made(viewer: Visitor, cast: Any) -> None:
    chosen = {
        "channels": {"sms": False},
        "categories": {"marketing": {"email": False}},
        "types": {"order_shipped": {"push": False}},
    }
    preferences.change("alice", chosen, replace=True, source="page")
    page = viewer.get("/admin/users/alice").text
    facts = dict(re.findall(r"<dt>([^<]+)</dt> <dd> ?([^<]+?) ?</dd>", page))
    assert {name: facts.get(name) for name in ("Everything", "Marketing", "Order shipped")} == {
        "Everything": "SMS off",
        "Marketing": "E-mail off",
        "Order shipped": "Mobile push off",
    }
    assert "Quiet hours" not in facts


@pytest.mark.usefixtures("cast")
def test_an_admin_changes_their_choices_and_both_histories_say_so(signed_in: Callable[..., Visitor]) -> None:
    admin = signed_in("admin")
    path = "/admin/users/alice/preferences"
    with transaction():
        profiles.upsert([InlineRecipient("alice", {"locale": "de"})])
    page = admin.get(path).text
    assert "You are changing what reaches" in page
    assert "News about a delivery" in page  # the console speaks English to whoever uses it
    assert admin.post(path, {"part": "mute", "mute": "hour"}, token=False).status_code == 400
    answer = admin.post(path, {"part": "choices", "set": "marketing:email=off"})
    assert (answer.status_code, answer.location.startswith(path)) == (303, True)
    shown = admin.get("/admin/users/alice").text
    assert "by somebody who runs this service" in shown
    [entry] = [row for row in rows(AuditEntry) if row.action == "preferences.changed"]
    assert (entry.actor, entry.subject) == ("admin@example.test", "alice")
    assert {row.source for row in rows(ConsentEvent)} - {"test"} == {"console"}


@pytest.mark.usefixtures("cast")
def test_their_link_is_shown_once_it_is_noted_and_it_opens_their_choices(signed_in: Callable[..., Visitor]) -> None:
    answer = signed_in("admin").post("/admin/users/dave/preference-link")
    [link] = re.findall(r'id="preference-link"[^>]*value="([^"]+)"', answer.text)
    assert (answer.status_code, Visitor(current_app).get(urlsplit(link).path).status_code) == (200, 200)
    noted = [(row.actor, row.subject) for row in rows(AuditEntry) if row.action == "person.preference_link_shown"]
    assert noted == [("admin@example.test", "dave")]
    operator = signed_in("operator")
    assert operator.post("/admin/users/dave/preference-link").status_code == 403
    assert operator.get("/admin/users/dave/preferences").status_code == 403


@pytest.mark.usefixtures("cast")
def test_their_link_is_sent_to_the_e_mail_they_have_confirmed_and_shown_to_nobody(
    signed_in: Callable[..., Visitor],
) -> None:
    operator = signed_in("operator")
    refused = operator.post("/admin/users/dave/preference-link/send", follow_redirects=True).text
    assert "no confirmed e-mail" in refused
    with transaction():
        profiles.upsert([InlineRecipient("dave", {"email": "dave@example.test"})])
    page = operator.get("/admin/users/dave").text
    assert "no confirmed e-mail" in page  # anybody may have given it
    assert "its owner has not confirmed it" in page
    with transaction() as session:
        session.execute(sa.update(Address).where(Address.user_id == "dave").values(confirmed_at=now()))
    answer = operator.post("/admin/users/dave/preference-link/send", follow_redirects=True)
    assert "The link has been sent to d…@example.test." in answer.text
    [sent] = [one for one in rows(Notification) if one.type == "preference_link"]
    assert (sent.user_id, sent.data["url"] in answer.text) == ("dave", False)
    assert Visitor(current_app).get(urlsplit(sent.data["url"]).path).status_code == 200
    [noted] = [row for row in rows(AuditEntry) if row.action == "person.preference_link_sent"]
    assert (noted.actor, noted.subject, "example" in str(noted.after)) == ("operator@example.test", "dave", False)
    assert signed_in("viewer").post("/admin/users/dave/preference-link/send").status_code == 403


@pytest.mark.parametrize("path", ["nobody", "a%00b", "x" * 500])
def test_nobody_is_not_found(viewer: Visitor, path: str) -> None:
    assert viewer.get(f"/admin/users/{path}").status_code == 404


def held() -> tuple[int, list[str | None]]:
    db.session.rollback()
    return db.session.scalar(sa.select(sa.func.count()).select_from(Suppression)) or 0, list(
        db.session.scalars(sa.select(Address.disabled_reason))
    )


def test_an_operator_has_an_address_used_again_after_asking(signed_in: Callable[..., Visitor], send: Send) -> None:
    send("zoe", email="dead@sandbox.test", channels=("email",))
    assert held() == (1, ["dead"])
    operator = signed_in("operator")
    page = operator.get("/admin/users/zoe").text
    where = page.split("/lift")[0].rsplit('href="', 1)[1] + "/lift"
    assert "Use d" in operator.get(where).text
    assert held() == (1, ["dead"])
    operator.post(where)
    assert held() == (0, [None])
    [entry] = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "suppression.lifted"))
    assert "dead@sandbox.test" not in entry.subject
    operator.post(where)
    assert "That address was not held back" in operator.get("/admin/users/zoe").text


def test_complaints_and_stops_are_shown_and_lifted_but_not_what_only_the_person_may_take_back(
    signed_in: Callable[..., Visitor], send: Send, cast: Any
) -> None:
    [phone] = db.session.scalars(sa.select(Address).where(Address.user_id == "alice", Address.channel == "sms"))
    with transaction():
        suppressions.complain([(phone.digest, "sms", "acme")])
        suppressions.stop([(phone.digest, "sms", "sms", "acme")])
        suppressions.hold([suppressions.Hold(phone.digest, "sms", "system", suppressions.UNSUBSCRIBED, "acme")])
    operator = signed_in("operator")
    page = " ".join(operator.get("/admin/users/alice").text.split())
    plain = re.sub("<[^>]*>", "", page)
    for where, why in (
        ("on SMS", "they answered STOP, says acme."),
        ("for marketing", "they called a message spam, says acme."),
        ("for system", "they unsubscribed, says acme. Only they can take that back."),
    ):
        assert re.search(rf"Held back {where} since [^:]*:[^:]*: {why}", plain), where
    where = page.split("/lift")[0].rsplit('href="', 1)[1] + "/lift"
    assert "they called a message spam" in operator.get(where).text
    operator.post(where)
    [entry] = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "suppression.lifted"))
    assert entry.before["lifted"] == {"channel:sms": "stopped", "marketing": "complained", "social": "complained"}
    db.session.rollback()
    assert [row.scope for row in db.session.scalars(sa.select(Suppression))] == ["system"]
    assert "/lift" not in operator.get("/admin/users/alice").text


def test_a_viewer_may_not_and_a_foreign_address_is_not_found(
    signed_in: Callable[..., Visitor], send: Send, cast: Any
) -> None:
    send("zoe", email="dead@sandbox.test", channels=("email",))
    key = db.session.scalar(sa.select(Address.id).where(Address.user_id == "zoe"))
    assert key is not None
    where = f"addresses/adr_{key.hex}/lift"
    assert signed_in("viewer").post(f"/admin/users/zoe/{where}").status_code == 403
    operator = signed_in("operator")
    assert [
        operator.post(f"/admin/users/{path}").status_code for path in (f"alice/{where}", "zoe/addresses/nonsense/lift")
    ] == [404, 404]
    assert held()[0] == 1


def test_the_page_of_a_webhook_sends_a_test_there_and_shows_how_it_is_checked(
    signed_in: Callable[..., Visitor], cast: Any
) -> None:
    address, _ = addresses.add_given("alice", "webhook", "https://old.test/hook", label=None)
    addresses.add_given("alice", "webhook", "https://new.test/hook", label=None)
    db.session.commit()
    path = f"/admin/users/alice/webhooks/{show('adr', address.id)}"
    viewer, operator = signed_in("viewer"), signed_in("operator")
    assert f'href="{path}"' in viewer.get("/admin/users/alice").text
    page = viewer.get(path).text
    assert "HMAC-SHA256" in page
    assert "/notifications?user=alice&amp;channel=webhook" in page
    assert viewer.post(f"{path}/test").status_code == 403
    assert deliveries() == []

    answer = operator.post(f"{path}/test")

    [delivery] = deliveries()
    assert (delivery.channel, delivery.address_id) == ("webhook", address.id)
    assert answer.headers["Location"].endswith(show("ntf", delivery.notification_id))
    [entry] = rows(AuditEntry, action="webhook.tested")
    assert (entry.subject, entry.actor != "system") == ("alice", True)
    with transaction() as session:
        session.execute(sa.update(Address).where(Address.id == address.id).values(disabled_at=now()))
    assert "It is switched off" in operator.post(f"{path}/test", follow_redirects=True).text
    elsewhere = path.replace("alice", "bob")
    assert (viewer.get(elsewhere).status_code, operator.post(f"{elsewhere}/test").status_code) == (404, 404)
    assert len(deliveries()) == 1
