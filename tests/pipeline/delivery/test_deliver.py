"""Claim, send, record: each delivery goes out once, and whatever comes of it is written down."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
import time_machine
from apiflask import APIFlask

from notifier.core.errors import InvalidRecipient, Permanent
from notifier.core.message import Message, Receipt, Recipient
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.ids import show
from notifier.models import Address, Attempt, AuditEntry, Capture, Delivery, InboxItem
from notifier.operations.retry_dead import retry
from notifier.people import preferences as choosing
from notifier.pipeline.delivery import claim, prepare
from notifier.pipeline.delivery.deliver import begin, deliver, send
from notifier.pipeline.delivery.record import record
from notifier.pipeline.intake.cancel import cancel
from notifier.pipeline.intake.item import Caller
from notifier.pipeline.upkeep import due
from notifier.signals.queueing import queue
from tests.stored import deliveries, rows
from tests.stored import sent_statements as statements

Submit = Callable[..., Any]


def email(word: str) -> InlineRecipient:
    return InlineRecipient(f"user-{word}", {"email": f"{word}@sandbox.test"})


def attempts() -> list[tuple[int, str, str | None]]:
    return [(a.number, a.outcome, a.code) for a in rows(Attempt)]


def test_a_delivery_that_works_is_recorded_with_its_attempt_and_capture(app: APIFlask, submit: Submit) -> None:
    submit(email("delivered"), channels=("email",))
    [row] = deliveries()
    [outcome] = deliver([row.id])
    [row] = deliveries()
    assert (outcome.status, outcome.is_dead) == ("delivered", False)
    assert (row.status, row.provider, row.tries, row.failures, row.wake_at) == ("delivered", "sandbox", 1, 0, None)
    assert row.sent_at is not None
    assert row.delivered_at is not None
    assert attempts() == [(1, "delivered", None)]
    [capture] = rows(Capture)
    assert capture.content["to"] == "delivered@sandbox.test"
    assert "A1" in capture.content["subject"]


# word → after the first try: status, reason, outcome of the attempt, is it dead; transactional types resend
# what is unknown
FIRST_TRY = [
    ("soft-fail", "waiting", "retry", "retryable", False),
    ("flaky-2", "waiting", "retry", "retryable", False),
    ("throttled", "waiting", "retry", "rate_limited", False),
    ("timeout", "waiting", "retry", "retryable", False),
    ("rejected", "failed", None, "permanent", True),
    ("dead", "failed", None, "invalid_recipient", True),
]


@pytest.mark.parametrize(("word", "status", "reason", "outcome", "is_dead"), FIRST_TRY)
def test_what_a_failed_try_leads_to(
    app: APIFlask, submit: Submit, word: str, status: str, reason: str | None, outcome: str, is_dead: bool
) -> None:
    submit(email(word), channels=("email",))
    [row] = deliveries()
    [result] = deliver([row.id])
    [row] = deliveries()
    assert (row.status, row.reason, result.is_dead) == (status, reason, is_dead)
    assert [a[1] for a in attempts()] == [outcome]
    assert (row.due_at is not None) == (status == "waiting")
    assert row.wake_at == row.due_at
    assert row.failures == (0 if word == "throttled" else 1)


# What a provider's server says is a stranger's: as JSON it may hold anything
STRANGE: list[tuple[Any, str, str | None, str | None]] = [
    (Receipt("sent", provider_message_id="a\0b\ud800"), "sent", "ab?", None),
    (Receipt("sent", provider_message_id=7), "sent", "7", None),  # type: ignore[arg-type]
    (Permanent("it said \ud800\0", code="x\0\ud800"), "failed", None, "x?"),
    (InvalidRecipient("no such address \ud800", code="\0gone"), "failed", None, "gone"),
]


@pytest.mark.parametrize(("said", "status", "message_id", "code"), STRANGE)
def test_whatever_a_provider_says_is_recorded(
    submit: Submit, said: Any, status: str, message_id: str | None, code: str | None
) -> None:
    """Else it would be sent again and again, since nobody could write down that it has gone out."""
    submit(email("delivered"), channels=("email",))
    [task], _ = begin([row.id for row in deliveries()])

    def answer(_message: Message, _to: Recipient) -> Receipt:
        if isinstance(said, Exception):
            raise said
        return said  # type: ignore[no-any-return]

    [adapter] = task.adapters
    adapter = copy(adapter)
    adapter.send = answer  # type: ignore[method-assign]
    task.adapters = [adapter]
    send(task)
    [outcome] = record([task])
    outcome.explanation.encode()
    [row] = deliveries()
    assert (row.status, row.provider_message_id, row.code) == (status, message_id, code)


AWAY = sa.exc.OperationalError("SELECT", {}, Exception("away"))


@pytest.mark.parametrize(
    ("fault", "broken", "left"),
    [(AWAY, ("a", "b"), []), (ZeroDivisionError(), ("a",), ["b@sandbox.test"])],
    ids=["away", "its own"],
)
def test_what_cannot_be_put_into_words_is_held_up_and_tried_again(
    submit: Submit, monkeypatch: pytest.MonkeyPatch, fault: Exception, broken: tuple[str, ...], left: list[str]
) -> None:
    """It has been claimed, and has surely not gone out. A neighbour that has no fault of its own does go out."""
    submit(email("a"), email("b"), channels=("email",))
    real = prepare.put_into_words

    def fail(wanted: Any) -> Any:
        if any(one.person.id == f"user-{word}" for one in wanted for word in broken):
            raise fault
        return real(wanted)

    with monkeypatch.context() as broken_words:
        broken_words.setattr(prepare, "put_into_words", fail)
        deliver([row.id for row in deliveries()])
    assert [capture.content["to"] for capture in rows(Capture)] == left
    held = [(row.reason, row.code, row.tries) for row in deliveries() if row.status == "waiting"]
    assert held == [("retry", "internal_error", 1)] * len(broken)
    with time_machine.travel(now() + timedelta(minutes=5), tick=False):
        due.ring_due()
        deliver([row.id for row in deliveries()])
    assert sorted(capture.content["to"] for capture in rows(Capture)) == ["a@sandbox.test", "b@sandbox.test"]


def test_what_was_claimed_as_the_database_went_away_is_claimed_anew(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has heard that the claim was committed, so nothing has gone out."""

    @contextlib.contextmanager
    def cut_off() -> Iterator[Any]:
        with transaction() as session:
            yield session
        raise AWAY

    submit(email("a"), email("b"), channels=("email",))
    first, second = (row.id for row in deliveries())
    with monkeypatch.context() as away:
        away.setattr(claim, "transaction", cut_off)
        with pytest.raises(sa.exc.OperationalError):
            deliver([first, second])
    assert [row.status for row in deliveries()] == ["sending"] * 2
    deliver([first])  # the other's doorbell is lost
    assert [(row.status, row.tries) for row in deliveries()] == [("delivered", 1), ("queued", 0)]
    deliver([first, second])
    assert [(row.status, row.tries) for row in deliveries()] == [("delivered", 1)] * 2
    assert len(rows(Capture)) == 2


def test_an_ambiguous_send_of_marketing_is_held_for_a_person(app: APIFlask, submit: Submit) -> None:
    submit(email("timeout"), type="newsletter", data={"title": "t", "body": "b"})
    [row] = deliveries()
    [outcome] = deliver([row.id])
    assert (outcome.status, outcome.is_dead) == ("unknown", True)


def test_an_urgent_one_is_tried_again_at_once(app: APIFlask, submit: Submit) -> None:
    submit(email("soft-fail"), type="password_reset", data={"url": "https://x.test/r"})
    [row] = deliveries()
    queue("email.urgent").empty()
    deliver([row.id])
    [row] = deliveries()
    assert (row.status, row.reason) == ("waiting", "retry")
    assert due.ring_due() == 1
    assert queue("email.urgent").job_ids == [show("dlv", row.id)]


def test_a_dead_address_is_switched_off_and_not_used_again(app: APIFlask, submit: Submit) -> None:
    submit(email("dead"), channels=("email",))
    deliver([row.id for row in deliveries()])
    [address] = rows(Address)
    assert (address.disabled_at is not None, address.disabled_reason) == (True, "dead")
    answer = submit("user-dead", channels=("email",))
    [second] = answer["notifications"][0]["deliveries"]
    assert (second["status"], second["reason"], second["detail"]) == (
        "skipped",
        "no_address",
        {"disabled_reason": "dead"},
    )


def test_two_failures_then_it_arrives(app: APIFlask, submit: Submit) -> None:
    submit(email("flaky-2"), channels=("email",))
    [row] = deliveries()
    for _ in range(3):
        with transaction() as session:
            session.execute(sa.update(Delivery).values(status="queued"))
        deliver([row.id])
    [row] = deliveries()
    assert (row.status, row.tries, row.failures) == ("delivered", 3, 2)
    assert attempts() == [(1, "retryable", "flaky_2"), (2, "retryable", "flaky_2"), (3, "delivered", None)]


def test_a_doorbell_rung_twice_sends_once(app: APIFlask, submit: Submit) -> None:
    submit(email("delivered"), channels=("email",))
    [row] = deliveries()
    results: list[Any] = []
    barrier = threading.Barrier(6)

    def run() -> None:
        with app.app_context():
            barrier.wait()
            results.extend(deliver([row.id]))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.status for r in results] == ["delivered"]
    assert len(rows(Capture)) == 1


def test_an_opt_out_between_planning_and_sending_holds(cast: dict[str, str], submit: Submit) -> None:
    submit("alice", channels=("email",))
    choosing.change("alice", {"channels": {"email": False}}, replace=False, source="test")
    [outcome] = deliver([row.id for row in deliveries()])
    [row] = deliveries()
    assert (outcome.status, outcome.is_dead) == ("skipped", False)
    assert (row.status, row.reason, row.detail["because"], row.tries) == ("skipped", "opted_out", "channel", 0)
    assert attempts() == []


def test_what_has_expired_is_not_sent(app: APIFlask, submit: Submit) -> None:
    submit(email("delivered"), channels=("email",))
    with transaction() as session:
        session.execute(sa.update(Delivery).values(expires_at=now() - timedelta(seconds=1)))
    [outcome] = deliver([row.id for row in deliveries()])
    assert outcome.status == "expired"
    assert attempts() == []


def test_what_was_cancelled_is_not_sent(app: APIFlask, submit: Submit) -> None:
    submit(email("delivered"), channels=("email",))
    [row] = deliveries()
    assert cancel(row.notification_id) == 1
    assert deliver([row.id]) == []
    assert attempts() == []


def test_a_worker_that_lost_its_lease_does_not_overwrite_the_next_ones_result(app: APIFlask, submit: Submit) -> None:
    from notifier.pipeline.delivery.claim import claim  # noqa: PLC0415
    from notifier.pipeline.delivery.deliver import send  # noqa: PLC0415
    from notifier.pipeline.delivery.record import record  # noqa: PLC0415

    submit(email("soft-fail"), channels=("email",))
    [row] = deliveries()
    slow, _ = claim([row.id])
    with transaction() as session:
        session.execute(sa.update(Delivery).values(status="queued"))
    quick, _ = claim([row.id])
    for task in (*slow, *quick):
        send(task)
    assert [o.status for o in record(quick)] == ["waiting"]
    assert record(slow) == []
    assert [a[0] for a in attempts()] == [2]


def test_the_number_of_statements_does_not_grow_with_the_batch(app: APIFlask, submit: Submit) -> None:
    def cost(size: int) -> int:
        submit(*[InlineRecipient(f"p{size}-{i}", {"email": f"p{i}@x.test"}) for i in range(size)], channels=("email",))
        ids = [row.id for row in deliveries(status="queued")]
        app.extensions.pop("kept", None)  # types are asked for each time, however long all this takes
        with statements() as sent:
            deliver(ids)
        return len([s for s in sent if "executemany" not in s])

    cost(1)
    assert cost(2) == cost(60)


def test_a_person_retries_what_is_dead_but_never_what_has_expired(app: APIFlask, submit: Submit) -> None:
    submit(email("rejected"), channels=("email",))
    submit(email("dead"), channels=("email",))
    first, second = deliveries()
    deliver([first.id, second.id])
    with transaction() as session:
        session.execute(sa.update(Delivery).where(Delivery.id == second.id).values(expires_at=now()))
    assert retry([first.id, second.id]) == 1
    first, second = deliveries()
    assert (first.status, first.failures, first.tries, second.status) == ("queued", 0, 1, "failed")
    assert show("dlv", first.id) in queue("email.high").job_ids
    assert [(entry.subject, entry.after) for entry in rows(AuditEntry, action="delivery.retried")] == [
        (show("dlv", first.id), None)
    ]


def test_with_a_test_key_everything_is_captured_the_inbox_too(
    cast: dict[str, str], caller: Caller, submit: Submit
) -> None:
    submit("alice", caller=replace(caller, is_test=True), channels=("inapp", "email"))
    assert [o.status for o in deliver([row.id for row in deliveries()])] == ["delivered", "delivered"]
    assert {c.channel for c in rows(Capture)} == {"inapp", "email"}
    assert rows(InboxItem) == []


def test_the_request_that_it_came_by_stands_on_the_workers_lines(app: APIFlask, submit: Submit) -> None:
    for word in ("fine", "other"):
        submit(
            email(word),
            caller=Caller(None, is_test=True, may_be_urgent=False, types=None, request_id=f"req-{word}"),
            channels=("email",),
        )
    with structlog.testing.capture_logs() as logs:
        deliver([row.id for row in deliveries()])
    told = sorted(line["request_id"] for line in logs if line["event"].startswith("delivery."))
    assert told == ["req-fine", "req-other"]  # a batch has no order
