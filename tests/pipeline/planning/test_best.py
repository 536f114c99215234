"""Routing `best`: what is counted, what it begins with, and that it comes to send by what is opened."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.inbox import marks
from notifier.inbox.marks import Chosen
from notifier.ledgers import scores
from notifier.models import ChannelPrior, ChannelScore, Notification, User
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.intake.dry_run import dry_run
from notifier.pipeline.intake.item import Caller, Item
from notifier.pipeline.upkeep import due
from tests.pipeline.intake.test_accept_races import at_once
from tests.pipeline.upkeep.test_due import wake
from tests.stored import deliveries, rows
from tests.stored import sent_statements as statements
from tests.submitting import submission

Submit = Callable[..., Any]
BOTH = ("inapp", "email")


def know(*learned: tuple[str, str, int, int]) -> None:
    """Of a user, channel: sent and opened."""
    with transaction() as session:
        for user_id, channel, sent, opened in learned:
            session.add(ChannelScore(user_id=user_id, channel=channel, sent=sent, opened=opened))


def known() -> list[tuple[str, str, int, int]]:
    return [(row.user_id, row.channel, row.sent, row.opened) for row in rows(ChannelScore)]


def work() -> None:
    deliver([row.id for row in deliveries(status="queued")])


def tried() -> list[tuple[str, str, str | None]]:
    return [(row.channel, row.status, row.reason) for row in sorted(deliveries(), key=lambda row: row.step)]


def test_it_begins_with_what_the_person_opens(submit: Submit, cast: Any) -> None:
    know(("alice", "email", 50, 45), ("alice", "sms", 50, 1), ("alice", "inapp", 50, 0))
    submit("alice", channels=("inapp", "sms", "email"), routing="best")
    assert tried()[0] == ("email", "queued", None)
    work()
    assert {(row.channel, row.status, row.reason) for row in deliveries()} == {
        ("email", "delivered", None),
        ("sms", "skipped", "not_needed"),
        ("inapp", "skipped", "not_needed"),
    }


def test_when_that_fails_the_next_best_follows(submit: Submit, cast: Any) -> None:
    know(("alice", "email", 50, 45), ("alice", "sms", 50, 1))
    submit(InlineRecipient("alice", {"email": "rejected@sandbox.test"}), channels=("sms", "email"), routing="best")
    work()
    assert tried() == [("email", "failed", None), ("sms", "queued", None)]


def test_it_says_why(caller: Caller, cast: Any) -> None:
    know(("alice", "email", 50, 45), ("alice", "sms", 50, 1))
    [rehearsed] = dry_run([Item(caller, submission("alice", channels=("sms", "email"), routing="best"))])
    [answer] = rehearsed["notifications"]
    [line] = [line for line in answer["trace"] if line["rule"] == "routing"]
    assert (line["reason"], line["detail"]["first"], line["detail"]["scores"]["sms"]) == (
        "best",
        "email",
        {"sent": 50, "opened": 1},
    )
    assert line["sentence"] == "The channel that has been opened most so far comes first: email, 45 of 50."


def test_it_does_not_say_more_than_it_knows(caller: Caller, cast: Any) -> None:
    know(("alice", "email", 1, 0), ("alice", "sms", 1, 0))
    [rehearsed] = dry_run([Item(caller, submission("alice", channels=("sms", "email"), routing="best"))])
    [line] = [line for line in rehearsed["notifications"][0]["trace"] if line["rule"] == "routing"]
    first = line["detail"]["first"]
    assert line["sentence"] == (
        f"It is not clear yet which channel is opened most; this time {first} comes first. So far 0 of 1 "
        "were opened there."
    )


# ---- what is counted


COUNTED: dict[str, tuple[str, str, list[tuple[str, str, int, int]]]] = {
    "a mail that went out": ("email", "alice@x.test", [("alice", "email", 1, 0)]),
    "a mail that failed": ("email", "rejected@sandbox.test", []),
    "a mail that is tried again": ("email", "soft-fail@sandbox.test", []),
    "an item that was shown": ("inapp", "alice@x.test", [("alice", "inapp", 1, 0)]),
}


@pytest.mark.parametrize(("channel", "email", "expected"), COUNTED.values(), ids=COUNTED)
def test_what_went_out_is_counted(submit: Submit, cast: Any, channel: str, email: str, expected: Any) -> None:
    submit(InlineRecipient("alice", {"email": email}), channels=(channel,), routing="best")
    work()
    assert known() == expected


@pytest.mark.parametrize("routing", ["all", "first", "escalate"])
def test_of_other_routings_nothing_is_counted(submit: Submit, cast: Any, routing: str) -> None:
    submit("alice", channels=BOTH, routing=routing)
    work()
    marks.read("alice", Chosen())
    assert known() == []


def test_nor_of_a_test_key(submit: Submit, caller: Caller, cast: Any) -> None:
    test_key = Caller(caller.producer_id, is_test=True, may_be_urgent=True, types=None, request_id="req-1")
    submit("alice", channels=BOTH, routing="best", caller=test_key)
    work()
    assert known() == []


def test_an_item_is_opened_once_however_often_it_is_read(submit: Submit, cast: Any) -> None:
    for _ in range(3):
        submit("alice", channels=("inapp",), routing="best")
    submit("alice", channels=("inapp",), routing="all")
    first = rows(Notification)[0].id
    [item] = [row.id for row in deliveries(notification_id=first)]
    for _ in range(2):
        marks.read("alice", Chosen((item,)))
        marks.unread("alice", Chosen((item,)))
    assert known() == [("alice", "inapp", 3, 1)]
    marks.read("alice", Chosen())
    assert known() == [("alice", "inapp", 3, 3)]


def test_a_scheduled_item_counts_when_it_is_shown(submit: Submit, cast: Any) -> None:
    submit("alice", channels=("inapp",), routing="best", send_at=now() + timedelta(hours=1))
    assert known() == []
    wake()
    due.ring_due()
    assert known() == [("alice", "inapp", 1, 0)]


def test_counts_of_two_batches_add_up(app: APIFlask, submit: Submit, cast: Any) -> None:
    def crowd(*names: str) -> Callable[[], None]:
        return lambda: [submit(*names, channels=("inapp",), routing="best") for _ in range(10)] and None

    assert (
        at_once(
            app,
            crowd("alice", "bob"),
            crowd("bob", "alice"),
            crowd("bob"),
            lambda: marks.read("alice", Chosen()) and None,
        )
        == [None] * 4
    )
    marks.read("alice", Chosen())
    assert known() == [("alice", "inapp", 20, 20), ("bob", "inapp", 30, 0)]


def test_who_is_erased_meanwhile_is_not_counted(submit: Submit, cast: Any) -> None:
    with transaction():
        scores.count_sent([("nobody", "email"), ("alice", "email")])
    assert known() == [("alice", "email", 1, 0)]
    with transaction() as session:
        session.execute(sa.delete(User).where(User.id == "alice"))
    assert known() == []


def test_a_batch_costs_the_same_whatever_its_size(submit: Submit, cast: Any) -> None:
    def stored(word: str, number: int) -> int:
        crowd = [InlineRecipient(f"{word}{n}", {"email": f"{word}{n}@x.test"}) for n in range(number)]
        with statements() as sent:
            submit(*crowd, channels=("email", "inapp"), routing="best")
        return len(sent)

    stored("warm", 20)
    assert stored("few", 20) == stored("many", 80)


# ---- everyone


def test_everyone_is_summed_up_now_and_then(submit: Submit, cast: Any) -> None:
    assert scores.count_everyone(now()) == 0
    know(("alice", "email", 10, 5), ("bob", "email", 30, 1), ("bob", "sms", 4, 4))
    assert scores.count_everyone(now()) == 2
    assert [(row.channel, row.sent, row.opened) for row in rows(ChannelPrior)] == [("email", 40, 6), ("sms", 4, 4)]
    know(("carol", "sms", 6, 0))
    assert scores.count_everyone(now()) == 0  # it was done just now
    assert scores.count_everyone(now() + scores.COUNT_EVERY) == 2
    assert [(row.channel, row.sent, row.opened) for row in rows(ChannelPrior)] == [("email", 40, 6), ("sms", 10, 4)]


def test_somebody_new_is_sent_what_everyone_opens(submit: Submit, cast: Any) -> None:
    know(("bob", "email", 10_000, 9_900), ("bob", "sms", 10_000, 10))
    scores.count_everyone(now())
    for n in range(20):
        submit(
            InlineRecipient(f"u{n}", {"email": f"u{n}@x.test", "phone": f"+491511234{n:04}"}),
            type="one_time_code",
            data={"code": "1"},
            routing="best",
        )
    first = [row.channel for row in deliveries(step=0)]
    assert first.count("email") >= 18


def test_by_and_by_it_sends_by_what_the_person_opens(submit: Submit, cast: Any) -> None:
    """Alice reads every item and opens no mail, of which she has had one."""
    know(("alice", "email", 1, 0))
    for _ in range(40):
        submit("alice", channels=("email", "inapp"), routing="best")
        work()
        marks.read("alice", Chosen())
    [mails, items] = [row for row in known() if row[0] == "alice"]
    assert (mails[1], items[1]) == ("email", "inapp")
    assert items[2] == items[3] > 3 * mails[2]
