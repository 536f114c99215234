"""Mute and quiet hours hold until the send, whenever they were set; when they are taken away, what waits goes out."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Delivery, User
from notifier.operations import retry_dead
from notifier.people import preferences, profiles
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.planning import last_look
from notifier.pipeline.upkeep import due, summaries
from notifier.signals.queueing import queue
from tests.pipeline.upkeep.test_due import wake
from tests.stored import deliveries
from tests.stored import sent_statements as statements
from tests.submitting import Mailbox

Submit = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("cast")
OFFER = {"type": "promotional_offer", "channels": ("email",)}
LATER = timedelta(hours=1)


def offer(submit: Submit, title: str = "Half price", **more: Any) -> None:
    submit("alice", **{**OFFER, "data": {"title": title}, **more})


def choose(**choices: Any) -> None:
    preferences.change("alice", choices, replace=False, source="test")


def shown(at: datetime) -> str:
    return at.isoformat()


def mute(hours: float = 3) -> datetime:
    """→ until when, to the second, as it is stored."""
    until = (now() + timedelta(hours=hours)).replace(microsecond=0)
    choose(mute_until=shown(until))
    return until


def quiet_now() -> None:
    """In the zone of alice: from an hour ago for some hours."""
    choose(time_zone="UTC", quiet_hours={"start": f"{now() - LATER:%H:%M}", "end": f"{now() + 3 * LATER:%H:%M}"})


def go_on() -> None:
    """Scheduler and worker, once."""
    due.ring_due()
    deliver([row.id for row in deliveries(status="queued")])


def fates() -> list[tuple[str, str | None]]:
    return [(row.status, row.reason) for row in deliveries(channel="email")]


# ---- set after acceptance


def test_a_scheduled_one_is_held_by_a_mute_that_was_set_since(submit: Submit) -> None:
    offer(submit, send_at=now() + LATER)
    until = mute()
    wake()
    go_on()
    [row] = deliveries()
    assert (row.status, row.reason, row.due_at, row.wake_at, row.tries) == ("waiting", "muted", until, until, 0)


def test_a_scheduled_one_is_held_by_quiet_hours_that_were_set_since(submit: Submit) -> None:
    offer(submit, send_at=now() + LATER)
    quiet_now()
    wake()
    go_on()
    [row] = deliveries()
    assert (row.status, row.reason) == ("waiting", "quiet_hours")
    assert row.due_at is not None
    assert timedelta(hours=2) < row.due_at - now() <= timedelta(hours=3)


def test_one_that_was_rung_already_is_held(submit: Submit) -> None:
    offer(submit)
    mute()
    go_on()
    assert fates() == [("waiting", "muted")]


def test_a_retry_is_held(submit: Submit, configure: Callable[..., None], nobody: str) -> None:
    configure(main=nobody)
    offer(submit)
    go_on()
    assert fates() == [("waiting", "retry")]
    mute()
    wake()
    go_on()
    [row] = deliveries()
    assert (row.status, row.reason, row.tries, row.failures) == ("waiting", "muted", 1, 1)


def test_what_somebody_retries_on_the_console_is_held(
    submit: Submit, configure: Callable[..., None], mailbox: Mailbox
) -> None:
    mailbox.refusal = "554 5.6.0 no"
    configure(main=mailbox.url)
    offer(submit)
    go_on()
    assert fates() == [("failed", None)]
    mailbox.refusal = ""
    mute()
    retry_dead.retry([row.id for row in deliveries()])
    go_on()
    assert (fates(), mailbox.received) == ([("waiting", "muted")], [])
    choose(mute_until=None)
    go_on()
    assert (fates(), mailbox.received) == ([("sent", None)], ["alice@example.test"])


def test_a_summary_that_is_due_is_held(submit: Submit) -> None:
    choose(digest={"social": "hourly"})
    submit("alice", type="comment", data={"actor": "Bob"}, channels=("email",))
    with transaction() as session:
        session.execute(
            sa.text("UPDATE digest SET due_at = :at"),
            {"at": now() - LATER} if db.engine.dialect.name != "sqlite" else {"at": "2020-01-01 00:00:00"},
        )
    summaries.close_due()
    mute()
    wake()
    go_on()
    assert [(row.status, row.reason) for row in deliveries(channel="email") if row.reason != "digested"] == [
        ("waiting", "muted")
    ]


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("scheduled_in", "own", "lives_for"),
    [
        (timedelta(), {}, DAY),
        (2 * DAY, {}, 3 * DAY),
        (timedelta(), {"expires_in": 864_000, "is_perishable": True}, 10 * DAY),
    ],
    ids=["at once", "scheduled", "its own"],
)
def test_what_is_let_go_early_lives_no_longer_than_if_it_had_not_been_held(
    submit: Submit, scheduled_in: timedelta, own: dict[str, Any], lives_for: timedelta
) -> None:
    """Else it would still go out, after an outage, when nobody wants it any more."""
    at = now()
    mute(hours=24 * 7)
    offer(submit, **({"send_at": at + scheduled_in} if scheduled_in else {}), **own)
    for hours in (24 * 6, 24 * 5):
        mute(hours)
        go_on()  # and so it is held again
    choose(mute_until=None)
    [row] = deliveries()
    assert row.expires_at is not None
    assert abs(row.expires_at - at - lives_for) < timedelta(minutes=1)


@pytest.mark.parametrize("is_known", [True, False], ids=["muted before", "muted since"])
def test_the_steps_behind_one_that_is_let_go_early_follow_it(submit: Submit, is_known: bool) -> None:
    def gaps() -> list[timedelta]:
        mail, *behind = deliveries()
        return [row.wake_at - mail.due_at for row in behind]

    with time_machine.travel(now(), tick=False) as clock:
        for turn in ("mute", "offer") if is_known else ("offer", "mute"):
            if turn == "mute":
                mute(hours=24 * 7)
            else:
                offer(submit, channels=("email", "sms", "voice"), routing="escalate")
        go_on()
        assert gaps() == [timedelta(minutes=15), timedelta(minutes=30)]
        clock.shift(LATER)
        choose(mute_until=None)
        assert gaps() == [timedelta(minutes=15), timedelta(minutes=30)]
        assert deliveries()[0].due_at == now()
        assert {row.expires_at - now() for row in deliveries()} == {DAY}


@pytest.mark.parametrize("held", ["drop", "summary"])
def test_what_is_underway_waits_whatever_is_chosen_for_what_comes_in_the_quiet(submit: Submit, held: str) -> None:
    offer(submit)
    choose(held=held)
    mute()
    go_on()
    assert fates() == [("waiting", "muted")]


@pytest.mark.parametrize(
    "pressing",
    [
        {"type": "account_activity", "data": {"event": "e"}, "priority": "urgent"},
        {"type": "order_shipped", "data": {"order_id": "A1"}},
        {"type": "security_alert", "data": {"event": "e"}, "priority": "low"},
    ],
    ids=["urgent", "transactional", "mandatory"],
)
def test_what_is_pressing_is_not_held(submit: Submit, pressing: dict[str, Any]) -> None:
    submit("alice", channels=("email",), **pressing)
    mute()
    go_on()
    assert fates() == [("delivered", None)]


def test_who_opted_out_meanwhile_gets_nothing_and_waits_for_nothing(submit: Submit) -> None:
    offer(submit)
    mute()
    choose(categories={"marketing": False})
    go_on()
    assert fates() == [("skipped", "opted_out")]


def test_what_expires_meanwhile_has_expired(submit: Submit) -> None:
    offer(submit, expires_in=1800, is_perishable=True)
    mute()
    go_on()
    [row] = deliveries()
    assert row.wake_at == row.expires_at
    with transaction() as session:
        session.execute(sa.update(Delivery).values(expires_at=now(), wake_at=now()))
    go_on()
    assert fates() == [("expired", "expired")]


def test_at_the_end_of_a_mute_it_is_asked_again(submit: Submit) -> None:
    offer(submit)
    mute()
    go_on()
    until = mute(5)
    wake()
    go_on()
    assert [(row.reason, row.due_at) for row in deliveries()] == [("muted", until)]


# ---- taken away


def begin_mute() -> None:
    mute()


RELEASES: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
    ("the mute is taken away", begin_mute, lambda: choose(mute_until=None)),
    ("the mute ends sooner", begin_mute, lambda: mute(-1)),
    ("quiet hours are taken away", quiet_now, lambda: choose(quiet_hours=None)),
    (
        "quiet hours are other ones",
        quiet_now,
        lambda: choose(quiet_hours={"start": f"{now() + 3 * LATER:%H:%M}", "end": f"{now() + 4 * LATER:%H:%M}"}),
    ),
    ("the person is in another zone", quiet_now, lambda: choose(time_zone="Pacific/Honolulu")),
    (
        "all choices are given up",
        quiet_now,
        lambda: preferences.change("alice", {"channels": {"email": True}}, replace=True, source="test"),
    ),
]


@pytest.mark.parametrize("was_planned_so", [True, False], ids=["held from the first", "held since"])
@pytest.mark.parametrize(("begin", "release"), [case[1:] for case in RELEASES], ids=[case[0] for case in RELEASES])
def test_what_waits_goes_out_when(
    submit: Submit, begin: Callable[[], Any], release: Callable[[], Any], was_planned_so: bool
) -> None:
    if was_planned_so:
        begin()
        offer(submit)
    else:
        offer(submit)
        begin()
    go_on()
    assert [status for status, _ in fates()] == ["waiting"]
    release()
    go_on()
    assert fates() == [("delivered", None)]


def test_what_waits_goes_out_when_a_producer_says_that_the_person_is_in_another_zone(submit: Submit) -> None:
    hours = {"start": f"{now() - LATER:%H:%M}", "end": f"{now() + 3 * LATER:%H:%M}"}
    preferences.change("carol", {"quiet_hours": hours, "channels": {"email": True}}, replace=True, source="test")
    submit("carol", **OFFER, data={"title": "Half price"})
    assert fates() == [("waiting", "quiet_hours")]
    with transaction():
        profiles.upsert([InlineRecipient("carol", {"time_zone": "Pacific/Honolulu"})])
    go_on()
    assert fates() == [("delivered", None)]


def test_a_mute_that_is_only_shortened_holds_until_its_new_end(submit: Submit) -> None:
    mute(5)
    offer(submit)
    until = mute(2)
    go_on()
    assert [(row.status, row.reason, row.due_at) for row in deliveries()] == [("waiting", "muted", until)]


def test_what_was_submitted_for_later_still_waits_for_that(submit: Submit) -> None:
    mute(5)
    send_at = now() + 2 * LATER
    offer(submit, send_at=send_at)
    assert fates() == [("waiting", "muted")]
    choose(mute_until=None)
    go_on()
    [row] = deliveries()
    assert (row.status, row.reason) == ("waiting", "scheduled")
    assert row.due_at == row.wake_at
    assert abs(row.due_at - send_at) < timedelta(seconds=1)  # type: ignore[operator]


def test_nobody_elses_are_released(submit: Submit) -> None:
    for user_id in ("alice", "bob"):
        preferences.change(user_id, {"mute_until": shown(now() + LATER)}, replace=False, source="test")
        submit(user_id, **OFFER, data={"title": "Half price"})
    choose(mute_until=None)
    go_on()
    assert sorted(fates()) == [("delivered", None), ("waiting", "muted")]


def test_a_release_costs_the_same_for_many_as_for_one(submit: Submit) -> None:
    counts = []
    for number in (1, 30):
        mute()
        for title in range(number):
            offer(submit, f"{number} {title}")
        with statements() as sent:
            choose(mute_until=None)
        counts.append(len(sent))
    assert counts[0] == counts[1]


def test_a_change_that_is_rolled_back_releases_nothing(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    mute()
    offer(submit)
    with monkeypatch.context() as dying:
        dying.setattr(db.session, "commit", lambda: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            choose(mute_until=None)
    go_on()
    assert fates() == [("waiting", "muted")]
    assert queue("email.medium").job_ids == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")  # SQLite writes one at a time
def test_who_is_changing_their_choices_at_this_moment_is_asked_about_in_a_moment(app: APIFlask, submit: Submit) -> None:
    mute()
    offer(submit)
    wake()
    due.ring_due()
    changing, done = threading.Event(), threading.Event()

    def change() -> None:
        with app.app_context(), transaction() as session:
            session.execute(sa.select(User.id).where(User.id == "alice").with_for_update(key_share=True))
            changing.set()
            done.wait(30)

    thread = threading.Thread(target=change)
    thread.start()
    assert changing.wait(30)
    began = now()
    deliver([row.id for row in deliveries(status="queued")])
    [row] = deliveries()
    done.set()
    thread.join(30)
    assert (row.status, row.reason) == ("waiting", "muted")
    assert row.wake_at is not None
    assert row.wake_at <= now() + last_look.A_MOMENT
    assert row.wake_at >= began
