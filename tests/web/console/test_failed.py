"""Failed jobs: seen, explained, and retried."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.ground.ids import new_id, show
from notifier.models import Attempt, Delivery, Notification
from notifier.operations import bulk_actions
from notifier.queries import causes
from notifier.queries.dead_letters import Filter, read_filter
from notifier.queries.failed import PAGE_SIZE, failed_page
from notifier.signals.queueing import failed_registry, queue
from tests.web.conftest import Visitor

Send = Callable[..., list[Any]]


@pytest.fixture
def operator(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("operator")


@pytest.fixture
def dead(send: Send) -> str:
    """The id of a delivery that its provider has refused for good."""
    [delivery] = send("zoe", email="rejected@sandbox.test", channels=("email",))
    assert delivery.status == "failed"
    return show("dlv", delivery.id)


def status() -> str:
    db.session.rollback()
    [delivery] = db.session.query(Delivery).all()
    return delivery.status


def expire() -> None:
    with transaction() as session:
        session.query(Delivery).update({"expires_at": now() - timedelta(seconds=1)})


def test_without_failures_it_says_so(operator: Visitor) -> None:
    assert "Nothing has failed" in operator.get("/admin/failed").text


def test_a_failed_job_is_listed_with_its_reason_and_a_masked_address(operator: Visitor, dead: str) -> None:
    page = operator.get("/admin/failed/jobs").text
    assert f"/admin/failed/{dead}" in page
    assert "the sandbox plays rejected" in page
    assert "rejected@sandbox.test" not in page
    assert "@sandbox.test" in page
    assert "email.high <span>1</span>" in operator.get("/admin/failed/registry").text


def test_one_job_shows_its_attempts_and_its_trace(operator: Visitor, dead: str) -> None:
    page = operator.get(f"/admin/failed/{dead}").text
    assert "the sandbox plays rejected" in page
    assert "DeadLetter" in page


def test_what_kind_of_failure_it_is_is_said(operator: Visitor, dead: str) -> None:
    for path in (
        f"/admin/failed/{dead}",
        "/admin/failed/jobs?channel=email&provider=sandbox&outcome=permanent&code=rejected",
    ):
        assert "It will be refused again" in operator.get(path).text


def test_an_address_in_a_providers_answer_is_masked(operator: Visitor, dead: str) -> None:
    answer = "550 no such mailbox: <zoe@example.test>, see https://mail.test/help?who=zoe"
    with transaction() as session:
        session.execute(sa.update(Attempt).values(message=answer))
        notification = show("ntf", session.scalars(sa.select(Notification.id)).one())
    for path in (
        "/admin/failed/jobs",
        f"/admin/failed/{dead}",
        "/admin/failed/registry",
        f"/admin/notifications/{notification}",
    ):
        page = operator.get(path).text
        assert ("550 no such mailbox" in page, "zoe@example.test" in page, "who=zoe" in page) == (True, False, False)


def test_retrying_one_queues_it(operator: Visitor, dead: str) -> None:
    answer = operator.post(f"/admin/failed/{dead}/retry", {"back": "/admin/failed/jobs?queue=email.high"})
    assert (answer.status_code, answer.location) == (303, "/admin/failed/jobs?queue=email.high")
    assert status() == "queued"
    assert queue("email.high").job_ids == [dead]
    assert failed_registry("email.high").get_job_ids() == []
    assert "It has been queued again" in operator.get("/admin/failed").text
    assert "It is on its way" in operator.get(f"/admin/failed/{dead}").text


def test_it_leads_to_no_other_site(operator: Visitor, dead: str) -> None:
    assert operator.post(f"/admin/failed/{dead}/retry", {"back": "//evil.test"}).location == f"/admin/failed/{dead}"


def test_an_expired_one_is_left_alone(operator: Visitor, dead: str) -> None:
    expire()
    assert "expired" in operator.get("/admin/failed/jobs").text
    assert f"/admin/failed/{dead}/retry" not in operator.get(f"/admin/failed/{dead}").text
    operator.post(f"/admin/failed/{dead}/retry")
    assert status() == "failed"
    assert "Nothing was done: it has expired" in operator.get("/admin/failed").text


def test_viewers_look_and_their_buttons_are_off_with_the_reason(signed_in: Callable[..., Visitor], dead: str) -> None:
    viewer = signed_in("viewer")
    for path in ("/admin/failed", "/admin/failed/jobs", f"/admin/failed/{dead}"):
        page = viewer.get(path).text
        assert "Your role is viewer; this needs operator or admin." in page
    assert "the sandbox plays rejected" in page
    assert "Retry selected" not in viewer.get("/admin/failed/jobs").text
    posts = (f"/admin/failed/{dead}/retry", "/admin/failed/actions", "/admin/failed/actions/blk_0/cancel")
    assert [viewer.post(path, {"kind": "retry"}).status_code for path in posts] == [403] * 3
    assert viewer.get("/admin/failed/actions/new?kind=retry").status_code == 403
    assert status() == "failed"


def test_without_redis_the_database_says_what_failed(operator: Visitor, dead: str, redis_away: None) -> None:
    assert "Redis cannot be reached" in operator.get("/admin/failed").text
    assert "the sandbox plays rejected" in operator.get("/admin/failed/jobs").text
    assert "Redis cannot be reached" in operator.get("/admin/failed/registry").text
    assert operator.get(f"/admin/failed/{dead}").status_code == 200
    assert operator.post(f"/admin/failed/{dead}/retry").status_code == 303
    assert status() == "queued"
    assert operator.get("/admin/").status_code == 200


def test_what_redis_has_forgotten_is_shown_told_and_repaired(operator: Visitor, dead: str) -> None:
    redis_store.client.flushall()
    page = operator.get("/admin/failed").text
    assert "hold 0 of the 1 failed deliveries" in page
    assert "the sandbox plays rejected" in operator.get("/admin/failed/jobs").text
    operator.post("/admin/failed/actions", {"kind": "repair"})
    bulk_actions.work()
    assert failed_registry("email.high").get_job_ids() == [dead]
    assert "Repair" not in operator.get("/admin/failed").text
    assert "the sandbox plays rejected" in operator.get("/admin/failed/registry").text


@pytest.mark.parametrize(
    "query", ["page=0", "page=-5", "page=x", "page=999999", "queue=nope", "queue=email.low", "source=what"]
)
def test_odd_addresses_of_the_registries_are_no_crash(operator: Visitor, dead: str, query: str) -> None:
    assert operator.get(f"/admin/failed/registry?{query}").status_code == 200


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("queue=nope", "there is no queue"),
        ("within=1y", "within must be one of"),
        ("since=yesterday", "since must be a time"),
        ("since=0001-01-01T00:00:00%2B10:00", "since must be a time"),
        ("text=" + "x" * 201, "text must be text of at most 200"),
        ("user=%00", "user must be text of at most"),
        ("after=nonsense", ""),
        ("after=1e400_dlv_" + "0" * 32, ""),
        ("sort=nonsense", ""),
        ("text=%25_", ""),
    ],
)
def test_a_filter_that_makes_no_sense_is_told_and_left_out(
    operator: Visitor, dead: str, query: str, words: str
) -> None:
    for path in ("/admin/failed", "/admin/failed/jobs"):
        page = operator.get(f"{path}?{query}")
        assert (page.status_code, words.lower() in page.text.lower()) == (200, True)


@pytest.mark.parametrize("job_id", ["nonsense", "dlv_" + "0" * 32])
def test_an_unknown_job_is_not_found(operator: Visitor, job_id: str) -> None:
    assert operator.get(f"/admin/failed/{job_id}").status_code == 404


def test_a_job_about_nothing_we_know_is_listed_and_is_no_crash(operator: Visitor) -> None:
    redis_store.client.zadd(failed_registry("email.low").key, {"sub_0": 2**33})
    assert "belongs to no delivery that we know" in operator.get("/admin/failed/registry").text
    assert "1 entry more" in operator.get("/admin/failed").text


def test_a_ghost_is_called_one(operator: Visitor, dead: str) -> None:
    with transaction() as session:
        session.query(Delivery).update({"status": "delivered"})
    assert "stale: it is delivered" in operator.get("/admin/failed/registry").text


# ---- causes


def test_dead_letters_are_grouped_by_cause(app: APIFlask, send: Send) -> None:
    send("ann", email="rejected@sandbox.test", channels=("email",))
    send("a", email="rejected@sandbox.test", channels=("email",))
    send("b", email="dead@sandbox.test", channels=("email",))
    found = causes.groups(Filter())
    assert {
        (group.channel, group.outcome, group.count, sum(group.trend), group.last_hour) for group in found.groups
    } == {
        ("email", "permanent", 2, 2, 2),
        ("email", "invalid_recipient", 1, 1, 1),
    }
    assert found.total == 3
    assert [causes.jobs(read_filter(group.cause, now())).total for group in found.groups] == [
        group.count for group in found.groups
    ]
    assert [group.count for group in causes.groups(Filter(), "-count").groups] == [2, 1]
    assert [group.count for group in causes.groups(Filter(), "count").groups] == [1, 2]


@pytest.mark.parametrize(
    ("before", "last_hour", "is_rising"),
    [(0, 4, False), (0, 5, True), (23, 5, True), (230, 20, False), (230, 21, True), (23, 0, False)],
    ids=["too few to say", "new", "five times an hour's usual", "twice as usual", "more than twice as usual", "over"],
)
def test_a_cause_is_rising_when_the_last_hour_had_more_than_twice_the_usual(
    before: int, last_hour: int, is_rising: bool
) -> None:
    trend = (before, *[0] * (causes.HOURS - 2), last_hour)
    assert causes.Group("sms", None, "permanent", None, before + last_hour, None, None, trend).is_rising is is_rising


def test_a_job_has_the_cause_and_the_time_of_its_group(app: APIFlask, dead: str) -> None:
    with transaction() as session:  # its worker died before any provider was known
        session.execute(sa.update(Delivery).values(provider=None, outcome="unknown", code="lease_lapsed"))
    [group] = causes.groups(Filter()).groups
    [job] = causes.jobs(read_filter(group.cause, now())).jobs
    assert (job.provider, job.outcome, job.code, job.failed_at) == (
        group.provider,
        group.outcome,
        group.code,
        group.newest,
    )


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ({}, 2),
        ({"channel": "email"}, 2),
        ({"channel": "sms"}, 0),
        ({"queue": "email.high"}, 1),
        ({"type": "promotional_offer"}, 1),
        ({"user": "ann"}, 1),
        ({"within": "1h"}, 2),
        ({"until": "2020-01-01T00:00:00+00:00"}, 0),
        ({"since": "2020-01-01T00:00:00+00:00"}, 2),
        ({"text": "REJECT"}, 1),
        ({"text": "permanent"}, 1),
        ({"text": "%"}, 0),
        ({"outcome": "invalid_recipient", "user": "ben"}, 1),
        ({"outcome": "permanent", "user": "ben"}, 0),
        ({"provider": "-"}, 0),
    ],
    ids=str,
)
def test_filters(app: APIFlask, send: Send, given: dict[str, str], count: int) -> None:
    send("ann", email="rejected@sandbox.test", channels=("email",))
    send("ben", email="dead@sandbox.test", channels=("email",), type="promotional_offer", data={"title": "Half price"})
    chosen = read_filter(given, now())
    assert (causes.jobs(chosen).total, causes.groups(chosen).total, len(causes.jobs(chosen).jobs)) == (count,) * 3


def test_whom_the_failures_touch_is_counted_once_each(app: APIFlask, send: Send, operator: Visitor) -> None:
    for user, times in (("zoe", 2), ("yan", 1)):
        for _ in range(times):
            send(user, email="rejected@sandbox.test", channels=("email",))
    assert "3 jobs, for 2 people" in operator.get("/admin/failed/jobs").text
    assert "2 jobs, for 1 person" in operator.get("/admin/failed/jobs?user=zoe").text


def test_the_jobs_of_a_cause_are_paged_by_keyset_without_gap_or_repeat(app: APIFlask, dead: str) -> None:
    multiply(causes.PAGE_SIZE * 2 + 6)
    for is_oldest_first in (False, True):
        seen: list[str] = []
        after = None
        for _ in range(3):
            page = causes.jobs(Filter(channel="email"), after, is_oldest_first=is_oldest_first)
            seen += [job.job_id for job in page.jobs]
            after = page.following
        assert (len(seen), len(set(seen)), after) == (causes.PAGE_SIZE * 2 + 7,) * 2 + (None,)


def multiply(count: int) -> None:
    """So many more dead letters like the one there is."""
    with transaction() as session:
        [row] = session.execute(sa.select(Delivery.__table__)).mappings()
        rows = [
            {**row, "id": new_id(), "failed_at": row["failed_at"] - timedelta(seconds=number % 7)}
            for number in range(count)
        ]
        session.execute(sa.insert(Delivery.__table__), rows)


def test_a_payload_is_masked_and_that_of_a_sign_in_link_hidden(operator: Visitor, dead: str) -> None:
    with transaction() as session:
        session.query(Notification).update(
            {"data": {"order_id": "order-number-1", "code": "123456", "tracking_url": "https://shop.test/t?who=ann"}}
        )
    page = operator.get(f"/admin/failed/{dead}").text
    assert "order-number-1" in page
    assert [secret for secret in ("123456", "who=ann") if secret in page] == []
    with transaction() as session:
        session.query(Notification).update({"type": "sign_in_link"})
    page = operator.get(f"/admin/failed/{dead}").text
    assert ("Hidden from everybody" in page, "order-number-1" in page) == (True, False)


def test_the_number_of_queries_does_not_grow_with_the_jobs(
    operator: Visitor, dead: str, count_queries: Callable[[], Any]
) -> None:
    paths = ("/admin/failed", "/admin/failed/jobs", "/admin/failed/registry")
    before = []
    for path in paths:
        with count_queries() as counted:
            operator.get(path)
        before.append(counted.total)
    multiply(40)
    for path, count in zip(paths, before, strict=True):
        with count_queries() as counted:
            operator.get(path)
        assert counted.total == count


# ---- RQ's registries


def test_pages_run_through_all_queues_without_gap_or_repeat(app: APIFlask) -> None:
    expected = {"email.urgent": 30, "email.high": PAGE_SIZE * 2, "sms.low": 7}
    for name, count in expected.items():
        redis_store.client.zadd(
            failed_registry(name).key, {f"{name.replace('.', '-')}-{n:03}": 2**33 + n for n in range(count)}
        )
    total = sum(expected.values())
    pages = [failed_page(None, number) for number in range(1, 5)]
    assert [page.total for page in pages] == [total] * 4
    assert pages[0].last == -(-total // PAGE_SIZE)
    seen = [job.job_id for page in pages for job in page.jobs]
    assert len(seen) == len(set(seen)) == total
    assert (seen[0], seen[-1]) == ("email-urgent-029", "sms-low-000")
    assert [len(page.jobs) for page in pages] == [50, 50, 37, 0]


def test_a_page_far_beyond_the_last_is_empty(operator: Visitor) -> None:
    assert operator.get("/admin/failed/registry?page=99999999999999999999").status_code == 200
