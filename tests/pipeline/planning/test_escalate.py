"""Routing `escalate`: one step after the other until somebody reads it. The rule itself is told in
tests/core/test_routing.py.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.core.submission import InlineRecipient
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import parse
from notifier.inbox import marks
from notifier.inbox.marks import Chosen
from notifier.models import Address, Capture, Delivery, EventType, InboxItem, Notification, Receipt
from notifier.people import preferences
from notifier.pipeline.delivery.deliver import begin, deliver, send
from notifier.pipeline.delivery.record import record
from notifier.pipeline.intake.cancel import cancel
from notifier.pipeline.intake.expand import expand
from notifier.pipeline.planning.routing import follow
from notifier.pipeline.upkeep import due
from tests.pipeline.intake.test_accept_races import at_once
from tests.stored import deliveries, rows
from tests.stored import sent_statements as statements

Submit = Callable[..., Any]
Fates = list[tuple[str, str, str | None]]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVENING = datetime(2026, 3, 2, 20, 50, tzinfo=UTC)  # 21:50 in Berlin, where bob wants quiet from 22:00
STEPS = ("inapp", "email", "sms")
REST_READ: Fates = [
    ("inapp", "opened", None),
    ("email", "skipped", "read_elsewhere"),
    ("sms", "skipped", "read_elsewhere"),
]


@pytest.fixture
def clock(app: APIFlask) -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def fates() -> Fates:
    return [(row.channel, row.status, row.reason) for row in deliveries()]


def work() -> None:
    """What scheduler and worker do at this moment."""
    due.ring_due()
    deliver([row.id for row in deliveries(status="queued")])


def opened(delivery: Delivery, by: str = "person", status: str = "opened") -> None:
    """As its receipt leaves it, before anything follows."""
    db.session.execute(sa.update(Delivery).where(Delivery.id == delivery.id).values(status=status))
    said = {"provider": "acme", "channel": delivery.channel, "event_id": "e1", "at": NOON, "applied_at": NOON}
    db.session.add(Receipt(delivery_id=delivery.id, status=status, by=by, **said))
    db.session.flush()


def read_all(user_id: str = "alice") -> None:
    marks.read(user_id, Chosen())


def test_the_next_step_comes_when_nothing_was_read_in_time(submit: Submit, cast: Any, clock: Any) -> None:
    submit("alice", channels=STEPS, routing="escalate", escalate_after=600)
    work()
    assert fates() == [
        ("inapp", "delivered", None),
        ("email", "waiting", "escalation"),
        ("sms", "waiting", "escalation"),
    ]
    clock.shift(timedelta(minutes=9, seconds=59))
    work()
    assert [row.channel for row in rows(Capture)] == []
    clock.shift(timedelta(seconds=1))
    work()
    assert fates() == [("inapp", "delivered", None), ("email", "delivered", None), ("sms", "waiting", "escalation")]
    clock.shift(timedelta(minutes=10))
    work()
    assert [row.channel for row in rows(Capture)] == ["email", "sms"]


def test_a_read_cancels_the_rest(submit: Submit, cast: Any, clock: Any) -> None:
    submit("alice", channels=STEPS, routing="escalate")
    read_all()
    assert fates() == REST_READ
    clock.shift(timedelta(hours=1))
    work()
    assert rows(Capture) == []


def test_a_read_between_two_steps_cancels_what_is_left(submit: Submit, cast: Any, clock: Any) -> None:
    submit("alice", channels=STEPS, routing="escalate")
    clock.shift(timedelta(minutes=15))
    work()
    read_all()
    assert fates() == [("inapp", "opened", None), ("email", "delivered", None), ("sms", "skipped", "read_elsewhere")]


def test_to_see_or_to_archive_is_not_to_read(submit: Submit, cast: Any, clock: Any) -> None:
    submit("alice", channels=STEPS, routing="escalate")
    marks.seen("alice", Chosen())
    marks.archive("alice", Chosen())
    assert fates()[1:] == [("email", "waiting", "escalation"), ("sms", "waiting", "escalation")]


@pytest.mark.parametrize("status", ["opened", "clicked"])
@pytest.mark.parametrize(
    ("by", "rest"), [("person", ("skipped", "read_elsewhere")), ("unknown", ("waiting", "escalation"))]
)
def test_what_a_person_opens_or_clicks_elsewhere_was_read(
    submit: Submit, cast: Any, clock: Any, status: str, by: str, rest: tuple[str, str]
) -> None:
    submit("alice", channels=("email", "sms"), routing="escalate")
    work()
    [mail] = deliveries(channel="email")
    with transaction() as session:
        opened(mail, by, status)
        assert follow(session.scalars(sa.select(Notification)).all()) == []
    assert fates() == [("email", status, None), ("sms", *rest)]


def test_a_failure_starts_the_next_step_at_once_and_the_others_sooner(submit: Submit, cast: Any, clock: Any) -> None:
    submit(
        InlineRecipient("alice", {"email": "rejected@sandbox.test"}),
        channels=("email", "sms", "voice"),
        routing="escalate",
    )
    clock.shift(timedelta(minutes=1))
    work()
    assert fates() == [("email", "failed", None), ("sms", "queued", None), ("voice", "waiting", "escalation")]
    assert [row.due_at for row in deliveries(channel="voice")] == [NOON + timedelta(minutes=16)]
    clock.shift(timedelta(minutes=15))
    work()
    assert [row.channel for row in rows(Capture)] == ["sms", "voice"]


def test_an_item_that_cannot_be_put_into_words_starts_the_next_step_at_once(
    submit: Submit, cast: Any, clock: Any
) -> None:
    submit("alice", channels=STEPS, routing="escalate", template="comment")
    assert fates() == [
        ("inapp", "skipped", "template_error"),
        ("email", "queued", None),
        ("sms", "waiting", "escalation"),
    ]
    assert [row.due_at for row in deliveries(channel="sms")] == [NOON + timedelta(minutes=15)]


def test_a_try_that_is_repeated_is_no_failure(submit: Submit, cast: Any, clock: Any) -> None:
    submit(InlineRecipient("alice", {"email": "soft-fail@sandbox.test"}), channels=("email", "sms"), routing="escalate")
    work()
    assert fates() == [("email", "waiting", "retry"), ("sms", "waiting", "escalation")]


def test_a_step_dropped_before_its_send_starts_the_next(submit: Submit, cast: Any, clock: Any) -> None:
    submit("alice", channels=("email", "sms"), routing="escalate")
    with transaction() as session:
        session.execute(sa.update(Address).where(Address.channel == "email").values(disabled_reason="gone"))
    work()
    assert fates() == [("email", "skipped", "no_address"), ("sms", "queued", None)]


def test_a_mail_that_is_to_follow_at_night_follows_in_the_morning(submit: Submit, cast: Any, clock: Any) -> None:
    clock.move_to(EVENING)
    preferences.change("bob", {"channels": {"sms": True}}, replace=False, source="test")
    for routing in ("first", "escalate"):
        letter = {"title": routing, "body": "…"}
        submit(
            InlineRecipient("bob", {"phone": "+15550100002"}),
            type="newsletter",
            data=letter,
            channels=("sms", "email"),
            routing=routing,
        )
    tasks, _ = begin([row.id for row in deliveries(status="queued")])
    clock.shift(timedelta(minutes=30))
    for task in tasks:
        send(task)
    record(tasks)
    morning = datetime(2026, 3, 3, 6, tzinfo=UTC)
    assert [(row.reason, row.due_at) for row in deliveries(channel="email", status="waiting")] == [
        ("quiet_hours", morning),
        ("escalation", morning),
    ]
    clock.move_to(morning)
    work()
    assert [row.status for row in deliveries(channel="email")] == ["delivered", "delivered"]


OFFER: dict[str, Any] = {"type": "promotional_offer", "data": {"title": "Half price"}, "routing": "escalate"}


def mute(hours: float) -> None:
    until = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
    preferences.change("alice", {"mute_until": until}, replace=False, source="test")


def test_after_a_mute_that_was_set_later_the_steps_come_one_after_the_other(
    submit: Submit, cast: Any, clock: Any
) -> None:
    at = NOON + timedelta(hours=1)
    submit("alice", **OFFER, channels=("email", "sms", "voice"), send_at=at)
    mute(hours=2)
    for minutes in (60, 75, 90, 119):
        clock.move_to(NOON + timedelta(minutes=minutes))
        work()
    assert [(row.reason, row.due_at - NOON) for row in deliveries()] == [
        ("muted", timedelta(minutes=120)),
        ("escalation", timedelta(minutes=135)),
        ("escalation", timedelta(minutes=150)),
    ]
    clock.move_to(NOON + timedelta(minutes=120))
    work()
    assert [row.channel for row in rows(Capture)] == ["email"]


@pytest.mark.parametrize("first", ["email", "inapp"], ids=["by a provider", "before it is stored"])
def test_steps_that_a_failure_starts_in_quiet_hours_come_one_after_the_other(
    submit: Submit, cast: Any, clock: Any, first: str
) -> None:
    fields = {**OFFER, "channels": (first, "sms", "voice")}
    if first == "inapp":
        mute(hours=2)
        submit("alice", **{**fields, "template": "comment"})
    else:
        submit(InlineRecipient("alice", {"email": "rejected@sandbox.test"}), **fields)
        [(task, *_), _] = begin([row.id for row in deliveries(status="queued")])
        mute(hours=2)
        send(task)
        record([task])
    assert [(row.channel, row.reason, row.due_at - NOON) for row in deliveries(status="waiting")] == [
        ("sms", "escalation", timedelta(minutes=120)),
        ("voice", "escalation", timedelta(minutes=135)),
    ]


def test_in_app_may_be_a_later_step_and_is_not_shown_when_it_was_read(submit: Submit, cast: Any, clock: Any) -> None:
    for _ in range(2):
        submit("alice", channels=("email", "inapp"), routing="escalate")
    work()
    [mail, _] = deliveries(channel="email")
    with transaction():
        opened(mail)
    clock.shift(timedelta(minutes=15))
    work()
    assert [(row.status, row.reason) for row in deliveries(channel="inapp")] == [
        ("skipped", "read_elsewhere"),
        ("delivered", None),
    ]
    assert len(rows(InboxItem)) == 1


def test_what_the_producer_cancels_goes_no_further(submit: Submit, cast: Any, clock: Any) -> None:
    answer = submit("alice", channels=STEPS, routing="escalate")
    assert cancel(parse("ntf", answer["notifications"][0]["id"])) == 2
    clock.shift(timedelta(hours=1))
    work()
    assert fates()[1:] == [("email", "cancelled", "cancelled"), ("sms", "cancelled", "cancelled")]


def test_it_ends_with_its_expiry(submit: Submit, cast: Any, clock: Any) -> None:
    submit("alice", channels=STEPS, routing="escalate", escalate_after=600, expires_in=1200)
    assert fates() == [("inapp", "delivered", None), ("email", "waiting", "escalation"), ("sms", "skipped", "expired")]


# ---- the race between a read and the next step


def test_a_step_that_is_queued_when_it_is_read_is_not_sent(submit: Submit, cast: Any, clock: Any) -> None:
    submit("alice", channels=STEPS, routing="escalate")
    clock.shift(timedelta(minutes=15))
    due.ring_due()
    read_all()
    assert fates()[1] == ("email", "queued", None)
    work()
    assert (fates(), rows(Capture)) == (REST_READ, [])


def test_whoever_wins_nothing_is_left_open_and_nothing_is_sent_after_the_read(
    app: APIFlask, submit: Submit, cast: Any, clock: Any
) -> None:
    for _ in range(10):
        submit("alice", channels=STEPS, routing="escalate")
    clock.shift(timedelta(minutes=15))
    at_once(app, work, work, read_all)
    sent_by_then = len(rows(Capture))
    work()
    assert len(rows(Capture)) == sent_by_then
    mails = {(row.status, row.reason) for row in deliveries(channel="email")}
    assert mails <= {("delivered", None), ("skipped", "read_elsewhere")}
    assert {(row.status, row.reason) for row in deliveries(channel="sms")} == {("skipped", "read_elsewhere")}


def test_a_claim_asks_about_all_reads_at_once(submit: Submit, cast: Any, clock: Any) -> None:
    def claimed(number: int) -> int:
        for _ in range(number):
            submit("alice", channels=("email", "sms"), routing="escalate")
        ids: list[UUID] = [row.id for row in deliveries(status="queued")]
        with statements() as sent:
            deliver(ids)
        return len(sent)

    claimed(1)  # what a process remembers for a moment is known from here on
    assert claimed(1) == claimed(12)


# ---- who says how


@pytest.fixture
def order_delayed(app: APIFlask) -> Iterator[None]:
    """The type escalates after an hour, for one test."""
    with transaction() as session:
        session.execute(
            sa.update(EventType)
            .where(EventType.key == "order_delayed")
            .values(routing="escalate", escalate_after_s=3600)
        )
    yield
    with transaction() as session:
        session.execute(
            sa.update(EventType).where(EventType.key == "order_delayed").values(routing=None, escalate_after_s=None)
        )


SAID: dict[str, tuple[dict[str, Any], tuple[str, list[int]]]] = {
    "the type": ({}, ("escalate", [60, 120])),
    "the submission, how fast": ({"escalate_after": 60}, ("escalate", [1, 2])),
    "the submission": ({"routing": "all"}, ("all", [])),
}


@pytest.mark.parametrize(("fields", "expected"), SAID.values(), ids=SAID)
def test_the_type_says_how_unless_the_submission_does(
    submit: Submit, cast: Any, clock: Any, order_delayed: None, fields: Any, expected: Any
) -> None:
    submit("alice", type="order_delayed", channels=STEPS, **fields)
    routing = [row.routing for row in rows(Notification)]
    assert (routing, [(row.due_at - NOON) // timedelta(minutes=1) for row in deliveries(status="waiting")]) == (
        [expected[0]],
        expected[1],
    )


def test_a_large_audience_is_escalated_alike(submit: Submit, clock: Any) -> None:
    crowd = [InlineRecipient(f"u{n}", {"email": f"u{n}@x.test"}) for n in range(101)]
    answer = submit(
        *crowd, channels=("inapp", "email"), routing="escalate", escalate_after=60, collapse_key="k", sequence=3
    )
    expand(parse("sub", answer["id"]))
    assert {(row.routing, row.collapse_key, row.sequence) for row in rows(Notification)} == {("escalate", "k", 3)}
    assert {(row.reason, row.due_at) for row in deliveries(channel="email")} == {
        ("escalation", NOON + timedelta(minutes=1))
    }


def test_a_scheduled_item_ends_routing_first_when_it_is_shown(submit: Submit, cast: Any, clock: Any) -> None:
    submit("alice", channels=("inapp", "email"), routing="first", send_at=NOON + timedelta(hours=1))
    clock.shift(timedelta(hours=1))
    due.ring_due()
    assert fates() == [("inapp", "delivered", None), ("email", "skipped", "not_needed")]
