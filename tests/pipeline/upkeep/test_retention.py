"""Notifications are kept as long as `RETENTION` says, with all that belongs to them; counts stay right."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import (
    Attempt,
    Capture,
    Delivery,
    Digest,
    DigestEntry,
    InboxItem,
    InboxState,
    Notification,
    Submission,
)
from notifier.people import preferences
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.upkeep import retention
from tests.conftest import Statements
from tests.stored import rows, same_partitions


@pytest.fixture
def kept(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = app.extensions["settings"]
    changed = replace(settings, retention={**settings.retention, "notifications": timedelta(days=30)})
    monkeypatch.setitem(app.extensions, "settings", changed)


@pytest.fixture
def calls_kept(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings = app.extensions["settings"]
    changed = replace(settings, retention={**settings.retention, "calls": timedelta(days=30)})
    monkeypatch.setitem(app.extensions, "settings", changed)
    with same_partitions():
        yield


def state(user_id: str) -> tuple[int, int]:
    [row] = rows(InboxState, user_id=user_id)
    return row.unread, row.unseen


def later(days: int = 31) -> int:
    with time_machine.travel(now() + timedelta(days=days)):
        return retention.prune_notifications()


def test_old_ones_go_with_all_that_is_theirs_and_counts_stay_right(
    kept: None, cast: Any, submit: Callable[..., Any]
) -> None:
    submit("alice", "bob", channels=("inapp",))
    submit("alice", channels=("inapp",), send_at=now() + timedelta(days=5))
    submit("alice", channels=("email",))  # still queued
    assert later() == 2
    assert (state("alice"), state("bob")) == ((0, 0), (0, 0))
    assert (len(rows(InboxItem)), len(rows(Notification)), len(rows(Submission))) == (0, 2, 2)
    with transaction() as session:
        session.execute(sa.update(Delivery).values(wake_at=None))
    assert (later(), len(rows(Notification))) == (1, 1)  # the scheduled one is not as old
    assert later(days=36) == 1


def test_what_the_sandbox_has_captured_goes_with_its_delivery(kept: None, submit: Callable[..., Any]) -> None:
    for name in ("erin", "frank"):
        submit(InlineRecipient(name, {"email": f"{name}@sandbox.test"}), channels=("email",))
        db.session.close()
    [first, second] = rows(Delivery)
    deliver([first.id, second.id])
    with transaction() as session:
        session.execute(sa.update(Delivery).where(Delivery.id == second.id).values(wake_at=now()))
    assert len(rows(Capture)) == 2
    assert later() == 1
    assert [row.delivery_id for row in rows(Capture)] == [second.id]


def test_a_line_of_an_open_digest_is_still_to_come(kept: None, cast: Any, submit: Callable[..., Any]) -> None:
    until = (now() + timedelta(days=60)).isoformat()
    preferences.change("alice", {"mute_until": until, "held": "summary"}, replace=False, source="test")
    submit("alice", type="like", data={"actor": "bob", "url": "https://shop.test/bob"}, channels=("email",))
    assert (later(), len(rows(Notification)), len(rows(DigestEntry))) == (0, 1, 1)
    with transaction() as session:
        session.execute(sa.delete(Digest))  # as when it has gone out
    assert (later(), rows(Notification)) == (1, [])


def test_they_are_kept_for_good_unless_that_is_said(cast: Any, submit: Callable[..., Any]) -> None:
    submit("alice", channels=("inapp",))
    assert (later(days=3650), len(rows(Notification))) == (0, 1)


def test_the_number_of_statements_is_that_of_a_batch(
    kept: None, cast: Any, submit: Callable[..., Any], statements: Statements
) -> None:
    sent = []
    for people in (("alice",), ("alice", "bob", "dave")):
        submit(*people, channels=("inapp",))
        db.session.close()
        with statements() as asked:
            assert later() == len(people)
        sent.append(len(asked))
    assert sent[0] == sent[1]


def test_what_providers_said_goes_after_its_own_time(calls_kept: None, submit: Callable[..., Any]) -> None:
    people = [InlineRecipient(name, {"email": f"{name}@sandbox.test"}) for name in ("erin", "frank")]
    submit(*people, channels=("email",))
    [waited, sent] = rows(Delivery)
    deliver([waited.id, sent.id])
    with transaction() as session:  # scheduled long before it was sent
        late = sa.update(Attempt).where(Attempt.delivery_id == waited.id).values(at=now() + timedelta(days=20))
        session.execute(late)
    left = []
    for days in (29, 32, 49, 52):
        with time_machine.travel(now() + timedelta(days=days)):
            retention.prune_calls()
        left.append([row.delivery_id for row in rows(Attempt)])
    assert left == [[waited.id, sent.id], [waited.id], [waited.id], []]
    assert len(rows(Delivery)) == 2


def test_what_providers_said_is_kept_with_the_delivery_unless_that_is_said(submit: Callable[..., Any]) -> None:
    submit(InlineRecipient("erin", {"email": "erin@sandbox.test"}), channels=("email",))
    deliver([row.id for row in rows(Delivery)])
    with time_machine.travel(now() + timedelta(days=3650)):
        assert (retention.prune_calls(), len(rows(Attempt))) == (0, 1)
