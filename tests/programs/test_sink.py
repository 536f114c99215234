"""`python -m notifier sink`: every event arrives, in order, whatever happens to the receiver or to the process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from structlog.testing import capture_logs

from notifier.ground.clock import now
from notifier.ground.config import ROOT, Settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.sink_urls import parse_sink
from notifier.ledgers import events as stream
from notifier.ledgers.event_readers import LEASE, SINK
from notifier.models import Event, EventReader
from notifier.programs import sink
from notifier.programs.sink import Sender, collector_of
from notifier.queries.event_readers import standing
from notifier.sinks.collector import Line
from tests import kafka
from tests.collecting import HttpReceiver
from tests.commands import Program
from tests.running import eventually

SECRET = "hunter2-is-secret"


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


def told(*reasons: Any, **columns: Any) -> list[int]:
    rows = [
        {"kind": "delivery.sent", "at": now(), "is_test": False, "reason": str(reason), **columns} for reason in reasons
    ]
    with transaction() as session:
        session.execute(sa.insert(Event), rows)
        return list(session.scalars(sa.select(Event.id).order_by(Event.id)))


@pytest.fixture
def sender(app: APIFlask, settings: Settings, receiver: HttpReceiver) -> Sender:
    return another(settings, receiver)


def another(settings: Settings, receiver: HttpReceiver) -> Sender:
    target = parse_sink(f"http://user:{SECRET}@{receiver.netloc}/{SECRET}?token={SECRET}")
    return Sender(collector_of(target, settings), target.shown)


def position() -> int | None:
    db.session.close()
    return db.session.scalar(sa.select(EventReader.position))


# ---- one process ----------------------------------------------------------------------------------------------------


def test_events_are_sent_in_order_and_the_position_is_stored_afterwards(
    sender: Sender, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "MOST_EVENTS", 3)
    ids = told(*range(7))
    engine, stored = db.engine, []

    def answer(_events: Any) -> int:
        with engine.connect() as connection:  # as others see it
            stored.append(connection.scalar(sa.select(EventReader.position)))
        return 200

    receiver.answer = answer
    assert [sender.send() for _ in range(3)] == [0.0] * 3
    assert receiver.reasons() == list("0123456")
    assert [size for _, size in receiver.batches] == [3, 3, 1]
    assert stored == [0, ids[2], ids[5]]
    assert position() == ids[-1]


def test_a_batch_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "MOST_BYTES", 100)
    lines = [Line(number, "c", None, b"x" * 40) for number in range(5)]
    assert [len(sink.cut(lines)), len(sink.cut([])), len(sink.cut([Line(1, "c", None, b"x" * 500)]))] == [2, 0, 1]


def test_what_the_receiver_did_not_confirm_is_sent_again_later_and_later(
    sender: Sender, receiver: HttpReceiver
) -> None:
    ids = told("a", "b")
    receiver.answer = lambda _events: 503
    with capture_logs() as logged:
        pauses = [sender.send() for _ in range(8)]
    assert all(
        0.8 * least <= pause <= 1.2 * least for pause, least in zip(pauses, (0.5, 1, 2, 4, 8, 16, 30, 30), strict=True)
    )
    assert {(entry["event"], entry["code"]) for entry in logged} == {("sink.is_away", "http_503")}
    assert (position(), standing(SINK).trouble) == (0, "http_503")

    receiver.answer = lambda _events: 200
    assert sender.send() == 0.0
    assert (receiver.reasons(), position(), standing(SINK).trouble) == (["a", "b"], ids[-1], None)


def test_the_receiver_s_own_word_about_when_to_come_again_counts(sender: Sender, receiver: HttpReceiver) -> None:
    told("a")
    receiver.answer, receiver.retry_after = lambda _events: 429, "40"
    assert sender.send() == 40
    receiver.retry_after = "3000"
    assert sender.send() == LEASE.total_seconds() / 2  # and the lease is prolonged meanwhile


def test_an_event_that_is_refused_is_set_aside_logged_and_counted(sender: Sender, receiver: HttpReceiver) -> None:
    told("a", "bad", "c")
    receiver.answer = lambda events: 400 if any(event["data"]["reason"] == "bad" for event in events) else 200
    with capture_logs() as logged:
        sender.send()
    assert receiver.reasons() == ["a", "c"]
    found = standing(SINK)
    assert (found.set_aside, found.trouble, found.unsent_since) == (1, None, None)
    assert [entry["event"] for entry in logged if entry["log_level"] == "error"] == ["sink.event_set_aside"]


def test_the_lease_is_prolonged_while_the_event_at_fault_is_looked_for(
    sender: Sender, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "_PROLONG_S", 0.0)
    told("a", "bad", "c")
    engine, left = db.engine, []

    def answer(events: Any) -> int:
        with engine.begin() as connection:
            left.append(connection.scalar(sa.select(EventReader.leased_until)) > now())
            connection.execute(sa.update(EventReader).values(leased_until=now()))  # each answer takes long
        return 400 if any(event["data"]["reason"] == "bad" for event in events) else 200

    receiver.answer = answer
    assert sender.send() == 0.0
    assert left == [True] * 5


def test_who_loses_the_lease_while_looking_for_the_event_at_fault_sends_nothing_more(
    sender: Sender, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "_PROLONG_S", 0.0)
    told("a", "b", "c")
    engine = db.engine

    def answer(_events: Any) -> int:
        with engine.begin() as connection:
            connection.execute(sa.update(EventReader).values(lease="another"))
        return 400

    receiver.answer = answer
    assert sender.send() > 0
    assert receiver.batches == [(400, 3)]
    assert sender.position is None


def test_a_receiver_that_refuses_everything_loses_nothing(sender: Sender, receiver: HttpReceiver) -> None:
    told(*range(30))
    receiver.answer = lambda _events: 400
    with capture_logs() as logged:
        assert sender.send() > 0
    assert [entry["event"] for entry in logged] == ["sink.refuses"]
    assert (position(), standing(SINK).set_aside) == (0, 0)
    receiver.answer = lambda _events: 200
    sender.send()
    assert receiver.reasons() == [str(number) for number in range(30)]


def test_the_last_event_waits_until_one_behind_it_shows_whose_fault_it_is(
    sender: Sender, receiver: HttpReceiver
) -> None:
    told("bad")
    receiver.answer = lambda events: 400 if any(event["data"]["reason"] == "bad" for event in events) else 200
    assert sender.send() > 0
    assert standing(SINK).set_aside == 0
    told("good")
    assert sender.send() == 0.0
    assert (receiver.reasons(), standing(SINK).set_aside) == (["good"], 1)


def test_nothing_secret_of_the_url_is_logged(
    sender: Sender, receiver: HttpReceiver, capfd: pytest.CaptureFixture[str]
) -> None:
    told("a")
    with capture_logs() as logged:
        for status in (401, 302, 500, 400):
            receiver.answer = lambda _events, status=status: status
            sender.send()
        receiver.close()
        sender.send()
    assert len(logged) == 5
    assert SECRET not in repr(logged)
    assert SECRET not in "".join(capfd.readouterr())


def test_who_was_erased_while_the_receiver_was_away_is_not_told_of(sender: Sender, receiver: HttpReceiver) -> None:
    told("a", user_id="alice", address_masked="a•••@example.test")
    receiver.answer = lambda _events: 503
    sender.send()
    with transaction():
        stream.forget("alice")
    receiver.answer = lambda _events: 200
    sender.send()
    [event] = receiver.events
    assert (event["data"]["user"], event["data"]["reason"]) == (None, "a")


# ---- several processes ----------------------------------------------------------------------------------------------


def test_of_several_one_sends_and_another_goes_on(sender: Sender, receiver: HttpReceiver, settings: Settings) -> None:
    other = another(settings, receiver)
    told("a")
    sender.send()
    told("b")
    assert other.send() == sink.LOOK_S
    assert receiver.reasons() == ["a"]
    sender.end()
    other.send()
    assert receiver.reasons() == ["a", "b"]


def test_a_process_that_was_thought_dead_moves_nothing_and_steps_back(
    sender: Sender, receiver: HttpReceiver, settings: Settings
) -> None:
    """It is suspended in the middle of a batch, another has taken over, and it wakes up."""
    told("a", "b")
    other = another(settings, receiver)
    sender.send()
    with transaction() as session:
        session.execute(sa.update(EventReader).values(lease=other.lease, position=0))
    told("c")
    assert sender.send() > 0  # sent, but not stored
    assert position() == 0
    assert sender.send() == sink.LOOK_S
    other.send()
    assert receiver.reasons()[-3:] == ["a", "b", "c"]


# ---- real processes -------------------------------------------------------------------------------------------------


class Process:
    """`python -m notifier sink` on the database of the tests."""

    def __init__(self, environment: dict[str, str], log: Path, **changes: str) -> None:
        self.log = log
        self.process = Program(["sink"], {"PATH": os.environ["PATH"], **environment, **changes}, log)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


Start = Callable[..., Process]


@pytest.fixture
def start(app: APIFlask, environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as running:

        def call(**changes: str) -> Process:
            process = Process(environment, tmp_path / "log", **changes)
            running.callback(process.process.wait)
            running.callback(process.process.kill)
            return process

        yield call


KILLS = 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database_url", "kind"), [("sqlite", "kafka"), ("postgresql", "http")], indirect=["database_url"]
)
def test_a_sink_that_is_killed_loses_nothing(start: Start, kind: str) -> None:
    """The long form is in tests/faults/test_sinks_end.py."""
    with ExitStack() as open_things:
        if kind == "http":
            receiver = HttpReceiver()
            open_things.callback(receiver.close)
            url = receiver.url
            arrived = receiver.reasons
        else:
            brokers = open_things.enter_context(kafka.cluster())
            url = f"kafka://{brokers}/events"

            def arrived() -> list[str]:
                return [event["data"]["reason"] for _, event in kafka.all_of(brokers, "events")]

        sent: list[str] = []
        for _ in range(KILLS):
            process, known = start(EVENTS_SINK=url), position() or 0
            while (position() or 0) <= known:  # it is killed in the middle of something, whatever that may be
                more = [str(len(sent) + number) for number in range(100)]
                told(*more)
                sent += more
                time.sleep(0.1)
            process.end(signal.SIGKILL)
        last = start(EVENTS_SINK=url)
        told("last")  # so that it has something to send, and is told to end only then
        eventually(lambda: "last" in arrived())
        eventually(lambda: standing(SINK).unsent_since is None)
        assert set(arrived()) == {*sent, "last"}
        assert last.end(signal.SIGTERM) == 0


@pytest.mark.slow
def test_a_sink_waits_for_its_receiver_and_ends_when_told(start: Start, receiver: HttpReceiver) -> None:
    told("a")
    receiver.answer = lambda _events: 503
    process = start(EVENTS_SINK=f"http://user:{SECRET}@{receiver.netloc}/")
    eventually(lambda: len(receiver.batches) >= 2)
    receiver.answer = lambda _events: 200
    eventually(lambda: receiver.reasons() == ["a"])
    eventually(lambda: standing(SINK).unsent_since is None)
    assert process.end(signal.SIGTERM) == 0
    assert not standing(SINK).has_sender  # the next one begins at once
    text = process.log.read_text()
    assert "sink.works_again" in text
    assert SECRET not in text


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_a_sink_it_says_so_and_waits(start: Start) -> None:
    process = start()
    eventually(lambda: "set EVENTS_SINK" in process.log.read_text())
    assert process.end(signal.SIGTERM) == 0


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_confluent_kafka_a_sentence_says_what_to_install(environment: dict[str, str]) -> None:
    without = "import sys; sys.modules['confluent_kafka'] = None; from notifier.__main__ import main; "
    done = subprocess.run(
        [sys.executable, "-c", f"{without}sys.exit(main(['sink']))"],
        cwd=ROOT,
        env={**os.environ, **environment, "EVENTS_SINK": "kafka://127.0.0.1:1/events"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "EVENTS_SINK names Kafka, which needs confluent-kafka: pip install -r requirements-kafka.lock"
    )
