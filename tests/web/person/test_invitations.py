"""Accepting an invitation: by its button alone, once, and without telling strangers anything."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from flask import Config

from notifier.access import accounts, invitations, roles
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.models import Account, AuditEntry, Invitation, Notification
from notifier.web import throttle
from tests.web.conftest import PASSWORD, Visitor

BEN = "ben@example.test"


@pytest.fixture
def ann(app: APIFlask) -> Account:
    return accounts.create_account("ann@example.test", PASSWORD, "admin", "ann")


def invite(ann: Account, role: str = "viewer") -> str:
    """→ the path of the link."""
    invitations.invite(BEN, role, by=ann)
    db.session.rollback()
    url = db.session.scalars(sa.select(Notification).order_by(Notification.id.desc())).first().data["url"]  # type: ignore[union-attr]
    return str(url).removeprefix("http://localhost")


@pytest.fixture
def link(ann: Account) -> str:
    return invite(ann)


def ben() -> Account | None:
    db.session.rollback()
    return db.session.scalar(sa.select(Account).where(Account.email == BEN))


def test_looking_does_nothing_and_the_button_lets_in(link: str, visitor: Visitor) -> None:
    for _ in range(2):  # a mail scanner, and then the person
        page = visitor.get(link)
        assert (page.status_code, page.headers["Referrer-Policy"], page.headers["Cache-Control"]) == (
            200,
            "no-referrer",
            "no-store",
        )
        assert "ann@example.test has invited you; your role: <strong>Viewer</strong>" in page.text
        assert ben() is None
    answer = visitor.post(link)
    assert (answer.status_code, answer.location) == (303, "/admin/")
    assert "Your role here is viewer." in visitor.get("/admin/").text
    db.session.rollback()
    trail = [
        (entry.actor, entry.action, entry.origin)
        for entry in db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id))
    ]
    assert trail[-2:] == [(BEN, "account.created", "127.0.0.1"), (BEN, "account.signed_in", "127.0.0.1")]


def test_a_password_may_be_chosen(link: str, visitor: Visitor, app: APIFlask) -> None:
    assert visitor.post(link, {"password": PASSWORD}).status_code == 303
    assert Visitor(app).sign_in(BEN, PASSWORD).status_code == 303


@pytest.mark.parametrize(("password", "words"), [("short", "At least 12 characters"), ("é" * 600, "shorter")])
def test_one_that_cannot_be_used_is_refused_and_the_invitation_stays(
    link: str, visitor: Visitor, password: str, words: str
) -> None:
    answer = visitor.post(link, {"password": password})
    assert answer.status_code == 422
    assert words in answer.text
    assert ben() is None
    assert visitor.post(link).status_code == 303


def test_who_has_an_account_is_asked_for_no_password_and_keeps_theirs(
    ann: Account, visitor: Visitor, app: APIFlask
) -> None:
    accounts.create_account(BEN, PASSWORD, "person", "ben")
    link = invite(ann, "operator")
    assert 'name="password"' not in visitor.get(link).text
    assert visitor.post(link, {"password": "something else entirely"}).status_code == 303
    found = ben()
    assert found is not None
    assert found.role == "operator"
    assert Visitor(app).sign_in(BEN, PASSWORD).status_code == 303


OVER = {
    "used": ("has already been used", "Sign in"),
    "withdrawn": ("has been withdrawn", "Ask ann@example.test for a new one"),
    "expired": ("has expired", "Ask ann@example.test to send it again"),
    "sent again": ("does not work", "Open the link in the latest e-mail"),
    "disabled": ("Your account is disabled", "Ask an admin to enable the account"),
}


@pytest.mark.parametrize("case", OVER)
def test_what_opens_nothing_says_why_and_what_to_do(ann: Account, app: APIFlask, case: str) -> None:
    if case == "disabled":
        account = accounts.create_account(BEN, None, "person", "ben")
    link = invite(ann)
    [invitation] = db.session.scalars(sa.select(Invitation.id))
    if case == "used":
        Visitor(app).post(link)
    elif case == "withdrawn":
        invitations.withdraw(invitation)
    elif case == "sent again":
        invitations.send_again(invitation, by=ann)
    elif case == "disabled":
        roles.disable(account.id, by=ann.id)
    later = timedelta(days=8 if case == "expired" else 0)
    with time_machine.travel(now() + later):
        stranger = Visitor(app)
        for answer in (stranger.get(link), stranger.post(link)):
            assert answer.status_code == 404
            assert [words for words in OVER[case] if words not in answer.text] == []
            assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert stranger.get("/admin/").status_code == 302


@pytest.mark.parametrize("secret", ["forged", "x" * 2000, "%F0%9F%98%80", "%00"])
def test_a_stranger_learns_nothing(ann: Account, visitor: Visitor, secret: str) -> None:
    for answer in (visitor.get(f"/invitation/{secret}"), visitor.post(f"/invitation/{secret}", {"password": PASSWORD})):
        assert answer.status_code == 404
        assert "This link does not work" in answer.text
        assert "@" not in answer.text


def test_it_needs_the_csrf_token_and_takes_no_session_over(link: str, visitor: Visitor) -> None:
    assert visitor.post(link, token=False).status_code == 400
    planted = visitor.csrf_token()
    with visitor.client.session_transaction() as session:
        session["left_by_somebody"] = True
    assert visitor.post(link, {"csrf_token": planted}, token=False).status_code == 303
    with visitor.client.session_transaction() as session:
        assert "left_by_somebody" not in session


def test_it_works_over_https_although_its_page_lets_no_referrer_out(
    link: str, visitor: Visitor, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(config, "WTF_CSRF_SSL_STRICT", True)
    assert visitor.post(link, base_url="https://localhost").status_code == 303


def test_who_is_signed_in_as_somebody_else_is_told_so(link: str, app: APIFlask) -> None:
    ann = Visitor(app)
    ann.sign_in("ann@example.test")
    assert "ann@example.test is signed in in this browser" in ann.get(link).text


def test_guessing_is_refused_in_the_end_and_a_good_link_never(link: str, visitor: Visitor, app: APIFlask) -> None:
    for _ in range(throttle.MOST_FAILURES):
        assert visitor.get("/invitation/forged").status_code == 404
    refused = visitor.get("/invitation/forged")
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, True)
    elsewhere = Visitor(app)
    elsewhere.client.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    assert elsewhere.get("/invitation/forged").status_code == 404
    assert visitor.post(link).status_code == 303  # a link that is one is good from anywhere


def test_no_producer_is_shown_the_link(link: str, api: object) -> None:
    secret = link.rpartition("/")[2]
    [one] = db.session.scalars(sa.select(Notification))
    paths = ("/api/v1/notifications", f"/api/v1/notifications/ntf_{one.id.hex}", f"/api/v1/users/{one.user_id}/export")
    answers = [api.get(path) for path in paths]  # type: ignore[attr-defined]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert [answer.json for answer in answers if secret in answer.text] == []
