"""The loop of `consume`, with a bus that does what it is told to. Real brokers are in tests/bus and tests/faults."""

import base64
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from structlog.testing import capture_logs

from notifier.access import keys
from notifier.api.field_map import FieldMap
from notifier.bus.source import Away
from notifier.core.bus_messages import DeadLetter, Message
from notifier.core.errors import Rejected
from notifier.ground import metrics
from notifier.ground.extensions import db
from notifier.models import ApiKey, Delivery, Notification, Submission
from notifier.pipeline.intake.accept import Committed
from notifier.pipeline.intake.idempotency_keys import IN_PROGRESS
from notifier.programs import consume_hold, consume_loop
from notifier.programs.consume_loop import Consumer
from notifier.programs.consume_telling import Telling
from tests.metered import series

NAME = "test:orders"


def test_dead_letters_are_counted_from_0() -> None:
    """An alert waits for their first increase."""
    Telling("test:counted")
    assert "notifier_bus_messages_total{bus=test:counted,outcome=dead}" in series()


@dataclass
class Bus:
    """A `Source`. `fails`: the calls that raise, one after the other, by name. `lost`: offsets that others have got.
    `is_empty`: somebody has asked for more than there is.
    """

    waiting: list[Message] = field(default_factory=list)
    buried: list[DeadLetter] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    fails: dict[str, int] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    kept: int = 0
    is_empty: bool = False
    order: list[str] = field(default_factory=list)
    on_keep: Callable[[], None] = lambda: None

    def _may_fail(self, call: str) -> None:
        if self.fails.get(call, 0):
            self.fails[call] -= 1
            raise Away("test")

    def open(self) -> None: ...
    def close(self) -> None: ...

    def take(self, most: int, idle_s: float, more_s: float) -> list[Message]:
        self._may_fail("take")
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        self.is_empty = not taken
        return taken

    def keep(self) -> None:
        self.kept += 1
        self.on_keep()

    def still_ours(self, messages: Sequence[Message]) -> list[Message]:
        return [message for message in messages if message.offset not in self.lost]

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        self._may_fail("bury")
        self.buried += letters
        self.order.append("bury")

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self._may_fail("acknowledge")
        self.acknowledged += [message.offset for message in messages]
        self.order.append("acknowledge")

    def lag(self) -> int | None:
        self._may_fail("lag")
        return len(self.waiting)


def said(number: int, body: Any = None, **more: Any) -> Message:
    plain = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": f"A{number}"}, "dedupe": False}
    text = body if isinstance(body, bytes) else json.dumps(plain | (body or {})).encode()
    return Message(text, "orders", "0", str(number), f"test:orders/0/{number}", datetime.now(UTC), **more)


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAUSE_S", "LONGEST_PAUSE_S", "_KEEP_S"):
        monkeypatch.setattr(consume_hold, name, 0.001)


class Started:
    def __init__(self, app: APIFlask, bus: Bus, key: str, names: FieldMap | None) -> None:
        self._bus = bus
        self._consumer = Consumer(app, bus, NAME, key, names, lambda: bus.is_empty)

    def handle(self, messages: Sequence[Message]) -> None:
        """Works until more is asked for: so all of these are done with."""
        self._bus.waiting, self._bus.is_empty = list(messages), False
        self._consumer.work()


Start = Callable[..., Started]


@pytest.fixture
def start(app: APIFlask, bus: Bus, producer_key: str) -> Start:
    def call(key: str = producer_key, names: FieldMap | None = None) -> Started:
        return Started(app, bus, key, names)

    return call


def stored() -> list[str]:
    """The orders of the notifications, oldest first."""
    db.session.rollback()
    return [data["order_id"] for data in db.session.scalars(sa.select(Notification.data).order_by(Notification.id))]


def test_a_batch_is_stored_in_its_order_and_then_acknowledged(start: Start, bus: Bus, cast: Any) -> None:
    start().handle([said(number) for number in range(5)])
    assert stored() == [f"A{number}" for number in range(5)]
    assert bus.acknowledged == list("01234")
    assert bus.buried == []


def test_what_is_given_again_is_stored_once(start: Start, bus: Bus, cast: Any) -> None:
    consuming = start()
    for _ in range(2):
        consuming.handle([said(1), said(2)])
    assert stored() == ["A1", "A2"]
    assert bus.acknowledged == list("1212")


BAD = [
    (b"", "malformed_json"),
    (b"not JSON", "malformed_json"),
    (b"\0\0\0\0\x07Avro", "malformed_json"),
    (b"\xff\xfe", "malformed_json"),
    (b"[" * 100_000, "malformed_json"),
    (b"[]", "validation_failed"),
    (b"null", "validation_failed"),
    (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "malformed_json"),
    (b'"' + b"x" * 20_000_000 + b'"', "body_too_large"),
    ({"type": "no_such_type"}, "unknown_type"),
    ({"recipients": ["nobody-known"]}, "unknown_user"),
    ({"recipients": []}, "validation_failed"),
    ({"data": {}}, "validation_failed"),
    ({"colour": "red"}, "validation_failed"),
    ({"data": {"order_id": "A\0"}}, "validation_failed"),
    ({"priority": "urgent", "type": "promotional_offer", "data": {"title": "x"}}, "validation_failed"),
    ({"specversion": "2.0"}, "validation_failed"),
    ({"specversion": "1.0", "id": "1", "source": "/shop"}, "validation_failed"),
    ({"eventType": "ORDER_SHIPPED"}, "validation_failed"),
]


def test_what_cannot_be_accepted_is_buried_with_its_cause_before_all_is_acknowledged(
    start: Start, bus: Bus, cast: Any
) -> None:
    batch = [said(100 + number, body) for number, (body, _) in enumerate(BAD)]
    with capture_logs() as logged:
        start().handle([said(1), *batch, said(2)])
    assert stored() == ["A1", "A2"]
    assert [(letter.message.offset, letter.code) for letter in bus.buried] == [
        (str(100 + number), code) for number, (_, code) in enumerate(BAD)
    ]
    assert all(letter.detail for letter in bus.buried)
    assert "schema registry" in bus.buried[2].detail
    assert bus.order == ["bury", "acknowledge"]
    assert len(bus.acknowledged) == len(BAD) + 2
    assert {entry["event"] for entry in logged if entry["log_level"] != "info"} == {"consume.dead_letter"}


CANONICAL = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "B"}}
FORMS: list[dict[str, Any]] = [
    CANONICAL,
    {"eventType": "ORDER_SHIPPED", "userId": "alice", "metadata": {"orderId": "B"}},
    {
        "specversion": "1.0",
        "id": "7",
        "source": "/shop",
        "type": "com.example.order",
        "data": {"eventType": "ORDER_SHIPPED", "userId": "alice", "metadata": {"orderId": "B"}},
    },
    {
        "specversion": "1.0",
        "id": "8",
        "source": "/shop",
        "type": "com.example.order",
        "data_base64": base64.b64encode(json.dumps(CANONICAL).encode()).decode(),
    },
]


@pytest.mark.parametrize("form", FORMS, ids=["canonical", "trigger", "cloudevent", "cloudevent_base64"])
def test_a_message_has_one_of_these_forms(start: Start, bus: Bus, cast: Any, form: dict[str, Any]) -> None:
    start().handle([said(1, json.dumps(form).encode())])
    assert bus.buried == []
    assert stored() == ["B"]


@pytest.mark.parametrize(
    ("form", "key"),
    [
        (FORMS[0] | {"idempotency_key": "own"}, "own"),
        (FORMS[0], "test:orders/0/1"),
        (FORMS[1] | {"eventId": "event"}, "event"),
        (FORMS[1], "test:orders/0/1"),
        (FORMS[2], "cloudevent:/shop 7"),
        (FORMS[2] | {"source": "s" * 300}, None),
    ],
)
def test_a_message_is_known_by_its_own_id_or_by_its_place(
    start: Start, cast: Any, form: dict[str, Any], key: str | None
) -> None:
    start().handle([said(1, json.dumps(form).encode())])
    found = db.session.scalar(sa.select(Submission.idempotency_key))
    assert found == key or (key is None and found is not None and found.startswith("sha256:"))


def test_a_message_that_is_known_by_its_text_alone_is_not_taken_for_another_with_the_same(
    start: Start, bus: Bus, cast: Any
) -> None:
    """RabbitMQ's: the first time, it is another message; given again, it is the same one."""
    same = said(1)
    first = [Message(same.body, "q", "", str(tag), "amqp:q/text", None, is_first=True) for tag in range(3)]
    again = [Message(same.body, "q", "", str(tag), "amqp:q/text", None) for tag in range(2)]
    consuming = start()
    consuming.handle(first)
    consuming.handle(again)
    assert stored() == ["A1"] * 3
    assert len(bus.acknowledged) == 5


def test_a_map_says_where_our_fields_stand(start: Start, bus: Bus, cast: Any) -> None:
    theirs = {"event": "ORDER_SHIPPED", "customer": {"id": "alice"}, "order": {"number": "C1"}, "noise": [1, 2]}
    names = FieldMap(
        {
            ("eventType",): ("event",),
            ("userId",): ("customer", "id"),
            ("metadata", "orderId"): ("order", "number"),
            ("eventId",): ("missing",),
        }
    )
    start(names=names).handle([said(1, json.dumps(theirs).encode())])
    assert bus.buried == []
    assert stored() == ["C1"]


# ---- rights ---------------------------------------------------------------------------------------------------------


def a_key(**options: Any) -> str:
    producer = keys.create_producer("Bus")
    return keys.create_key(producer.id, **{"scopes": ["notify"], **options})[1]


def test_a_message_may_do_what_the_key_may(start: Start, bus: Bus, cast: Any) -> None:
    urgent = {"priority": "urgent"}
    start(a_key(types=["order_shipped"])).handle([said(1), said(2, {"type": "order_placed"}), said(3, urgent)])
    assert [letter.code for letter in bus.buried] == ["type_not_allowed", "validation_failed"]
    start(a_key(scopes=["notify", "urgent"])).handle([said(4, urgent)])
    assert stored() == ["A1", "A4"]


def test_a_test_key_reaches_nobody(start: Start, bus: Bus, cast: Any) -> None:
    start(a_key(is_test=True)).handle([said(1), said(2, {"recipients": [{"id": "tess", "name": "Tess"}]})])
    assert [letter.code for letter in bus.buried] == ["unknown_user"]  # alice is no test person
    assert db.session.scalars(sa.select(Submission.is_test)).all() == [True]


def test_a_key_that_is_refused_holds_messages_up_and_loses_none(
    start: Start, bus: Bus, cast: Any, app: APIFlask
) -> None:
    plain = a_key()
    key_id = db.session.scalar(sa.select(ApiKey.id).where(ApiKey.scopes == ["notify"]))
    assert key_id is not None
    db.session.rollback()
    consuming = start(plain)
    keys.revoke_key(key_id)

    def restore() -> None:
        assert stored() == []
        db.session.execute(sa.update(ApiKey).values(revoked_at=None))
        db.session.commit()
        keys.forget_cached_keys()

    bus.on_keep = restore
    with capture_logs() as logged:
        consuming.handle([said(1)])
    assert "consume.key_refused" in [entry["event"] for entry in logged]
    assert (stored(), bus.acknowledged) == (["A1"], ["1"])


def test_a_limit_that_is_reached_holds_messages_up_in_their_order(
    start: Start, bus: Bus, cast: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def charge(_key: Any, item: Any) -> None:
        asked.append(1)
        if len(asked) == 3:
            raise Rejected("rate_limited", "", retry_after=0.001)

    monkeypatch.setattr(consume_loop.messages, "charge", charge)
    start().handle([said(number) for number in range(4)])
    assert stored() == ["A0", "A1", "A2", "A3"]
    assert len(asked) == 5
    assert bus.kept >= 1
    assert bus.acknowledged == list("0123")


def test_what_no_limit_lets_pass_is_buried(
    start: Start, bus: Bus, cast: Any, app: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.extensions["limiter"], "item", app.extensions["limiter"].item.__class__(1))
    start().handle([said(1, {"recipients": ["alice", "bob"]})])
    assert [letter.code for letter in bus.buried] == ["validation_failed"]


# ---- outages --------------------------------------------------------------------------------------------------------


def test_whatever_fails_around_it_a_message_that_is_taken_is_let_go_of_only_when_it_is_acknowledged(
    app: APIFlask, bus: Bus, producer_key: str, cast: Any
) -> None:
    bus.waiting = [said(1), said(2)]
    bus.fails = {"take": 2, "lag": 9, "acknowledge": 1}
    Consumer(app, bus, NAME, producer_key, None, lambda: bool(bus.acknowledged)).work()
    assert stored() == ["A1", "A2"]
    assert bus.acknowledged == ["1", "2"]


def test_who_is_told_to_stop_while_the_bus_is_away_ends(app: APIFlask, bus: Bus, producer_key: str) -> None:
    bus.fails["take"] = 9
    Consumer(app, bus, NAME, producer_key, None, lambda: bus.fails["take"] < 7).work()
    assert bus.fails["take"] == 6


@pytest.mark.parametrize("call", ["bury", "acknowledge"])
def test_a_bus_that_does_not_confirm_is_asked_again(start: Start, bus: Bus, cast: Any, call: str) -> None:
    bus.fails[call] = 3
    with capture_logs() as logged:
        start().handle([said(1), said(2, b"bad")])
    assert [entry["event"] for entry in logged].count("consume.bus_is_away") == 3
    assert (bus.order, len(bus.buried), bus.acknowledged) == (["bury", "acknowledge"], 1, ["1", "2"])
    assert stored() == ["A1"]


def test_while_the_database_is_away_the_batch_is_kept_and_tried_again(
    start: Start, bus: Bus, cast: Any, app: APIFlask
) -> None:
    consuming = start()
    consuming.handle([said(0)])
    refused: list[int] = []

    def heal() -> None:
        if len(refused) >= 3 and sa.event.contains(db.engine, "do_connect", refuse):
            sa.event.remove(db.engine, "do_connect", refuse)

    def refuse(*_: Any) -> None:
        refused.append(1)
        raise sa.exc.OperationalError("connect", {}, Exception("away"))

    db.session.remove()
    db.engine.dispose()
    sa.event.listen(db.engine, "do_connect", refuse)
    bus.on_keep = heal
    with capture_logs() as logged:
        consuming.handle([said(1), said(2)])
    assert [entry["event"] for entry in logged].count("consume.database_is_away") == 3
    assert "consume.works_again" in [entry["event"] for entry in logged]
    assert stored() == ["A0", "A1", "A2"]
    assert bus.acknowledged == list("012")


def test_what_the_bus_has_given_to_others_meanwhile_is_dropped(
    start: Start, bus: Bus, cast: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failed = consume_loop.accept.accept, []

    def accept(items: Any) -> Any:
        if not failed:
            failed.append(1)
            bus.lost.add("1")
            return [Rejected("unavailable", "")] * len(items)
        return real(items)

    monkeypatch.setattr(consume_loop.accept, "accept", accept)
    start().handle([said(1), said(2)])
    assert stored() == ["A2"]
    assert bus.acknowledged == ["2"]


def test_a_fault_of_our_own_is_tried_three_times_and_buried(
    start: Start, bus: Bus, cast: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def accept(items: Any) -> Any:
        tries.append(len(items))
        raise ZeroDivisionError

    monkeypatch.setattr(consume_loop.accept, "accept", accept)
    start().handle([said(1)])
    assert tries == [1, 1, 1]
    assert [letter.code for letter in bus.buried] == ["internal_error"]


def test_who_is_told_to_stop_while_it_waits_acknowledges_nothing(
    app: APIFlask, bus: Bus, producer_key: str, cast: Any
) -> None:
    bus.fails["bury"] = 1
    bus.waiting = [said(1, b"bad"), said(2)]
    Consumer(app, bus, NAME, producer_key, None, lambda: bool(bus.kept)).work()
    assert (bus.buried, bus.acknowledged) == ([], [])


# ---- one batch while another is being stored ------------------------------------------------------------------------

ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def work(app: APIFlask, bus: Bus, producer_key: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Until all these are acknowledged, or lost; three in a batch."""
    monkeypatch.setattr(consume_hold, "MOST", 3)
    monkeypatch.setattr(consume_loop, "MANY", 3)

    def call(*messages: Message) -> None:
        bus.waiting = list(messages)
        Consumer(
            app, bus, NAME, producer_key, None, lambda: len(bus.acknowledged) + len(bus.lost) >= len(messages)
        ).work()

    return call


@ON_POSTGRESQL
def test_the_next_batch_is_taken_while_one_is_being_stored(work: Any, bus: Bus, cast: Any) -> None:
    taken_twice, waited = threading.Event(), []

    def commit(_connection: Any) -> None:
        if not waited and threading.current_thread() is not threading.main_thread():
            waited.append(taken_twice.wait(30))

    def take(*arguments: Any) -> list[Message]:
        if len(bus.waiting) == 3:
            taken_twice.set()
        return Bus.take(bus, *arguments)

    bus.take = take  # type: ignore[method-assign]
    sa.event.listen(db.engine, "commit", commit)
    try:
        work(*(said(number) for number in range(6)))
    finally:
        sa.event.remove(db.engine, "commit", commit)
    assert waited == [True]
    assert stored() == [f"A{number}" for number in range(6)]
    assert bus.acknowledged == list("012345")


FAILURES = [
    lambda _: sa.exc.OperationalError("commit", {}, Exception("away")),
    lambda _: ZeroDivisionError(),
    lambda items: Committed([Rejected(IN_PROGRESS, "")] * len(items)),
]


@ON_POSTGRESQL
@pytest.mark.parametrize("failure", FAILURES, ids=["away", "fault", "in_progress"])
def test_while_one_batch_fails_the_next_does_not_begin(
    work: Any, bus: Bus, cast: Any, monkeypatch: pytest.MonkeyPatch, failure: Any
) -> None:
    real, failed = consume_loop.accept.commit, []

    def commit(prepared: Any) -> Any:
        if failed:
            return real(prepared)
        failed.append(answer := failure(prepared.batch))
        bus.lost = {"1", "4"}
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(consume_loop.accept, "commit", commit)
    work(*(said(number) for number in range(6)))
    assert stored() == ["A0", "A2", "A3", "A5"]
    assert (bus.acknowledged, bus.buried) == (list("0235"), [])


@ON_POSTGRESQL
def test_what_one_batch_has_changed_is_known_in_the_next(work: Any, bus: Bus, cast: Any) -> None:
    """Somebody is created, and something said that is not to be repeated."""
    newcomer = {"recipients": [{"id": "newcomer", "name": "New"}], "channels": ["inapp"]}
    again = {"dedupe": True, "data": {"order_id": "A1"}}
    work(said(0), said(1, again), said(2, newcomer), said(3, {**newcomer, "recipients": ["newcomer"]}), said(4, again))
    assert bus.buried == []
    assert stored() == ["A0", "A1", "A2", "A3", "A1"]
    found = db.session.execute(
        sa.select(Notification.user_id, Delivery.status, Delivery.reason)
        .join(Delivery, Delivery.notification_id == Notification.id)
        .where(Delivery.channel == "inapp")
        .order_by(Notification.id)
    ).all()
    assert [tuple(row) for row in found[2:]] == [
        ("newcomer", "delivered", None),
        ("newcomer", "delivered", None),
        ("alice", "skipped", "duplicate"),
    ]


@ON_POSTGRESQL
def test_a_bad_message_among_others_is_buried_before_its_batch_is_acknowledged(work: Any, bus: Bus, cast: Any) -> None:
    work(said(0), said(1, b"bad"), said(2), said(3, {"recipients": ["nobody-known"]}), said(4), said(5))
    assert bus.order == ["bury", "acknowledge"] * 2
    assert [letter.message.offset for letter in bus.buried] == ["1", "3"]
    assert stored() == ["A0", "A2", "A4", "A5"]


# ---- figures --------------------------------------------------------------------------------------------------------


def test_what_becomes_of_messages_is_counted(start: Start, bus: Bus, cast: Any) -> None:
    def counted(outcome: str) -> float:
        return metrics.bus_messages.labels(NAME, outcome)._value.get()

    before = {outcome: counted(outcome) for outcome in ("accepted", "repeated", "dead")}
    ages: list[float] = []
    bus.on_keep = lambda: ages.append(metrics.bus_age.labels(NAME).collect()[0].samples[0].value)
    bus.fails["acknowledge"] = 1
    old = Message(said(1).body, "orders", "0", "1", "test:orders/0/1", datetime(2026, 1, 1, tzinfo=UTC))
    start().handle([old, said(2), said(2), said(3, b"bad")])
    assert {outcome: counted(outcome) - before[outcome] for outcome in before} == {
        "accepted": 2,
        "repeated": 1,
        "dead": 1,
    }
    assert ages[0] > 86_400  # of the oldest
    assert metrics.bus_age.labels(NAME).collect()[0].samples[0].value == 0


def test_a_batch_of_any_size_asks_as_many_questions(start: Start, bus: Bus, cast: Any, statements: Any) -> None:
    consuming = start()
    consuming.handle([said(0)])
    asked = []
    for first, size in ((100, 2), (200, 40)):
        with statements() as sent:
            consuming.handle([said(first + number) for number in range(size)])
        asked.append(len(sent))
    assert asked[0] == asked[1]
