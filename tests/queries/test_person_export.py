"""The export of a person is written a page at a time, and nothing is left out of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Event
from notifier.pipeline.delivery.deliver import deliver
from notifier.queries import person_export
from notifier.queries.notifications import Sight
from tests.stored import deliveries


def test_it_is_the_same_document_however_short_its_pages_are(
    cast: Any, submit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        submit("alice")
    deliver([row.id for row in deliveries() if row.channel != "inapp"])
    whole = person_export.export("alice", Sight())
    names = ("notifications", "inbox", "events", "captures")
    assert {name: len(whole[name]) >= 5 for name in names} == dict.fromkeys(names, True)
    for short in (1, 2, 5):
        monkeypatch.setattr(person_export, "PAGE", short)
        monkeypatch.setattr(person_export, "EVENTS", short)
        written = json.loads("".join(person_export.written("alice", Sight(), json.dumps)))
        assert written | {"exported_at": whole["exported_at"]} == json.loads(json.dumps(whole))


def test_no_transaction_is_open_while_a_piece_is_on_its_way(cast: Any, submit: Callable[..., Any]) -> None:
    submit("alice")
    assert {db.session().in_transaction() for _ in person_export.written("alice", Sight(), json.dumps)} == {False}


def test_who_is_not_there_is_told_before_the_first_piece(cast: Any) -> None:
    with pytest.raises(Rejected):
        person_export.written("zoe", Sight(), json.dumps)
    assert "".join(person_export.written("dave", Sight(), json.dumps)).count('"notifications":[]') == 1


def test_what_is_erased_while_it_is_written_is_missing_and_the_document_whole(
    cast: Any, submit: Callable[..., Any]
) -> None:
    submit("alice")
    pieces = person_export.written("alice", Sight(), json.dumps)
    first = next(pieces)
    with transaction() as session:
        session.execute(sa.delete(Event))
    assert json.loads(first + "".join(pieces))["events"] == []
