"""A broadcast: everybody in its audience once, whoever starts, expands or dies; paused, resumed and cancelled."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.access import keys
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.ground.ids import show
from notifier.ledgers import broadcast_counts
from notifier.ledgers.broadcast_counts import AddingUp
from notifier.models import AuditEntry, Broadcast, Delivery, Digest, DigestEntry, Event, EventType, Notification
from notifier.models import Submission as SubmissionRow
from notifier.operations import broadcast_retries, retry_dead
from notifier.people import preferences, profiles
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.delivery.outages import Outages
from notifier.pipeline.intake import broadcasts, chunks, expand
from notifier.pipeline.intake.broadcasts import Draft
from notifier.pipeline.intake.item import Caller
from notifier.pipeline.planning import pacing
from notifier.pipeline.upkeep import broadcasts as watching
from notifier.pipeline.upkeep import due, lost, summaries
from notifier.queries.broadcasts import one, page
from notifier.queries.notifications import Sight
from notifier.signals import queueing
from notifier.signals.queueing import EXPAND_QUEUE, queue
from tests.commands import Program
from tests.stored import deliveries, rows

NEWS = {"title": "T", "body": "B"}
PEOPLE = [f"u{number:02}" for number in range(12)]
Begin = Callable[..., UUID]


@pytest.fixture
def people(app: APIFlask) -> list[str]:
    """Twelve people, each with an e-mail address."""
    make(PEOPLE)
    return PEOPLE


def make(ids: Sequence[str], domain: str = "x.test", **fields: Any) -> None:
    with transaction():
        profiles.upsert([InlineRecipient(key, {"email": f"{key}@{domain}", **fields}) for key in ids])


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 5)


@pytest.fixture
def begin(caller: Caller) -> Begin:
    """`begin(audience, …)`: a newsletter to that audience. → its id."""

    def _begin(audience: Any = None, *, caller: Caller = caller, key: str | None = None, **fields: Any) -> UUID:
        known = {name: fields.pop(name) for name in ("local_time", "per_second", "stop_at_failures") if name in fields}
        said = Submission("newsletter", (), NEWS, **{"dedupe": False, **fields})
        draft = Draft("News", said, audience or {"all": True}, uploads_of=caller.producer_id, **known)
        return broadcasts.create(caller, draft, (key, "00" * 32) if key else None).broadcast_id

    return _begin


def told() -> Counter[str]:
    return Counter(row.user_id for row in rows(Notification))


def shown(broadcast_id: UUID) -> dict[str, Any]:
    db.session.close()
    found = one(broadcast_id, Sight())
    db.session.close()
    return found


def statuses(broadcast_id: UUID) -> dict[str, int]:
    """As they are shown, which has to be as they are."""
    document = shown(broadcast_id)
    counts = Counter[str]()
    for by_status in document["counts"]["channels"].values():
        counts.update({status: number for status, number in by_status.items() if number})
    assert counts == Counter(row.status for row in deliveries(broadcast_id=broadcast_id))
    assert (
        document["counts"]["notifications"]
        == document["expanded"]
        == len(rows(Notification, submission_id=broadcast_id))
    )
    skipped = [row.reason for row in deliveries(broadcast_id=broadcast_id) if row.status == "skipped"]
    assert document["counts"]["skipped"] == Counter(skipped)
    return dict(counts)


def listed_as(status: str) -> list[str]:
    db.session.close()
    found = [one["id"] for one in page(None, 10, Sight(), (status,))["data"]]
    db.session.close()
    return found


def send_all() -> None:
    deliver([row.id for row in deliveries() if row.status == "queued"])


# ---- beginning and expanding ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_chunks")
def test_everybody_is_told_once_and_it_finishes_when_nothing_is_to_come(people: list[str], begin: Begin) -> None:
    key = begin()
    assert queue(EXPAND_QUEUE).job_ids == [f"sub_{key.hex}"]
    assert (shown(key)["status"], shown(key)["audience"]) == ("scheduled", 12)
    assert expand.expand(key) == 12
    assert told() == Counter(people)
    assert (shown(key)["status"], statuses(key)) == ("running", {"queued": 12})
    assert watching.watch() == 0
    send_all()
    assert statuses(key) == {"delivered": 12}
    assert watching.watch() == 1
    assert watching.watch() == 0
    assert (shown(key)["status"], shown(key)["paused_reason"]) == ("finished", None)
    assert [(row.kind, row.submission_id) for row in rows(Event) if row.kind.startswith("broadcast.")] == [
        ("broadcast.finished", key)
    ]
    assert expand.expand(key) == 0


@pytest.mark.usefixtures("people")
def test_it_leaves_nobody_in_the_cache_of_people(begin: Begin) -> None:
    assert expand.expand(begin(channels=("inapp",))) == 12
    assert list(redis_store.client.scan_iter("notifier:person:*")) == []  # a million would only fill Redis


@pytest.mark.usefixtures("wakeful_cast")
def test_choices_and_missing_addresses_are_counted_by_their_reason(begin: Begin) -> None:
    """Alice and Bob get it; Carol has switched mail off, and Dave has no address."""
    key = begin()
    expand.expand(key)
    assert statuses(key) == {"queued": 2, "skipped": 2}
    assert shown(key)["counts"]["skipped"] == {"no_address": 1, "opted_out": 1}


@pytest.mark.usefixtures("people", "small_chunks")
def test_who_comes_after_the_start_is_not_in_it_and_who_is_erased_drops_out(begin: Begin) -> None:
    key = begin()
    chunks.store_chunk(chunks.next_chunk(key))
    make(["u99"])
    profiles.erase("u07")
    expand.expand(key)
    assert told() == Counter(key for key in PEOPLE if key != "u07")
    assert (shown(key)["audience"], shown(key)["expanded"]) == (12, 11)
    profiles.erase("u01")
    assert statuses(key) == {"queued": 10, "cancelled": 1}


@pytest.mark.usefixtures("people")
def test_who_comes_while_the_audience_is_counted_is_not_in_it(app: APIFlask, begin: Begin) -> None:
    key, came = begin(), list[object]()

    def come(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "count(" in statement and not came:
            came.append(None)
            at_once(app, 1, lambda: make(["u99"]))

    sa.event.listen(db.engine, "after_cursor_execute", come)
    try:
        expand.expand(key)
    finally:
        sa.event.remove(db.engine, "after_cursor_execute", come)
    assert (len(came), shown(key)["audience"], shown(key)["expanded"]) == (1, 12, 12)


@pytest.mark.usefixtures("people", "small_chunks")
def test_a_turn_that_is_taken_twice_makes_nobody_twice(begin: Begin) -> None:
    key = begin()
    chunk = chunks.next_chunk(key)
    assert chunks.store_chunk(chunk) is not None
    assert chunks.store_chunk(chunk) is None
    expand.expand(key)
    assert told() == Counter(PEOPLE)


@pytest.mark.usefixtures("people", "small_chunks")
@pytest.mark.parametrize(
    ("meanwhile", "made"),
    [
        (lambda first: None, 0),
        (lambda first: chunks.store_chunk(first), 10),
        (lambda first: (chunks.store_chunk(first), broadcasts.pause(first.submission_id)), 5),
        (lambda first: (chunks.store_chunk(first), broadcasts.cancel(first.submission_id)), 5),
        (lambda first: (chunks.store_chunk(first), expand.expand(first.submission_id)), 12),
    ],
    ids=["it has come to nothing", "it is stored", "then paused", "then cancelled", "another has done the rest"],
)
def test_a_turn_that_follows_another_is_stored_after_it_or_not_at_all(
    begin: Begin, meanwhile: Callable[[chunks.Chunk], object], made: int
) -> None:
    key = begin()
    first = chunks.next_chunk(key)
    assert first is not None
    second = chunks.next_chunk(key, behind=first.turn)
    assert second is not None
    meanwhile(first)
    assert (chunks.store_chunk(second) is not None) is (made == 10)
    assert (sum(told().values()), shown(key)["expanded"]) == (made, made)


@pytest.mark.usefixtures("people", "small_chunks")
@pytest.mark.parametrize("fails", [False, True])
def test_two_turns_are_stored_beside_each_other_and_committed_in_order(
    app: APIFlask, begin: Begin, fails: bool
) -> None:
    """The second one comes to its end while the first is in the midst of it."""
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    key, threads, second_is_through = begin(), list[int](), threading.Event()

    def look(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        me = threading.get_ident()
        if statement.startswith("INSERT INTO delivery ") and not threads:
            threads.append(me)
            assert second_is_through.wait(60)
            if fails:
                raise RuntimeError("broken")
        elif statement.startswith("INSERT INTO tally ") and me != threads[0]:
            second_is_through.set()

    sa.event.listen(db.engine, "before_cursor_execute", look)
    try:
        if fails:
            with pytest.raises(RuntimeError, match="broken"):
                expand.expand(key)
        else:
            assert expand.expand(key) == 12
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", look)
    assert told() == (Counter() if fails else Counter(PEOPLE))
    expand.expand(key)
    assert (told(), statuses(key)) == (Counter(PEOPLE), {"queued": 12})


@pytest.mark.usefixtures("people", "small_chunks")
def test_a_machine_that_has_no_thread_left_is_no_reason_to_stop(begin: Begin) -> None:
    key = begin()
    before = threading.stack_size(1 << 46)  # of which there is no memory for any
    try:
        assert expand.expand(key) == 12
    finally:
        threading.stack_size(before)
    assert told() == Counter(PEOPLE)


@pytest.mark.usefixtures("people", "small_chunks")
def test_a_turn_that_comes_to_nothing_counts_against_nobodys_limit(begin: Begin) -> None:
    with transaction() as session:
        session.execute(sa.update(EventType).where(EventType.key == "newsletter").values(priority="urgent"))
    key = begin()

    def counts() -> Counter[bytes]:
        return Counter(redis_store.client.get(name) for name in redis_store.client.keys("notifier:flood:newsletter:u*"))

    def fail(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO delivery "):
            raise RuntimeError("broken")

    sa.event.listen(db.engine, "before_cursor_execute", fail)
    try:
        with pytest.raises(RuntimeError, match="broken"):
            expand.expand(key)
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", fail)
    assert set(counts()) <= {b"0"}
    assert expand.expand(key) == 12
    assert counts() == {b"1": 12}


@pytest.mark.usefixtures("people", "small_chunks")
def test_of_four_processes_one_starts_it_and_each_person_is_made_by_one(app: APIFlask, begin: Begin) -> None:
    key = begin()
    at_once(app, 4, lambda: expand.expand(key))
    assert told() == Counter(PEOPLE)
    assert statuses(key) == {"queued": 12}
    assert [row.action for row in rows(AuditEntry) if row.action == "broadcast.started"] == ["broadcast.started"]


def at_once(app: APIFlask, number: int, work: Callable[[], object]) -> list[object]:
    """In as many threads. → what each returned, or was refused with."""
    barrier, answers = threading.Barrier(number), list[object]()

    def run() -> None:
        with app.app_context():
            barrier.wait()
            try:
                answers.append(work())
            except Rejected as refusal:
                answers.append(refusal.code)
            db.session.remove()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.usefixtures("people")
def test_a_key_that_is_repeated_at_once_makes_one_broadcast(app: APIFlask, begin: Begin) -> None:
    made = at_once(app, 4, lambda: begin(key="spring"))
    assert len(rows(Broadcast)) == 1
    assert set(made) <= {rows(Broadcast)[0].id, "idempotency_in_progress"}


@pytest.mark.slow
def test_what_killed_workers_left_is_finished_by_another_and_the_counts_add_up(
    environment: dict[str, str], begin: Begin
) -> None:
    """However many were killed: a newsletter may be had twice an hour, and nobody has had it yet."""
    crowd = [f"u{number}" for number in range(2 * chunks.CHUNK_IN_SQLITE + 1)]
    make(crowd)
    key = begin()
    for chunk in ("3", "1", "1"):
        dying = Program([str(key), chunk], {**os.environ, **environment}, module="tests.pipeline.intake.dying")
        assert dying.wait(300) == -signal.SIGKILL
    [queued] = statuses(key).values()
    # The first was committed before the third was begun; the second may have been
    assert (shown(key)["status"], queued // chunks.CHUNK_IN_SQLITE in (1, 2)) == ("running", True)
    with transaction() as session:
        session.execute(sa.update(SubmissionRow).values(wake_at=now()))
    assert lost.ring_expansions() == 1
    expand.expand(key)
    assert (told(), statuses(key)) == (Counter(crowd), {"queued": len(crowd)})


AUDIENCES: dict[str, tuple[Any, list[str]]] = {
    "people by name": ({"users": ["u03", "u01"]}, ["u01", "u03"]),
    "a condition": ({"where": {"locale": "de"}}, ["u20"]),
}


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(("audience", "meant"), AUDIENCES.values(), ids=AUDIENCES)
def test_an_audience_is_told_and_nobody_else(begin: Begin, audience: Any, meant: list[str]) -> None:
    make(["u20"], locale="de")
    key = begin(audience)
    expand.expand(key)
    assert (sorted(told()), shown(key)["audience"]) == (meant, len(meant))


@pytest.mark.usefixtures("people", "small_chunks")
def test_when_all_have_had_their_turn_it_names_nobody(begin: Begin) -> None:
    for end in (expand.expand, broadcasts.cancel):
        key = begin({"users": PEOPLE})
        chunks.store_chunk(chunks.next_chunk(key))
        assert shown(key)["to"] == {"users": 12}
        end(key)
        [row] = rows(Broadcast, id=key)
        assert (row.audience, row.cursor, shown(key)["to"]) == ({"users": 12}, None, {"users": 12})


@pytest.mark.usefixtures("people")
def test_a_test_keys_broadcast_is_for_the_people_of_test_keys_alone(begin: Begin, caller: Caller) -> None:
    make(["~tester"])
    key = begin(caller=Caller(caller.producer_id, is_test=True, may_be_urgent=False, types=None, request_id="r"))
    expand.expand(key)
    assert (sorted(told()), rows(Notification)[0].is_test) == (["~tester"], True)
    assert [row for row in rows(AuditEntry) if row.action.startswith("broadcast.")] == []


# ---- times ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("people")
def test_it_begins_at_its_time_and_is_rung_then(begin: Begin) -> None:
    at = now() + timedelta(hours=1)
    key = begin(send_at=at)
    assert (queue(EXPAND_QUEUE).job_ids, lost.ring_expansions(), expand.expand(key)) == ([], 0, 0)
    with time_machine.travel(at + timedelta(seconds=1)):
        assert lost.ring_expansions() == 1
        assert expand.expand(key) == 12
        assert statuses(key) == {"queued": 12}


def test_at_a_local_time_each_person_has_their_turn_in_their_own_zone(app: APIFlask, begin: Begin) -> None:
    with time_machine.travel(datetime.fromisoformat("2026-11-29T12:00Z"), tick=False):
        make(["berlin"], time_zone="Europe/Berlin")
        make(["tokyo"], time_zone="Asia/Tokyo")
        make(["nowhere"])
        key = begin(local_time=datetime.fromisoformat("2026-12-01T09:00"), expires_in=3600)
        assert shown(key)["status"] == "scheduled"
    with time_machine.travel(datetime.fromisoformat("2026-11-30T18:00Z"), tick=False):
        expand.expand(key)
    due_at = {row.user_id: one.due_at for row, one in zip(rows(Notification), deliveries(), strict=True)}
    assert {name: at.isoformat() for name, at in due_at.items()} == {
        "berlin": "2026-12-01T08:00:00+00:00",
        "tokyo": "2026-12-01T00:00:00+00:00",
        "nowhere": "2026-12-01T09:00:00+00:00",
    }
    assert {one.expires_at - one.due_at for one in deliveries()} == {timedelta(hours=1)}
    assert statuses(key) == {"waiting": 3}


@pytest.mark.usefixtures("people", "small_chunks")
@pytest.mark.parametrize(("is_perishable", "late"), [(False, {"queued": 12}), (True, {"queued": 5, "skipped": 7})])
def test_a_turn_that_comes_days_later_is_too_late_only_where_the_producer_has_set_the_expiry(
    begin: Begin, is_perishable: bool, late: dict[str, int]
) -> None:
    key = begin(expires_in=86_400, is_perishable=is_perishable)
    chunks.store_chunk(chunks.next_chunk(key))
    broadcasts.pause(key)
    with time_machine.travel(now() + timedelta(days=3), tick=False):
        broadcasts.resume(key)
        expand.expand(key)
        assert statuses(key) == late


@pytest.mark.usefixtures("people")
def test_no_more_have_their_turn_in_a_second_than_its_pace_allows(begin: Begin) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        key = begin(per_second=2)
        made = []
        for _ in range(4):
            made.append(expand.expand(key))
            clock.shift(timedelta(seconds=1))
        assert made == [2, 2, 2, 2]
        clock.shift(timedelta(hours=1))
        assert expand.expand(key) == 4  # what two seconds allow, however late its turn comes
        assert told() == Counter(PEOPLE)


# ---- stopping and going on ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("people", "small_chunks")
def test_a_paused_one_makes_and_sends_nothing_until_it_is_resumed(begin: Begin) -> None:
    key = begin()
    chunks.store_chunk(chunks.next_chunk(key))
    chunk = chunks.next_chunk(key)
    assert broadcasts.pause(key) is True
    assert broadcasts.pause(key) is False
    assert (chunks.store_chunk(chunk), expand.expand(key), lost.ring_expansions()) == (None, 0, 0)
    send_all()
    assert statuses(key) == {"waiting": 5}
    assert {(row.reason, row.held_for) for row in deliveries()} == {("paused", f"broadcast={key.hex}")}
    assert Outages().let_out() == 0
    assert watching.watch() == 0
    broadcasts.resume(key)
    broadcasts.resume(key)
    assert Outages().let_out() == 5
    due.ring_due()
    expand.expand(key)
    send_all()
    assert statuses(key) == {"delivered": 12}
    actions = [row.action for row in rows(AuditEntry) if row.action.startswith("broadcast.")]
    assert actions == ["broadcast.created", "broadcast.started", "broadcast.paused", "broadcast.resumed"]


@pytest.mark.usefixtures("people")
def test_what_comes_due_while_it_is_paused_waits_too(begin: Begin) -> None:
    key = begin()
    expand.expand(key)
    with transaction() as session:
        at = now()
        session.execute(sa.update(Delivery).values(status="waiting", due_at=at, wake_at=at))
        session.execute(sa.update(broadcast_counts.BroadcastTally).values(status="waiting"))
    broadcasts.pause(key)
    due.ring_due()
    assert {(row.status, row.reason, row.held_for) for row in deliveries()} == {
        ("waiting", "paused", f"broadcast={key.hex}")
    }
    broadcasts.cancel(key)
    assert Outages().let_out() == 12
    due.ring_due()
    assert statuses(key) == {"cancelled": 12}


@pytest.mark.usefixtures("people", "small_chunks")
def test_a_cancelled_one_sends_nothing_more_and_what_has_gone_out_stays(begin: Begin) -> None:
    key = begin()
    chunks.store_chunk(chunks.next_chunk(key))
    deliver([deliveries()[0].id])
    broadcasts.cancel(key)
    deliver([deliveries()[1].id])
    assert statuses(key) == {"delivered": 1, "skipped": 1, "queued": 3}
    assert watching.watch() == 0
    assert (watching.cancel_rest(), shown(key)["finished_at"]) == (3, None)
    assert watching.cancel_rest() == 0
    assert (expand.expand(key), statuses(key)) == (0, {"delivered": 1, "skipped": 1, "cancelled": 3})
    assert (shown(key)["status"], shown(key)["finished_at"] is not None) == ("cancelled", True)
    assert not [row for row in rows(Event) if row.kind.startswith("broadcast.")]


@pytest.mark.usefixtures("people")
def test_of_two_who_cancel_and_two_who_pause_each_change_is_made_once(app: APIFlask, begin: Begin) -> None:
    key = begin()
    calls = iter([broadcasts.pause, broadcasts.pause, broadcasts.cancel, broadcasts.cancel])
    at_once(app, 4, lambda: next(calls)(key))
    assert shown(key)["status"] == "cancelled"
    actions = Counter(row.action for row in rows(AuditEntry))
    assert (actions["broadcast.cancelled"], actions["broadcast.paused"]) in ((1, 0), (1, 1))


@pytest.mark.usefixtures("people")
def test_of_two_who_resume_one_does(app: APIFlask, begin: Begin) -> None:
    key = begin()
    broadcasts.pause(key)
    at_once(app, 2, lambda: broadcasts.resume(key))
    assert shown(key)["status"] == "scheduled"
    assert Counter(row.action for row in rows(AuditEntry))["broadcast.resumed"] == 1


@pytest.mark.usefixtures("people")
def test_two_schedulers_cancel_and_count_each_delivery_once(app: APIFlask, begin: Begin) -> None:
    key = begin()
    expand.expand(key)
    broadcasts.cancel(key)
    steps = [watching.cancel_rest, watching.cancel_rest, AddingUp().add_up, AddingUp().add_up]
    calls = iter(steps * 3)
    for _ in range(3):
        at_once(app, 4, lambda: next(calls)())
    assert statuses(key) == {"cancelled": 12}
    assert shown(key)["finished_at"] is not None


REFUSED = {
    "cancelled": (broadcasts.pause, broadcasts.resume, broadcast_retries.begin),
    "finished": (broadcasts.pause, broadcasts.resume, broadcasts.cancel),
    "scheduled": (broadcast_retries.begin,),
}


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(("status", "changes"), REFUSED.items())
def test_what_makes_no_sense_any_more_is_refused(begin: Begin, status: str, changes: Sequence[Any]) -> None:
    key = begin()
    with transaction() as session:
        session.execute(sa.update(Broadcast).values(status=status))
    for change in changes:
        with pytest.raises(Rejected) as refusal:
            change(key)
        assert refusal.value.code == "conflict"
    assert (shown(key)["status"], queueing.depths([EXPAND_QUEUE])) == (status, [1])


@pytest.mark.parametrize("is_begun", [True, False])
def test_it_pauses_itself_when_its_producer_is_switched_off(
    people: list[str], begin: Begin, caller: Caller, is_begun: bool
) -> None:
    key = begin() if is_begun else begin(send_at=now() + timedelta(hours=1))
    expand.expand(key)
    assert caller.producer_id is not None
    keys.disable_producer(caller.producer_id)
    assert (watching.watch(), watching.watch()) == (1, 0)
    send_all()
    assert (shown(key)["status"], shown(key)["paused_reason"]) == ("paused", "its producer is switched off")
    assert statuses(key) == ({"waiting": 12} if is_begun else {})
    with pytest.raises(Rejected, match="its producer is switched off"):
        broadcasts.resume(key)
    keys.disable_producer(caller.producer_id, disabled=False)
    broadcasts.resume(key)
    assert (watching.watch(), shown(key)["status"]) == (0, "running" if is_begun else "scheduled")


@pytest.mark.parametrize("is_begun", [True, False])
def test_it_pauses_itself_when_the_key_in_whose_name_it_goes_on_is_revoked(
    people: list[str], begin: Begin, caller: Caller, is_begun: bool
) -> None:
    assert caller.producer_id is not None
    first, second = (keys.create_key(caller.producer_id, scopes=["broadcast"])[0].id for _ in range(2))
    mine = replace(caller, key_id=first)
    key = begin(caller=mine) if is_begun else begin(caller=mine, send_at=now() + timedelta(hours=1))
    expand.expand(key)
    assert watching.watch() == 0
    keys.revoke_key(first)
    assert (watching.watch(), watching.watch()) == (1, 0)
    send_all()
    assert (shown(key)["status"], shown(key)["paused_reason"]) == ("paused", "its key was revoked")
    assert statuses(key) == ({"waiting": 12} if is_begun else {})
    broadcasts.resume(key, second)
    assert (watching.watch(), shown(key)["status"]) == (0, "running" if is_begun else "scheduled")
    keys.revoke_key(second)
    assert watching.watch() == 1
    broadcasts.resume(key)
    assert (watching.watch(), shown(key)["status"]) == (0, "running" if is_begun else "scheduled")


def test_what_has_failed_is_not_sent_again_for_a_producer_that_is_switched_off(failing: UUID, caller: Caller) -> None:
    assert caller.producer_id is not None
    keys.disable_producer(caller.producer_id)
    with pytest.raises(Rejected, match="its producer is switched off"):
        broadcast_retries.begin(failing)


# ---- failures -------------------------------------------------------------------------------------------------------


@pytest.fixture
def failing(app: APIFlask, begin: Begin) -> UUID:
    """To 60 whose address takes nothing and 60 whose does, sent."""
    make([f"bad{number}" for number in range(60)])
    make([f"good{number}" for number in range(60)])
    with transaction():
        profiles.upsert([InlineRecipient(f"bad{number}", {"email": "rejected@sandbox.test"}) for number in range(60)])
    key = begin(stop_at_failures=0.5)
    expand.expand(key)
    send_all()
    assert statuses(key) == {"failed": 60, "delivered": 60}
    return key


def test_it_pauses_itself_when_its_share_has_failed_and_goes_on_when_somebody_has_looked(
    app: APIFlask, failing: UUID
) -> None:
    assert Counter(at_once(app, 2, watching.watch)) == {0: 1, 1: 1}
    document = shown(failing)
    assert (document["status"], document["paused_reason"]) == ("paused", "60 of 120 sends have failed")
    assert [(row.kind, row.reason) for row in rows(Event) if row.kind.startswith("broadcast.")] == [
        ("broadcast.paused", "60 of 120 sends have failed")
    ]
    assert watching.watch() == 0
    broadcasts.resume(failing)
    assert Counter(at_once(app, 2, watching.watch)) == {0: 1, 1: 1}
    assert (shown(failing)["status"], shown(failing)["paused_reason"]) == ("finished", None)


def test_the_failed_part_alone_is_sent_again_and_counted(app: APIFlask, failing: UUID) -> None:
    with transaction() as session:
        session.execute(sa.update(Broadcast).values(stop_at_failures=None))
    make([f"bad{number}" for number in range(60)])
    profiles.erase("bad58")
    with transaction() as session:
        last = session.scalars(
            sa.select(Delivery).where(Delivery.status == "failed").order_by(Delivery.id.desc())
        ).first()
        last.expires_at = now()
    watching.watch()
    assert shown(failing)["status"] == "finished"
    at_once(app, 2, lambda: broadcast_retries.begin(failing))
    assert shown(failing)["status"] == "running"
    assert watching.watch() == 0
    assert Counter(at_once(app, 2, broadcast_retries.work)) == {60: 1, 0: 1}
    assert (broadcast_retries.work(), shown(failing)["retries"]) == (0, 59)
    send_all()
    assert statuses(failing) == {"delivered": 118, "failed": 1, "skipped": 1}
    assert watching.watch() == 1
    assert shown(failing)["status"] == "finished"
    assert Counter(row.tries for row in deliveries() if row.status == "delivered") == {1: 60, 2: 58}


@pytest.mark.parametrize(
    ("change", "becomes"),
    [(broadcasts.pause, "paused"), (broadcasts.resume, "running"), (broadcasts.cancel, "cancelled")],
)
def test_a_finished_one_with_a_delivery_that_is_retried_by_itself_runs(
    failing: UUID, change: Callable[[UUID], Any], becomes: str
) -> None:
    with transaction() as session:
        session.execute(sa.update(Broadcast).values(stop_at_failures=None))
    watching.watch()
    [failed, *_] = [row.id for row in deliveries() if row.status == "failed"]
    assert listed_as("finished") == [show("brd", failing)]
    retry_dead.retry([failed])
    assert (listed_as("finished"), listed_as("running")) == ([], [show("brd", failing)])
    change(failing)
    assert (shown(failing)["status"], listed_as(becomes)) == (becomes, [show("brd", failing)])
    assert shown(failing)["finished_at"] is None
    if becomes == "paused":
        broadcasts.resume(failing)
    for step in (watching.cancel_rest, send_all, watching.watch, watching.cancel_rest):
        step()
    assert shown(failing)["finished_at"] is not None


@pytest.mark.parametrize("change", [{"reason": "discarded"}, {"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}])
def test_where_all_that_failed_is_past_retrying_it_stays_finished(failing: UUID, change: dict[str, Any]) -> None:
    with transaction() as session:
        session.execute(sa.update(Broadcast).values(stop_at_failures=None))
        session.execute(sa.update(Delivery).where(Delivery.status == "failed").values(**change))
    watching.watch()
    with pytest.raises(Rejected) as refusal:
        broadcast_retries.begin(failing)
    assert (refusal.value.code, shown(failing)["status"], watching.watch()) == ("conflict", "finished", 0)
    assert [row.kind for row in rows(Event) if row.kind.startswith("broadcast.")] == ["broadcast.finished"]


def test_what_is_retried_waits_until_its_queue_has_room(failing: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast_retries, "BATCH", 20)
    monkeypatch.setattr(pacing, "MOST_IN_LINE", 30)
    line = queue("email.low")
    line.empty()
    broadcast_retries.begin(failing)
    assert [broadcast_retries.work() for _ in range(3)] == [20, 20, 0]
    assert (line.count, shown(failing)["retries"]) == (40, 40)
    line.empty()
    assert [broadcast_retries.work() for _ in range(3)] == [20, 0, 0]
    assert (line.count, shown(failing)["retries"], statuses(failing)) == (20, 60, {"queued": 60, "delivered": 60})


# ---- digests --------------------------------------------------------------------------------------------------------


@pytest.fixture
def listed(begin: Begin) -> UUID:
    """A newsletter for three people, to two of whom marketing comes once a day."""
    make(["u0", "u1", "u2"])
    for user_id in ("u0", "u1"):
        preferences.change(user_id, {"digest": {"marketing": "daily"}}, replace=False, source="test")
    key = begin()
    expand.expand(key)
    assert (statuses(key), shown(key)["counts"]["skipped"]) == ({"queued": 1, "skipped": 2}, {"digested": 2})
    return key


def test_what_a_digest_lists_is_counted_by_what_becomes_of_it(listed: UUID) -> None:
    preferences.change("u0", {"channels": {"email": False}}, replace=False, source="test")
    with transaction() as session:
        session.execute(sa.update(Digest).values(due_at=now() - timedelta(minutes=10)))
    summaries.close_due()
    assert statuses(listed) == {"queued": 1, "skipped": 2}
    assert shown(listed)["counts"]["skipped"] == {"digested": 1, "opted_out": 1}


def test_a_cancelled_one_is_listed_in_no_digest(listed: UUID) -> None:
    broadcasts.cancel(listed)
    assert [watching.cancel_rest() for _ in range(3)] == [1, 2, 0]
    assert (rows(DigestEntry), shown(listed)["counts"]["skipped"]) == ([], {"cancelled": 2})
    assert (statuses(listed), shown(listed)["finished_at"] is not None) == ({"cancelled": 1, "skipped": 2}, True)


@pytest.fixture
def finished(listed: UUID) -> UUID:
    """All has gone out but for what is to be listed."""
    deliver([row.id for row in deliveries(status="queued")])
    assert (watching.watch(), shown(listed)["status"]) == (1, "finished")
    return listed


def test_what_a_finished_one_has_in_digests_can_be_cancelled(finished: UUID) -> None:
    broadcasts.cancel(finished)
    assert [watching.cancel_rest() for _ in range(2)] == [2, 0]
    assert (shown(finished)["counts"]["skipped"], close_digests()) == ({"cancelled": 2}, 2)
    assert (shown(finished)["status"], shown(finished)["finished_at"] is not None) == ("cancelled", True)
    assert [row.type for row in rows(Notification) if row.submission_id != finished] == []


def test_what_a_finished_one_has_in_digests_can_be_paused(finished: UUID) -> None:
    broadcasts.pause(finished)
    assert (close_digests(), len(rows(DigestEntry))) == (2, 2)
    broadcasts.resume(finished)
    assert (watching.watch(), shown(finished)["status"], close_digests()) == (1, "finished", 2)
    with pytest.raises(Rejected):
        broadcasts.cancel(finished)


def close_digests() -> int:
    with transaction() as session:
        session.execute(sa.update(Digest).values(due_at=now() - timedelta(minutes=10)))
    return summaries.close_due()


def test_a_digest_does_not_list_what_is_paused_and_does_once_it_is_resumed(listed: UUID) -> None:
    broadcasts.pause(listed)
    assert close_digests() == 2
    assert (len(rows(DigestEntry)), shown(listed)["counts"]["skipped"]) == (2, {"digested": 2})
    assert [row.type for row in rows(Notification) if row.submission_id != listed] == []
    assert summaries.close_due() == 0, "it is not looked at all the time"
    broadcasts.resume(listed)
    assert close_digests() == 2
    assert (rows(Digest), [row.type for row in rows(Notification) if row.submission_id != listed]) == (
        [],
        ["marketing_digest"] * 2,
    )


def test_a_digest_that_closes_before_the_cancelled_ones_are_taken_out_lists_none_of_them(listed: UUID) -> None:
    broadcasts.cancel(listed)
    assert close_digests() == 2
    assert (rows(Digest), shown(listed)["counts"]["skipped"]) == ([], {"cancelled": 2})
    assert [row.type for row in rows(Notification) if row.submission_id != listed] == []
