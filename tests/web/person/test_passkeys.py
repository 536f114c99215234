"""Passkeys on pages: added, used in place of a password, of a code and of both, and removed."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine
from apiflask import APIFlask

from notifier.access import passkeys, sessions
from notifier.ground.clock import now
from notifier.models import Account, Notification, Passkey
from notifier.web import rates
from tests.device import Device
from tests.stored import rows
from tests.web.conftest import Visitor

ADDRESS = "ann@example.test"
PAGE, OPTIONS = "/account/second-factor", "/login/passkey/options"


def add(visitor: Visitor, name: str = "My phone") -> Device:
    device = Device()
    options = json.loads(visitor.post(f"{PAGE}/passkeys/options").text)
    answer = visitor.post(f"{PAGE}/passkeys", {"passkey": device.create(options), "name": name})
    assert answer.status_code in (200, 303)
    return device


def answer_of(visitor: Visitor, device: Device) -> str:
    return device.get(json.loads(visitor.post(OPTIONS).text))


@pytest.mark.parametrize("role", ["person", "admin"])
def test_one_is_added_signs_in_and_is_removed(app: APIFlask, signed_in: Callable[..., Visitor], role: str) -> None:
    ann = signed_in(role, "ann")
    device = add(ann, "  My \n phone ")
    page = ann.get(PAGE).text
    assert "<strong>My phone</strong>" in page
    assert "not used yet" in page
    assert "10 recovery codes left" in page
    ann.post("/logout")

    browser = Visitor(app)
    assert 'data-options="/login/passkey/options"' in browser.get("/login").text
    answer = browser.post("/login/passkey", {"passkey": answer_of(browser, device), "next": "/preferences"})
    assert answer.location == "/preferences"
    assert browser.get("/inbox").status_code == 200
    assert "with a passkey" in browser.get("/account").text
    assert "last used" in browser.get(PAGE).text

    [passkey] = rows(Passkey)
    assert browser.post(f"{PAGE}/passkeys/{passkey.shown_id}/remove").location == PAGE
    assert rows(Account)[0].second_factor_at is None
    other = Visitor(app)
    assert other.post("/login/passkey", {"passkey": answer_of(other, device)}).location == "/login"
    assert "was not accepted" in other.get("/login").text
    told = [row.data["event"] for row in rows(Notification) if row.type == "account_security"]
    assert sorted(told) == ["passkey_added", "passkey_removed"]


def test_it_answers_instead_of_a_code(app: APIFlask, signed_in: Callable[..., Visitor]) -> None:
    device = add(signed_in("admin", "ann"))
    bobs = add(signed_in("admin", "bob"))
    browser = Visitor(app)
    assert browser.sign_in(ADDRESS, next="/admin/queues").location == "/login/code"
    assert "Confirm with your passkey" in browser.get("/login/code").text
    assert browser.post("/login/passkey", {"passkey": answer_of(browser, bobs)}).location == "/login/code"
    assert browser.post("/login/passkey", {"passkey": answer_of(browser, device)}).location == "/admin/queues"


def test_it_shows_again_who_one_is(signed_in: Callable[..., Visitor]) -> None:
    ann = signed_in("admin", "ann")
    bobs = add(signed_in("admin", "bob"))
    device = add(ann)
    form = {"next": PAGE}
    with time_machine.travel(now() + sessions.PROVEN_FOR + timedelta(minutes=1)):
        page = ann.get(PAGE)
        assert page.status_code == 403
        assert 'name="proof_passkey"' in page.text
        assert ann.post("/account/confirm", {**form, "proof_passkey": answer_of(ann, bobs)}).status_code == 403
        refused = ann.post("/account/confirm", {**form, "proof_passkey": ""})
        assert (refused.status_code, "was not accepted" in refused.text) == (403, True)
        answer = answer_of(ann, device)
        assert ann.post("/account/confirm", {**form, "proof_passkey": answer}).location == PAGE
        assert ann.get(PAGE).status_code == 200


def test_what_is_sent_again_or_by_another_browser_is_refused(app: APIFlask, signed_in: Callable[..., Visitor]) -> None:
    device = add(signed_in("person", "ann"))
    browser = Visitor(app)
    answer = answer_of(browser, replace(device, counts=False))
    assert Visitor(app).post("/login/passkey", {"passkey": answer}).location == "/login"
    assert browser.post("/login/passkey", {"passkey": answer}).location == "/inbox"
    browser.post("/logout")
    assert browser.post("/login/passkey", {"passkey": answer}).location == "/login"


def test_adding_one_says_what_is_wrong(signed_in: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch) -> None:
    ann = signed_in("person", "ann")
    ann.post(f"{PAGE}/passkeys/options")
    assert ann.post(f"{PAGE}/passkeys", {"passkey": "nonsense"}).location == PAGE
    assert "no passkey that can be used" in ann.get(PAGE).text
    assert ann.post(f"{PAGE}/passkeys", {"passkey": "nonsense"}).location == PAGE
    assert "That took too long" in ann.get(PAGE).text
    monkeypatch.setattr(passkeys, "MOST", 0)
    full = ann.post(f"{PAGE}/passkeys/options")
    assert (full.status_code, full.json["error"].startswith("You have as many")) == (409, True)


def test_one_address_is_given_so_many_challenges(
    visitor: Visitor, signed_in: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = signed_in("person", "ann")
    few = type(rates.CHALLENGES_PER_ADDRESS)(2, 15, namespace="few")
    monkeypatch.setattr(rates, "CHALLENGES_PER_ADDRESS", few)
    assert [visitor.post(OPTIONS).status_code for _ in range(3)] == [200, 200, 429]
    refused = ann.post(f"{PAGE}/passkeys/options")
    assert (refused.status_code, refused.headers.get("Retry-After")) == (429, str(few.get_expiry()))


def test_where_browsers_know_none_the_page_says_so(
    app: APIFlask, signed_in: Callable[..., Visitor], visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = signed_in("person", "ann")
    by_number = replace(app.extensions["settings"], public_url="http://127.0.0.1:5000")
    monkeypatch.setitem(app.extensions, "settings", by_number)
    assert "has a name and https" in ann.get(PAGE).text
    assert "data-passkey" not in visitor.get("/login").text
