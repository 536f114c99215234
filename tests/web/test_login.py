"""Signing in and out."""

from collections.abc import Callable

import pytest
from apiflask import APIFlask

from notifier import accounts
from notifier.web import throttle
from tests.web.conftest import PASSWORD, Visitor

ALICE = "alice@example.test"


@pytest.fixture(autouse=True)
def alice(app: APIFlask) -> None:
    accounts.create_account(ALICE, PASSWORD, "person", "alice")


def test_the_right_password_opens_the_inbox(visitor: Visitor) -> None:
    answer = visitor.sign_in(" Alice@Example.test ")
    assert (answer.status_code, answer.location) == (303, "/inbox")
    assert visitor.get("/inbox").status_code == 200


@pytest.mark.parametrize(("email", "password"), [(ALICE, "wrong"), ("nobody@example.test", PASSWORD)])
def test_a_wrong_half_is_not_named(visitor: Visitor, email: str, password: str) -> None:
    answer = visitor.sign_in(email, password)
    assert answer.status_code == 401
    assert "E-mail or password is wrong." in answer.text
    assert visitor.get("/inbox").status_code == 302


@pytest.mark.parametrize(
    ("email", "password", "words"), [("", PASSWORD, "Enter your e-mail"), (ALICE, "", "Enter your password"), (ALICE, "x" * 1025, "longer than 1024")]
)
def test_an_incomplete_form_is_shown_again(visitor: Visitor, email: str, password: str, words: str) -> None:
    answer = visitor.sign_in(email, password)
    assert answer.status_code == 422
    assert words in answer.text


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [("/admin/failed?page=2", "/admin/failed?page=2"), ("https://evil.test/", "/inbox"), ("//evil.test", "/inbox"), ("/\\evil.test", "/inbox")],
)
def test_it_leads_back_to_where_one_came_from_if_that_is_ours(visitor: Visitor, target: str, leads_to: str) -> None:
    assert visitor.sign_in(ALICE, next=target).location == leads_to


def test_the_session_from_before_is_not_taken_over(visitor: Visitor) -> None:
    planted = visitor.csrf_token()
    visitor.client.set_cookie("planted", "1")
    with visitor.client.session_transaction() as session:
        session["left_by_somebody"] = True
    visitor.sign_in(ALICE)
    with visitor.client.session_transaction() as session:
        assert "left_by_somebody" not in session
    assert visitor.post("/preferences", {"csrf_token": planted}, token=False).status_code == 400


def test_the_cookie_is_kept_from_scripts_and_other_sites(visitor: Visitor) -> None:
    cookie = visitor.sign_in(ALICE).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_signing_out_ends_the_session(signed_in: Callable[..., Visitor]) -> None:
    visitor = signed_in(user_id="bob")
    answer = visitor.post("/logout")
    assert (answer.status_code, answer.location) == (303, "/login")
    assert visitor.get("/inbox").status_code == 302
    assert visitor.client.get("/logout").status_code == 405


def test_guessing_at_one_account_is_slowed_down_for_the_right_password_too(visitor: Visitor) -> None:
    for _ in range(throttle.PER_PAIR.amount):
        assert visitor.sign_in(ALICE, "wrong").status_code == 401
    answer = visitor.sign_in(ALICE)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert "Too many tries" in answer.text


def test_a_stranger_who_guesses_does_not_lock_the_owner_out(visitor: Visitor, app: APIFlask) -> None:
    for _ in range(throttle.PER_PAIR.amount + 1):
        visitor.sign_in(ALICE, "wrong")
    owner = Visitor(app)
    owner.client.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    assert owner.sign_in(ALICE).status_code == 303


def test_a_success_forgets_the_failures_of_that_account(visitor: Visitor, app: APIFlask) -> None:
    for _ in range(throttle.PER_PAIR.amount - 1):
        visitor.sign_in(ALICE, "wrong")
    assert visitor.sign_in(ALICE).status_code == 303
    assert Visitor(app).sign_in(ALICE, "wrong").status_code == 401


@pytest.mark.parametrize(("address", "status"), [("2001:db8::ffff", 429), ("2001:db8:0:1::1", 401), ("::ffff:192.0.2.7", 401)])
def test_a_network_of_ipv6_counts_as_one_address(visitor: Visitor, address: str, status: int) -> None:
    for number in range(throttle.PER_ADDRESS.amount):
        throttle.note_failure(f"2001:db8::{number:x}")
    visitor.client.environ_base["REMOTE_ADDR"] = address
    assert visitor.sign_in("somebody.else@example.test").status_code == status


def test_guessing_at_many_accounts_is_slowed_down_by_network_address(visitor: Visitor) -> None:
    for _ in range(throttle.PER_ADDRESS.amount):
        throttle.note_failure("127.0.0.1")
    assert visitor.sign_in("somebody.else@example.test").status_code == 429


def test_without_redis_each_process_counts_for_itself(visitor: Visitor, redis_away: None) -> None:
    answers = [visitor.sign_in("nobody@example.test", "wrong").status_code for _ in range(throttle.PER_PAIR.amount + 1)]
    assert answers == [401] * throttle.PER_PAIR.amount + [429]
