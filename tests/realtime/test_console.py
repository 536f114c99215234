"""The console's connections: whom they are for, what they hear, and what an operator may do that a viewer may not; with
real clients.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access import sessions
from notifier.core.submission import InlineRecipient
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db, socketio
from notifier.ground.ids import show
from notifier.models import Account, AuditEntry, BulkAction
from notifier.people import profiles
from notifier.providers import health, pausing
from notifier.signals import publish
from notifier.signals.publish import ACTIONS, CONSOLE, FAILED, OVERVIEW, QUEUES, TOPICS
from tests.conftest import subject_of
from tests.realtime.conftest import PATIENCE_S, Browser, Refused

Open = Callable[..., Browser]


@pytest.fixture
def console(connect: Any, cookie_of: Any) -> Open:
    """`console("viewer")`: a page of the console, opened by somebody of that role."""

    def _console(role: str, headers: dict[str, str] | None = None, **options: Any) -> Browser:
        browser: Browser = connect(headers=cookie_of(role, role) | (headers or {}), namespace=CONSOLE, **options)
        return browser

    return _console


@pytest.fixture
def action(app: Any) -> BulkAction:
    """One that is under way."""
    with transaction() as session:
        row = BulkAction(kind="retry", filter={}, total=5, actor="admin@example.test", created_at=now())
        session.add(row)
    return row


def is_over(action: BulkAction) -> bool:
    db.session.expire_all()
    found = db.session.get_one(BulkAction, action.id).finished_at is not None
    db.session.rollback()
    return found


# --- who may connect


@pytest.mark.parametrize(
    ("role", "transport"), [("viewer", "websocket"), ("operator", "polling"), ("admin", "polling")]
)
def test_whoever_may_see_the_console_may_watch_it(console: Open, role: str, transport: str) -> None:
    assert console(role, transport=transport).ask("watch", {"topic": "overview"}) == {
        "topic": "overview",
        "is_live": True,
    }


def test_who_must_have_a_second_factor_is_refused_without_one(
    live_app: APIFlask, console: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(live_app.extensions["settings"], second_factor="operator")
    monkeypatch.setitem(live_app.extensions, "settings", settings)
    console("viewer")
    with pytest.raises(Refused, match="forbidden"):
        console("operator")


def test_a_person_without_a_role_in_it_is_refused(console: Open) -> None:
    with pytest.raises(Refused, match="forbidden"):
        console("person")


@pytest.mark.parametrize("cookie", [None, "notifier_session=forged", "notifier_session=", "other=1"])
def test_whoever_is_not_signed_in_is_refused(connect: Any, cookie: str | None) -> None:
    with pytest.raises(Refused, match="unauthenticated"):
        connect(headers={"Cookie": cookie} if cookie else {}, namespace=CONSOLE)


def test_a_cookie_that_somebody_else_signed_is_refused(connect: Any, cookie_of: Any) -> None:
    forged = cookie_of("admin", "admin")["Cookie"][:-4] + "AAAA"
    with pytest.raises(Refused, match="unauthenticated"):
        connect(headers={"Cookie": forged}, namespace=CONSOLE)


@pytest.mark.slow
def test_the_token_of_a_user_is_refused_even_beside_the_cookie_of_an_admin(connect: Any, cookie_of: Any) -> None:
    auth = {"token": tokens.sign_user_token(subject_of("alice"), 60)[0]}
    for headers in ({}, cookie_of("admin", "admin")):
        with pytest.raises(Refused, match="forbidden"):
            connect(auth=auth, headers=headers, namespace=CONSOLE)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_cookie_sent_along_from_another_origin_is_worth_nothing(
    connect: Any, cookie_of: Any, headers: dict[str, str]
) -> None:
    with pytest.raises(Refused, match="unauthenticated"):
        connect(headers=cookie_of("admin", "admin") | headers, namespace=CONSOLE)


# --- what it hears


def test_a_page_hears_of_its_topic_and_of_no_other(console: Open) -> None:
    page = console("viewer")
    page.ask("watch", {"topic": "queues"})
    publish.hint(FAILED, OVERVIEW, ACTIONS)
    publish.hint(QUEUES)
    assert page.hear() == ("changed", {"topic": "queues"})
    assert page.events.empty()


def test_another_topic_takes_the_place_of_the_first(console: Open) -> None:
    page = console("viewer")
    for topic in TOPICS:
        page.ask("watch", {"topic": topic})
    publish.hint(*TOPICS)
    assert page.hear() == ("changed", {"topic": TOPICS[-1]})


def test_who_does_not_watch_hears_nothing(console: Open) -> None:
    page, watching = console("viewer"), console("operator")
    watching.ask("watch", {"topic": "overview"})
    publish.hint(OVERVIEW)
    assert watching.hear()[0] == "changed"
    page.ask("watch", {"topic": "failed"})  # whatever was said before has arrived by now
    assert page.events.empty()


def test_every_topic_is_watched_by_a_page(root: Path) -> None:
    pages = [page.read_text() for page in (root / "templates" / "admin").glob("*.html")]
    assert {topic for page in pages for topic in re.findall(r'data-live="([^"]*)"', page)} == set(TOPICS)
    assert all('id="live-state"' in page for page in pages if "data-live" in page)


def _send(api: Any) -> None:
    with transaction():
        profiles.upsert([InlineRecipient("alice")])
    assert (
        api.post(
            "/api/v1/notifications", {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}}
        ).status_code
        == 202
    )


@pytest.mark.parametrize(
    ("topic", "act"),
    [
        ("overview", _send),
        ("queues", _send),
        ("queues", lambda _: pausing.pause("sms")),
        ("overview", lambda _: pausing.resume("sms")),
        ("queues", lambda _: health.force("smtp", "open")),
        ("overview", lambda _: health.report({"smtp": health.Tally(bad=20)})),
    ],
    ids=["accepted", "accepted-queued", "paused", "resumed", "forced", "opened"],
)
def test_what_happens_reaches_the_pages_that_show_it(
    console: Open, api: Any, topic: str, act: Callable[[Any], object]
) -> None:
    page = console("viewer")
    page.ask("watch", {"topic": topic})
    act(api)
    assert page.hear() == ("changed", {"topic": topic})


# --- what it may do


def test_an_operator_cancels_what_is_under_way_and_the_trail_says_who_and_from_where(
    console: Open, action: BulkAction
) -> None:
    watching = console("viewer")
    watching.ask("watch", {"topic": "actions"})
    page = console("operator", headers={"X-Forwarded-For": "203.0.113.9"})
    assert page.ask("cancel", {"action": show("blk", action.id)}) == {"is_cancelled": True}
    assert watching.hear() == ("changed", {"topic": "actions"})
    assert page.ask("cancel", {"action": show("blk", action.id)}) == {"is_cancelled": False}
    assert is_over(action)
    entry = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "bulk.cancelled")).one()
    assert (entry.actor, entry.origin, entry.subject) == (
        "operator@example.test",
        "203.0.113.9",
        show("blk", action.id),
    )


def test_a_viewer_who_tries_what_operators_do_is_told_so_and_nothing_happens(console: Open, action: BulkAction) -> None:
    page = console("viewer")
    answer = page.ask("cancel", {"action": show("blk", action.id)})
    assert answer == {"error": {"code": "forbidden", "detail": "your role is viewer; this needs operator or admin"}}
    assert not is_over(action)
    assert db.session.scalar(sa.select(sa.func.count()).where(AuditEntry.action == "bulk.cancelled")) == 0
    assert page.ask("watch", {"topic": "actions"})["is_live"]


@pytest.mark.parametrize(
    ("event", "given", "code"),
    [
        ("watch", (), "validation_failed"),
        ("watch", ({"topic": "inbox"},), "validation_failed"),
        ("watch", ({"topic": ["overview"]},), "validation_failed"),
        ("watch", ({"topic": "overview", "user": "bob"},), "validation_failed"),
        ("watch", ({"topic": "overview"}, {"topic": "failed"}), "validation_failed"),
        ("cancel", ({},), "validation_failed"),
        ("cancel", ({"action": 5},), "validation_failed"),
        ("cancel", ({"action": "nonsense"},), "not_found"),
        ("cancel", ({"action": "blk_01k6z000000000000000000000"},), "not_found"),
        ("sync", ({"since": 0},), "unknown_event"),
        ("connect", (), "unknown_event"),
    ],
    ids=lambda value: None if isinstance(value, tuple) else str(value),
)
def test_what_makes_no_sense_is_answered_with_an_error_and_the_connection_goes_on(
    console: Open, event: str, given: tuple[Any, ...], code: str
) -> None:
    page = console("operator")
    answer = page.ask(event, *given)
    assert answer["error"]["code"] == code
    assert answer["error"]["detail"]
    assert page.ask("watch", {"topic": "overview"})["topic"] == "overview"


# --- how it ends


def change(user_id: str, **values: Any) -> None:
    """Of an account; `is_over`: its sessions have ended."""
    with transaction() as session:
        account = session.scalars(sa.select(Account).where(Account.user_id == user_id)).one()
        if values.pop("is_over", False):
            sessions.end_all(account.id)
        for name, value in values.items():
            setattr(account, name, value)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"role": "person"}, "forbidden"),
        ({"disabled_at": now()}, "unauthenticated"),
        ({"is_over": True}, "unauthenticated"),
    ],
    ids=["role", "disabled", "signed-out"],
)
def test_whose_role_is_taken_away_is_sent_away_at_the_next_event(
    console: Open, values: dict[str, Any], code: str, action: BulkAction
) -> None:
    page = console("operator")
    change("operator", **values)
    assert page.ask("cancel", {"action": show("blk", action.id)})["error"]["code"] == code
    assert page.gone.wait(PATIENCE_S)
    assert not is_over(action)


@pytest.mark.parametrize(
    "values", [{"role": "person"}, {"disabled_at": now()}, {"is_over": True}], ids=["role", "disabled", "signed-out"]
)
def test_whose_role_is_taken_away_hears_nothing_more_without_saying_a_word(
    console: Open, values: dict[str, Any]
) -> None:
    listening, lasting = console("viewer"), console("operator")
    change("viewer", **values)
    socketio.server.namespace_handlers[CONSOLE].expire()
    assert listening.gone.wait(PATIENCE_S)
    assert lasting.ask("watch", {"topic": "overview"})["is_live"]


def test_an_operator_who_becomes_a_viewer_stays_and_acts_no_more(console: Open, action: BulkAction) -> None:
    page = console("operator")
    change("operator", role="viewer")
    assert page.ask("cancel", {"action": show("blk", action.id)})["error"]["code"] == "forbidden"
    assert page.ask("watch", {"topic": "actions"})["is_live"]
    assert not is_over(action)
