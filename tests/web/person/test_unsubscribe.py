"""One click on an unsubscribe link: POST acts, GET asks."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from notifier.ground import tokens
from notifier.ground.extensions import db
from notifier.models import ConsentEvent, Suppression
from notifier.people import preferences as choosing
from notifier.people.profiles import erase
from notifier.queries.preferences import document
from tests.conftest import subject_of
from tests.web.conftest import Visitor

HEADER_FORM = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def link(cast: dict[str, str]) -> str:
    return f"/u/{tokens.sign_unsubscribe(subject_of('alice'), 'marketing', 'email')}"


def choices() -> dict[str, Any]:
    db.session.rollback()
    found = document("alice")
    return {"categories": found["categories"], "types": found["types"]}


def consents() -> list[str]:
    db.session.rollback()
    return list(
        db.session.scalars(
            select(ConsentEvent.source).where(ConsentEvent.user_id == "alice", ConsentEvent.source == "one_click")
        )
    )


def test_a_mail_scanner_that_follows_the_link_changes_nothing(visitor: Visitor, link: str) -> None:
    before = choices()
    for _ in range(2):
        answer = visitor.get(link)
        assert answer.status_code == 200
        assert "<button" in answer.text
        assert "Set-Cookie" not in answer.headers
    assert visitor.client.head(link).status_code == 200
    assert choices() == before


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_post_without_cookie_or_token_acts_and_may_be_repeated(
    visitor: Visitor, link: str, content_type: str
) -> None:
    for _ in range(3):
        answer = visitor.post(link, HEADER_FORM, token=False, content_type=content_type)
        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers
    assert choices()["categories"] == {"marketing": {"email": False}}
    assert consents() == ["one_click"]


def test_the_button_of_the_page_does_the_same(visitor: Visitor, link: str) -> None:
    answer = visitor.post(link, token=False)
    assert "You are unsubscribed" in answer.text
    assert choices()["categories"] == {"marketing": {"email": False}}


def test_choices_for_single_types_do_not_let_the_category_through(visitor: Visitor, link: str) -> None:
    choosing.change(
        "alice",
        {"types": {"newsletter": {"email": True, "push": True}, "promotional_offer": True, "like": {"email": True}}},
        replace=False,
        source="t",
    )
    visitor.post(link, HEADER_FORM, token=False)
    effective = document("alice")["effective"]
    assert [effective[key]["email"]["enabled"] for key in ("newsletter", "promotional_offer", "like")] == [
        False,
        False,
        True,
    ]
    assert [effective[key]["push"]["enabled"] for key in ("newsletter", "promotional_offer")] == [True, True]


@pytest.mark.parametrize("token", ["nonsense", "a" * 3000])
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_broken_link_does_nothing_and_says_so(visitor: Visitor, token: str, method: str) -> None:
    answer = getattr(visitor.client, method)(f"/u/{token}")
    assert answer.status_code == 404
    assert "This link is incomplete" in answer.text


def test_another_kind_of_token_is_no_unsubscribe_link(visitor: Visitor, cast: dict[str, str]) -> None:
    token, _ = tokens.sign_user_token(subject_of("alice"), 60)
    assert visitor.post(f"/u/{token}", token=False).status_code == 404


def test_what_was_not_switched_off_is_not_called_so(visitor: Visitor, cast: dict[str, str]) -> None:
    answer = visitor.post(
        f"/u/{tokens.sign_unsubscribe(subject_of('alice'), 'marketing', 'telex')}", HEADER_FORM, token=False
    )
    assert (answer.status_code, choices()["categories"]) == (404, {})


def test_somebody_who_is_gone_gets_the_same_answer(visitor: Visitor, link: str) -> None:
    erase("alice")
    assert visitor.post(link, HEADER_FORM, token=False).status_code == 200
    assert db.session.scalar(select(func.count()).select_from(ConsentEvent).where(ConsentEvent.user_id == "alice")) == 0


def test_signed_in_people_need_no_token_either(signed_in: Callable[..., Visitor], link: str) -> None:
    assert signed_in(user_id="eve").post(link, HEADER_FORM, token=False).status_code == 200


def test_at_an_address_that_nobody_stored_it_is_for_that_address_alone(visitor: Visitor, cast: dict[str, str]) -> None:
    before, link = choices(), f"/u/{tokens.sign_address_unsubscribe(bytes(32), 'marketing', 'email')}"
    assert "<button" in visitor.get(link).text
    for _ in range(2):
        answer = visitor.post(link, HEADER_FORM, token=False)
        assert (answer.status_code, "to this address" in answer.text, "/preferences" in answer.text) == (
            200,
            True,
            False,
        )
    assert choices() == before
    db.session.rollback()
    assert [(row.scope, row.channel) for row in db.session.scalars(select(Suppression))] == [("marketing", "email")]
