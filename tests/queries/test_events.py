"""Readers of the event stream see each event once and miss none, however late its transaction commits."""

import queue
import random
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from notifier.access import keys
from notifier.core import events as names
from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.ledgers import event_readers
from notifier.ledgers import events as stream
from notifier.ledgers.moves import Move, move_each
from notifier.models import Delivery, Event, EventReader, Notification
from notifier.queries import events, shown_events
from tests.ledgers.test_moves import stored

LIFE = ("sending", "sent", "delivered", "opened", "clicked")


class _Undone(Exception):
    """Ends a transaction without a commit."""


class Writer:
    """A transaction of its own, open as long as the test wants, on a thread and a connection of its own."""

    def __init__(self, app: APIFlask) -> None:
        self.app = app
        self.wanted: queue.Queue[tuple[Callable[[], Any], Future[Any]] | None] = queue.Queue()
        self.thread = threading.Thread(target=self._work)
        self.thread.start()
        self.transaction: Any = None

    def _work(self) -> None:
        with self.app.app_context():
            while (item := self.wanted.get()) is not None:
                work, answer = item
                try:
                    answer.set_result(work())
                except BaseException as error:
                    answer.set_exception(error)
            db.session.remove()

    def do(self, work: Callable[[], Any]) -> Any:
        answer: Future[Any] = Future()
        self.wanted.put((work, answer))
        return answer.result(timeout=60)

    def begin(self) -> None:
        self.transaction = transaction()
        self.do(self.transaction.__enter__)

    def end(self, *, commits: bool) -> None:
        ending, self.transaction = self.transaction, None
        reason = (None, None) if commits else (_Undone, _Undone())
        self.do(lambda: ending.__exit__(*reason, None))

    def close(self) -> None:
        if self.transaction is not None:
            self.end(commits=False)
        self.wanted.put(None)
        self.thread.join()


def on_postgresql() -> bool:
    return bool(db.engine.dialect.name == "postgresql")


def all_ids() -> list[int]:
    with transaction() as session:
        return list(session.scalars(sa.select(Event.id).order_by(Event.id)))


class Reader:
    """Reads on from where it stopped, and keeps what it saw."""

    def __init__(self, scope: events.Scope = events.EVERYBODY, kinds: Collection[str] = ()) -> None:
        self.scope, self.kinds = scope, kinds
        self.position = 0
        self.seen: list[Any] = []

    def wants(self, row: Any) -> bool:
        is_mine = self.scope.producer_id in (None, row.producer_id) or (
            self.scope.of_people and row.producer_id is None
        )
        return is_mine and (not self.kinds or row.kind in self.kinds)

    def read(self, limit: int) -> bool:
        found = events.read(self.position, limit, scope=self.scope, wanted=events.Wanted(self.kinds))
        self.seen += found.rows
        self.position = found.reached.id if found.reached else self.position
        db.session.close()
        return bool(found.rows)

    def read_all(self) -> None:
        while self.read(7):
            pass

    def lives(self) -> dict[UUID, list[str]]:
        lives: dict[UUID, list[str]] = {}
        for row in self.seen:
            if row.kind in names.OF_STATUS.values():
                lives.setdefault(row.delivery_id, []).append(row.kind.removeprefix("delivery."))
        return lives


class Sink:
    """Is sent events by processes that may die before they have stored what was confirmed."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.lease = "first"

    def send(self, limit: int, *, dies: bool) -> None:
        taken = event_readers.take("sink", self.lease, lambda _holder: True)
        assert taken is not None
        rows = events.read(taken.position, limit).rows
        self.received += [row.id for row in rows]
        if dies:
            with transaction() as session:  # its lifeline shows it at once
                session.execute(sa.update(EventReader).values(holder=1))
            self.lease = new_id().hex
        elif rows:
            assert event_readers.advance("sink", self.lease, rows[-1].id)
        db.session.close()


@pytest.fixture
def writers(app: APIFlask) -> Iterator[list[Writer]]:
    made = [Writer(app) for _ in range(4)]
    yield made
    for writer in made:
        writer.close()


@pytest.mark.slow
def test_every_reader_sees_every_event_once_and_those_of_a_delivery_in_order(writers: list[Writer]) -> None:
    alone = not on_postgresql()  # SQLite has one writer at a time
    shop, bank = (keys.create_producer(name).id for name in ("Shop", "Bank"))

    class Stream(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.first = max(all_ids(), default=0)
            self.deliveries = stored(*["sending"] * 5)
            self.lived = dict.fromkeys(self.deliveries, 0)  # as committed
            self.moved: dict[int, dict[UUID, int]] = {}  # by open writer
            with transaction() as session:  # the last two are another producer's
                theirs = sa.select(Delivery.notification_id).where(Delivery.id.in_(self.deliveries[3:]))
                of = sa.case((Notification.id.in_(theirs), bank), else_=shop)
                session.execute(sa.update(Notification).values(producer_id=of))
                session.execute(sa.delete(EventReader))
                row = {"name": "sink", "position": self.first, "set_aside": 0, "missed": 0}
                session.execute(sa.insert(EventReader), row)
            self.sink = Sink()
            self.readers = [
                Reader(),
                Reader(),
                Reader(events.Scope(shop)),
                Reader(events.Scope(bank, of_people=True)),
                Reader(kinds={names.COMPLAINED, "delivery.delivered"}),
                Reader(events.Scope(shop), {names.UNSUBSCRIBED, "delivery.sent"}),
                Reader(),  # reads nothing until the end
            ]
            for reader in self.readers:
                reader.position = self.first

        @precondition(lambda self: len(self.moved) < (1 if alone else len(writers)))
        @rule(data=st.data())
        def begin(self, data: st.DataObject) -> None:
            one = data.draw(st.sampled_from([n for n in range(len(writers)) if n not in self.moved]))
            writers[one].begin()
            self.moved[one] = {}
            # Takes a position before it has anything to do with the others
            writers[one].do(lambda: stream.tell(names.COMPLAINED, self.deliveries[2:4]))

        @precondition(lambda self: self.moved)
        @rule(data=st.data())
        def unsubscribe(self, data: st.DataObject) -> None:
            """Of no producer."""
            one = data.draw(st.sampled_from(sorted(self.moved)))
            writers[one].do(lambda: stream.tell_unsubscribed([("alice", "social", "email")]))

        @precondition(lambda self: self.moved)
        @rule(data=st.data())
        def move(self, data: st.DataObject) -> None:
            one = data.draw(st.sampled_from(sorted(self.moved)))
            held = {key for other, moved in self.moved.items() if other != one for key in moved}
            mine = self.lived | self.moved[one]
            free = [key for key in self.deliveries if key not in held and mine[key] + 1 < len(LIFE)]
            if not free:
                return
            chosen = data.draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
            moves = [Move(key, key, None, LIFE[mine[key]], LIFE[mine[key] + 1], {}) for key in chosen]
            writers[one].do(lambda: move_each(moves))
            self.moved[one] |= {key: mine[key] + 1 for key in chosen}

        @precondition(lambda self: self.moved)
        @rule(data=st.data(), commits=st.booleans())
        def end(self, data: st.DataObject, commits: bool) -> None:
            one = data.draw(st.sampled_from(sorted(self.moved)))
            writers[one].end(commits=commits)
            moved = self.moved.pop(one)
            self.lived |= moved if commits else {}

        @rule(limit=st.sampled_from([1, 3, 50]))
        def read(self, limit: int) -> None:
            for reader in self.readers[:-1]:
                reader.read(limit)

        @precondition(lambda self: not (alone and self.moved))
        @rule(limit=st.sampled_from([1, 3, 50]), dies=st.booleans())
        def send(self, limit: int, dies: bool) -> None:
            self.sink.send(limit, dies=dies)

        def teardown(self) -> None:
            for one in self.moved:
                writers[one].end(commits=one % 2 == 0)
                self.lived |= self.moved[one] if one % 2 == 0 else {}
            everything = Reader()
            everything.position = self.first
            with transaction() as session:
                committed = session.execute(sa.select(Event.__table__).where(Event.id > self.first).order_by(Event.id))
                everything.seen = list(committed)
            lives = {key: list(LIFE[1 : lived + 1]) for key, lived in self.lived.items() if lived}
            assert everything.lives() == lives
            for reader in self.readers:
                reader.read_all()
                assert [row.id for row in reader.seen] == [row.id for row in everything.seen if reader.wants(row)]
            while (received := len(self.sink.received)) is not None:
                self.sink.send(7, dies=False)
                if len(self.sink.received) == received:
                    break
            # Some twice; the first time of each in order
            assert list(dict.fromkeys(self.sink.received)) == [row.id for row in everything.seen]

    run_state_machine_as_test(
        Stream,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.usefixtures("app")
def test_an_event_that_commits_late_is_not_passed_over(writers: list[Writer]) -> None:
    if not on_postgresql():
        pytest.skip("SQLite has one writer at a time")
    late, prompt = writers[:2]
    [first, second] = stored("sending", "sending")
    reader = Reader()
    late.begin()
    late.do(lambda: move_each([Move(first, first, None, "sending", "sent", {})]))
    prompt.begin()
    prompt.do(lambda: move_each([Move(second, second, None, "sending", "sent", {})]))
    prompt.end(commits=True)

    reader.read_all()
    assert reader.seen == []  # the other one is in front of it

    late.end(commits=True)
    reader.read_all()
    assert [row.delivery_id for row in reader.seen] == [first, second]


def test_readers_miss_nothing_while_writers_wait_for_one_another(app: APIFlask, writers: list[Writer]) -> None:
    """Real contention: transactions that move the same deliveries, some of which come to nothing."""
    deliveries = stored(*["sending"] * 20)
    readers = [Reader() for _ in range(2)]
    chance = random.Random(7)
    batches = [sorted(chance.sample(deliveries, 5)) for _ in range(160)]
    ends = [chance.random() < 0.8 for _ in batches]
    done = threading.Event()

    def write(number: int) -> None:
        for batch, commits in list(zip(batches, ends, strict=True))[number :: len(writers)]:
            try:
                with transaction() as session:
                    stream.tell(names.COMPLAINED, batch[:1])
                    locked = sa.select(Delivery.id, Delivery.status).where(Delivery.id.in_(batch)).order_by(Delivery.id)
                    rows = session.execute(locked.with_for_update()).all()
                    move_each(
                        [
                            Move(row.id, row.id, None, row.status, LIFE[LIFE.index(row.status) + 1], {})
                            for row in rows
                            if row.status != LIFE[-1]
                        ]
                    )
                    if not commits:
                        raise _Undone
            except _Undone:
                pass

    def follow(reader: Reader) -> None:
        with app.app_context():
            while not done.is_set():
                reader.read(3)

    following = [threading.Thread(target=follow, args=(reader,)) for reader in readers]
    for thread in following:
        thread.start()
    writing = []
    for number, writer in enumerate(writers):
        answer: Future[Any] = Future()
        writer.wanted.put((lambda number=number: write(number), answer))
        writing.append(answer)
    for answer in writing:
        answer.result(timeout=120)
    done.set()
    for thread in following:
        thread.join()
    committed = all_ids()
    for reader in readers:
        reader.read_all()
        assert [row.id for row in reader.seen] == committed
        assert all(tuple(life) == LIFE[1 : len(life) + 1] for life in reader.lives().values())


# ---- what a reader asks for -----------------------------------------------------------------------------------------


def told(*rows: dict[str, Any]) -> list[int]:
    with transaction() as session:
        for row in rows:
            session.execute(sa.insert(Event), {"kind": "delivery.sent", "at": now(), "is_test": False, **row})
        return list(session.scalars(sa.select(Event.id).order_by(Event.id)))


def ids(found: events.Read) -> list[int]:
    return [row.id for row in found.rows]


@pytest.mark.usefixtures("app")
def test_kinds_producers_and_tests_are_told_apart() -> None:
    shop, bank = new_id(), new_id()
    a, b, c, d, e = told(
        {"producer_id": shop},
        {"producer_id": bank, "kind": "inbox.read"},
        {"producer_id": shop, "kind": "inbox.read", "is_test": True, "user_id": "~alice"},
        {"kind": "user.unsubscribed", "user_id": "alice"},
        {"producer_id": shop, "is_test": True, "user_id": "alice"},
    )
    assert ids(events.read(0, 10)) == [a, b, c, d, e]
    assert ids(events.read(0, 10, wanted=events.Wanted(kinds={"inbox.read"}))) == [b, c]
    assert ids(events.read(b, 10, wanted=events.Wanted(kinds={"inbox.read", "user.unsubscribed"}))) == [c, d]
    assert ids(events.read(0, 10, scope=events.Scope(shop))) == [a, c, e]
    assert ids(events.read(0, 10, scope=events.Scope(shop, of_people=True))) == [a, c, d, e]
    assert ids(events.read(0, 10, scope=events.Scope(shop, tests_only=True))) == [c]
    assert ids(events.read(0, 2, scope=events.Scope(shop, of_people=True))) == [a, c]


@pytest.mark.usefixtures("app")
def test_a_rare_event_is_found_behind_many_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "WINDOW", 3)
    all_of_them = told(*[{}] * 10, {"kind": "address.disabled"}, *[{}] * 4)
    found = events.read(0, 5, wanted=events.Wanted(kinds={"address.disabled"}))
    assert ids(found) == [all_of_them[10]]
    assert found.reached is not None
    assert found.reached.id == all_of_them[-1]  # what was looked at in vain is not looked at again


# ---- cursors --------------------------------------------------------------------------------------------------------


def cursors() -> list[str]:
    return [event["cursor"] for event in shown_events.shown(events.read(0, 1_000).rows)]


@pytest.mark.usefixtures("app")
def test_a_cursor_leads_back_to_its_event() -> None:
    positions = told({}, {}, {})
    assert [shown_events.position_of(cursor) for cursor in cursors()] == positions


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("cursor", ["", "x", "0" * 40, "f" * 40, "g" * 40, "1" * 16 + "-" + "0" * 23, "é" * 40])
def test_what_is_no_cursor_of_this_stream_is_refused(cursor: str) -> None:
    told({})
    with pytest.raises(Rejected) as refusal:
        shown_events.position_of(cursor)
    assert [fault.code for fault in refusal.value.faults] == ["invalid_cursor"]


@pytest.mark.usefixtures("app")
def test_a_cursor_of_another_database_is_refused() -> None:
    told({})
    [mine] = cursors()
    other = f"{int(mine[:16], 16) ^ 1:016x}{mine[16:]}"
    with pytest.raises(Rejected, match="another database"):
        shown_events.position_of(other)


@pytest.mark.usefixtures("app")
def test_a_cursor_from_a_future_that_a_restore_undid_is_refused() -> None:
    told({}, {})
    _, lost = cursors()
    with transaction() as session:
        session.execute(sa.delete(Event).where(Event.id == int(lost[16:32], 16)))
    with pytest.raises(Rejected, match="restored"):
        shown_events.position_of(lost)
    with transaction() as session:  # another event has taken its place since
        row = {"id": int(lost[16:32], 16), "kind": "delivery.sent", "at": now(), "is_test": False}
        session.execute(sa.insert(Event), row)
        session.execute(sa.update(Event).values(at=sa.text("'2020-01-01 00:00:00'")))
    with pytest.raises(Rejected, match="restored"):
        shown_events.position_of(lost)
