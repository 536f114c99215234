"""Large submissions are expanded a chunk at a time, each recipient once, whoever dies or does it twice."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access import keys
from notifier.batchworker.take import PRESSING
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.ground.ids import parse
from notifier.models import ApiKey, AuditEntry, InboxItem, Notification, Submission
from notifier.people import profiles
from notifier.pipeline.intake import chunks
from notifier.pipeline.intake.chunks import CHUNK_BESIDE_PRESSING, CHUNK_IN_SQLITE, next_chunk, store_chunk
from notifier.pipeline.intake.expand import expand
from notifier.pipeline.intake.item import Caller
from notifier.pipeline.intake.stopped_keys import KEY_REVOKED, SWITCHED_OFF
from notifier.pipeline.planning import pacing
from notifier.pipeline.upkeep import due, lost
from notifier.queries.overview import held_back
from notifier.signals.pressing import has_pressing
from notifier.signals.queueing import EXPAND_QUEUE, queue
from tests.commands import Program
from tests.stored import row_counts, rows

Submit = Callable[..., Any]
CHUNK = CHUNK_IN_SQLITE
CROWD = [f"u{number}" for number in range(2 * CHUNK + 1)]  # three chunks


@pytest.fixture(autouse=True)
def chunks_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """With both databases."""
    monkeypatch.setattr(chunks, "CHUNK", CHUNK)


@pytest.fixture
def large(app: APIFlask, submit: Submit) -> Submission:
    """A submission to CROWD that nobody has begun to expand. In-app: it is shown by the expansion itself."""
    submit(*[InlineRecipient(user_id, {"name": "U"}) for user_id in CROWD], channels=("inapp",))
    [row] = rows(Submission)
    assert isinstance(row, Submission)
    return row


class Crash(Exception):
    pass


@pytest.fixture
def crash_in_chunk(app: APIFlask) -> Iterator[Callable[[int], None]]:
    """`crash_in_chunk(2)`: the second chunk from now on breaks off, with some of its rows stored."""
    left = [0]

    def break_off(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO delivery "):
            left[0] -= 1
            if left[0] == 0:
                raise Crash

    sa.event.listen(db.engine, "after_cursor_execute", break_off)
    yield lambda number: left.__setitem__(0, number)
    sa.event.remove(db.engine, "after_cursor_execute", break_off)


def stored() -> Counter[str]:
    return Counter(row.user_id for row in rows(Notification))


def progress() -> tuple[str, int]:
    [row] = rows(Submission)
    return row.status, row.expanded


def test_what_broke_off_goes_on_where_it_stopped(large: Submission, crash_in_chunk: Callable[[int], None]) -> None:
    crash_in_chunk(2)
    with pytest.raises(Crash):
        expand(large.id)
    assert progress() == ("expanding", CHUNK)
    assert stored() == Counter(CROWD[:CHUNK])
    assert expand(large.id) == CHUNK + 1
    assert progress() == ("expanded", len(CROWD))
    assert stored() == Counter(CROWD)
    assert Counter(row.user_id for row in rows(InboxItem)) == Counter(CROWD)


def test_while_urgent_work_is_done_chunks_are_small(large: Submission, crash_in_chunk: Callable[[int], None]) -> None:
    redis_store.client.set(PRESSING, 1)
    crash_in_chunk(3)
    with pytest.raises(Crash):
        expand(large.id)
    assert progress() == ("expanding", 2 * CHUNK_BESIDE_PRESSING)
    assert has_pressing()


@pytest.mark.slow
def test_what_a_killed_worker_left_is_rung_by_the_sweep_and_finished_by_another(
    large: Submission, environment: dict[str, str]
) -> None:
    dying = Program([str(large.id), "2"], {**os.environ, **environment}, module="tests.pipeline.intake.dying")
    assert dying.wait(300) == -signal.SIGKILL
    assert progress() == ("expanding", CHUNK)
    redis_store.client.delete(queue(EXPAND_QUEUE).key)
    with transaction() as session:
        session.execute(sa.update(Submission).values(wake_at=now()))
    assert lost.ring_expansions() == 1
    [job_id] = queue(EXPAND_QUEUE).job_ids
    assert expand(parse("sub", job_id)) == CHUNK + 1
    assert stored() == Counter(CROWD)


def test_a_chunk_replayed_changes_nothing(large: Submission) -> None:
    chunk = next_chunk(large.id)
    assert chunk is not None
    assert store_chunk(chunk) is not None
    before, place = row_counts(), progress()
    assert store_chunk(chunk) is None
    assert (row_counts(), progress()) == (before, place)


def test_of_workers_at_the_same_time_each_recipient_is_stored_by_one(app: APIFlask, large: Submission) -> None:
    barrier, made = threading.Barrier(4), list[int]()

    def run() -> None:
        with app.app_context():
            barrier.wait()
            made.append(expand(large.id))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(made) == len(CROWD)
    assert progress() == ("expanded", len(CROWD))
    assert stored() == Counter(CROWD)


def test_a_submission_that_makes_progress_is_not_rung_again(large: Submission) -> None:
    with transaction() as session:
        session.execute(sa.update(Submission).values(wake_at=now()))
    chunk = next_chunk(large.id)
    assert chunk is not None
    store_chunk(chunk)
    assert lost.ring_expansions() == 0


def test_others_write_between_two_chunks(app: APIFlask, large: Submission) -> None:
    """Nothing is held from one chunk to the next."""
    chunk = next_chunk(large.id)
    assert chunk is not None
    store_chunk(chunk)

    def write() -> None:
        with app.app_context(), transaction():
            profiles.upsert([InlineRecipient("somebody-else", {"name": "E"})])

    other = threading.Thread(target=write)
    other.start()
    other.join(timeout=60)
    assert not other.is_alive()


def test_somebody_erased_between_two_chunks_is_dealt_with_and_gets_nothing(large: Submission) -> None:
    chunk = next_chunk(large.id)
    assert chunk is not None
    store_chunk(chunk)
    profiles.erase(CROWD[-1])
    assert expand(large.id) == CHUNK
    assert progress() == ("expanded", len(CROWD))
    assert stored() == Counter(CROWD[:-1])


@pytest.mark.parametrize(("end", "reason"), [("disable", SWITCHED_OFF), ("revoke", KEY_REVOKED), ("expire", None)])
def test_a_list_ends_when_its_producer_is_switched_off_or_its_key_revoked(
    submit: Submit, caller: Caller, end: str, reason: str | None
) -> None:
    assert caller.producer_id is not None
    key_id = keys.create_key(caller.producer_id, scopes=["notify"])[0].id
    answer = submit(
        *(InlineRecipient(user_id, {"name": "U"}) for user_id in CROWD),
        caller=replace(caller, key_id=key_id),
        channels=("inapp",),
    )
    submission_id = parse("sub", answer["id"])
    first = next_chunk(submission_id)
    assert first is not None
    store_chunk(first)
    if end == "disable":
        keys.disable_producer(caller.producer_id)
    elif end == "revoke":
        keys.revoke_key(key_id)
    else:
        with transaction() as session:
            session.execute(sa.update(ApiKey).where(ApiKey.id == key_id).values(expires_at=now()))
    expand(submission_id)
    entries = [entry.after for entry in rows(AuditEntry, action="submission.stopped")]
    if reason is None:
        assert (progress(), entries) == (("expanded", len(CROWD)), [])
    else:
        told = {"reason": reason, "expanded": CHUNK, "recipients": len(CROWD)}
        assert (progress(), entries) == (("expanded", CHUNK), [told])
        [row] = rows(Submission)
        assert (row.body, row.wake_at, len(stored())) == (None, None, CHUNK)


def test_what_is_left_to_do_is_all_that_its_row_lists(large: Submission) -> None:
    """A worker of a release that knew no chunks takes the list for the whole, and stores nobody twice."""
    chunk = next_chunk(large.id)
    assert chunk is not None
    store_chunk(chunk)
    [row] = rows(Submission)
    assert row.body["recipients"] == CROWD[CHUNK:]


@pytest.mark.parametrize("priority", ["low", "urgent"])
def test_an_expansion_fills_a_queue_as_far_as_a_release_does_and_the_rest_is_released(
    app: APIFlask, submit: Submit, priority: str
) -> None:
    held = 201
    line = queue(f"email.{priority}")
    before = pacing.MOST_IN_LINE - (len(CROWD) - held)
    redis_store.client.rpush(line.key, *(f"dlv_{n}" for n in range(before)))
    submit(*_with_mail(CROWD), channels=("email", "inapp"), priority=priority)
    [large] = rows(Submission)

    expand(large.id)

    assert (line.count, sum(held_back().values())) == (before + len(CROWD) - held, held)
    assert len(rows(InboxItem)) == len(CROWD), "what needs no queue is there at once"
    redis_store.client.delete(line.key)
    due.ring_due()
    assert (line.count, held_back()) == (held, {})


def _with_mail(users: list[str]) -> list[InlineRecipient]:
    return [InlineRecipient(user_id, {"name": "U", "email": f"{user_id}@example.test"}) for user_id in users]


def test_an_expansion_while_redis_is_away_leaves_all_to_be_released(
    app: APIFlask, submit: Submit, redis_away: None
) -> None:
    submit(*_with_mail(CROWD), channels=("email",))
    [large] = rows(Submission)
    expand(large.id)
    assert sum(held_back().values()) == len(CROWD)
