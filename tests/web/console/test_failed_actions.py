"""Retrying and deleting many: what is asked first, what is done, and what it shows."""

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import BulkAction, Delivery
from notifier.operations import bulk_actions
from tests.web.conftest import Visitor

Send = Callable[..., list[Any]]


@pytest.fixture
def operator(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("operator")


@pytest.fixture
def dead(send: Send) -> list[str]:
    for user in ("ann", "ben", "cat"):
        deliveries = send(user, email="rejected@sandbox.test", channels=("email",))
    return [show("dlv", delivery.id) for delivery in deliveries]


def actions() -> list[BulkAction]:
    db.session.rollback()
    return list(db.session.scalars(sa.select(BulkAction)))


def test_it_says_what_will_happen_before_anything_does(operator: Visitor, dead: list[str]) -> None:
    with transaction() as session:
        first = session.scalars(sa.select(Delivery).order_by(Delivery.id)).first()
        assert first is not None
        first.expires_at = now() - timedelta(hours=1)
    page = operator.get("/admin/failed/actions/new?kind=retry&channel=email").text
    assert page.count('href="/admin/failed/jobs?channel=email"') == 2  # who leaves it stands where they were
    assert "Retry 2 failed jobs?" in page
    assert "<strong>1</strong> has expired" in page
    assert actions() == []


def test_a_retry_is_started_followed_and_ends_with_counts_that_add_up(operator: Visitor, dead: list[str]) -> None:
    answer = operator.post(
        "/admin/failed/actions", {"kind": "retry", "channel": "email", "provider": "sandbox", "per_second": "50"}
    )
    assert answer.status_code == 303
    assert "Waiting for the scheduler" in operator.get(answer.location).text
    assert "is under way: 0 of 3" in operator.get("/admin/failed").text
    bulk_actions.work()
    page = operator.get(answer.location).text
    assert ("Finished" in page, "<dt>Queued again</dt> <dd>3</dd>" in page) == (True, True)
    assert "Retry 3" in operator.get("/admin/failed/actions").text


def test_what_fails_after_the_question_is_not_meant(operator: Visitor, dead: list[str], send: Send) -> None:
    page = operator.get("/admin/failed/actions/new?kind=discard&channel=email").text
    send("dan", email="rejected@sandbox.test", channels=("email",))
    fields = {
        name: html.unescape(value)
        for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)
    }
    operator.post("/admin/failed/actions", fields)
    assert [(action.kind, action.total) for action in actions()] == [("discard", 3)]


def test_only_the_selected_are_done(operator: Visitor, dead: list[str]) -> None:
    assert (
        "Delete 2 failed jobs?"
        in operator.get(f"/admin/failed/actions/new?selected=1&kind=discard&ids={dead[0]}&ids={dead[2]}").text
    )
    operator.post("/admin/failed/actions", {"kind": "discard", "ids": [dead[0], dead[2]]})
    bulk_actions.work()
    assert [
        show("dlv", key) for key in db.session.scalars(sa.select(Delivery.id).where(Delivery.reason.is_(None)))
    ] == [dead[1]]
    assert "It was deleted from the failed jobs." in operator.get(f"/admin/failed/{dead[0]}").text


def test_a_deleted_one_is_not_retried_from_a_page_that_still_shows_it(operator: Visitor, dead: list[str]) -> None:
    operator.post("/admin/failed/actions", {"kind": "discard", "ids": [dead[0]]})
    bulk_actions.work()
    operator.post(f"/admin/failed/{dead[0]}/retry")
    page = operator.get(f"/admin/failed/{dead[0]}").text
    assert [words for words in ("Nothing was done", "It was deleted from the failed jobs.") if words not in page] == []


def test_cancelling_twice_is_told(operator: Visitor, dead: list[str]) -> None:
    where = operator.post("/admin/failed/actions", {"kind": "retry", "channel": "email"}).location
    for words in ("What has already been done stays done.", "It had already finished."):
        operator.post(f"{where}/cancel")
        assert words in operator.get(where).text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({}, "choose retry or delete"),
        ({"kind": "explode"}, "choose retry or delete"),
        ({"kind": "retry", "per_second": "0"}, "the rate must be"),
        ({"kind": "retry", "per_second": "-3"}, "the rate must be"),
        ({"kind": "retry", "per_second": "9999999"}, "the rate must be"),
        ({"kind": "retry", "through": "nobody", "channel": "email"}, "no provider"),
        ({"kind": "retry", "ids": "nonsense"}, "can be chosen at once"),
        ({"kind": "retry", "since": "yesterday"}, "since must be a time"),
        ({"kind": "retry", "channel": "pigeon"}, "nothing to do"),
    ],
    ids=str,
)
def test_what_makes_no_sense_starts_nothing_and_says_so(
    operator: Visitor, dead: list[str], form: dict[str, str], words: str
) -> None:
    assert operator.post("/admin/failed/actions", form).status_code == 303
    assert words in operator.get("/admin/failed").text
    assert actions() == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("kind=retry&selected=1", "Select at least one job first."),
        ("kind=nope", "Nothing was started"),
        ("kind=repair", "Nothing was started"),
        ("kind=retry&channel=sms", "None of them is a failed job any longer."),
    ],
)
def test_asking_about_nothing_leads_back(operator: Visitor, dead: list[str], query: str, words: str) -> None:
    answer = operator.get(f"/admin/failed/actions/new?{query}")
    assert answer.status_code in (302, 303)
    assert words in operator.get(answer.location).text


@pytest.mark.parametrize("path", ["blk_0", "blk_" + "0" * 32, "nonsense"])
def test_an_unknown_action_is_not_found(operator: Visitor, path: str) -> None:
    assert operator.get(f"/admin/failed/actions/{path}").status_code == 404
    assert operator.post(f"/admin/failed/actions/{path}/cancel").status_code == 404


def test_a_post_needs_its_token(operator: Visitor, dead: list[str]) -> None:
    assert operator.post("/admin/failed/actions", {"kind": "retry", "channel": "email"}, token=False).status_code == 400
    assert actions() == []
