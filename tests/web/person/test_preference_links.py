"""The preferences behind the link in a message: whoever holds it may choose, and do nothing else."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.ground import tokens
from notifier.ground.extensions import db
from notifier.models import ConsentEvent, Preference
from notifier.people import preferences as choosing
from notifier.people import profiles
from notifier.queries.preferences import document
from tests.conftest import link_of, subject_of
from tests.web.conftest import Visitor
from tests.web.person.preference_pages import form_of, undo_of


@pytest.fixture
def token(cast: dict[str, str]) -> str:
    return tokens.sign_preferences(link_of("dave"))


def chosen(user_id: str = "dave") -> dict[str, Any]:
    db.session.rollback()
    return db.session.scalar(sa.select(Preference.document).where(Preference.user_id == user_id)) or {}


def test_it_needs_no_sign_in_no_cookie_and_no_further_token(visitor: Visitor, token: str) -> None:
    page = visitor.get(f"/p/{token}")
    assert page.status_code == 200
    form = form_of(page.text, "choices")
    form["on"].remove("like:email")
    saved = visitor.post(f"/p/{token}", form, token=False)
    assert saved.location.startswith(f"/p/{token}?saved=")
    assert chosen() == {"types": {"like": {"email": False}}}
    again = visitor.get(saved.location)
    visitor.post(f"/p/{token}", undo_of(again.text), token=False)
    assert chosen() == {}
    assert [answer.headers.get("Set-Cookie") for answer in (page, saved, again)] == [None, None, None]


def test_every_choice_can_be_made_and_the_history_says_how(visitor: Visitor, token: str) -> None:
    for form in (
        {"part": "quiet", "held": "drop"},
        {"part": "often", "caps-social-day": "2"},
        {"part": "choices", "set": "marketing:*=off"},
        {"part": "tracking", "do_not_track": ["0", "1"]},
    ):
        assert visitor.post(f"/p/{token}", form, token=False, headers={"HX-Request": "true"}).status_code == 200
    assert chosen() == {
        "held": "drop",
        "caps": {"social": {"day": 2}},
        "categories": {"marketing": {"*": False}},
        "do_not_track": True,
    }
    assert (
        db.session.scalars(sa.select(ConsentEvent.source).where(ConsentEvent.user_id == "dave")).all() == ["link"] * 4
    )


def test_the_choices_and_the_types_they_are_about_are_read_once_for_a_page(
    visitor: Visitor, token: str, signed_in: Callable[..., Visitor], count_queries: Callable[[], Any]
) -> None:
    for reader, path in ((visitor, f"/p/{token}"), (signed_in("person"), "/preferences")):
        reader.get(path)
        with count_queries() as counted:
            reader.get(path)
        for read in ("preference.document", "FROM event_type"):
            assert sum(read in statement for statement in counted.statements) == 1, (read, path)


def test_a_fault_is_said_on_the_same_page(visitor: Visitor, token: str) -> None:
    answer = visitor.post(f"/p/{token}", {"part": "quiet", "time_zone": "Mars/Olympus"}, token=False)
    assert (answer.status_code, 'id="fault-time_zone"' in answer.text) == (422, True)
    assert chosen() == {}


def test_it_shows_choices_and_whose_they_are_but_nothing_else(visitor: Visitor, cast: dict[str, str]) -> None:
    choosing.change("alice", {"types": {"like": {"email": False}}}, replace=False, source="api")
    token = tokens.sign_preferences(link_of("alice"))
    answers = [
        visitor.get(f"/p/{token}?history=all").text,
        visitor.post(f"/p/{token}", {"part": "mute", "mute": "hour"}, token=False, headers={"HX-Request": "true"}).text,
    ]
    for text in answers:
        for secret in (
            "alice@example.test",
            "4915112345678",
            "Alice",
            "/preferences/export",
            "/preferences/erase",
            'id="history"',
            "on → off",
            'id="addresses"',
        ):
            assert secret not in text
    assert "a…@example.test" in answers[0]
    assert '<meta name="robots" content="noindex">' in answers[0]


def test_a_link_that_is_none_opens_nothing_and_says_so(visitor: Visitor, token: str) -> None:
    link_of_carol = link_of("carol")
    profiles.erase("carol")
    strangers = {
        "nonsense": "nonsense",
        "long": "a" * 3000,
        "forged": token[:-1] + ("x" if token[-1] != "x" else "y"),
        "unsubscribe": tokens.sign_unsubscribe(subject_of("dave"), "marketing", "email"),
        "inbox": tokens.sign_user_token(subject_of("dave"), 60)[0],
        "nobody": tokens.sign_preferences(tokens.PreferenceLink(tokens.Subject("nobody", 1, 0))),
        "gone": tokens.sign_preferences(link_of_carol),
    }
    for stranger in strangers.values():
        answers = [
            visitor.client.get(f"/p/{stranger}"),
            visitor.client.post(f"/p/{stranger}", data={"part": "quiet", "held": "drop"}),
        ]
        assert [(answer.status_code, "This link does not work" in answer.text) for answer in answers] == [
            (404, True),
            (404, True),
        ]
    assert chosen() == {}


def test_the_link_of_one_person_is_of_no_use_for_another(visitor: Visitor, token: str) -> None:
    events = choosing.change("carol", {"held": "drop"}, replace=False, source="api").events
    assert events
    visitor.post(f"/p/{token}", {"part": "undo", "events": f"{events[0]}-{events[1]}"}, token=False)
    assert chosen("carol")["held"] == "drop"
    assert "Undo</button>" not in visitor.get(f"/p/{token}?saved={events[0]}-{events[1]}").text


def test_it_is_no_key_to_the_inbox(visitor: Visitor, token: str) -> None:
    assert visitor.client.get("/api/v1/inbox", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert visitor.get("/preferences/export").status_code == 302


def test_who_is_signed_in_as_the_same_person_gets_the_whole_page(signed_in: Callable[..., Visitor], token: str) -> None:
    assert signed_in(user_id="dave").get(f"/p/{token}").location == "/preferences"
    assert signed_in(user_id="eve").get(f"/p/{token}").status_code == 200


def test_an_admin_finds_the_switches_of_alerts_by_the_link_too(
    visitor: Visitor, signed_in: Callable[..., Visitor]
) -> None:
    signed_in("admin")
    assert 'id="fraud_alert-email"' in visitor.get(f"/p/{tokens.sign_preferences(link_of('admin'))}").text


def test_no_get_of_these_pages_changes_anything(
    app: APIFlask, visitor: Visitor, signed_in: Callable[..., Visitor], token: str
) -> None:
    """Mail scanners and prefetching browsers open every link they find,
    with and without what a form would have sent.
    """
    paths = {"token": token}
    routes = {
        rule.rule.replace("<token>", paths["token"])
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and re.match(r"/(p|u|preferences)\b", rule.rule)
    }
    routes |= {f"/u/{tokens.sign_unsubscribe(subject_of('dave'), 'marketing', 'email')}"}
    assert {f"/p/{token}", "/preferences", "/preferences/export"} <= routes
    sent = (
        "?part=choices&only=like:email&set=marketing:*=off&saved=1-9&events=1-9&mute=hour&confirm=dave@example.test&"
        "List-Unsubscribe=One-Click"
    )
    before = {name: document(name) for name in cast_names()}
    dave = signed_in(user_id="dave")
    for route in routes:
        if "<" in route:
            continue
        for who in (visitor, dave):
            for method in ("GET", "HEAD", "OPTIONS"):
                who.client.open(route + sent, method=method)
    db.session.rollback()
    assert {name: document(name) for name in cast_names()} == before


def cast_names() -> tuple[str, ...]:
    return ("alice", "bob", "carol", "dave")


def test_unsubscribing_opens_nobodys_preferences(visitor: Visitor, token: str) -> None:
    """Every mail can be unsubscribed from, also at an address that a producer gave and nobody has confirmed."""
    answer = visitor.post(f"/u/{tokens.sign_unsubscribe(subject_of('dave'), 'marketing', 'email')}", token=False)
    assert 'href="/preferences"' in answer.text
    assert "/p/" not in answer.text
