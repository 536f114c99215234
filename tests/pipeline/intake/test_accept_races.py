"""Batches of several processes at once, each a thread here: nobody waits for ever, nobody fails for another's sake."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.core.submission import InlineRecipient
from notifier.ground import engines
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Delivery, InboxItem, InboxState, User
from notifier.people import profiles
from notifier.pipeline.intake import accept as module
from notifier.pipeline.intake import idempotency_keys
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.item import Accepted, Caller, Item
from tests.stored import rows
from tests.submitting import submission

ROUNDS = 25


def at_once(app: APIFlask, *works: Callable[[], Any]) -> list[Any]:
    """What each returned or raised, in order."""
    results: list[Any] = [None] * len(works)
    barrier = threading.Barrier(len(works))

    def run(index: int) -> None:
        with app.app_context():
            barrier.wait()
            try:
                results[index] = works[index]()
            except Exception as error:
                results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def inline(name: str, **changes: Any) -> InlineRecipient:
    return InlineRecipient(name, changes or {"name": name})


@pytest.mark.slow
def test_people_named_crosswise_block_nobody(app: APIFlask, cast: dict[str, str], caller: Caller) -> None:
    """One batch holds alice, whom it may change, and needs bob; the other the reverse."""

    def submit(*recipients: Any) -> Callable[[], list[Any]]:
        def repeatedly() -> list[Any]:
            return [accept([Item(caller, submission(*recipients, channels=("inapp",)))])[0] for _ in range(ROUNDS)]

        return repeatedly

    answers = at_once(
        app,
        submit(inline("alice"), "bob"),
        submit("alice", inline("bob")),
        submit(inline("bob"), "alice"),
        submit("bob", inline("alice")),
    )
    assert [[type(answer) for answer in answered] for answered in answers] == [[Accepted] * ROUNDS] * 4
    assert [(state.user_id, state.seq, state.unread) for state in rows(InboxState)] == [
        ("alice", 4 * ROUNDS, 4 * ROUNDS),
        ("bob", 4 * ROUNDS, 4 * ROUNDS),
    ]


def test_addresses_changed_crosswise_block_nobody(app: APIFlask, cast: dict[str, str], caller: Caller) -> None:
    """What one batch changes, the other refers to."""

    def submit(changed: str, named: str) -> Callable[[], list[Any]]:
        def repeatedly() -> list[Any]:
            items = [
                Item(
                    caller,
                    submission(inline(changed, email=f"{changed}{i}@x.test"), named, channels=("email", "inapp")),
                )
                for i in range(ROUNDS)
            ]
            return [accept([item])[0] for item in items]

        return repeatedly

    answers = at_once(app, submit("alice", "bob"), submit("bob", "alice"))
    assert [[type(answer) for answer in answered] for answered in answers] == [[Accepted] * ROUNDS] * 2
    assert len(rows(InboxItem)) == 4 * ROUNDS


@pytest.mark.slow
def test_somebody_is_erased_whatever_else_is_going_on(app: APIFlask, cast: dict[str, str], caller: Caller) -> None:
    """A due item is being shown: its delivery is held, and the person is needed next. The erasure holds the person and
    needs the delivery.
    """
    accept([Item(caller, submission("alice", channels=("email",)))])
    erased: list[str | None] = []

    def erase() -> None:
        with app.app_context():
            erased.append(profiles.erase("alice"))

    thread = threading.Thread(target=erase)
    with transaction() as session:
        if db.engine.dialect.name == "postgresql":  # it is the other that notices, however late it came
            session.execute(sa.text("SET LOCAL deadlock_timeout = '1min'"))
        session.execute(sa.select(Delivery.id).with_for_update())
        thread.start()
        time.sleep(0.3)
        session.execute(sa.select(User.id).where(User.id == "alice").with_for_update(read=True, key_share=True))
    thread.join()
    [certificate] = erased
    assert certificate
    assert [(row.status, row.reason) for row in rows(Delivery)] == [("cancelled", "user_erased")]


def test_who_comes_while_the_first_with_a_key_is_still_being_stored_is_told_to_come_back(
    app: APIFlask, cast: dict[str, str], caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is another process that has stored its key and not committed yet. SQLite has one writer: there the
    second simply waits.
    """
    if db.engine.dialect.name == "sqlite":
        monkeypatch.setattr(engines, "_LOCK_WAIT_S", 30.0)
    monkeypatch.setattr(idempotency_keys, "LONGEST_WAIT_MS", 200)
    item = Item(caller, submission("alice", idempotency=("k1", "aa" * 32)))
    neighbour = Item(caller, submission("bob"))
    has_stored, may_end = threading.Event(), threading.Event()
    first_of_all = module._store_keys

    def slowly(*given: Any) -> None:
        first_of_all(*given)
        has_stored.set()
        may_end.wait(20)

    results: list[Any] = []

    def first() -> None:
        with app.app_context():
            results.extend(accept([item]))

    monkeypatch.setattr(module, "_store_keys", slowly)
    thread = threading.Thread(target=first)
    thread.start()
    assert has_stored.wait(20)
    monkeypatch.setattr(module, "_store_keys", first_of_all)
    if db.engine.dialect.name == "sqlite":
        threading.Timer(0.3, may_end.set).start()
        [second, other] = accept([item, neighbour])
        assert (second.replayed, other.replayed) == (True, False)
    else:
        [second, other] = accept([item, neighbour])
        assert (second.code, second.retry_after, other.replayed) == ("idempotency_in_progress", 1, False)
        may_end.set()
    thread.join()
    assert [type(result) for result in results] == [Accepted]
    [third] = accept([item])
    assert third.answer == results[0].answer
