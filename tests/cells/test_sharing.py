"""Submissions that a bus, a schedule or a command brings, in the cell `eu`, for people of both cells."""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access import keys
from notifier.cells import forwards, sharing
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Forward, Home, Notification, Schedule, User
from notifier.pipeline.intake import schedules
from notifier.pipeline.intake.item import Accepted, Caller, Item
from tests import celled
from tests.celled import Cell
from tests.stored import rows
from tests.submitting import submission

us, us_app, later = celled.us, celled.us_app, celled.later

ANN = InlineRecipient("ann", {"email": "ann@example.test"})
BOB = InlineRecipient("bob", {"email": "bob@example.test"})


@pytest.fixture
def key(app: APIFlask) -> tuple[Caller, Any]:
    producer = keys.create_producer("Shop")
    row, _ = keys.create_key(producer.id, scopes=["notify", "users"])
    caller = Caller(
        producer.id,
        is_test=False,
        may_be_urgent=False,
        types=None,
        request_id="r",
        may_change_people=True,
        label="Shop",
    )
    return caller, row.id


@pytest.fixture
def ann(us: Cell) -> None:
    """She lives in `us`; `eu` has not heard of her."""
    with us.app.app_context():
        db.session.add(User(id="ann"))
        db.session.commit()


def accepted(caller: Caller, *submissions: Submission) -> list[Accepted | Rejected]:
    return sharing.accept([Item(caller, one) for one in submissions])


def here() -> tuple[list[str], list[str]]:
    """Who lives here, and who was notified here."""
    db.session.rollback()
    return [row.id for row in rows(User)], [row.user_id for row in rows(Notification)]


@pytest.mark.slow
@pytest.mark.usefixtures("ann")
def test_values_that_come_along_make_no_second_profile_and_go_home(us: Cell, key: tuple[Caller, Any]) -> None:
    caller, _ = key
    both, hers, his = accepted(
        caller, submission(ANN, BOB), submission(ANN, idempotency=("k", "0" * 64)), submission("bob")
    )
    assert isinstance(both, Accepted)
    assert isinstance(hers, Accepted)
    assert isinstance(his, Accepted)
    assert (both.answer["status"], hers.answer["status"], his.answer["status"]) == ("accepted", "held", "accepted")
    assert here() == (["bob"], ["bob", "bob"])
    assert forwards.say_held() == 2
    assert us.heard() == [("ann", "order_shipped")] * 2
    with us.app.app_context():
        assert db.session.scalars(sa.select(User.id)).all() == ["ann"]


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize("recipients", [(ANN, BOB), (ANN,)], ids=["both", "hers alone"])
def test_what_is_given_again_is_carried_out_once_in_each(
    us: Cell, key: tuple[Caller, Any], recipients: tuple[InlineRecipient, ...]
) -> None:
    once = submission(*recipients, idempotency=("k", "0" * 64))
    answers = [accepted(key[0], once)[0] for _ in range(2)]
    assert [isinstance(one, Accepted) and one.replayed for one in answers] == [False, True]
    forwards.say_held()
    assert us.heard() == [("ann", "order_shipped")]
    assert len(rows(Notification)) == len(recipients) - 1
    [other] = accepted(key[0], submission(*recipients, idempotency=("k", "1" * 64)))
    assert isinstance(other, Rejected)
    assert other.code == "idempotency_mismatch"


@pytest.mark.usefixtures("ann")
def test_what_is_refused_here_is_passed_on_to_nobody(us: Cell, key: tuple[Caller, Any]) -> None:
    answers = accepted(key[0], submission(ANN, "nobody"), submission(BOB))
    assert [type(one) for one in answers] == [Rejected, Accepted]
    elsewhere = InlineRecipient("dan", {"home_region": "us"})
    mars = InlineRecipient("eve", {"home_region": "mars"})
    answers = accepted(key[0], submission(elsewhere, "nobody"), submission(mars), submission("bob"))
    assert [type(one) for one in answers] == [Rejected, Rejected, Accepted]
    assert rows(Forward) == []
    assert [row.user_id for row in rows(Home)] == ["ann"]


def test_new_people_with_a_region_are_made_there(us: Cell, key: tuple[Caller, Any]) -> None:
    dan = InlineRecipient("dan", {"email": "dan@example.test", "home_region": "us"})
    accepted(key[0], submission(dan))
    forwards.say_held()
    assert (here(), us.has(User)) == (([], []), ["dan"])
    assert [(row.user_id, row.region) for row in rows(Home)] == [("dan", "us")]


def test_while_a_cell_is_silent_that_might_know_them_new_people_wait(us: Cell, key: tuple[Caller, Any]) -> None:
    us.goes()
    [answer] = accepted(key[0], submission(ANN))
    assert isinstance(answer, Rejected)
    assert answer.code == "unavailable"
    assert here() == ([], [])


def test_a_batch_of_any_size_asks_as_many_questions(us: Cell, key: tuple[Caller, Any], statements: Any) -> None:
    for region, context in (("us", us.app.app_context()), ("eu", contextlib.nullcontext())):
        with context:
            db.session.add_all([User(id=f"{region}{number}") for number in range(20)])
            db.session.commit()
    asked = []
    for size in (1, 2, 20):  # the first finds what is remembered from then on
        batch = [submission(f"eu{number}", f"us{number}") for number in range(size)]
        batch += [submission(f"us{number}", idempotency=(f"{number} of {size}", "0" * 64)) for number in range(size)]
        with statements() as sent:
            answers = accepted(key[0], *batch)
        asked.append(len(sent))
        assert [type(one) for one in answers] == [Accepted] * 2 * size
    assert asked[1] == asked[2]
    assert len(rows(Forward)) == 46


def test_a_run_of_a_schedule_goes_home_with_people_who_live_elsewhere_by_now(
    us: Cell, key: tuple[Caller, Any], later: Callable[[float], Any]
) -> None:
    schedules.create(*key, "0 8 1 * *", "UTC", submission(ANN, BOB))
    schedules.create(*key, "0 8 1 * *", "UTC", submission(ANN, data={"order_id": "A2"}))
    with us.app.app_context():
        db.session.add(User(id="ann"))
        db.session.commit()
    with transaction() as session:
        session.execute(sa.update(Schedule).values(next_at=now() - timedelta(seconds=1)))
    assert partial(schedules.submit_due, sharing.accept_part)() == 2
    assert here() == (["bob"], ["bob"])
    forwards.say_held()
    assert us.heard() == [("ann", "order_shipped")] * 2
    assert {row.last_fault for row in rows(Schedule)} == {None}
    assert sum(row.last_submission_id is None for row in rows(Schedule)) == 1
