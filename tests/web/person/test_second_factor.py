"""Signing in with a second factor, setting it up, and being told to."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.access import recovery_codes, second_factor, sessions
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.models import Account, Notification
from notifier.web import throttle
from tests.access.test_second_factor import code, set_up
from tests.metered import growth
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


def halfway(app: APIFlask, address: str, device: str | None = None) -> Visitor:
    """A browser at that address in which the password has been given; `device`: its device cookie."""
    browser = Visitor(app)
    browser.client.environ_base["REMOTE_ADDR"] = address
    if device:
        browser.client.set_cookie("notifier_device", device, path="/login")
    assert browser.sign_in(ADDRESS).location == "/login/code"
    return browser


def guess(browser: Visitor, times: int) -> list[int]:
    return [browser.post("/login/code", {"code": "000000"}).status_code for _ in range(times)]


def test_too_many_codes_are_told_to_wait(app: APIFlask, ann: Visitor) -> None:
    set_up(account().id)
    browser, tries = halfway(app, "192.0.2.1"), throttle.PER_CODE.free
    with time_machine.travel(now(), tick=False):
        assert guess(browser, tries + 1) == [401] * tries + [429]
        answer = browser.post("/login/code", {"code": "000000"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "900")
        assert "Wait 15 minutes" in answer.text


@pytest.mark.slow
def test_who_has_a_cookie_from_halfway_uses_up_no_tries_of_the_owner(app: APIFlask, ann: Visitor) -> None:
    """Neither in the browser that the owner has used before, wherever the thief is, nor at another address."""
    secret, codes = set_up(account().id)
    known = tokens.sign_device(ADDRESS)
    with time_machine.travel(now() + timedelta(minutes=1), tick=False):
        guess(halfway(app, "192.0.2.1"), throttle.PER_CODE.free + 1)
        assert guess(halfway(app, "192.0.2.2"), 1) == [401]
        for number in range(3, 9):
            guess(halfway(app, f"192.0.2.{number}"), throttle.PER_CODE.free)
        assert guess(halfway(app, "198.51.100.1"), 1) == [429]  # by now nobody unknown is let try
        owner = halfway(app, "192.0.2.1", known)
        assert owner.post("/login/code", {"code": code(secret)}).location == "/inbox"
        # Nor with the cookie of that browser, from elsewhere
        assert guess(halfway(app, "192.0.2.9", known), throttle.PER_CODE.free + 1)[-1] == 429
        assert halfway(app, "192.0.2.1", known).post("/login/code", {"code": codes[0]}).location == "/inbox"


@pytest.mark.parametrize(("policy", "waits"), [("password", throttle.PER_DEVICE), ("second_factor", throttle.PER_CODE)])
def test_what_has_to_wait_is_counted_by_the_name_of_its_limit(
    app: APIFlask, policy: str, waits: throttle.Waits
) -> None:
    with time_machine.travel(now(), tick=False), growth() as grown:
        for _ in range(waits.free + 3):
            throttle.begin(ADDRESS, "192.0.2.1", "device", waits)
    stopped = {name: number for name, number in grown.items() if name.startswith("notifier_limits_exceeded_total")}
    assert stopped == {f"notifier_limits_exceeded_total{{limit={policy}}}": 3}


@pytest.mark.parametrize("is_known", [False, True])
def test_however_many_addresses_guess_codes_few_are_looked_at(app: APIFlask, is_known: bool) -> None:
    """In a day, of an account whose password somebody has: three of a million codes are good at a time."""
    looked_at = 0
    with time_machine.travel(now(), tick=False) as clock:
        for _ in range(24 * 4):
            for number in range(50):
                one = throttle.begin_code("account", f"192.0.2.{number}", "device" if is_known else None)
                looked_at += not one.retry_after_s
            clock.shift(timedelta(minutes=15, seconds=1))
    assert throttle.PER_CODE_TOGETHER.free <= looked_at <= throttle.PER_CODE_TOGETHER.free + 24 * 4


def test_it_is_set_up_on_its_page_and_removed_there(ann: Visitor) -> None:
    page = ann.get("/account/second-factor").text
    found = re.search(r"<code>([A-Z2-7 ]+)</code>", page)
    assert found
    assert "<svg" in page
    secret = found[1].replace(" ", "")

    assert ann.post("/account/second-factor", {"code": "000000"}).status_code == 422
    kept = ann.post("/account/second-factor", {"code": code(secret)}).text

    assert len(re.findall(r"<code>[a-z2-9]{4}-[a-z2-9]{4}-[a-z2-9]{4}</code>", kept)) == recovery_codes.COUNT
    page = ann.get("/account/second-factor").text
    assert "You have 10 recovery codes left." in page
    assert secret not in page.replace(" ", "")
    assert ann.post("/account/second-factor/remove").location == "/account/second-factor"
    assert account().second_factor_at is None


def test_who_makes_new_recovery_codes_is_told(ann: Visitor) -> None:
    assert ann.post("/account/second-factor/codes").status_code == 303  # there are none
    set_up(account().id)  # which signs out
    ann.enter(account())
    assert "<code>" in ann.post("/account/second-factor/codes").text
    told = db.session.scalars(sa.select(Notification).where(Notification.user_id == "ann")).all()
    assert [(one.type, one.data["event"]) for one in told] == [("account_security", "recovery_codes_renewed")]


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
