"""Judging: each item comes out as an answer or as work to be done, and nothing that goes in is changed."""

from dataclasses import replace
from typing import Any

import pytest
from apiflask import APIFlask

from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.item import Accepted, Caller, Item, Work
from notifier.pipeline.intake.judge import judge
from notifier.pipeline.intake.recipients import keep_people
from notifier.pipeline.intake.schema_check import check_against_schemas
from tests.submitting import submission

ONE, OTHER = ("k", "aa" * 32), ("k", "bb" * 32)
NEW = InlineRecipient("zoe", {"name": "Zoe"})


@pytest.mark.parametrize(
    ("earlier", "later", "outcome"),
    [
        ({}, {}, "work"),
        ({"idempotency": ONE}, {"idempotency": ONE}, "repeat"),
        ({"idempotency": ONE}, {"idempotency": OTHER}, "idempotency_mismatch"),
        ({}, {"people": [NEW]}, "work"),
        ({"people": [NEW]}, {"people": ["zoe"]}, "work"),
        ({}, {"people": ["zoe"]}, "unknown_user"),
        ({"people": [NEW], "priority": "urgent", "type": "newsletter"}, {"people": ["zoe"]}, "unknown_user"),
    ],
)
def test_an_item_is_seen_beside_those_before_it(
    app: APIFlask, cast: dict[str, str], caller: Caller, earlier: Any, later: Any, outcome: str
) -> None:
    batch = [Item(caller, submission(*one.pop("people", ["alice"]), **one)) for one in (dict(earlier), dict(later))]
    checked = check_against_schemas(batch)
    with transaction():
        (_, one), _ = judge(batch, now(), checked)
    said = one.code if isinstance(one, Rejected) else "repeat" if isinstance(one, Work) and one.repeats else "work"
    assert said == outcome


def test_a_key_that_was_answered_gets_its_answer(app: APIFlask, cast: dict[str, str], caller: Caller) -> None:
    item = Item(caller, submission("alice", idempotency=ONE))
    [first] = accept([item])
    with transaction():
        [again], _ = judge([item], now(), check_against_schemas([item]))
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert (again.answer["id"], again.replayed) == (first.answer["id"], True)


def test_judging_and_keeping_change_nothing_that_was_judged(
    app: APIFlask, cast: dict[str, str], caller: Caller
) -> None:
    batch = [Item(caller, submission(NEW, InlineRecipient("alice", {"email": "alice@new.test"})))]
    checked = check_against_schemas(batch)
    with transaction():
        [judged], _ = judge(batch, now(), checked)
        assert isinstance(judged, Work)
        before = replace(judged)
        [kept], overtaken = keep_people([judged])
    assert (judged, overtaken) == (before, set())
    assert {one.id for one in kept.changed} == {"zoe", "alice"}
    assert (dict(before.moved), list(kept.moved)) == ({}, ["alice"])
