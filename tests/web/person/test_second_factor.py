"""Signing in with a second factor, setting it up, and being told to."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.access import second_factor, sessions
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.models import Account
from tests.access.test_second_factor import code, set_up
from tests.web.conftest import Visitor

ADDRESS = "ann@example.test"


@pytest.fixture
def ann(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin", "ann")


@pytest.fixture
def required(app: APIFlask) -> Iterator[None]:
    usual = app.extensions["settings"]
    app.extensions["settings"] = replace(usual, second_factor="operator")
    yield
    app.extensions["settings"] = usual


def account(user_id: str = "ann") -> Account:
    db.session.rollback()
    return db.session.scalars(sa.select(Account).where(Account.user_id == user_id)).one()


def test_who_has_one_is_asked_for_it_and_not_in_before(app: APIFlask, ann: Visitor) -> None:
    secret, codes = set_up(account().id)
    browser = Visitor(app)

    answer = browser.sign_in(ADDRESS, next="/admin/queues")

    assert answer.location == "/login/code"
    assert browser.get("/inbox").status_code == browser.get("/admin/").status_code == 302
    assert sessions.of_account(account().id) == []
    assert browser.post("/login/code", {"code": "000000"}).status_code == 401
    assert browser.post("/login/code", {"code": ""}).status_code == 422
    assert browser.post("/login/code", {"code": code(secret, 1)}).location == "/admin/queues"
    assert browser.get("/admin/").status_code == 200
    assert browser.get("/login/code").location == "/login"  # halfway is over
    lost = Visitor(app)
    lost.sign_in(ADDRESS)
    assert lost.post("/login/code", {"code": codes[0]}).location == "/inbox"


def test_halfway_ends_after_ten_minutes_and_leads_nowhere_by_itself(app: APIFlask, ann: Visitor) -> None:
    secret, _ = set_up(account().id)
    browser = Visitor(app)
    assert browser.post("/login/code", {"code": code(secret, 1)}).location == "/login"
    browser.sign_in(ADDRESS)
    with time_machine.travel(now() + timedelta(minutes=11)):
        assert browser.post("/login/code", {"code": code(secret)}).location == "/login"


def test_too_many_codes_are_told_to_wait(app: APIFlask, ann: Visitor) -> None:
    set_up(account().id)
    browser = Visitor(app)
    browser.sign_in(ADDRESS)
    answers = [browser.post("/login/code", {"code": "000000"}) for _ in range(second_factor.MOST_TRIES + 1)]
    assert [answer.status_code for answer in answers] == [401] * second_factor.MOST_TRIES + [429]
    assert answers[-1].headers["Retry-After"] == "900"


def test_it_is_set_up_on_its_page_and_removed_there(ann: Visitor) -> None:
    page = ann.get("/account/second-factor").text
    found = re.search(r"<code>([A-Z2-7 ]+)</code>", page)
    assert found
    assert "<svg" in page
    secret = found[1].replace(" ", "")

    assert ann.post("/account/second-factor", {"code": "000000"}).status_code == 422
    kept = ann.post("/account/second-factor", {"code": code(secret)}).text

    assert len(re.findall(r"<code>[a-z2-9]{4}-[a-z2-9]{4}-[a-z2-9]{4}</code>", kept)) == second_factor.RECOVERY_CODES
    page = ann.get("/account/second-factor").text
    assert "You have 10 recovery codes left." in page
    assert secret not in page.replace(" ", "")
    assert ann.post("/account/second-factor/remove").location == "/account"
    assert account().second_factor_at is None


def test_both_take_a_recent_sign_in(ann: Visitor) -> None:
    secret = second_factor.begin(account().id)
    with time_machine.travel(now() + sessions.PROVEN_FOR + timedelta(minutes=1)):
        assert second_factor.begin(account().id) not in ann.get("/account/second-factor").text.replace(" ", "")
        assert ann.post("/account/second-factor", {"code": code(secret)}).status_code == 403
        assert ann.post("/account/second-factor/remove").status_code == 403


def test_who_must_have_one_is_sent_there_first(required: None, signed_in: Callable[..., Visitor]) -> None:
    for role, is_sent in {"person": False, "viewer": False, "operator": True, "admin": True}.items():
        visitor = signed_in(role)
        console = visitor.get("/admin/")
        assert (console.status_code, console.location) == (
            (303, "/account/second-factor") if is_sent else (403 if role == "person" else 200, None)
        )
        assert visitor.get("/inbox").status_code == 200
    page = visitor.get("/account/second-factor")
    assert "Your role needs a second factor" in page.text
    set_up(account("admin").id)
    visitor.enter(account("admin"))
    assert visitor.get("/admin/").status_code == 200


def test_a_browser_is_signed_out_from_another(app: APIFlask, ann: Visitor, signed_in: Callable[..., Visitor]) -> None:
    phone, bob = Visitor(app), signed_in(user_id="bob")
    phone.client.environ_base["HTTP_USER_AGENT"] = "Mozilla/5.0 (Linux; Android 15) Chrome/142.0 Mobile Safari/537.36"
    phone.sign_in(ADDRESS)

    page = ann.get("/account").text
    assert "Chrome · Android" in page
    [path] = re.findall(r'action="(/account/sessions/[0-9a-f]{32}/end)"', page)

    bob.post(path)
    assert phone.get("/inbox").status_code == 200
    assert ann.post(path).location == "/account"
    assert (phone.get("/inbox").status_code, ann.get("/inbox").status_code) == (302, 200)
