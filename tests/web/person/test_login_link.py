"""Signing in by a link: the same answer for everybody, and a link that acts by its button alone."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from apiflask import APIFlask
from flask import Config
from limits.storage import MemoryStorage
from markupsafe import escape
from sqlalchemy import event, select, update

from notifier.access import accounts
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Account, Notification, SignInLink
from notifier.people import profiles
from notifier.web import rates
from tests.web.conftest import PASSWORD, Visitor

ALICE = "alice@example.test"


@pytest.fixture(autouse=True)
def alice(app: APIFlask) -> None:
    accounts.create_account(ALICE, PASSWORD, "person", "alice")


@pytest.fixture(autouse=True)
def _nothing_goes_on(app: APIFlask) -> Iterator[None]:
    yield
    wait()


def wait() -> None:
    """What goes on after an answer is done."""
    for thread in threading.enumerate():
        if "_send_link" in thread.name:
            thread.join(10)
    db.session.rollback()


def link_for(visitor: Visitor, email: str = ALICE) -> str:
    """Asks for a link and reads it in the mail; → its path."""
    visitor.post("/login/link", {"email": email})
    wait()
    latest = db.session.scalar(select(Notification).order_by(Notification.id.desc()).limit(1))
    assert latest is not None
    return str(latest.data["url"]).removeprefix("http://localhost")


def test_the_sign_in_page_offers_it_beside_the_password(visitor: Visitor) -> None:
    page = visitor.get("/login").text
    assert 'formaction="/login/link" formnovalidate> E-mail me a sign-in link' in page


@pytest.mark.parametrize("email", [ALICE, "nobody@example.test", "nonsense", "alice@example.test\0"])
def test_the_answer_is_the_same_whether_anybody_has_that_e_mail_or_not(visitor: Visitor, email: str) -> None:
    answer = visitor.post("/login/link", {"email": email, "password": ""})
    assert answer.status_code == 200
    assert "Check your e-mail" in answer.text
    wait()
    assert len(db.session.scalars(select(SignInLink)).all()) == (1 if email == ALICE else 0)


@pytest.mark.parametrize("state", ["disabled", "no account", "two of them"])
def test_before_the_answer_the_same_work_is_done_for_every_e_mail(visitor: Visitor, state: str) -> None:
    """Everything that depends on who has it is done after the answer, and elsewhere."""
    zoe, other_zoe = "zoe@example.test", "zoe@example.test" if state == "two of them" else "zoe1@example.test"
    with transaction() as session:
        session.execute(update(Account).values(disabled_at=now() if state == "disabled" else None))
        profiles.upsert(
            [InlineRecipient("zoe", {"email": zoe}), InlineRecipient("zoe1", {"email": other_zoe})], is_vouched=True
        )
    work_before_the_answer(visitor, "first@example.test")  # a browser's first form brings it a cookie
    work = {
        email: work_before_the_answer(visitor, email)
        for email in (ALICE, zoe, other_zoe, "nobody@example.test", "no e-mail")
    }
    assert {email: done for email, done in work.items() if done != work[ALICE]} == {}


def work_before_the_answer(visitor: Visitor, email: str) -> list[Any]:
    """The statements that this thread asked of the database, and what the answer is like."""
    asked: list[str] = []
    me = threading.get_ident()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if threading.get_ident() == me:
            asked.append(statement)

    token = visitor.csrf_token()
    event.listen(db.engine, "before_cursor_execute", note)
    answer = visitor.post("/login/link", {"email": email, "csrf_token": token}, token=False)
    event.remove(db.engine, "before_cursor_execute", note)
    wait()
    headers = sorted(name for name, _ in answer.headers)
    return [asked, answer.status_code, headers, len(answer.text.replace(str(escape(email.strip())), ""))]


@pytest.mark.parametrize(
    ("email", "words"), [("", "Enter your e-mail"), (" ", "Enter your e-mail"), ("x" * 255, "longer than 254")]
)
def test_an_incomplete_form_is_shown_again(visitor: Visitor, email: str, words: str) -> None:
    answer = visitor.post("/login/link", {"email": email})
    assert answer.status_code == 422
    assert words in answer.text


def test_looking_at_the_link_does_nothing_and_its_button_signs_in(visitor: Visitor, app: APIFlask) -> None:
    link = link_for(visitor)
    for _ in range(2):  # a mail scanner, and then the person
        page = visitor.get(link)
        assert (page.status_code, page.headers["Referrer-Policy"], page.headers["Cache-Control"]) == (
            200,
            "no-referrer",
            "no-store",
        )
        assert visitor.get("/inbox").status_code == 302
    answer = visitor.post(link)
    assert (answer.status_code, answer.location) == (303, "/inbox")
    assert visitor.get("/inbox").status_code == 200


def test_it_can_be_opened_in_another_browser_than_it_was_asked_for_in(visitor: Visitor, app: APIFlask) -> None:
    link = link_for(visitor)
    phone = Visitor(app)
    assert phone.post(link).status_code == 303
    assert phone.get("/inbox").status_code == 200
    assert visitor.get("/inbox").status_code == 302


def test_somebody_new_is_at_home_at_once(visitor: Visitor, api: Any) -> None:
    api.put("/api/v1/users/zoe", {"email": "zoe@example.test", "verified": True})
    assert visitor.post(link_for(visitor, "zoe@example.test")).status_code == 303
    assert visitor.get("/inbox").status_code == 200
    db.session.rollback()
    assert db.session.scalar(select(Account.user_id).where(Account.email == "zoe@example.test")) == "zoe"


def test_a_link_that_was_used_leads_to_a_new_one(visitor: Visitor, app: APIFlask) -> None:
    link = link_for(visitor)
    visitor.post(link)
    other = Visitor(app)
    for answer in (
        other.get(link),
        other.post(link),
        other.get("/login/link/forged"),
        other.post("/login/link/forged"),
    ):
        assert answer.status_code == 404
        assert "This link no longer works" in answer.text
        assert 'action="/login/link"' in answer.text
        assert answer.headers["Referrer-Policy"] == "same-origin"  # over https that form needs one
    assert other.get("/inbox").status_code == 302


def test_it_needs_the_csrf_token_so_that_nobody_is_signed_in_as_somebody_else(visitor: Visitor) -> None:
    link = link_for(visitor)
    assert visitor.post(link, token=False).status_code == 400
    assert visitor.post(link, {"csrf_token": "wrong"}, token=False).status_code == 400
    assert visitor.post("/login/link", {"email": ALICE}, token=False).status_code == 400
    assert visitor.post(link).status_code == 303


def test_it_works_over_https_although_its_page_lets_no_referrer_out(
    visitor: Visitor, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = link_for(visitor)
    monkeypatch.setitem(config, "WTF_CSRF_SSL_STRICT", True)
    assert visitor.post(link, base_url="https://localhost").status_code == 303


def test_the_session_from_before_is_not_taken_over(visitor: Visitor) -> None:
    link, planted = link_for(visitor), visitor.csrf_token()
    with visitor.client.session_transaction() as session:
        session["left_by_somebody"] = True
    assert visitor.post(link, {"csrf_token": planted}, token=False).status_code == 303
    with visitor.client.session_transaction() as session:
        assert "left_by_somebody" not in session
    assert visitor.post("/logout", {"csrf_token": planted}, token=False).status_code == 400


@pytest.mark.parametrize("email", [ALICE, "nobody@example.test"])
def test_asking_again_and_again_is_slowed_down_for_everybody_alike(visitor: Visitor, app: APIFlask, email: str) -> None:
    answers = [
        visitor.post("/login/link", {"email": email}).status_code for _ in range(rates.LINKS_PER_PAIR.amount + 1)
    ]
    assert answers == [200] * rates.LINKS_PER_PAIR.amount + [429]
    assert visitor.sign_in(ALICE).status_code == 303  # the password is counted apart
    elsewhere = Visitor(app)
    elsewhere.client.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    assert elsewhere.post("/login/link", {"email": email}).status_code == 200


def ask_as_strangers(app: APIFlask, strangers: int, network: int = 0) -> None:
    for number in range(strangers):
        assert at(f"10.{network}.{number}.1", app).post("/login/link", {"email": ALICE}).status_code == 200
        wait()


def at(address: str, app: APIFlask) -> Visitor:
    visitor = Visitor(app)
    visitor.client.environ_base["REMOTE_ADDR"] = address
    return visitor


def mailed() -> list[str]:
    """The paths of all links that were sent, the latest last."""
    db.session.rollback()
    sent = db.session.scalars(select(Notification).where(Notification.type == "sign_in_link").order_by(Notification.id))
    return [str(one.data["url"]).removeprefix("http://localhost") for one in sent]


@pytest.mark.slow
def test_strangers_who_ask_for_links_use_up_nobodys(app: APIFlask) -> None:
    """The owner has always one that works for twelve more minutes at least, and is told the same as ever."""
    app.extensions["sign_in_throttle"] = MemoryStorage(), MemoryStorage()  # these follow the clock that we set
    with time_machine.travel(now(), tick=False) as clock:
        for minute in range(40):
            ask_as_strangers(app, 3, network=minute)
            if minute % 13 == 0:
                assert "Check your e-mail" in at("198.51.100.1", app).post("/login/link", {"email": ALICE}).text
                wait()
                with time_machine.travel(now() + timedelta(minutes=12, seconds=-1), tick=False):
                    assert Visitor(app).get(mailed()[-1]).status_code == 200
            clock.shift(60)
    assert len(mailed()) <= 3 * 10  # of 120: five and five further ones in a quarter of an hour


def test_every_link_in_the_mailbox_works_and_not_only_the_latest(app: APIFlask) -> None:
    ask_as_strangers(app, rates.LINKS_PER_MAILBOX.amount + 5)
    links = mailed()
    assert len(links) == rates.LINKS_PER_MAILBOX.amount + 1
    assert [Visitor(app).post(link).status_code for link in links] == [303] * len(links)


def test_a_mailbox_is_not_flooded_however_many_ask(app: APIFlask) -> None:
    may = [rates.may_send_link(ALICE) for _ in range(100)]
    assert may == [True] * 6 + [False] * 94
    assert rates.may_send_link("bob@example.test")


def test_one_network_address_asks_for_so_many_links_whoever_they_are_for(app: APIFlask) -> None:
    for number in range(rates.LINKS_PER_ADDRESS.amount):
        assert rates.may_ask_for_link(f"u{number}@example.test", "192.0.2.1")
    assert not rates.may_ask_for_link(ALICE, "192.0.2.1")
    assert rates.may_ask_for_link(ALICE, "192.0.2.2")


# --- the link is for one person's eyes


def test_no_producer_is_shown_the_link(visitor: Visitor, api: Any) -> None:
    secret = link_for(visitor).rpartition("/")[2]
    one = db.session.scalar(select(Notification.id))
    assert one is not None
    shown = [
        api.get(path)
        for path in ("/api/v1/notifications", f"/api/v1/notifications/ntf_{one.hex}", "/api/v1/users/alice/export")
    ]
    assert [answer.status_code for answer in shown] == [200] * 3
    assert [answer.json for answer in shown if secret in answer.text] == []
    assert '"sign_in_link"' in shown[0].text


def test_who_may_only_look_does_not_find_it_among_the_captured_messages(
    visitor: Visitor, signed_in: Callable[..., Visitor], work: Callable[[], None]
) -> None:
    secret = link_for(visitor).rpartition("/")[2]
    work()
    pages = {role: signed_in(role).get("/admin/sandbox").text for role in ("viewer", "operator", "admin")}
    assert {role: "Your sign-in link" in page for role, page in pages.items()} == {
        "viewer": False,
        "operator": False,
        "admin": True,
    }
    capture = pages["admin"].partition("/admin/sandbox/cap_")[2].partition('"')[0]
    for role, status in {"viewer": 404, "operator": 404, "admin": 200}.items():
        browser = Visitor(visitor.client.application)
        browser.sign_in(f"{role}@example.test")
        for path in (f"/admin/sandbox/cap_{capture}?view=text", f"/admin/sandbox/cap_{capture}/html"):
            answer = browser.get(path)
            assert (answer.status_code, secret in answer.text) == (status, status == 200)
