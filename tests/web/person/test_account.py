"""Somebody's own account: the password, and where they are signed in. What a session ends with."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.access import accounts, roles, sessions
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Account, AccountSession, AuditEntry
from notifier.people import profiles
from tests.conftest import Statements
from tests.web.conftest import PASSWORD, Visitor

NEW = "a new one that is long enough"


@pytest.fixture
def alice(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in(user_id="alice")


def account(user_id: str = "alice") -> Account:
    db.session.rollback()
    return db.session.scalars(sa.select(Account).where(Account.user_id == user_id)).one()


def copy_of(visitor: Visitor) -> Visitor:
    """A browser with the same cookie, as somebody has it who took it."""
    app = visitor.client.application
    copy = Visitor(app)
    name = app.config["SESSION_COOKIE_NAME"]
    cookie = visitor.client.get_cookie(name)
    assert cookie is not None
    copy.client.set_cookie(name, cookie.value)
    return copy


def elsewhere(visitor: Visitor, user_id: str = "alice") -> Visitor:
    """Another browser in which the same person is signed in."""
    other = Visitor(visitor.client.application)
    other.enter(account(user_id))
    return other


def is_in(visitor: Visitor) -> bool:
    return visitor.get("/inbox").status_code == 200


# --- what a session ends with


def sign_out(visitor: Visitor) -> None:
    visitor.post("/logout")


def sign_out_everywhere(visitor: Visitor) -> None:
    assert visitor.post("/account/sign-out").location == "/login"


def change_password(visitor: Visitor) -> None:
    assert visitor.post("/account/password", {"old": PASSWORD, "new": NEW}).location == "/account"


def sign_in_anew(visitor: Visitor) -> None:
    visitor.enter(account())


def disable(_visitor: Visitor) -> None:
    admin = accounts.create_account("admin@example.test", None, "admin", "admin")
    roles.disable(account().id, by=admin.id)


def disable_and_enable(visitor: Visitor) -> None:
    disable(visitor)
    roles.enable(account().id, by=account("admin").id)


@pytest.mark.parametrize(
    ("cause", "stays_in", "others_stay_in", "copy_stays_in"),
    [
        (lambda _: None, True, True, True),
        (sign_out, False, True, False),
        (sign_in_anew, True, True, False),
        (sign_out_everywhere, False, False, False),
        (change_password, True, False, False),
        (disable, False, False, False),
        (disable_and_enable, False, False, False),
        (lambda _: profiles.erase("alice"), False, False, False),
    ],
    ids=[
        "nothing",
        "sign-out",
        "another sign-in here",
        "sign-out everywhere",
        "a new password",
        "disabled",
        "disabled and enabled",
        "erased",
    ],
)
def test_a_session_ends_with_its_cause_and_every_copy_of_its_cookie_with_it(
    alice: Visitor, cause: Callable[[Visitor], object], stays_in: bool, others_stay_in: bool, copy_stays_in: bool
) -> None:
    taken, phone = copy_of(alice), elsewhere(alice)
    assert (is_in(taken), is_in(phone)) == (True, True)
    cause(alice)
    assert (is_in(alice), is_in(phone), is_in(taken)) == (stays_in, others_stay_in, copy_stays_in)


def test_a_session_ends_after_two_weeks(alice: Visitor) -> None:
    with time_machine.travel(now() + sessions.LIFETIME - timedelta(minutes=1)):
        assert is_in(alice)
    with time_machine.travel(now() + sessions.LIFETIME + timedelta(minutes=1)):
        assert not is_in(alice)
        assert sessions.prune() == 1
    assert db.session.scalar(sa.select(sa.func.count()).select_from(AccountSession)) == 0


def test_pruning_leaves_those_that_are_good(alice: Visitor) -> None:
    assert sessions.prune() == 0
    assert is_in(alice)


def test_a_cookie_from_before_sessions_were_kept_is_good_for_nothing(visitor: Visitor, alice: Visitor) -> None:
    with visitor.client.session_transaction() as cookie:
        cookie.update({"_user_id": str(account().id), "_fresh": True, "entered_at": now().timestamp()})
    assert not is_in(visitor)


@pytest.mark.parametrize("session_id", [None, "", "nonsense", "0" * 32, 5, ["x"], "A" * 32, "\0" * 32])
def test_a_session_that_is_none_is_nobodys(visitor: Visitor, alice: Visitor, session_id: Any) -> None:
    with visitor.client.session_transaction() as cookie:
        cookie.update({"_user_id": str(account().id), "_fresh": True, sessions.KEY: session_id})
    assert not is_in(visitor)
    visitor.post("/logout")


def test_the_session_of_one_account_opens_no_other(
    visitor: Visitor, alice: Visitor, signed_in: Callable[..., Visitor]
) -> None:
    signed_in(user_id="bob")
    [theirs] = sessions.of_account(account("bob").id)
    with visitor.client.session_transaction() as cookie:
        cookie.update({"_user_id": str(account("alice").id), "_fresh": True, sessions.KEY: theirs.id.hex})
    assert not is_in(visitor)


def test_a_new_role_counts_in_every_session_at_once(signed_in: Callable[..., Visitor]) -> None:
    ben, admin = signed_in("operator", "ben"), signed_in("admin")
    assert ben.get("/admin/").status_code == 200
    roles.change(account("ben").id, "person", by=account("admin").id)
    assert ben.get("/admin/").status_code == 403
    assert admin.get("/admin/").status_code == 200


def test_a_request_asks_for_session_and_account_in_one_statement_and_writes_nothing(
    alice: Visitor, statements: Statements
) -> None:
    with statements() as asked:
        assert alice.get("/login").status_code == 302  # who is signed in is sent on
    assert len([text for text in asked if text.startswith("SELECT")]) == 1
    assert not [text for text in asked if text.startswith(("INSERT", "UPDATE", "DELETE"))]


# --- the password


def test_a_new_password_asks_for_the_old_one(alice: Visitor, app: APIFlask) -> None:
    page = alice.get("/account").text
    assert 'autocomplete="current-password"' in page
    assert 'autocomplete="new-password"' in page
    assert alice.post("/account/password", {"old": PASSWORD, "new": NEW}).status_code == 303
    assert "Your password has been changed. You have been signed out everywhere else." in alice.get("/account").text
    assert Visitor(app).sign_in("alice@example.test", NEW).status_code == 303
    assert Visitor(app).sign_in("alice@example.test", PASSWORD).status_code == 401


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"old": "wrong", "new": NEW}, "old"),
        ({"new": NEW}, "old"),
        ({"old": PASSWORD, "new": "too short"}, "new"),
        ({"old": PASSWORD}, "new"),
        ({"old": PASSWORD, "new": "x" * 1025}, "new"),
        ({"old": PASSWORD, "new": "x" * 20 + "\0"}, "new"),
    ],
    ids=["wrong", "no old one", "short", "no new one", "long", "NUL"],
)
def test_what_is_wrong_is_said_beside_its_field_and_nothing_changes(
    alice: Visitor, app: APIFlask, form: dict[str, str], field: str
) -> None:
    phone = elsewhere(alice)
    answer = alice.post("/account/password", form)
    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text
    assert is_in(phone)
    assert accounts.check_password("alice@example.test", PASSWORD)


def test_guessing_the_old_password_is_slowed_down_like_a_sign_in(alice: Visitor) -> None:
    tries = ({"old": f"wrong {number}", "new": NEW} for number in range(200))
    # However slow the machine: each wait that has passed is followed by one twice as long
    assert any("Too many attempts" in alice.post("/account/password", given).text for given in tries)
    assert accounts.check_password("alice@example.test", PASSWORD)


@pytest.mark.parametrize("password_hash", ["theirs", None])
@pytest.mark.parametrize("way", sessions.BY_MAIL)
def test_who_came_by_mail_just_now_need_not_know_the_old_one(
    visitor: Visitor, alice: Visitor, way: str, password_hash: str | None
) -> None:
    if password_hash is None:
        with transaction() as writing:
            writing.execute(sa.update(Account).values(password_hash=None))
    by_mail(visitor, way)
    assert 'id="old"' not in visitor.get("/account").text
    assert visitor.post("/account/password", {"new": NEW}).status_code == 303
    assert accounts.check_password("alice@example.test", NEW)


def test_a_quarter_of_an_hour_later_they_must(visitor: Visitor, alice: Visitor) -> None:
    by_mail(visitor, sessions.LINK)
    with time_machine.travel(now() + sessions.FRESH_FOR + timedelta(seconds=1)):
        assert 'id="old"' in visitor.get("/account").text
        assert visitor.post("/account/password", {"new": NEW}).status_code == 422
    assert accounts.check_password("alice@example.test", PASSWORD)


def test_who_never_had_one_and_has_been_in_for_long_is_told_the_way(visitor: Visitor, alice: Visitor) -> None:
    with transaction() as writing:
        writing.execute(sa.update(Account).values(password_hash=None))
    page = alice.get("/account").text
    assert "sign in with a link" in page
    assert 'id="new"' not in page
    assert alice.post("/account/password", {"new": NEW}).status_code == 422
    assert account().password_hash is None


def by_mail(visitor: Visitor, way: str) -> None:
    visitor.enter(account(), way)


def test_it_is_in_the_audit_trail_of_those_who_run_this_installation(signed_in: Callable[..., Visitor]) -> None:
    admin, person = signed_in("admin"), signed_in(user_id="alice")
    for visitor in (admin, person):
        change_password(visitor)
        sign_out_everywhere(visitor)
    db.session.rollback()
    told = [
        (entry.actor, entry.action, entry.subject)
        for entry in db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id))
    ]
    assert told[-3:] == [("admin@example.test", action, "admin@example.test") for action in WHAT_IS_TOLD]
    assert "alice@example.test" not in {subject for _, action, subject in told if action in WHAT_IS_TOLD}


WHAT_IS_TOLD = ("account.password_changed", "account.signed_in", "account.signed_out_everywhere")


# --- the page


def test_it_says_where_one_is_signed_in(alice: Visitor) -> None:
    by_mail(Visitor(alice.client.application), sessions.LINK)
    page = alice.get("/account").text
    lines = re.findall(
        r"<li> <time.*?</time>([^<]*)(<strong>this browser</strong>)?", page.partition("Where you are signed in")[2]
    )
    assert [(("with an e-mailed link" in text), bool(here)) for text, here in lines] == [(True, False), (False, True)]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/account"), ("POST", "/account/password"), ("POST", "/account/sign-out")]
)
def test_it_is_for_who_is_signed_in(visitor: Visitor, method: str, path: str) -> None:
    answer = visitor.get(path) if method == "GET" else visitor.post(path, {"new": NEW})
    assert answer.location.startswith("/login")


@pytest.mark.parametrize("path", ["/account/password", "/account/sign-out"])
def test_another_site_can_do_neither(alice: Visitor, path: str) -> None:
    assert alice.post(path, {"old": PASSWORD, "new": NEW}, token=False).status_code == 400
    assert is_in(alice)


def test_the_menu_leads_there(alice: Visitor) -> None:
    assert 'href="/account"' in alice.get("/inbox").text


def test_the_inbox_of_a_cookie_ends_with_the_session_too(alice: Visitor) -> None:
    taken = copy_of(alice)
    assert taken.get("/api/v1/inbox").status_code == 200
    sign_out(alice)
    assert taken.get("/api/v1/inbox").status_code == 401
