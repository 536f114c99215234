"""Recurring submissions: each run once, over any number of schedulers, under the rights its key has then."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access import keys
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.ids import show
from notifier.models import ApiKey, Delivery, Notification, Schedule
from notifier.models import Submission as SubmissionRow
from notifier.people import profiles
from notifier.pipeline.intake import schedules
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.cron import cron_faults, next_time
from notifier.pipeline.intake.item import Caller, Item
from tests.pipeline.intake.test_accept_races import at_once
from tests.stored import rows
from tests.submitting import submission

Make = Callable[..., UUID]
MONTHLY = "0 8 1 * *"


@pytest.fixture
def key(app: APIFlask) -> tuple[Caller, UUID]:
    producer = keys.create_producer("Shop")
    row, _ = keys.create_key(producer.id, scopes=["notify"])
    return Caller(producer.id, is_test=False, may_be_urgent=False, types=None, request_id="r"), row.id


@pytest.fixture
def make(key: tuple[Caller, UUID], cast: Any) -> Make:
    """`make(cron=…, submission=…)` → the schedule's id."""

    def _make(cron: str = MONTHLY, time_zone: str = "Europe/Berlin", what: Submission | None = None) -> UUID:
        return schedules.create(*key, cron, time_zone, what or submission("alice", channels=("email",))).schedule_id

    return _make


def fall_due(at: datetime | None = None) -> datetime:
    """Every schedule's time has come (or had, while nobody was there)."""
    at = at or (now() - timedelta(minutes=1)).replace(microsecond=0)
    with transaction() as session:
        session.execute(sa.update(Schedule).values(next_at=at))
    return at


@pytest.mark.parametrize(
    ("cron", "time_zone", "after", "next_at"),
    [
        ("30 8 * * MON", "Europe/Berlin", "2026-01-14 12:00", "2026-01-19 07:30"),
        ("30 8 * * MON", "Europe/Berlin", "2026-07-14 12:00", "2026-07-20 06:30"),
        ("0 0 29 2 *", "UTC", "2026-01-01 00:00", "2028-02-29 00:00"),
        ("*/15 * * * *", "Asia/Kolkata", "2026-01-14 12:01", "2026-01-14 12:15"),
        ("0 9 L * *", "UTC", "2026-02-01 00:00", "2026-02-28 09:00"),
        # 02:30 does not exist on 29 March in Berlin: it comes right after the change
        ("30 2 * * *", "Europe/Berlin", "2026-03-28 12:00", "2026-03-29 01:00"),
        # and is there twice on 25 October: the first one counts
        ("30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", "2026-10-25 00:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 00:30", "2026-10-26 01:30"),
    ],
)
def test_the_next_time_is_in_the_schedules_zone(cron: str, time_zone: str, after: str, next_at: str) -> None:
    found = next_time(cron, time_zone, datetime.fromisoformat(after).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(next_at).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "code"),
    [
        ("30 8 * * MON", None),
        ("0 0 29 2 *", None),
        ("0 0 31 2 *", "never_fires"),
        ("0 0 30 FEB *", "never_fires"),
        ("0 0 31 4,6,9,11 *", "never_fires"),
        ("* * * *", "invalid_cron"),
        ("* * * * * *", "invalid_cron"),  # by the second
        ("60 * * * *", "invalid_cron"),
        ("0 0 0 * *", "invalid_cron"),
        ("0 0 1 13 *", "invalid_cron"),
        ("0 0 1 1 8", "invalid_cron"),
        ("@daily", "invalid_cron"),
        ("every day", "invalid_cron"),
        ("0 0 */0 * *", "invalid_cron"),
        ("١ * * * *", "invalid_cron"),
        ("", "invalid_cron"),
    ],
)
def test_an_expression_that_never_comes_true_or_is_none_is_refused(cron: str, code: str | None) -> None:
    assert [(fault.pointer, fault.code) for fault in cron_faults(cron)] == ([("/cron", code)] if code else [])


def test_every_fault_is_named_and_nothing_stored(make: Make) -> None:
    with pytest.raises(Rejected) as refused:
        make("0 0 31 2 *", what=submission("alice", "nobody", channels=("pigeon",), data={}))
    assert {(fault.pointer, fault.code) for fault in refused.value.faults} == {
        ("/cron", "never_fires"),
        ("/notification/recipients/1", "unknown_user"),
        ("/notification/channels/0", "unknown_channel"),
        ("/notification/data/order_id", "missing"),
    }
    assert rows(Schedule) == []


def test_a_run_is_a_submission_like_any_other(make: Make, key: tuple[Caller, UUID]) -> None:
    schedule_id = make(
        what=submission(
            "alice", InlineRecipient("new", {"email": "new@x.test"}), channels=("email",), priority="low", expires_in=60
        )
    )
    assert rows(SubmissionRow) == []
    fall_due()
    assert schedules.submit_due() == 1
    [row] = rows(SubmissionRow)
    assert (row.producer_id, row.type, row.request_id) == (
        key[0].producer_id,
        "order_shipped",
        f"schedule-{schedule_id.hex}",
    )
    assert [(n.user_id, n.priority) for n in rows(Notification)] == [("alice", "low"), ("new", "low")]
    assert [d.status for d in rows(Delivery)] == ["queued", "queued"]
    [schedule] = rows(Schedule)
    assert (schedule.last_submission_id, schedule.last_fault) == (row.id, None)
    assert schedule.next_at > now()
    assert schedules.submit_due() == 0


def test_missed_runs_are_made_up_for_by_one(make: Make) -> None:
    make("*/5 * * * *")
    fall_due(now() - timedelta(days=3))
    schedules.submit_due()
    schedules.submit_due()
    assert len(rows(SubmissionRow)) == 1
    assert rows(Schedule)[0].next_at > now()


def test_any_number_of_schedulers_submit_a_run_once(app: APIFlask, make: Make) -> None:
    for _ in range(3):
        make()
    fall_due()
    at_once(app, *[schedules.submit_due] * 5)
    assert len(rows(SubmissionRow)) == 3
    assert {row.last_fault for row in rows(Schedule)} == {None}


def test_who_dies_after_submitting_and_before_saying_so_submits_nothing_twice(make: Make) -> None:
    make()
    at = fall_due()
    schedules.submit_due()
    fall_due(at)  # as if it had not been written down
    schedules.submit_due()
    assert len(rows(SubmissionRow)) == 1
    assert rows(Schedule)[0].next_at > now()


def test_a_run_that_is_refused_says_why_and_the_next_one_comes(make: Make) -> None:
    make(what=submission("dave"))
    profiles.erase("dave")
    fall_due()
    schedules.submit_due()
    [schedule] = rows(Schedule)
    assert (schedule.last_fault, schedule.last_submission_id) == ("/recipients/0: there is no user 'dave'", None)
    assert schedule.next_at > now()


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("revoked", "stopped: its key was revoked or has expired"),
        ("expired", "stopped: its key was revoked or has expired"),
        ("disabled", "stopped: the producer is disabled"),
        ("scope", "stopped: its key has no scope 'notify'"),
    ],
)
def test_it_stops_with_its_key(make: Make, key: tuple[Caller, UUID], case: str, why: str) -> None:
    make()
    caller, key_id = key
    assert caller.producer_id is not None
    if case == "disabled":
        keys.disable_producer(caller.producer_id)
    elif case == "revoked":
        keys.revoke_key(key_id)
    else:
        values = {"expires_at": now()} if case == "expired" else {"scopes": ["read"]}
        with transaction() as session:
            session.execute(sa.update(ApiKey).where(ApiKey.id == key_id).values(**values))
    fall_due()
    schedules.submit_due()
    [schedule] = rows(Schedule)
    assert (schedule.next_at, schedule.last_fault, rows(SubmissionRow)) == (None, why, [])
    other, _ = keys.create_key(caller.producer_id, scopes=["notify"])
    keys.disable_producer(caller.producer_id, disabled=False)
    schedules.resume(schedule.id, caller.producer_id, other.id)
    fall_due()
    schedules.submit_due()
    assert (len(rows(SubmissionRow)), rows(Schedule)[0].last_fault) == (1, None)


def test_a_run_for_many_people_goes_on_in_the_name_of_the_key(make: Make, key: tuple[Caller, UUID]) -> None:
    """So that it ends when the key is revoked, as every list does (`test_expand`)."""
    many = (InlineRecipient(f"m{number}", {"email": f"m{number}@x.test"}) for number in range(101))
    make(what=submission(*many, channels=("email",)))
    fall_due()
    schedules.submit_due()
    [row] = rows(SubmissionRow)
    assert (row.status, row.body["key_id"]) == ("expanding", key[1].hex)


def test_a_right_that_the_key_has_lost_is_missing_at_the_next_run(make: Make, key: tuple[Caller, UUID]) -> None:
    make()
    with transaction() as session:
        session.execute(sa.update(ApiKey).where(ApiKey.id == key[1]).values(types=["newsletter"]))
    fall_due()
    schedules.submit_due()
    assert rows(Schedule)[0].last_fault == "this key may not submit 'order_shipped'"


def test_paused_it_rests_and_resumed_it_goes_on_with_the_next_time(make: Make, key: tuple[Caller, UUID]) -> None:
    schedule_id = make()
    schedules.pause(schedule_id)
    assert (rows(Schedule)[0].next_at, schedules.submit_due()) == (None, 0)
    schedules.resume(schedule_id, key[0].producer_id or schedule_id, key[1])
    assert rows(Schedule)[0].next_at > now()


@pytest.mark.parametrize("broken", [{"body": {}}, {"cron": "never"}], ids=["what it says", "when it does"])
def test_one_that_cannot_be_submitted_keeps_no_other_from_its_run(make: Make, broken: dict[str, Any]) -> None:
    first, *others = (make() for _ in range(3))
    with transaction() as session:
        session.execute(sa.update(Schedule).where(Schedule.id == first).values(broken))
    fall_due()
    assert schedules.submit_due() == 2
    assert schedules.submit_due() == 0
    found = {row.id: (row.next_at is None, row.last_fault) for row in rows(Schedule)}
    stopped = (True, "stopped: it could not be submitted, by a fault of Notifier's")
    assert found == {first: stopped, **dict.fromkeys(others, (False, None))}


def test_to_resume_one_that_does_not_rest_costs_no_run(make: Make, key: tuple[Caller, UUID]) -> None:
    schedule_id = make()
    fall_due()
    schedules.resume(schedule_id, key[0].producer_id or schedule_id, key[1])
    assert schedules.submit_due() == 1


def test_somebody_elses_key_does_not_lend_its_rights(make: Make, key: tuple[Caller, UUID]) -> None:
    schedule_id = make()
    other = keys.create_producer("Other")
    admin, _ = keys.create_key(other.id, scopes=["notify", "admin"])
    schedules.resume(schedule_id, other.id, admin.id)
    assert rows(Schedule)[0].key_id == key[1]


def test_what_it_submits_survives_being_kept(make: Make, key: tuple[Caller, UUID]) -> None:
    """Every field of a submission, but for those of a single one."""
    whole = submission(
        InlineRecipient("alice", {"name": "A", "attributes": {"plan": "pro"}}),
        channels=("email", "inapp"), priority="low", routing="first", expires_in=60, is_perishable=True,
        collapse_key="k", sequence=7, dedupe=False,
        template="order_shipped",
    )  # fmt: skip
    make(what=whole)
    [schedule] = rows(Schedule)
    run = schedules.submission_of(schedule, "run")
    assert replace(run, idempotency=None) == whole
    assert show("sch", schedule.id).startswith("sch_")


# ---- who has gone, and what was said before


def test_who_was_erased_is_left_out_and_named_and_the_others_hear_it(make: Make) -> None:
    make(what=submission("alice", "bob", "dave", channels=("email",)))
    for name in ("bob", "dave"):
        profiles.erase(name)
    fall_due()

    schedules.submit_due()

    [schedule] = rows(Schedule)
    assert [notification.user_id for notification in rows(Notification)] == ["alice"]
    assert schedule.last_fault == "left out, since there is no such user: bob, dave"
    assert schedule.next_at is not None


def test_when_nobody_is_left_the_run_is_refused_and_the_schedule_goes_on(make: Make) -> None:
    make(what=submission("bob", channels=("email",)))
    profiles.erase("bob")
    fall_due()

    schedules.submit_due()

    [schedule] = rows(Schedule)
    assert (schedule.last_fault, rows(Notification)) == ("/recipients/0: there is no user 'bob'", [])
    assert schedule.next_at is not None
    with transaction():
        profiles.upsert([InlineRecipient("bob", {"email": "bob@example.test"})])
    fall_due()
    schedules.submit_due()
    assert ([n.user_id for n in rows(Notification)], rows(Schedule)[0].last_fault) == (["bob"], None)


def test_a_run_makes_nobody_anew_who_was_erased(make: Make) -> None:
    """The schedule was given erin's address; it goes with her."""
    make(what=submission("alice", InlineRecipient("erin", {"email": "erin@x.test"}), channels=("email",)))
    make(what=submission(InlineRecipient("frank", {"email": "erin@x.test"})))
    fall_due()
    schedules.submit_due()
    profiles.erase("erin")
    fall_due(now() - timedelta(seconds=30))

    schedules.submit_due()

    first, other = rows(Schedule)
    assert first.body["recipients"] == [{"id": "alice", "changes": {}}, {"id": "erin", "changes": {}}]
    assert other.body["recipients"] == [{"id": "frank", "changes": {"email": "erin@x.test"}}]
    assert first.last_fault == "left out, since there is no such user: erin"
    assert profiles.known_ids(["erin"]) == set()


@pytest.mark.parametrize("dedupe", [None, True, False])
def test_a_run_is_no_repeat_of_the_last_one(make: Make, dedupe: bool | None) -> None:
    """Although the content is the same, and the period is within the window of the type."""
    make(
        cron="*/5 * * * *",
        what=submission("alice", type="comment", data={"actor": "Eve"}, channels=("inapp",), dedupe=dedupe),
    )
    for minutes in (120, 65, 60, 5, 0):
        fall_due(now() - timedelta(minutes=minutes))
        schedules.submit_due()

    assert [delivery.status for delivery in rows(Delivery)] == ["delivered"] * 5


def test_what_a_run_has_said_is_a_repeat_by_somebody_else(make: Make, key: tuple[Caller, UUID]) -> None:
    said = submission("alice", type="comment", data={"actor": "Eve"}, channels=("inapp",), dedupe=True)
    make(what=said)
    fall_due()
    schedules.submit_due()

    accept([Item(key[0], said)])

    assert [(delivery.status, delivery.reason) for delivery in rows(Delivery)] == [
        ("delivered", None),
        ("skipped", "duplicate"),
    ]
