"""Secrets, roles and erasure ask again who it is, once the sign-in is ten minutes old, and then go on."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.access import sessions
from notifier.access.keys import create_producer
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Account, ApiKey, User
from notifier.web import blueprints, throttle
from notifier.web.access import is_for_recent
from tests.access.test_second_factor import code, set_up
from tests.web.conftest import PASSWORD, Visitor

# What a stolen cookie must not do, and a browser that somebody has left
COVERED = {
    # secrets: shown, made, replaced or thrown away
    "producers": {"create_key", "rotate", "revoke", "set_state"},
    "providers": {"create", "change", "remove"},
    "subscriptions": {"create", "change", "rotate", "delete"},
    "users": {"show_link"},
    "second_factor": {"show", "add", "remove", "renew_codes"},
    "passkeys": {"ask_to_add", "add", "remove"},
    "openid": {"begin_connecting", "connect", "disconnect"},
    "encryption": {"encrypt"},
    "producer_limits": {"save", "raise_today"},
    "walls": {"create"},
    # roles
    "accounts": {"invite", "send_again", "change_role", "set_state", "remove_factor"},
    # erasure
    "preferences": {"erase", "export"},
    "people_data": {"export_person"},  # what is known of a person
    "account": {"go_on"},  # to a page of those above
}


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


@pytest.fixture
def later(admin: Visitor) -> Iterator[None]:
    with time_machine.travel(now() + sessions.PROVEN_FOR + timedelta(minutes=1)):
        yield


def account(user_id: str = "admin") -> Account:
    db.session.rollback()
    return db.session.scalars(sa.select(Account).where(Account.user_id == user_id)).one()


def kept(page: str) -> dict[str, str]:
    """The fields that wait in the page with the question."""
    found = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page))
    return {name: text for name, text in found.items() if name != "csrf_token"}


def keys() -> int:
    db.session.rollback()
    return db.session.scalar(sa.select(sa.func.count()).select_from(ApiKey)) or 0


def test_these_views_and_no_others_ask(app: APIFlask) -> None:
    names = {blueprint.name for blueprint in blueprints}
    asking = [
        tuple(rule.endpoint.split("."))
        for rule in app.url_map.iter_rules()
        if rule.endpoint.split(".")[0] in names and is_for_recent(rule.endpoint)
    ]
    assert sorted(asking) == sorted((name, view) for name, views in COVERED.items() for view in views)


def test_the_right_password_lets_the_same_request_go_on_and_the_next_ones(admin: Visitor, later: None) -> None:
    producer = show("prd", create_producer("Shop").id)
    path, form = f"/admin/producers/{producer}/keys", {"scopes": ["notify", "read"], "kind": "live", "life": ""}

    page = admin.post(path, form)

    assert (page.status_code, keys()) == (403, 0)
    assert f'action="{path}"' in page.text
    assert re.findall('name="scopes" value="([a-z]+)"', page.text) == ["notify", "read"]
    wrong = admin.post(path, form | {"proof": "wrong"})
    assert (wrong.status_code, keys()) == (403, 0)
    assert "That is not your password." in wrong.text
    assert "wrong" not in kept(wrong.text).values()
    assert (admin.post(path, form | {"proof": PASSWORD}).status_code, keys()) == (200, 1)
    assert (admin.post(path, form).status_code, keys()) == (200, 2)


def test_another_browser_of_the_same_person_is_asked_by_itself(app: APIFlask, admin: Visitor) -> None:
    other = Visitor(app)
    other.enter(account())
    with time_machine.travel(now() + sessions.PROVEN_FOR + timedelta(minutes=1)):
        assert admin.post("/account/confirm", {"proof": PASSWORD}).location == "/account"
        assert other.post("/account/confirm").status_code == 403


def test_who_has_a_second_factor_is_asked_for_that(admin: Visitor) -> None:
    secret, codes = set_up(account().id)
    admin.enter(account())
    with time_machine.travel(now() + sessions.PROVEN_FOR + timedelta(minutes=1)):
        page = admin.get("/account/second-factor")
        assert page.status_code == 403
        assert "recovery code" in page.text
        form = kept(page.text)
        assert form == {"next": "/account/second-factor"}
        assert admin.post("/account/confirm", form | {"proof": PASSWORD}).status_code == 403
        assert admin.post("/account/confirm", form | {"proof": code(secret)}).location == "/account/second-factor"
        assert "10 recovery codes left" in admin.get("/account/second-factor").text
    with time_machine.travel(now() + 3 * sessions.PROVEN_FOR):
        assert admin.post("/account/confirm", {"proof": codes[0], "next": "//evil.test"}).location == "/account"


def test_who_has_no_password_is_sent_a_link(signed_in: Callable[..., Visitor]) -> None:
    ann = signed_in("person", "ann")
    with time_machine.travel(now() + sessions.PROVEN_FOR + timedelta(minutes=1)):
        db.session.execute(sa.update(Account).values(password_hash=None))
        db.session.commit()
        page = ann.post("/preferences/erase", {"confirm": "ann@example.test"})
        assert page.status_code == 403
        assert 'action="/login/link"' in page.text
        assert 'name="proof"' not in page.text
        assert ann.post("/preferences/erase", {"confirm": "ann@example.test", "proof": ""}).status_code == 403
        ann.enter(account("ann"), sessions.LINK)
        assert ann.post("/preferences/erase", {"confirm": "ann@example.test"}).location == "/login"
    assert db.session.get(User, "ann") is None


@pytest.mark.parametrize("has_factor", [False, True])
def test_guessing_is_slowed_down(admin: Visitor, later: None, has_factor: bool) -> None:
    if has_factor:
        set_up(account().id)
        admin.enter(account())
    tries = throttle.PER_CODE.free if has_factor else throttle.PER_DEVICE.free
    with time_machine.travel(now() + sessions.PROVEN_FOR + timedelta(minutes=1), tick=False):
        answers = [admin.post("/account/confirm", {"proof": "\0x"}) for _ in range(tries + 2)]
    assert [answer.status_code for answer in answers][:tries] == [403] * tries
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_guessing_with_a_stolen_cookie_uses_up_no_tries_of_the_owner(app: APIFlask, admin: Visitor) -> None:
    _, codes = set_up(account().id)
    admin.enter(account())
    owner = Visitor(app)
    owner.enter(account())
    with time_machine.travel(now() + sessions.PROVEN_FOR + timedelta(minutes=1), tick=False):
        for _ in range(throttle.PER_CODE.free + 1):
            stolen = admin.post("/account/confirm", {"proof": "000000"})
        assert stolen.status_code == 429
        assert admin.post("/account/confirm", {"proof": codes[0]}).status_code == 429
        assert owner.post("/account/confirm", {"proof": codes[0]}).status_code == 303
        assert throttle.begin_code(account().id.hex, "127.0.0.1").retry_after_s == 0  # as at the sign-in
